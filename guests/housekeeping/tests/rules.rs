//! The rules of housekeeping, each on the smallest snapshot that shows it.

use std::sync::Arc;

use policy_housekeeping::Housekeeping;
use serde_json::{Value, json};
use tidepool_sdk::native;

struct World {
    spec: Value,
    status: Value,
    pods: Vec<Value>,
    claims: Vec<Value>,
    volumes: Vec<Value>,
    ready: bool,
}

struct Decided {
    /// Verb and subject of each action.
    actions: Vec<String>,
    /// The actions in full.
    text: String,
    status: Option<Value>,
}

impl World {
    /// One TiKV pod with its claim and volume, with all labels: nothing to do.
    fn at_rest() -> Self {
        let ids = json!({"tidb.pingcap.com/cluster-id": "7", "tidb.pingcap.com/store-id": "4",
            "app.kubernetes.io/name": "tidb-cluster", "app.kubernetes.io/managed-by": "tidb-operator",
            "app.kubernetes.io/instance": "c", "app.kubernetes.io/component": "tikv"});
        let named = json!({"tidb.pingcap.com/pod-name": "c-tikv-0"});
        let on_claim = with(&ids, "tidb.pingcap.com/pod-name", "c-tikv-0");
        let on_volume = with(&ids, "app.kubernetes.io/namespace", "n");
        let store = json!({"id": "4", "podName": "c-tikv-0", "ip": "", "leaderCount": 0, "state": "Up"});
        Self {
            spec: json!({"pvReclaimPolicy": "Retain", "tikv": {"replicas": 1}}),
            status: json!({"clusterID": "7", "tikv": {"synced": true, "stores": {"4": store}}}),
            pods: vec![
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c-tikv-0", "uid": "p", "labels": ids},
                "spec": {"nodeName": "node", "volumes": [{"persistentVolumeClaim": {"claimName": "tikv-c-tikv-0"}}]}}),
            ],
            claims: vec![json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": "tikv-c-tikv-0", "uid": "q", "labels": on_claim, "annotations": named},
                "spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}})],
            volumes: vec![json!({"apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": {"name": "pv-1", "uid": "v", "labels": on_volume, "annotations": named},
                "spec": {"claimRef": {"name": "tikv-c-tikv-0"}, "persistentVolumeReclaimPolicy": "Retain"}})],
            ready: true,
        }
    }

    fn decide(&self) -> Decided {
        let row = |pod: &Value| {
            let phase = if pod["spec"]["nodeName"].is_string() { "Running" } else { "Pending" };
            json!({"name": pod["metadata"]["name"], "ordinal": 0, "ready": self.ready, "phase": phase, "updated": true})
        };
        let snapshot = json!({
            "nowMs": 1_000_000,
            "cluster": {"metadata": {"name": "c", "namespace": "n"}, "spec": self.spec, "status": self.status},
            "watches": [{"known": self.pods}, {"known": self.claims}, {"known": self.volumes}],
            "pods": {"known": self.pods.iter().map(row).collect::<Vec<_>>()},
        });
        // Objects are kept as text, which serde_json reads from text only.
        let snapshot = serde_json::from_str(&snapshot.to_string()).expect("a snapshot");
        let plan = native::run::<Housekeeping>(Arc::new(snapshot)).expect("a plan");
        let actions = plan.actions.iter().map(|action| format!("{} {}", action.verb(), action.subject())).collect();
        Decided { actions, text: serde_json::to_string(&plan.actions).expect("JSON"), status: plan.status }
    }

    fn actions(&self) -> Vec<String> {
        self.decide().actions
    }

    fn ready(&self) -> Value {
        self.decide().status.expect("a status")["conditions"][0].clone()
    }
}

fn with(base: &Value, key: &str, value: &str) -> Value {
    let mut all = base.clone();
    all[key] = value.into();
    all
}

#[test]
fn a_cluster_at_rest_is_left_alone() {
    assert_eq!(World::at_rest().actions(), [""; 0]);
}

#[test]
fn ids_go_to_pod_claim_and_volume_and_are_never_overwritten() {
    let mut world = World::at_rest();
    for object in [&mut world.pods[0], &mut world.claims[0], &mut world.volumes[0]] {
        object["metadata"]["labels"].as_object_mut().unwrap().remove("tidb.pingcap.com/store-id");
    }
    let expected = [
        "merge-patch pod/c-tikv-0",
        "merge-patch persistentvolumeclaim/tikv-c-tikv-0",
        "merge-patch persistentvolume/pv-1",
    ];
    assert_eq!(world.actions(), expected);
    let mut world = World::at_rest();
    world.pods[0]["metadata"]["labels"]["tidb.pingcap.com/store-id"] = "9".into();
    let text = world.decide().text;
    assert!(!text.contains(r#""tidb.pingcap.com/store-id":"4""#), "{text}");
}

#[test]
fn a_store_that_left_is_marked_once_and_the_mark_goes_when_it_is_back() {
    let mut world = World::at_rest();
    world.status["tikv"]["stores"] = json!({});
    assert_eq!(world.actions(), ["merge-patch pod/c-tikv-0"]);
    world.status["tikv"]["synced"] = false.into();
    assert_eq!(world.actions(), [""; 0], "without PD nothing is known");
    world.status["tikv"]["synced"] = true.into();
    world.pods[0]["metadata"]["annotations"] =
        json!({"tidb.pingcap.com/tikv-no-active-store-since": "2026-01-01T00:00:00Z"});
    assert_eq!(world.actions(), [""; 0], "once");
    world.status = World::at_rest().status;
    assert_eq!(world.actions(), ["merge-patch pod/c-tikv-0"]);
}

#[test]
fn volumes_get_the_reclaim_policy_of_the_spec() {
    let mut world = World::at_rest();
    world.spec["pvReclaimPolicy"] = "Delete".into();
    assert_eq!(world.actions(), ["merge-patch persistentvolume/pv-1"]);
}

#[test]
fn claims_of_those_who_left_go_only_if_the_spec_says_so() {
    let mut world = World::at_rest();
    world.pods.clear();
    world.claims[0]["metadata"]["annotations"]["tidb.pingcap.com/pvc-defer-deleting"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(world.actions(), [""; 0]);
    world.spec["enablePVReclaim"] = true.into();
    let expected = ["merge-patch persistentvolume/pv-1", "delete persistentvolumeclaim/tikv-c-tikv-0"];
    assert_eq!(world.actions(), expected, "the volume first");
}

#[test]
fn a_pod_whose_claim_is_gone_is_made_anew() {
    let mut world = World::at_rest();
    world.pods[0]["spec"].as_object_mut().unwrap().remove("nodeName");
    assert_eq!(world.actions(), [""; 0], "it waits for a node");
    world.claims.clear();
    world.volumes.clear();
    assert_eq!(world.actions(), ["delete pod/c-tikv-0"]);
}

#[test]
fn ready_says_what_component_and_pods_say() {
    let mut world = World::at_rest();
    assert_eq!(world.ready()["status"], "True");
    world.ready = false;
    assert_eq!((&world.ready()["status"], &world.ready()["reason"]), (&json!("False"), &json!("PodsNotReady")));
    world.ready = true;
    world.status["tikv"]["stores"]["4"]["state"] = "Down".into();
    assert_eq!(world.ready()["reason"], "TiKVStoreNotUp");
}

#[test]
fn what_changes_or_was_not_looked_at_is_not_ready() {
    for (phase, reason) in [("Upgrade", "Upgrading"), ("Scale", "Scaling"), ("Normal", "Ready")] {
        let mut world = World::at_rest();
        world.status["tikv"]["phase"] = phase.into();
        assert_eq!(world.ready()["reason"], reason);
        world.status["held"] = json!(["tikv"]);
        assert_eq!(world.ready()["status"], "False", "{phase}, and held back");
    }
}
