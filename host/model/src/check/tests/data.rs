//! S1, S2, S3, S8, S9, S10, S11, S14, S29, S33: what becomes of members, stores, volumes and the pods on them.

use super::*;

fn not_ready(pod: &mut Value) {
    pod["status"]["conditions"] =
        json!([{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"}]);
}

fn unanswered<T>() -> Known<T> {
    Err(Unknown::Failed("timeout".into()))
}

fn remove(id: &str) -> Action {
    Action::DeletePdMember { id: id.into() }
}

/// TiFlash with one pod, its store and its claim.
fn with_tiflash(world: &mut World) {
    world.objects.extend([set("tiflash", 1), pod("tiflash", 0), claim("tiflash", 0)]);
    let mut flash = store(8);
    flash.row.tiflash = true;
    flash.row.address = "c-tiflash-0.c-tiflash-peer.n.svc:3930".into();
    world.stores().push(flash);
}

fn delete_claim(name: &str, ordinal: u32) -> Plan {
    let target = reference("PersistentVolumeClaim", name);
    plan([Action::Delete { target, expect: uid(&format!("claim-{ordinal}")) }])
}

fn mark(claim: &mut Value) {
    claim["metadata"]["annotations"] = json!({"tidb.pingcap.com/pvc-defer-deleting": "2023-11-14T22:13:20Z"});
}

fn delete_set(component: &str) -> Plan {
    let target = reference("StatefulSet", &format!("c-{component}"));
    plan([Action::Delete { target, expect: uid(&format!("set-{component}")) }])
}

#[test]
fn s1_one_of_two_members_may_restart_while_the_other_is_healthy() {
    let mut world = World::new(2, 3);
    assert_eq!(world.broken(&plan([delete_pod("pd", 1)])), [""; 0]);
    assert_eq!(world.broken(&plan([delete_pod("pd", 1), delete_pod("pd", 0)])), ["S1"], "nobody is left to lead");
    world.members()[0].healthy = false;
    assert_eq!(world.broken(&plan([delete_pod("pd", 1)])), ["S1"]);
}

#[test]
fn s1_a_quorum_is_enough() {
    let mut world = World::new(5, 3);
    world.members()[1].healthy = false;
    assert_eq!(world.broken(&plan([delete_pod("pd", 2)])), [""; 0]);
    world.members()[3].healthy = false;
    assert_eq!(world.broken(&plan([delete_pod("pd", 2)])), ["S1"]);
}

#[test]
fn s1_members_without_a_quorum_may_all_be_replaced() {
    let mut world = World::new(5, 3);
    world.members().iter_mut().skip(1).for_each(|member| member.healthy = false);
    assert_eq!(world.broken(&plan([delete_pod("pd", 2), delete_pod("pd", 3)])), [""; 0]);
}

#[test]
fn s1_other_pods_do_not_count() {
    let world = World::new(3, 3);
    assert_eq!(world.broken(&plan([delete_pod("tikv", 1), delete_pod("pd", 2)])), [""; 0]);
    let mut single = World::new(1, 3);
    single.objects.reverse();
    let roll = replace(single.get("StatefulSet", "c-pd"), |set| {
        set["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into();
        set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0.into();
    });
    assert_eq!(single.broken(&plan([roll])), [""; 0], "pods of other sets do not restart with it");
}

#[test]
fn s1_pods_that_are_not_new_yet_restart_when_the_partition_lets_them() {
    let mut world = World::new(3, 3);
    world.change("StatefulSet", "c-pd", |set| set["status"]["updateRevision"] = "r2".into());
    let partition = |partition: i64| {
        plan([replace(world.get("StatefulSet", "c-pd"), |set| {
            set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = partition.into();
        })])
    };
    assert_eq!(world.broken(&partition(2)), [""; 0]);
    assert_eq!(world.broken(&partition(1)), ["S1"]);
    let with_patch = |partition: i64| Action::MergePatch {
        target: reference("StatefulSet", "c-pd"),
        patch: json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}}),
        expect: uid("set-pd"),
    };
    assert_eq!(world.broken(&plan([with_patch(2)])), [""; 0]);
    assert_eq!(world.broken(&plan([with_patch(1)])), ["S1"]);
    let mut new = World::new(3, 3);
    new.change("StatefulSet", "c-pd", |set| set["metadata"]["labels"]["x"] = "y".into());
    assert_eq!(new.broken(&partition(1)), [""; 0], "all are new");
}

#[test]
fn s1_nothing_restarts_on_delete_alone() {
    let world = World::new(3, 3);
    let roll = replace(world.get("StatefulSet", "c-pd"), |set| {
        set["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into();
        set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    });
    assert_eq!(world.broken(&plan([roll])), [""; 0]);
}

#[test]
fn s2_the_quorum_is_that_of_the_members_that_stay() {
    let mut world = World::new(4, 3);
    world.members()[1].healthy = false;
    assert_eq!(world.broken(&plan([remove("3")])), [""; 0], "2 of 3");
    assert_eq!(World::new(1, 3).broken(&plan([remove("0")])), ["S2"], "nobody is left to lead");
}

#[test]
fn s2_a_patch_removes_pods_as_well() {
    let world = World::new(3, 3);
    let target = reference("StatefulSet", "c-pd");
    let shrink = Action::MergePatch { target, patch: json!({"spec": {"replicas": 2}}), expect: uid("set-pd") };
    assert_eq!(world.broken(&plan([shrink])), ["S2"]);
    assert_eq!(world.broken(&delete_set("pd")), ["S2"]);
}

#[test]
fn s2_a_pod_that_nobody_wants_any_more_is_not_removed_again() {
    let mut world = World::new(4, 3);
    world.change("StatefulSet", "c-pd", |set| set["spec"]["replicas"] = 3.into());
    let mark = replace(world.get("StatefulSet", "c-pd"), |set| set["metadata"]["annotations"] = json!({"x": "y"}));
    assert_eq!(world.broken(&plan([mark])), [""; 0]);
}

#[test]
fn s2_slots_say_which_pod_goes() {
    let world = World::new(3, 3);
    let slots = |slots: &str| {
        replace(world.get("StatefulSet", "c-pd"), |set| {
            set["spec"]["replicas"] = 2.into();
            set["metadata"]["annotations"] = json!({"delete-slots": slots});
        })
    };
    assert_eq!(world.broken(&plan([slots("[1]")])), ["S2"]);
    assert_eq!(world.broken(&plan([remove("1"), slots("[1]")])), [""; 0], "the first and the last stay");
    assert_eq!(world.broken(&plan([remove("2"), slots("[1]")])), ["S2"]);
    assert_eq!(world.broken(&plan([remove("2"), slots("[7]")])), [""; 0], "a slot beyond the last pod");
    let shifted = replace(world.get("StatefulSet", "c-pd"), |set| set["spec"]["ordinals"] = json!({"start": 1}));
    assert_eq!(world.broken(&plan([shifted.clone()])), ["S2"]);
    assert_eq!(world.broken(&plan([Action::TransferPdLeader { to: "c-pd-1".into() }, remove("0"), shifted])), ["S3"]);
}

#[test]
fn what_is_to_be_suspended_goes() {
    let mut world = World::new(3, 4);
    with_tiflash(&mut world);
    for component in ["pd", "tikv", "tiflash"] {
        assert_ne!(world.broken(&delete_set(component)), [""; 0]);
        world.spec[component]["suspendAction"] = json!({"suspendStatefulSet": true});
        assert_eq!(world.broken(&delete_set(component)), [""; 0], "{component} is to be suspended");
        world.spec[component]["suspendAction"] = json!({"suspendStatefulSet": false});
        world.spec["suspendAction"] = json!({"suspendStatefulSet": true});
        assert_ne!(world.broken(&delete_set(component)), [""; 0], "all but {component} is");
        world.spec[component]["suspendAction"] = Value::Null;
        assert_eq!(world.broken(&delete_set(component)), [""; 0], "all is");
        world.spec["suspendAction"] = Value::Null;
    }
}

#[test]
fn s8_only_stores_that_there_are() {
    assert_eq!(World::new(3, 4).broken(&plan([Action::DeleteStore { id: 99 }])), ["S8"]);
    let mut world = World::new(3, 4);
    with_tiflash(&mut world);
    world.stores()[0].row.state = StoreState::Down;
    assert_eq!(world.broken(&plan([Action::DeleteStore { id: 9 }])), [""; 0], "TiFlash may go");
}

#[test]
fn s9_tiflash_goes_after_its_store_too() {
    let mut world = World::new(3, 3);
    with_tiflash(&mut world);
    let shrink = replace(world.get("StatefulSet", "c-tiflash"), |set| set["spec"]["replicas"] = 0.into());
    assert_eq!(world.broken(&plan([shrink.clone()])), ["S9"]);
    world.stores()[3].row.state = StoreState::Tombstone;
    assert_eq!(world.broken(&plan([shrink])), [""; 0]);
}

#[test]
fn s10_a_wanted_pod_keeps_its_claim() {
    let mut world = World::new(3, 4);
    world.lose("Pod", "c-tikv-3");
    world.change("PersistentVolumeClaim", "tikv-c-tikv-3", mark);
    world.stores()[3].row.state = StoreState::Tombstone;
    assert_eq!(world.broken(&delete_claim("tikv-c-tikv-3", 3)), ["S10"]);
    world.change("StatefulSet", "c-tikv", |set| set["spec"]["replicas"] = 3.into());
    assert_eq!(world.broken(&delete_claim("tikv-c-tikv-3", 3)), [""; 0]);
    world.change("StatefulSet", "c-tikv", |set| set["metadata"]["annotations"] = json!({"delete-slots": "[7]"}));
    assert_eq!(world.broken(&delete_claim("tikv-c-tikv-3", 3)), [""; 0], "a slot beyond the last pod");
    world.change("StatefulSet", "c-tikv", |set| set["metadata"]["annotations"] = json!({"delete-slots": "[1]"}));
    assert_eq!(world.broken(&delete_claim("tikv-c-tikv-3", 3)), ["S10"], "its pod takes the place of another");
}

#[test]
fn s10_a_living_store_keeps_its_claim_without_a_set_too() {
    let mut world = World::new(3, 3);
    with_tiflash(&mut world);
    world.lose("Pod", "c-tiflash-0");
    world.lose("StatefulSet", "c-tiflash");
    world.change("PersistentVolumeClaim", "tiflash-c-tiflash-0", mark);
    assert_eq!(world.broken(&delete_claim("tiflash-c-tiflash-0", 0)), ["S10"]);
    world.stores()[3].row.state = StoreState::Tombstone;
    assert_eq!(world.broken(&delete_claim("tiflash-c-tiflash-0", 0)), [""; 0]);
}

#[test]
fn s10_claims_of_pd_do_not_hang_on_stores() {
    let mut world = World::new(2, 3);
    world.objects.push(claim("pd", 7));
    assert_eq!(world.broken(&delete_claim("pd-c-pd-7", 7)), ["S10"], "it is not marked");
    world.change("PersistentVolumeClaim", "pd-c-pd-7", mark);
    world.pd.stores = unanswered();
    assert_eq!(world.broken(&delete_claim("pd-c-pd-7", 7)), [""; 0]);
}

#[test]
fn s10_a_member_that_pd_has_keeps_its_claim_when_it_is_not_ready() {
    let mut world = World::new(3, 3);
    world.objects.push(claim("pd", 2));
    world.change("Pod", "c-pd-2", not_ready);
    assert_eq!(world.broken(&delete_claim("pd-c-pd-2", 2)), ["S10"]);
    world.members().retain(|member| member.name != "c-pd-2");
    assert_eq!(world.broken(&delete_claim("pd-c-pd-2", 2)), [""; 0]);
}

#[test]
fn s11_volumes_that_nobody_needs_may_go_where_the_spec_says_so() {
    let mut world = World::new(3, 3);
    world.objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v", "uid": "v"},
        "spec": {"persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": "n", "name": "tikv-c-tikv-0", "uid": "claim-0"}}}));
    world.spec["enablePVReclaim"] = true.into();
    let patch = json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}});
    let delete = Action::MergePatch { target: reference("PersistentVolume", "v"), patch, expect: uid("v") };
    assert_eq!(world.broken(&plan([delete])), [""; 0]);
}

#[test]
fn s14_is_about_the_sizes_of_claims() {
    let mut world = World::new(3, 3);
    let ask = |kind: &str, name: &str, of: &str, size: &str| {
        let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        plan([Action::MergePatch { target: reference(kind, name), patch, expect: uid(of) }])
    };
    let claims = |size: &str| ask("PersistentVolumeClaim", "tikv-c-tikv-0", "claim-0", size);
    assert_eq!(world.broken(&claims("10Gi")), [""; 0], "it asked for nothing before");
    let has = |object: &mut Value| object["spec"]["resources"] = json!({"requests": {"storage": "10Gi"}});
    world.change("PersistentVolumeClaim", "tikv-c-tikv-0", has);
    assert_eq!(world.broken(&claims("10240Mi")), [""; 0], "the same in other words");
    assert_eq!(world.broken(&claims("10239Mi")), ["S14"]);
    world.change("Pod", "c-pd-1", has);
    assert_eq!(world.broken(&ask("Pod", "c-pd-1", "pod-pd-1", "1Gi")), [""; 0], "a pod's storage is no data");
}

#[test]
fn s29_each_component_counts() {
    let says_ready =
        json!({"conditions": [{"type": "Reconciled", "status": "True"}, {"type": "Ready", "status": "True"}]});
    let ready = Plan { status: Some(says_ready), ..Plan::default() };
    for component in ["tidb", "tiflash", "ticdc", "tiproxy", "pump"] {
        let mut world = World::new(3, 3);
        world.spec[component] = json!({"replicas": 1});
        assert_eq!(world.broken(&ready), ["S29"], "no pod of {component}");
        world.objects.push(pod(component, 0));
        assert_eq!(world.broken(&ready), [""; 0]);
        world.change("Pod", &format!("c-{component}-0"), not_ready);
        assert_eq!(world.broken(&ready), ["S29"], "a pod of {component} that is not ready");
    }
    let mut world = World::new(3, 3);
    world.members()[1].healthy = false;
    assert_eq!(world.broken(&ready), ["S29"], "a member that is not healthy");
    let mut world = World::new(3, 3);
    world.stores()[1].row.address = "d-tikv-1.d-tikv-peer.n.svc:20160".into();
    assert_eq!(world.broken(&ready), ["S29"], "a store of another cluster is none of this one's");
}

#[test]
fn s33_what_a_write_takes_down_must_be_known() {
    let mut world = World::new(3, 3);
    world.unknown.push("Pod");
    let grow = replace(world.get("StatefulSet", "c-tikv"), |set| set["spec"]["replicas"] = 4.into());
    assert_eq!(world.broken(&plan([grow])), ["S33"]);
    let created = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "c-pd", "labels": labels("pd")}, "spec": {"replicas": 1}});
    assert_eq!(
        world.broken(&plan([Action::Create { object: created }])),
        [""; 0],
        "what is created takes nothing down"
    );
}

#[test]
fn s33_while_pd_is_silent_a_pod_that_serves_stays() {
    let mut world = World::new(3, 3);
    world.pd.members = unanswered();
    assert_eq!(world.broken(&plan([delete_pod("pd", 2)])), ["S33"]);
    assert_eq!(world.broken(&plan([delete_pod("tikv", 2)])), [""; 0], "PD's members say nothing of it");
    world.change("Pod", "c-pd-2", not_ready);
    assert_eq!(world.broken(&plan([delete_pod("pd", 2)])), [""; 0]);
    let shrink = replace(world.get("StatefulSet", "c-pd"), |set| set["spec"]["replicas"] = 2.into());
    assert_eq!(world.broken(&plan([shrink])), ["S33"], "nobody knows whether it is a member");
}

#[test]
fn s33_pods_of_pd_do_not_hang_on_stores() {
    let mut world = World::new(3, 3);
    world.pd.stores = unanswered();
    let shrink = replace(world.get("StatefulSet", "c-pd"), |set| set["spec"]["replicas"] = 2.into());
    assert_eq!(world.broken(&plan([remove("2"), shrink])), [""; 0]);
    world.pd.documents.clear();
    assert_eq!(world.broken(&plan([Action::DeleteStore { id: 1 }])), ["S33"]);
}
