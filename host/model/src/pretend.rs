//! A pretended cluster: objects as policies wrote them, and a data plane in which everything is well at once.
//!
//! It answers "what would exist if nothing went wrong", for rendering from nothing and for tests of policies. It is no
//! simulator: nothing takes time and nothing fails unless the caller says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json, value::RawValue};

use crate::{
    check::Facts,
    descriptor::{Descriptor, PdRead, Scope, Watch},
    known::{Known, Unknown},
    merge::merge,
    plan::{Action, ObjectRef, Plan},
    snapshot::{
        Object, Objects, PdMember, PdView, PodPhase, PodRow, ProbeAnswer, Snapshot, Store, StoreRow, StoreState,
    },
};

mod services;

const INSTANCE: &str = "app.kubernetes.io/instance";
const COMPONENT: &str = "app.kubernetes.io/component";
const REVISION: &str = "controller-revision-hash";
/// Time in a pretended cluster when nothing is said: 2023-11-14T22:13:20Z.
const START_MS: u64 = 1_700_000_000_000;

/// Kind, name: what an object is found by. The kinds that policies write have one version each.
type Key = (String, String);

/// A cluster's world.
#[derive(Clone, Debug)]
pub struct World {
    /// The TidbCluster.
    pub cluster: Value,
    /// Now, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// What PD says.
    pub pd: PdView,
    /// Answers of pods to probes, by pod and path; the others answer 200 and an empty object.
    pub answers: BTreeMap<(String, String), Known<ProbeAnswer>>,
    /// Pods whose members were removed from PD: with the data that they have they cannot join again.
    departed: BTreeSet<String>,
    /// Ids that PD has given to members: none is given twice.
    member_ids: u64,
    objects: BTreeMap<Key, Value>,
    /// Keys in the order in which the objects were created.
    created: Vec<Key>,
    version: u64,
}

impl World {
    /// A world with this TidbCluster and nothing else.
    pub fn new(mut cluster: Value) -> Self {
        let metadata = &mut cluster["metadata"];
        for (field, value) in [("namespace", "default"), ("uid", "11111111-2222-3333-4444-555555555555")] {
            if metadata[field].is_null() {
                metadata[field] = value.into();
            }
        }
        if metadata["generation"].is_null() {
            metadata["generation"] = 1.into();
        }
        Self {
            cluster,
            now_ms: START_MS,
            pd: silent_pd(),
            answers: BTreeMap::new(),
            departed: BTreeSet::new(),
            member_ids: 0,
            objects: BTreeMap::new(),
            created: Vec::new(),
            version: 0,
        }
    }

    /// The object of this kind and name.
    pub fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(kind.to_owned(), name.to_owned()))
    }

    /// The object of this kind and name, to be changed as somebody else would.
    pub fn get_mut(&mut self, kind: &str, name: &str) -> Option<&mut Value> {
        self.version += 1;
        let version = self.version;
        let object = self.objects.get_mut(&(kind.to_owned(), name.to_owned()))?;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        Some(object)
    }

    /// Puts an object there, as if it had been so before.
    pub fn put(&mut self, mut object: Value) {
        let reference = ObjectRef::of(&object);
        let key = (reference.kind, reference.name);
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = self.version.to_string().into();
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("uid-{}", self.version).into();
        }
        if metadata["namespace"].is_null() {
            metadata["namespace"] = self.cluster["metadata"]["namespace"].clone();
        }
        if !self.objects.contains_key(&key) {
            self.created.push(key.clone());
        }
        self.objects.insert(key, object);
    }

    /// Takes an object away.
    pub fn remove(&mut self, kind: &str, name: &str) {
        let key = (kind.to_owned(), name.to_owned());
        self.objects.remove(&key);
        if kind == "PersistentVolumeClaim" {
            self.departed.retain(|pod| !name.ends_with(&format!("-{pod}")));
        }
        self.created.retain(|other| *other != key);
        if kind == "Pod" {
            self.release();
        }
    }

    /// Deletes an object. A claim that a pod uses stays until the pod is gone.
    fn delete(&mut self, kind: &str, name: &str) {
        if kind == "PersistentVolumeClaim" && self.of_kind("Pod").any(|pod| uses(pod, name)) {
            let now = self.now_ms;
            if let Some(claim) = self.get_mut(kind, name) {
                claim["metadata"]["deletionTimestamp"] = now.to_string().into();
            }
            return;
        }
        self.remove(kind, name);
    }

    /// Removes claims that were deleted and that no pod uses any more.
    fn release(&mut self) {
        let deleted = self.of_kind("PersistentVolumeClaim").filter(|c| !c["metadata"]["deletionTimestamp"].is_null());
        let free = deleted.map(self::name).filter(|c| !self.of_kind("Pod").any(|pod| uses(pod, c)));
        for claim in free.map(str::to_owned).collect::<Vec<_>>() {
            self.remove("PersistentVolumeClaim", &claim);
        }
    }

    /// The objects that policies created, in that order: without pods, claims, and what the API server adds.
    pub fn written(&self) -> Vec<Value> {
        let own = self.created.iter().filter(|(kind, _)| !matches!(kind.as_str(), "Pod" | "PersistentVolumeClaim"));
        own.filter_map(|key| self.objects.get(key)).map(|object| without_server_fields(object.clone())).collect()
    }

    /// What a policy with this descriptor sees.
    pub fn snapshot(&self, descriptor: &Descriptor, settings: &RawValue) -> Snapshot {
        let pods =
            descriptor.pods.as_deref().map_or(Err(Unknown::NotRequested), |label| Ok(Arc::new(self.rows(label))));
        let answers = |path: &str| {
            let pods = pods.as_deref().into_iter().flatten();
            pods.map(|pod: &PodRow| (pod.name.clone(), self.answer(&pod.name, path))).collect()
        };
        Snapshot {
            now_ms: self.now_ms,
            cluster: raw(&self.cluster).into(),
            settings: settings.to_owned().into(),
            watches: descriptor.watches.iter().map(|watch| Ok(Arc::new(self.select(descriptor, watch)))).collect(),
            probes: descriptor.probes.iter().map(|probe| answers(&probe.path)).collect(),
            pods: pods.clone(),
            pd: Arc::new(self.pd_for(&descriptor.pd)),
        }
    }

    /// Carries out a plan. PD obeys at once; StatefulSets and pods follow in [`Self::settle`].
    pub fn apply(&mut self, descriptor: &Descriptor, plan: &Plan) {
        for action in &plan.actions {
            match action {
                Action::Create { object } => self.create(object.clone()),
                Action::Replace { object, .. } => self.put(object.clone()),
                Action::MergePatch { target, patch, .. } => {
                    if let Some(object) = self.get_mut(&target.kind, &target.name) {
                        merge(object, patch);
                    }
                }
                Action::Delete { target, .. } => self.delete(&target.kind, &target.name),
                Action::TransferPdLeader { to } => self.lead(to),
                Action::DeleteStore { id } => self.change_store(*id, |row| row.state = StoreState::Tombstone),
                Action::BeginEvictLeader { store } => self.change_store(*store, |row| {
                    (row.evicting_leaders, row.leader_count) = (true, 0);
                }),
                Action::EndEvictLeader { store } => self.change_store(*store, |row| row.evicting_leaders = false),
                Action::DeletePdMember { id } => self.leave(id),
                Action::ComponentCall { call, body, .. } => self.call_service(descriptor, *call, body),
                _ => {}
            }
        }
        if let Some(status) = &plan.status {
            self.set_status(descriptor, status.clone());
        }
    }

    fn change_store(&mut self, id: u64, change: impl FnOnce(&mut StoreRow)) {
        if let Some(store) = self.pd.stores.iter_mut().flatten().find(|store| store.row.id == id) {
            change(&mut store.row);
        }
    }

    fn set_status(&mut self, descriptor: &Descriptor, status: Value) {
        if descriptor.status.is_empty() {
            self.cluster["status"][&descriptor.component] = status;
            return;
        }
        let Value::Object(fields) = status else { return };
        for (key, value) in fields.into_iter().filter(|(key, _)| descriptor.status.contains(key)) {
            self.cluster["status"][&key] = value;
        }
    }

    fn lead(&mut self, name: &str) {
        for member in self.pd.members.iter_mut().flatten() {
            member.leader = member.name == name;
        }
    }

    fn leave(&mut self, id: &str) {
        let Ok(members) = &mut self.pd.members else { return };
        let Some(at) = members.iter().position(|member| member.id == id) else { return };
        let pod = members.remove(at).name.split('.').next().unwrap_or_default().to_owned();
        self.set_ready(&pod, false);
        self.departed.insert(pod);
    }

    /// Makes a pod ready, or not.
    pub fn set_ready(&mut self, pod: &str, ready: bool) {
        let status = if ready { "True" } else { "False" };
        if let Some(pod) = self.get_mut("Pod", pod) {
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": status}]);
        }
    }

    fn create(&mut self, mut object: Value) {
        let metadata = &self.cluster["metadata"];
        if object["kind"] != "PersistentVolumeClaim" {
            object["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
                "name": metadata["name"], "uid": metadata["uid"],
                "controller": true, "blockOwnerDeletion": true,
            }]);
        }
        object["metadata"]["generation"] = 1.into();
        self.put(object);
    }

    /// Lets the world come to rest: pods as their StatefulSets want them, all ready; every PD pod a healthy member,
    /// every TiKV and TiFlash pod a store that is up.
    pub fn settle(&mut self) {
        let sets: Vec<Value> = self.of_kind("StatefulSet").cloned().collect();
        for set in &sets {
            self.settle_set(set);
        }
        let gone: Vec<String> = self.of_kind("Pod").filter_map(|pod| self.orphaned(pod)).collect();
        for pod in gone {
            self.remove("Pod", &pod);
        }
        for deployment in self.of_kind("Deployment").map(|d| name(d).to_owned()).collect::<Vec<_>>() {
            if let Some(deployment) = self.get_mut("Deployment", &deployment) {
                let replicas = deployment["spec"]["replicas"].clone();
                deployment["status"] = json!({"replicas": replicas, "readyReplicas": replicas});
            }
        }
        self.settle_claims();
        self.settle_pd();
    }

    /// Volumes are as big as their claims ask for.
    fn settle_claims(&mut self) {
        let wanted = |claim: &Value| claim["spec"]["resources"]["requests"].clone();
        let small = self.of_kind("PersistentVolumeClaim").filter(|claim| claim["status"]["capacity"] != wanted(claim));
        for claim in small.map(|claim| name(claim).to_owned()).collect::<Vec<_>>() {
            if let Some(claim) = self.get_mut("PersistentVolumeClaim", &claim) {
                claim["status"]["capacity"] = wanted(claim);
            }
        }
    }

    fn settle_set(&mut self, set: &Value) {
        let set_name = name(set).to_owned();
        let revision = revision(&set["spec"]["template"]);
        let strategy = &set["spec"]["updateStrategy"];
        let from = if strategy["type"] == "OnDelete" {
            i64::MAX
        } else {
            strategy["rollingUpdate"]["partition"].as_i64().unwrap_or(0)
        };
        let before = set["status"]["currentRevision"].as_str().unwrap_or(&revision).to_owned();
        let ordinals = ordinals(set);
        for ordinal in &ordinals {
            let pod = format!("{set_name}-{ordinal}");
            let has = self.get("Pod", &pod).and_then(|p| p["metadata"]["labels"][REVISION].as_str());
            let wanted = match has {
                Some(has) if *ordinal < from => has.to_owned(),
                None if *ordinal < from => before.clone(),
                _ => revision.clone(),
            };
            if has != Some(wanted.as_str()) {
                self.remove("Pod", &pod);
                self.put(pod_of(set, &pod, &wanted));
            }
            for claim in claims_of(set, &pod) {
                if self.get("PersistentVolumeClaim", name(&claim)).is_none() {
                    self.put(claim);
                }
            }
        }
        let all_new = ordinals.iter().all(|ordinal| {
            self.get("Pod", &format!("{set_name}-{ordinal}"))
                .is_some_and(|pod| pod["metadata"]["labels"][REVISION] == revision.as_str())
        });
        let count = ordinals.len();
        let status = json!({
            "replicas": count, "readyReplicas": count, "availableReplicas": count, "currentReplicas": count,
            "updatedReplicas": count, "observedGeneration": set["metadata"]["generation"],
            "currentRevision": if all_new { &revision } else { &before }, "updateRevision": revision,
        });
        if set["status"] != status
            && let Some(live) = self.get_mut("StatefulSet", &set_name)
        {
            live["status"] = status;
        }
    }

    /// The pod's name, if no StatefulSet wants it.
    fn orphaned(&self, pod: &Value) -> Option<String> {
        let pod = name(pod);
        let (set, ordinal) = pod.rsplit_once('-')?;
        let ordinal = ordinal.parse().ok()?;
        let wanted = self.get("StatefulSet", set).is_some_and(|set| ordinals(set).contains(&ordinal));
        (!wanted).then(|| pod.to_owned())
    }

    fn settle_pd(&mut self) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (cluster, namespace) = (name(&self.cluster).to_owned(), text(&self.cluster["metadata"]["namespace"]));
        let domain = text(&self.cluster["spec"]["clusterDomain"]);
        let suffix = if domain.is_empty() { String::new() } else { format!(".{domain}") };
        let long = !domain.is_empty() || self.cluster["spec"]["acrossK8s"] == true;
        let own = !self.cluster["spec"]["pd"].is_null();
        let host = |pod: &str, component: &str| format!("{pod}.{cluster}-{component}-peer.{namespace}.svc{suffix}");
        let pods: Vec<(String, String)> =
            self.of_kind("Pod").map(|pod| (name(pod).to_owned(), component(pod).to_owned())).collect();
        let of = |component: &str| -> Vec<String> {
            pods.iter().filter(|(_, c)| c == component).map(|(pod, _)| pod.clone()).collect()
        };
        let member_pods: Vec<String> = if own { of("pd") } else { vec!["other-pd-0".into()] };
        if member_pods.is_empty() {
            self.pd = silent_pd();
            return;
        }
        let mut members = std::mem::replace(&mut self.pd.members, Ok(Vec::new())).unwrap_or_default();
        for pod in member_pods {
            let address = host(&pod, "pd");
            let member_name = if long { address.clone() } else { pod.clone() };
            if self.departed.contains(&pod) || members.iter().any(|member| member.name == member_name) {
                continue;
            }
            self.member_ids += 1;
            let id = self.member_ids.to_string();
            let leader = members.is_empty();
            let client_url = format!("http://{address}:2379");
            members.push(PdMember { id, name: member_name, client_url, healthy: true, leader });
        }
        self.pd.members = Ok(members);
        self.pd.documents.insert("cluster".into(), Ok(raw(&json!({"id": 7_000_000_000_000_000_001_u64}))));
        let config = json!({"replication": {"max-replicas": 3, "location-labels": ""}});
        self.pd.documents.insert("config".into(), Ok(raw(&config)));
        let stores = ["tikv", "tiflash"].into_iter().flat_map(|component| {
            let port = if component == "tikv" { 20160 } else { 3930 };
            of(component).into_iter().map(move |pod| (pod, component, port)).collect::<Vec<_>>()
        });
        let mut known = std::mem::replace(&mut self.pd.stores, Ok(Vec::new())).unwrap_or_default();
        let addresses: Vec<(String, &str)> =
            stores.map(|(pod, component, port)| (format!("{}:{port}", host(&pod, component)), component)).collect();
        known.retain(|store| addresses.iter().any(|(address, _)| *address == store.row.address));
        for (address, component) in addresses {
            if !known.iter().any(|store| store.row.address == address) {
                // The first three numbers are those of members in a cluster of the usual size.
                let id = known.iter().map(|store| store.row.id).max().unwrap_or(3) + 1;
                known.push(store(id, address, component == "tiflash", self.now_ms));
            }
        }
        self.pd.stores = Ok(known);
        self.settle_services(&|pod, service| host(pod, service));
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |((k, _), _)| k == kind).map(|(_, object)| object)
    }

    fn select(&self, descriptor: &Descriptor, watch: &Watch) -> Objects {
        let instance = self.instance();
        let selected = self.of_kind(&watch.kind).filter(|object| {
            let labels = &object["metadata"]["labels"];
            let own = labels[INSTANCE] == instance.as_str();
            match &watch.of {
                Scope::Component => own && labels[COMPONENT] == descriptor.component.as_str(),
                Scope::Cluster => own,
                Scope::Label(component) => own && labels[COMPONENT] == component.as_str(),
                Scope::Referenced | Scope::Used => true,
            }
        });
        parsed(selected)
    }

    fn instance(&self) -> String {
        let own = self.cluster["metadata"]["labels"][INSTANCE].as_str().filter(|label| !label.is_empty());
        own.unwrap_or(name(&self.cluster)).to_owned()
    }

    fn rows(&self, label: &str) -> Vec<PodRow> {
        let instance = self.instance();
        let pods = self.of_kind("Pod").filter(|pod| {
            (label == "*" || component(pod) == label) && pod["metadata"]["labels"][INSTANCE] == instance.as_str()
        });
        let mut rows: Vec<_> = pods.map(|pod| self.row(pod)).collect();
        rows.sort_by(|a, b| (a.ordinal, &a.name).cmp(&(b.ordinal, &b.name)));
        rows
    }

    fn row(&self, pod: &Value) -> PodRow {
        let pod_name = name(pod);
        let set = pod_name.rsplit_once('-').and_then(|(set, _)| self.get("StatefulSet", set));
        let conditions = pod["status"]["conditions"].as_array();
        let ready = conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
        PodRow {
            name: pod_name.to_owned(),
            ordinal: pod_name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok()).unwrap_or(-1),
            ready,
            phase: if pod["status"]["phase"] == "Running" { PodPhase::Running } else { PodPhase::Pending },
            updated: set.is_some_and(|s| s["status"]["updateRevision"] == pod["metadata"]["labels"][REVISION]),
            deleting: pod["metadata"]["deletionTimestamp"].is_string(),
            ready_since_ms: if ready { START_MS } else { 0 },
        }
    }

    fn answer(&self, pod: &str, path: &str) -> Known<ProbeAnswer> {
        let given = self.answers.get(&(pod.to_owned(), path.to_owned())).cloned();
        given.unwrap_or_else(|| Ok(ProbeAnswer { status: 200, body: "{}".into() }))
    }

    fn pd_for(&self, reads: &[PdRead]) -> PdView {
        let wants = |read| reads.contains(&read);
        let unasked = PdView::default();
        PdView {
            members: if wants(PdRead::Members) { self.pd.members.clone() } else { unasked.members },
            stores: if wants(PdRead::Stores) { self.pd.stores.clone() } else { unasked.stores },
            documents: reads
                .iter()
                .flat_map(|read| read.documents())
                .map(|name| {
                    let failed = || Err(Unknown::Failed("PD does not answer".into()));
                    ((*name).to_owned(), self.pd.documents.get(*name).cloned().unwrap_or_else(failed))
                })
                .collect(),
        }
    }
}

impl Facts for World {
    fn object(&self, target: &ObjectRef) -> Known<Option<Arc<Object>>> {
        Ok(self.get(&target.kind, &target.name).and_then(|object| Object::parse(raw(object)).ok()).map(Arc::new))
    }

    fn objects(&self, _: &str, kind: &str) -> Known<Arc<Objects>> {
        let instance = self.instance();
        let own = self.of_kind(kind).filter(|object| object["metadata"]["labels"][INSTANCE] == instance.as_str());
        Ok(Arc::new(parsed(own)))
    }

    fn pd(&self) -> &PdView {
        &self.pd
    }
}

/// A PD that does not answer.
fn silent_pd() -> PdView {
    let silent = || Unknown::Failed("PD does not answer".into());
    PdView { members: Err(silent()), stores: Err(silent()), documents: BTreeMap::new() }
}

fn parsed<'a>(objects: impl Iterator<Item = &'a Value>) -> Objects {
    objects.filter_map(|object| Object::parse(raw(object)).ok()).map(Arc::new).collect()
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Whether a pod uses a claim.
fn uses(pod: &Value, claim: &str) -> bool {
    let volumes = pod["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    volumes.iter().any(|volume| volume["persistentVolumeClaim"]["claimName"] == claim)
}

fn component(object: &Value) -> &str {
    object["metadata"]["labels"][COMPONENT].as_str().unwrap_or_default()
}

/// A name for the content of a template.
fn revision(template: &Value) -> String {
    let digest = crate::record::digest(template.to_string().as_bytes());
    digest.get(7..17).unwrap_or_default().to_owned()
}

fn ordinals(set: &Value) -> Vec<i64> {
    let replicas = set["spec"]["replicas"].as_i64().unwrap_or(1);
    (0..replicas).collect()
}

fn pod_of(set: &Value, pod: &str, revision: &str) -> Value {
    let template = &set["spec"]["template"];
    let mut spec = template["spec"].clone();
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    volumes.extend(claims_of(set, pod).iter().map(|claim| {
        let template = name(claim).strip_suffix(pod).and_then(|t| t.strip_suffix('-')).unwrap_or_default();
        json!({"name": template, "persistentVolumeClaim": {"claimName": name(claim)}})
    }));
    spec["volumes"] = volumes.into();
    let mut labels = template["metadata"]["labels"].clone();
    labels[REVISION] = revision.into();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": pod, "labels": labels, "annotations": template["metadata"]["annotations"],
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": name(set), "uid": set["metadata"]["uid"],
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn claims_of(set: &Value, pod: &str) -> Vec<Value> {
    let templates = set["spec"]["volumeClaimTemplates"].as_array();
    let claim = |template: &Value| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": format!("{}-{pod}", name(template)), "labels": set["spec"]["selector"]["matchLabels"],
            },
            "spec": template["spec"],
            "status": {"phase": "Bound", "capacity": template["spec"]["resources"]["requests"]},
        })
    };
    templates.into_iter().flatten().map(claim).collect()
}

fn store(id: u64, address: String, tiflash: bool, now_ms: u64) -> Store {
    let labels = if tiflash { json!([{"key": "engine", "value": "tiflash"}]) } else { json!([]) };
    let json = json!({
        "store": {"id": id, "address": address, "state_name": "Up", "labels": labels},
        "status": {"leader_count": 0, "region_count": 0},
    });
    Store {
        row: StoreRow { id, address, state: StoreState::Up, tiflash, last_heartbeat_ms: now_ms, ..StoreRow::default() },
        json: raw(&json),
    }
}

fn without_server_fields(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["resourceVersion", "generation", "uid"] {
                metadata.remove(field);
            }
        }
    }
    object
}
