//! For each rule a plan that breaks it and is refused, beside the nearest one that is allowed. What each of a rule's
//! conditions is for is in the files below.

mod data;
mod grants;
mod objects;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    Known, Unknown,
    descriptor::Kind,
    plan::{Action, ObjectRef, Precondition},
    snapshot::{Object, Objects, PdMember, PdView, Store, StoreRow, StoreState},
};

/// A cluster `c` with PD, TiKV and TiDB as one would find it at rest.
struct World {
    objects: Vec<Value>,
    pd: PdView,
    spec: Value,
    unknown: Vec<&'static str>,
}

impl World {
    fn new(pd: u32, tikv: u32) -> Self {
        let mut objects = vec![set("pd", pd), set("tikv", tikv)];
        objects.extend((0..pd).map(|n| pod("pd", n)));
        objects.extend((0..tikv).map(|n| pod("tikv", n)));
        objects.extend((0..tikv).map(|n| claim("tikv", n)));
        let config = serde_json::value::to_raw_value(&json!({"replication": {"max-replicas": 3}})).unwrap();
        let pd_view = PdView {
            members: Ok((0..pd).map(member).collect()),
            stores: Ok((0..tikv).map(store).collect()),
            documents: [("config".to_owned(), Ok(config))].into(),
        };
        let spec = json!({"pd": {"replicas": pd}, "tikv": {"replicas": tikv}});
        Self { objects, pd: pd_view, spec, unknown: Vec::new() }
    }

    fn members(&mut self) -> &mut Vec<PdMember> {
        self.pd.members.as_mut().unwrap()
    }

    fn stores(&mut self) -> &mut Vec<Store> {
        self.pd.stores.as_mut().unwrap()
    }

    fn get(&self, kind: &str, name: &str) -> Value {
        let found = self.objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}")).clone()
    }

    fn change(&mut self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let found = self.objects.iter_mut().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        change(found.unwrap_or_else(|| panic!("no {kind} {name}")));
    }

    fn lose(&mut self, kind: &str, name: &str) {
        self.objects.retain(|o| o["kind"] != kind || o["metadata"]["name"] != name);
    }

    /// Rules that the plan breaks, in order, each once.
    fn broken(&self, plan: &Plan) -> Vec<&'static str> {
        self.broken_by(&everything(), plan)
    }

    /// The same for the plan of this policy.
    fn broken_by(&self, descriptor: &Descriptor, plan: &Plan) -> Vec<&'static str> {
        let cluster = json!({"metadata": {"name": "c", "namespace": "n", "uid": "u"}, "spec": self.spec});
        let mut snapshot = Snapshot::nothing();
        snapshot.cluster = serde_json::value::to_raw_value(&cluster).unwrap().into();
        let Err(violations) = check(self, descriptor, &snapshot, plan) else { return Vec::new() };
        assert!(!violations.is_empty(), "refused without a reason");
        let mut rules: Vec<_> = violations.iter().map(|v| v.rule).collect();
        rules.dedup();
        rules
    }
}

impl Facts for World {
    fn object(&self, target: &ObjectRef) -> Known<Option<Arc<Object>>> {
        if self.unknown.contains(&target.kind.as_str()) {
            return Err(Unknown::NotSynced);
        }
        let found = self.objects.iter().find(|o| ObjectRef::of(o) == *target);
        Ok(found.map(parse))
    }

    fn objects(&self, api_version: &str, kind: &str) -> Known<Arc<Objects>> {
        if self.unknown.contains(&kind) {
            return Err(Unknown::NotSynced);
        }
        let of_kind = self.objects.iter().filter(|o| o["kind"] == kind && o["apiVersion"] == api_version);
        Ok(Arc::new(of_kind.map(parse).collect()))
    }

    fn pd(&self) -> &PdView {
        &self.pd
    }
}

fn parse(object: &Value) -> Arc<Object> {
    Arc::new(Object::parse(serde_json::value::to_raw_value(object).unwrap()).unwrap())
}

fn everything() -> Descriptor {
    let verbs = [
        "create",
        "replace",
        "merge-patch",
        "delete",
        "transfer-pd-leader",
        "delete-pd-member",
        "delete-store",
        "event",
        "begin-evict-leader",
        "end-evict-leader",
    ];
    let kinds = [
        ("apps/v1", "StatefulSet"),
        ("v1", "Pod"),
        ("v1", "PersistentVolumeClaim"),
        ("v1", "PersistentVolume"),
        ("v1", "ConfigMap"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("v1", "Secret"),
    ];
    Descriptor {
        component: "any".into(),
        actions: verbs.map(String::from).into(),
        writes: kinds.map(|(v, k)| Kind { api_version: v.into(), kind: k.into() }).into(),
        ..Descriptor::default()
    }
}

fn labels(component: &str) -> Value {
    json!({"app.kubernetes.io/instance": "c", "app.kubernetes.io/managed-by": "tidb-operator",
           "app.kubernetes.io/component": component})
}

fn set(component: &str, replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": format!("c-{component}"), "uid": format!("set-{component}"), "resourceVersion": "1",
            "labels": labels(component), "ownerReferences": [{"kind": "TidbCluster", "uid": "u", "controller": true}]},
        "spec": {"replicas": replicas, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": replicas}},
            "template": {"spec": {"containers": [{"name": component, "image": "a"}]}}},
        "status": {"updateRevision": "r1"}})
}

fn pod(component: &str, ordinal: u32) -> Value {
    let mut labels = labels(component);
    labels["controller-revision-hash"] = "r1".into();
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("c-{component}-{ordinal}"), "uid": format!("pod-{component}-{ordinal}"), "labels": labels,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": format!("c-{component}"),
                "uid": format!("set-{component}"), "controller": true}]},
        "spec": {"volumes": [{"name": "config"},
            {"persistentVolumeClaim": {"claimName": format!("{component}-c-{component}-{ordinal}")}}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

fn claim(component: &str, ordinal: u32) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": format!("{component}-c-{component}-{ordinal}"), "uid": format!("claim-{ordinal}"),
            "labels": labels(component)}})
}

fn member(ordinal: u32) -> PdMember {
    PdMember {
        id: ordinal.to_string(),
        name: format!("c-pd-{ordinal}"),
        healthy: true,
        leader: ordinal == 0,
        ..PdMember::default()
    }
}

fn store(ordinal: u32) -> Store {
    let address = format!("c-tikv-{ordinal}.c-tikv-peer.n.svc:20160");
    let row = StoreRow { id: u64::from(ordinal) + 1, address, ..StoreRow::default() };
    Store { row, json: serde_json::value::to_raw_value(&json!({})).unwrap() }
}

fn reference(kind: &str, name: &str) -> ObjectRef {
    let api_version = if kind == "StatefulSet" { "apps/v1" } else { "v1" };
    ObjectRef { api_version: api_version.into(), kind: kind.into(), name: name.into() }
}

fn uid(uid: &str) -> Precondition {
    Precondition { uid: Some(uid.into()), resource_version: None }
}

fn plan(actions: impl Into<Vec<Action>>) -> Plan {
    Plan { actions: actions.into(), ..Plan::default() }
}

fn delete_pod(component: &str, ordinal: u32) -> Action {
    Action::Delete {
        target: reference("Pod", &format!("c-{component}-{ordinal}")),
        expect: uid(&format!("pod-{component}-{ordinal}")),
    }
}

fn replace(mut object: Value, change: impl Fn(&mut Value)) -> Action {
    change(&mut object);
    let expect = uid(object["metadata"]["uid"].as_str().unwrap());
    Action::Replace { object, expect }
}

#[test]
fn s1_one_pd_pod_at_a_time() {
    let world = World::new(5, 3);
    assert_eq!(world.broken(&plan([delete_pod("pd", 2)])), [""; 0]);
    assert_eq!(world.broken(&plan([delete_pod("pd", 2), delete_pod("pd", 3)])), ["S1"]);
}

#[test]
fn s1_no_pd_pod_when_quorum_hangs_on_it() {
    let mut world = World::new(3, 3);
    world.members()[1].healthy = false;
    assert_eq!(world.broken(&plan([delete_pod("pd", 2)])), ["S1"]);
    assert_eq!(world.broken(&plan([delete_pod("pd", 1)])), [""; 0], "the broken one may be replaced");
}

#[test]
fn s1_a_new_template_reaches_one_pod_only() {
    let world = World::new(3, 3);
    let roll = |partition: i64| {
        replace(world.get("StatefulSet", "c-pd"), |set| {
            set["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into();
            set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = partition.into();
        })
    };
    assert_eq!(world.broken(&plan([roll(3)])), [""; 0]);
    assert_eq!(world.broken(&plan([roll(2)])), [""; 0]);
    assert_eq!(world.broken(&plan([roll(1)])), ["S1"]);
}

#[test]
fn s1_single_members_may_be_restarted() {
    let world = World::new(1, 3);
    assert_eq!(world.broken(&plan([delete_pod("pd", 0)])), [""; 0]);
}

#[test]
fn s2_removal_keeps_the_new_quorum() {
    let mut world = World::new(5, 3);
    let remove = |id: &str| Action::DeletePdMember { id: id.into() };
    assert_eq!(world.broken(&plan([remove("4")])), [""; 0]);
    world.members()[1].healthy = false;
    world.members()[2].healthy = false;
    assert_eq!(world.broken(&plan([remove("4")])), ["S2"]);
    assert_eq!(world.broken(&plan([remove("1")])), [""; 0], "an unhealthy one may go");
    assert_eq!(world.broken(&plan([remove("77")])), ["S2"]);
}

#[test]
fn s2_a_pod_leaves_pd_before_it_is_removed() {
    let world = World::new(3, 3);
    let shrink = replace(world.get("StatefulSet", "c-pd"), |set| set["spec"]["replicas"] = 2.into());
    let remove = Action::DeletePdMember { id: "2".into() };
    assert_eq!(world.broken(&plan([shrink.clone()])), ["S2"]);
    assert_eq!(world.broken(&plan([remove, shrink])), [""; 0]);
}

#[test]
fn s2_the_last_member_goes_only_if_no_pd_is_wanted() {
    let mut world = World::new(1, 0);
    let shrink = plan([replace(world.get("StatefulSet", "c-pd"), |set| set["spec"]["replicas"] = 0.into())]);
    assert_eq!(world.broken(&shrink), ["S2"]);
    world.spec["pd"]["replicas"] = 0.into();
    assert_eq!(world.broken(&shrink), [""; 0]);
}

#[test]
fn s3_the_leader_stays_while_another_can_lead() {
    let world = World::new(3, 3);
    assert_eq!(world.broken(&plan([delete_pod("pd", 0)])), ["S3"]);
    assert_eq!(world.broken(&plan([Action::DeletePdMember { id: "0".into() }])), ["S3"]);
}

#[test]
fn s8_stores_stay_above_max_replicas() {
    let mut world = World::new(3, 4);
    let delete = |id: u64| Action::DeleteStore { id };
    assert_eq!(world.broken(&plan([delete(4)])), [""; 0]);
    assert_eq!(world.broken(&plan([delete(4), delete(3)])), ["S8"]);
    world.stores()[0].row.state = StoreState::Down;
    assert_eq!(world.broken(&plan([delete(4)])), ["S8"]);
    assert_eq!(world.broken(&plan([delete(1)])), [""; 0], "the dead one may go");
    world.stores()[1].row.tiflash = true;
    assert_eq!(world.broken(&plan([delete(1)])), ["S8"], "TiFlash does not count");
}

#[test]
fn s9_a_pod_goes_after_its_store() {
    let mut world = World::new(3, 4);
    let shrink = replace(world.get("StatefulSet", "c-tikv"), |set| set["spec"]["replicas"] = 3.into());
    assert_eq!(world.broken(&plan([shrink.clone()])), ["S9"]);
    world.stores()[3].row.state = StoreState::Tombstone;
    assert_eq!(world.broken(&plan([shrink])), [""; 0]);
}

#[test]
fn s10_claims_go_only_when_nothing_needs_them() {
    let mut world = World::new(3, 4);
    let delete =
        plan([Action::Delete { target: reference("PersistentVolumeClaim", "tikv-c-tikv-3"), expect: uid("claim-3") }]);
    assert_eq!(world.broken(&delete), ["S10"], "the spec does not allow it");
    world.spec["enablePVReclaim"] = true.into();
    assert_eq!(world.broken(&delete), ["S10"], "a pod uses it");
    world.objects.retain(|o| o["metadata"]["name"] != "c-tikv-3");
    assert_eq!(world.broken(&delete), ["S10"], "the set still wants the pod");
    world.objects.iter_mut().find(|o| o["metadata"]["name"] == "c-tikv").unwrap()["spec"]["replicas"] = 3.into();
    assert_eq!(world.broken(&delete), ["S10"], "the store lives");
    world.stores()[3].row.state = StoreState::Tombstone;
    assert_eq!(world.broken(&delete), [""; 0]);
    let other =
        plan([Action::Delete { target: reference("PersistentVolumeClaim", "tikv-c-tikv-3"), expect: uid("x") }]);
    assert_eq!(world.broken(&other), ["S19", "S10"]);
    world.spec["enablePVReclaim"] = false.into();
    assert_eq!(world.broken(&delete), ["S10"], "the spec does not allow it");
    let claim = world.objects.iter_mut().find(|o| o["metadata"]["name"] == "tikv-c-tikv-3").unwrap();
    claim["metadata"]["annotations"] = json!({"tidb.pingcap.com/pvc-defer-deleting": "2023-11-14T22:13:20Z"});
    assert_eq!(world.broken(&delete), [""; 0], "it was scaled in");
}

#[test]
fn s10_the_volume_of_a_removed_pd_member_goes_under_its_pod() {
    let mut world = World::new(3, 3);
    world.objects.push(claim("pd", 2));
    let delete =
        plan([Action::Delete { target: reference("PersistentVolumeClaim", "pd-c-pd-2"), expect: uid("claim-2") }]);
    assert_eq!(world.broken(&delete), ["S10"], "it is a member");
    world.members().retain(|member| member.name != "c-pd-2");
    assert_eq!(world.broken(&delete), ["S10"], "its pod may be about to join");
    let pod = |world: &mut World, change: fn(&mut Value)| {
        change(world.objects.iter_mut().find(|o| o["metadata"]["name"] == "c-pd-2").unwrap());
    };
    pod(&mut world, |pod| pod["metadata"]["labels"]["tidb.pingcap.com/member-id"] = "1".into());
    assert_eq!(world.broken(&delete), ["S10"], "it is known as a member that PD has");
    pod(&mut world, |pod| pod["metadata"]["labels"]["tidb.pingcap.com/member-id"] = "2".into());
    assert_eq!(world.broken(&delete), [""; 0], "it was a member, and stands still");
    pod(&mut world, |pod| {
        drop(pod["metadata"]["labels"].as_object_mut().unwrap().remove("tidb.pingcap.com/member-id"))
    });
    assert_eq!(world.broken(&delete), ["S10"], "it serves");
    pod(&mut world, |pod| pod["status"]["conditions"] = json!([]));
    assert_eq!(world.broken(&delete), [""; 0]);
    world.members().push(PdMember { name: String::new(), ..member(7) });
    assert_eq!(world.broken(&delete), ["S10"], "PD waits for a member to start, and this may be the one");
    world.members().pop();
    world.members()[0].leader = false;
    assert_eq!(world.broken(&delete), ["S10"], "PD has no leader to say so");
    world.pd.members = Err(Unknown::NotSynced);
    assert_eq!(world.broken(&delete), ["S33"]);
}

#[test]
fn s10_a_claim_itself_says_whose_data_it_has() {
    let mut world = World::new(3, 3);
    world.objects.push(claim("pd", 2));
    let delete =
        plan([Action::Delete { target: reference("PersistentVolumeClaim", "pd-c-pd-2"), expect: uid("claim-2") }]);
    let label = |world: &mut World, key: &str, value: &str| {
        let claim = world.objects.iter_mut().find(|o| o["metadata"]["name"] == "pd-c-pd-2").unwrap();
        claim["metadata"]["labels"][format!("tidb.pingcap.com/{key}")] = value.into();
    };
    label(&mut world, "member-id", "2");
    assert_eq!(world.broken(&delete), ["S10"], "PD has the member");
    world.members().retain(|member| member.name != "c-pd-2");
    assert_eq!(world.broken(&delete), [""; 0], "the pod that is there is ready, and made anew: it has no label");
    world.objects.retain(|o| o["metadata"]["name"] != "c-pd-2");
    assert_eq!(world.broken(&delete), [""; 0], "the pod is being made");
    let sets = world.objects.iter_mut().find(|o| o["kind"] == "StatefulSet" && o["metadata"]["name"] == "c-pd");
    sets.unwrap()["spec"]["replicas"] = 2.into();
    assert_eq!(world.broken(&delete), ["S10"], "nobody wants the pod: the spec says what becomes of the claim");
    world.objects.iter_mut().find(|o| o["metadata"]["name"] == "c-pd").unwrap()["spec"]["replicas"] = 3.into();
    label(&mut world, "cluster-id", "7");
    assert_eq!(world.broken(&delete), ["S33"], "whether it is this cluster's is not known");
    for (id, broken) in [("8", vec!["S10"]), ("7", vec![])] {
        let document = serde_json::value::RawValue::from_string(format!("{{\"id\": {id}}}")).unwrap();
        world.pd.documents.insert("cluster".to_owned(), Ok(document));
        assert_eq!(world.broken(&delete), broken, "PD is cluster {id}");
    }
}

#[test]
fn s14_claims_do_not_shrink() {
    let mut world = World::new(3, 3);
    let mut own = claim("pd", 0);
    own["spec"] = json!({"resources": {"requests": {"storage": "10Gi"}}});
    world.objects.push(own);
    let ask = |size: &str| {
        let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        let target = reference("PersistentVolumeClaim", "pd-c-pd-0");
        plan([Action::MergePatch { target, patch, expect: uid("claim-0") }])
    };
    assert_eq!(world.broken(&ask("9Gi")), ["S14"]);
    assert_eq!(world.broken(&ask("20Gi")), [""; 0]);
}

#[test]
fn s11_volumes_are_not_left_to_be_deleted() {
    let mut world = World::new(3, 3);
    world.objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v", "uid": "v"},
        "spec": {"persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": "n", "name": "tikv-c-tikv-0", "uid": "claim-0"}}}));
    let patch = |policy: &str| {
        let patch = json!({"spec": {"persistentVolumeReclaimPolicy": policy}});
        plan([Action::MergePatch { target: reference("PersistentVolume", "v"), patch, expect: uid("v") }])
    };
    assert_eq!(world.broken(&patch("Delete")), ["S11"]);
    world.spec["pvReclaimPolicy"] = "Delete".into();
    assert_eq!(world.broken(&patch("Delete")), [""; 0], "the spec says so");
    world.spec["pvReclaimPolicy"] = "Retain".into();
    world.objects.iter_mut().find(|o| o["metadata"]["name"] == "v").unwrap()["spec"]["persistentVolumeReclaimPolicy"] =
        "Delete".into();
    assert_eq!(world.broken(&patch("Retain")), [""; 0]);
}

#[test]
fn s15_templates_do_not_depend_on_the_time() {
    let render = |image: &str| {
        plan([Action::Create {
            object: json!({"kind": "StatefulSet", "metadata": {"name": "s"}, "spec": {"template": {"image": image}}}),
        }])
    };
    assert_eq!(stable_templates(&render("a"), &render("a")), Ok(()));
    assert_eq!(stable_templates(&render("a"), &render("b")).unwrap_err()[0].rule, "S15");
}

#[test]
fn s16_nothing_is_written_that_is_already_so() {
    let world = World::new(3, 3);
    assert_eq!(world.broken(&plan([replace(world.get("StatefulSet", "c-tikv"), |_| {})])), ["S16"]);
    let patch = |patch: Value| {
        plan([Action::MergePatch { target: reference("Pod", "c-pd-1"), patch, expect: uid("pod-pd-1") }])
    };
    assert_eq!(world.broken(&patch(json!({"metadata": {"labels": {"app.kubernetes.io/component": "pd"}}}))), ["S16"]);
    assert_eq!(world.broken(&patch(json!({"metadata": {"labels": {"x": "y"}}}))), [""; 0]);
}

#[test]
fn s18_only_what_belongs_to_the_cluster() {
    let mut world = World::new(3, 3);
    let create = |namespace: &str, instance: &str| {
        let mut labels = labels("pd");
        labels["app.kubernetes.io/instance"] = instance.into();
        plan([Action::Create {
            object: json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": namespace, "labels": labels}}),
        }])
    };
    assert_eq!(world.broken(&create("n", "c")), [""; 0]);
    assert_eq!(world.broken(&create("kube-system", "c")), ["S18"]);
    assert_eq!(world.broken(&create("n", "other")), ["S18"]);
    let foreign = world.objects.iter_mut().find(|o| o["metadata"]["name"] == "c-tikv").unwrap();
    foreign["metadata"]["ownerReferences"][0]["uid"] = "someone-else".into();
    let scale = replace(world.get("StatefulSet", "c-tikv"), |set| set["spec"]["replicas"] = 4.into());
    assert_eq!(world.broken(&plan([scale])), ["S18"]);
    assert_eq!(world.broken(&plan([delete_pod("tikv", 1)])), ["S18"], "through its owner");
}

#[test]
fn s19_every_write_carries_a_precondition() {
    let world = World::new(3, 3);
    let grow = |expect: Precondition| {
        let mut object = world.get("StatefulSet", "c-tikv");
        object["spec"]["replicas"] = 4.into();
        plan([Action::Replace { object, expect }])
    };
    assert_eq!(world.broken(&grow(uid("set-tikv"))), [""; 0]);
    assert_eq!(world.broken(&grow(Precondition::default())), ["S19"]);
    assert_eq!(world.broken(&grow(uid("of-another-life"))), ["S19"]);
}

#[test]
fn s27_paused_clusters_are_left_alone() {
    let mut world = World::new(3, 3);
    world.spec["paused"] = true.into();
    let grow = replace(world.get("StatefulSet", "c-tikv"), |set| set["spec"]["replicas"] = 4.into());
    assert_eq!(world.broken(&plan([grow])), ["S27"]);
}

#[test]
fn s27_a_service_of_pd_may_be_suspended_and_the_other_stays() {
    let mut world = World::new(3, 3);
    world.objects.extend([set("tso", 2), set("scheduling", 2)]);
    world.spec["paused"] = true.into();
    world.spec["pdms"] = json!([
        {"name": "tso", "replicas": 2, "suspendAction": {"suspendStatefulSet": true}},
        {"name": "scheduling", "replicas": 2},
    ]);
    let delete = |name: &str| {
        let service = name.trim_start_matches("c-");
        let expect = uid(&format!("set-{service}"));
        plan([Action::Delete { target: reference("StatefulSet", name), expect }])
    };
    assert_eq!(world.broken(&delete("c-tso")), [""; 0]);
    assert_eq!(world.broken(&delete("c-scheduling")), ["S27"]);
}

#[test]
fn s29_services_that_pd_does_not_run_itself_count() {
    let mut world = World::new(3, 3);
    world.objects.push(pod("tso", 0));
    world.spec["pdms"] = json!([{"name": "tso", "replicas": 2}]);
    let ready = Plan { status: Some(json!({"conditions": [{"type": "Ready", "status": "True"}]})), ..Plan::default() };
    assert_eq!(world.broken(&ready), [""; 0]);
    world.spec["pd"]["mode"] = "ms".into();
    assert_eq!(world.broken(&ready), ["S29"]);
    world.objects.push(pod("tso", 1));
    assert_eq!(world.broken(&ready), [""; 0]);
}

#[test]
fn s29_ready_means_ready() {
    let mut world = World::new(3, 3);
    let says = |status: &str| Plan {
        status: Some(json!({"conditions": [{"type": "Ready", "status": status}]})),
        ..Plan::default()
    };
    assert_eq!(world.broken(&says("True")), [""; 0]);
    world.stores()[2].row.state = StoreState::Disconnected;
    assert_eq!(world.broken(&says("True")), ["S29"]);
    assert_eq!(world.broken(&says("False")), [""; 0]);
    world.pd.members = Err(Unknown::Failed("timeout".into()));
    assert_eq!(world.broken(&says("True")), ["S33", "S29"]);
}

#[test]
fn s33_nothing_destructive_from_ignorance() {
    let mut world = World::new(3, 4);
    world.pd.members = Err(Unknown::Failed("timeout".into()));
    world.pd.stores = Err(Unknown::Failed("timeout".into()));
    assert_eq!(world.broken(&plan([delete_pod("pd", 2)])), ["S33"]);
    assert_eq!(world.broken(&plan([Action::DeletePdMember { id: "2".into() }])), ["S33"]);
    assert_eq!(world.broken(&plan([Action::DeleteStore { id: 4 }])), ["S33"]);
    let shrink = replace(world.get("StatefulSet", "c-tikv"), |set| set["spec"]["replicas"] = 3.into());
    assert_eq!(world.broken(&plan([shrink])), ["S33"]);
    let mut world = World::new(3, 3);
    world.unknown.push("Pod");
    assert_eq!(world.broken(&plan([delete_pod("pd", 2)])), ["S33"]);
}

#[test]
fn grants_are_what_the_descriptor_announced_and_no_more() {
    let world = World::new(3, 3);
    assert_eq!(world.broken(&plan([Action::SetPdReplication { config: json!({}) }])), ["grant"]);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "labels": labels("pd")}});
    assert_eq!(world.broken(&plan([Action::Create { object: secret }])), ["grant"], "announced, but no policy may");
    let role = |verb: &str, resource: &str| {
        plan([Action::Create {
            object: json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": "x", "labels": labels("discovery")},
                "rules": [{"apiGroups": ["pingcap.com", ""], "resources": [resource], "verbs": [verb]}]}),
        }])
    };
    assert_eq!(world.broken(&role("get", "tidbclusters")), [""; 0]);
    assert_eq!(world.broken(&role("*", "tidbclusters")), ["grant"]);
    assert_eq!(world.broken(&role("get", "pods")), ["grant"]);
}
