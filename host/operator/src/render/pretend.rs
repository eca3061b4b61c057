//! A world in which all that is written comes to be at once, and is well.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::BoxFuture;
use serde_json::{Value, json, value::to_raw_value};
use tidepool_api::{labels, names::ports};
use tidepool_model::{
    Action, Descriptor, Known,
    descriptor::{PdRead, Probe},
    plan::ObjectRef,
    snapshot::{PdMember, PdView, ProbeAnswer, Store as PdStore, StoreRow, StoreState},
};

use crate::{
    apply::{Error, Hands, owned},
    cluster::Cluster,
    kinds,
    observe::World,
    preview::merge,
    status::timestamp,
    store::{PodDetail, Store},
};

/// The only revision of every StatefulSet.
const REVISION: &str = "rendered";

/// The pretended world.
pub(super) struct Pretended {
    store: Arc<Store>,
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts writes; gives versions and uids.
    writes: u64,
    /// What policies have created, in order.
    order: Vec<ObjectRef>,
    /// Its last content.
    objects: BTreeMap<String, Value>,
}

impl Pretended {
    pub(super) fn new(store: Arc<Store>, now_ms: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self { store, now_ms, state: Mutex::default() }
    }

    /// What policies have created and not deleted again, in the order of creation.
    pub(super) fn created(&self) -> Vec<Value> {
        let state = self.lock();
        state.order.iter().filter_map(|target| state.objects.get(&name_of(target)).cloned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, cluster: &Cluster, action: &Action) {
        match action {
            Action::Create { object } | Action::Replace { object, expect: _ } => {
                let object = owned(cluster, object.clone());
                let target = ObjectRef::of(&object);
                let mut state = self.lock();
                if state.objects.insert(name_of(&target), object.clone()).is_none() {
                    state.order.push(target);
                }
                drop(state);
                self.put(object.clone());
                self.come_to_be(cluster, object);
            }
            Action::MergePatch { target, patch, expect: _ } => self.patch(cluster, target, patch),
            Action::Delete { target, expect } => {
                self.lock().objects.remove(&name_of(target));
                let kind = kinds::kind(&target.api_version, &target.kind);
                let uid = expect.uid.as_deref().unwrap_or_default();
                self.store.deleted(&kind, &cluster.key.namespace, &target.name, uid);
            }
            // PD and the components are well whatever they are told.
            _ => {}
        }
    }

    fn patch(&self, cluster: &Cluster, target: &ObjectRef, patch: &Value) {
        if let Some(object) = self.lock().objects.get_mut(&name_of(target)) {
            merge(object, patch);
        }
        let kind = kinds::kind(&target.api_version, &target.kind);
        let Ok(Some(object)) = self.store.object(cluster, &kind, &target.name) else { return };
        let Ok(mut value) = serde_json::from_str::<Value>(object.json.get()) else { return };
        merge(&mut value, patch);
        self.put(value);
    }

    /// Puts an object into the store as the API server would return it.
    fn put(&self, mut object: Value) {
        let now = timestamp((self.now_ms)());
        let kind = ObjectRef::of(&object);
        let version = {
            let mut state = self.lock();
            state.writes += 1;
            state.writes
        };
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!((version + 1).to_string());
        metadata["generation"] = json!(1);
        if metadata["uid"].is_null() {
            // The same for the same object, so that a replaced one stays the one that it is.
            metadata["uid"] = json!(format!("uid-of-{}", name_of(&kind)));
            metadata["creationTimestamp"] = json!(now);
        }
        self.store.wrote(&kinds::kind(&kind.api_version, &kind.kind), object);
    }

    /// What Kubernetes makes of a workload.
    fn come_to_be(&self, cluster: &Cluster, mut object: Value) {
        let set = match object["kind"].as_str() {
            Some("StatefulSet") => true,
            Some("Deployment") => false,
            _ => return,
        };
        let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
        object["status"] = json!({
            "observedGeneration": 1, "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
            "updatedReplicas": replicas, "currentReplicas": replicas,
            "currentRevision": REVISION, "updateRevision": REVISION,
        });
        let slots = slots(&object);
        let ordinals = (0..).filter(|ordinal| !slots.contains(ordinal)).take(replicas.try_into().unwrap_or(0));
        for ordinal in ordinals {
            let pod = pod(cluster, &object, ordinal, set, &timestamp((self.now_ms)()));
            if set {
                self.claims(cluster, &object, &pod);
            }
            self.put(pod);
        }
        self.put(object);
    }

    fn claims(&self, cluster: &Cluster, set: &Value, pod: &Value) {
        let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
        for template in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
            let name = format!("{}-{pod}", template["metadata"]["name"].as_str().unwrap_or_default());
            let volume = format!("pv-{name}");
            let mut claim = json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": template["spec"],
                "metadata": {"name": name, "namespace": cluster.key.namespace,
                             "labels": set["spec"]["selector"]["matchLabels"]},
                "status": {"phase": "Bound", "capacity": template["spec"]["resources"]["requests"]},
            });
            claim["spec"]["volumeName"] = json!(volume);
            let volume = json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
                "spec": {
                    "persistentVolumeReclaimPolicy": "Delete", "capacity": template["spec"]["resources"]["requests"],
                    "storageClassName": template["spec"]["storageClassName"],
                    "claimRef": {"namespace": cluster.key.namespace, "name": name},
                },
                "status": {"phase": "Bound"},
            });
            self.put(claim);
            self.put(volume);
        }
    }

    /// The names of a component's pods.
    fn pods(&self, cluster: &Cluster, component: &str) -> Vec<String> {
        let rows = self.store.pods(cluster, component).unwrap_or_default();
        rows.iter().map(|row| row.name.clone()).collect()
    }

    fn view(&self, cluster: &Cluster, wanted: &BTreeSet<PdRead>) -> PdView {
        let mut pods = self.pods(cluster, "pd");
        if !cluster.spec()["pd"].is_object() {
            // The other cluster's.
            pods.push(format!("{}-pd-0", cluster.spec()["cluster"]["name"].as_str().unwrap_or("other")));
        }
        let mut view = PdView::default();
        if wanted.contains(&PdRead::Members) {
            view.members = Ok(pods.iter().enumerate().map(|(index, pod)| member(cluster, pod, index)).collect());
        }
        if wanted.contains(&PdRead::Stores) {
            let of = |component: &'static str, port| {
                self.pods(cluster, component).into_iter().map(move |pod| (pod, component, port))
            };
            let all = of("tikv", ports::TIKV).chain(of("tiflash", ports::TIFLASH_FLASH));
            let now_ms = (self.now_ms)();
            view.stores = Ok(all.enumerate().map(|(index, pod)| store(cluster, pod, index, now_ms)).collect());
        }
        let documents = [
            (PdRead::Cluster, json!({"id": 1, "max_peer_count": 3})),
            (
                PdRead::Config,
                json!({"replication": {"max-replicas": 3, "location-labels": "", "enable-placement-rules": "true"}}),
            ),
        ];
        for (read, document) in documents {
            if let (true, Some(name), Ok(text)) = (wanted.contains(&read), read.document(), to_raw_value(&document)) {
                view.documents.insert(name.to_owned(), Ok(text));
            }
        }
        view
    }
}

impl Hands for Pretended {
    fn carry_out<'a>(
        &'a self,
        cluster: &'a Cluster,
        _: &'a Descriptor,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.act(cluster, action);
        Box::pin(async { Ok(()) })
    }

    fn write_status<'a>(&'a self, cluster: &'a Cluster, patch: Value) -> BoxFuture<'a, Result<bool, Error>> {
        let mut value = cluster.value.clone();
        merge(&mut value["status"], &patch);
        self.put(value);
        Box::pin(async { Ok(true) })
    }
}

impl World for Pretended {
    fn pd<'a>(&'a self, cluster: &'a Cluster, wanted: BTreeSet<PdRead>) -> BoxFuture<'a, PdView> {
        let view = self.view(cluster, &wanted);
        Box::pin(async { view })
    }

    fn probe<'a>(&'a self, _: &'a Cluster, _: &'a PodDetail, _: &'a Probe) -> BoxFuture<'a, Known<ProbeAnswer>> {
        Box::pin(async { Ok(ProbeAnswer { status: 200, body: "{}".to_owned() }) })
    }
}

fn name_of(target: &ObjectRef) -> String {
    format!("{}/{}/{}", target.api_version, target.kind, target.name)
}

/// Ordinals that are left out.
fn slots(object: &Value) -> BTreeSet<u64> {
    let text = object["metadata"]["annotations"][labels::STATEFUL_SET_DELETE_SLOTS].as_str();
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn pod(cluster: &Cluster, workload: &Value, ordinal: u64, set: bool, now: &str) -> Value {
    let owner = workload["metadata"]["name"].as_str().unwrap_or_default();
    let name = format!("{owner}-{ordinal}");
    let template = &workload["spec"]["template"];
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"],
        "status": {
            "phase": "Running", "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
        },
    });
    let kind = workload["kind"].clone();
    let metadata = &mut pod["metadata"];
    metadata["name"] = json!(name);
    metadata["namespace"] = json!(cluster.key.namespace);
    metadata["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": kind, "name": owner, "controller": true, "uid": format!("uid-of-apps/v1/{}/{owner}", kind.as_str().unwrap_or_default())}]);
    if set {
        metadata["labels"][labels::CONTROLLER_REVISION_HASH] = json!(REVISION);
        metadata["labels"][labels::STATEFUL_SET_POD_NAME] = json!(name);
        pod["spec"]["hostname"] = json!(name);
        pod["spec"]["subdomain"] = workload["spec"]["serviceName"].clone();
    }
    pod["spec"]["nodeName"] = json!("node");
    pod
}

fn member(cluster: &Cluster, pod: &str, index: usize) -> PdMember {
    let peer = format!("{pod}.{}-pd-peer.{}.svc", cluster.key.name, cluster.key.namespace);
    let domain = cluster.spec()["clusterDomain"].as_str().unwrap_or_default();
    let across = cluster.spec()["acrossK8s"].as_bool().unwrap_or(false);
    let name = match (domain, across) {
        ("", false) => pod.to_owned(),
        ("", true) => peer.clone(),
        (domain, _) => format!("{peer}.{domain}"),
    };
    PdMember {
        id: (index + 1).to_string(),
        name,
        client_url: format!("{}://{peer}:{}", cluster.scheme(), ports::PD_CLIENT),
        healthy: true,
        leader: index == 0,
    }
}

fn store(cluster: &Cluster, (pod, component, port): (String, &str, i32), index: usize, now_ms: u64) -> PdStore {
    let id = index as u64 + 1;
    let tiflash = component == "tiflash";
    let address = format!("{pod}.{}-{component}-peer.{}.svc:{port}", cluster.key.name, cluster.key.namespace);
    let engine = if tiflash { json!([{"key": "engine", "value": "tiflash"}]) } else { json!([]) };
    let json = json!({
        "store": {"id": id, "address": address, "state_name": "Up", "node_state": 1, "labels": engine,
                  "last_heartbeat": now_ms.saturating_mul(1_000_000)},
        "status": {"leader_count": 0, "region_count": 0},
    });
    let row =
        StoreRow { id, address, state: StoreState::Up, tiflash, last_heartbeat_ms: now_ms, ..StoreRow::default() };
    PdStore { row, json: to_raw_value(&json).unwrap_or_default() }
}
