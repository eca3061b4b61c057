//! The data plane under the embedded control plane, in virtual time: pods as kubelets report them, databases as PD shows
//! them, and what breaks when it is broken.

mod breaking;
mod cluster;
mod keeping;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use cluster::{NAMESPACE, create_cluster, eventually, is_ready, pod, simulation};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use k8s_openapi::api::core::v1::{Event, Node, PersistentVolume, PersistentVolumeClaim};
use kube::{Api, api::ListParams};
use serde_json::Value;
use tidepool_sim::simulation::Simulation;

/// GET through the gateway: status and body.
pub async fn get(simulation: &Simulation, host: &str, path: &str) -> (u16, String) {
    let request = Request::builder().uri(path).header("host", host).body(Full::new(Bytes::new())).unwrap();
    let response = simulation.gateway().unwrap().answer(request).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// GET of a JSON document that has to be there.
pub async fn get_json(simulation: &Simulation, host: &str, path: &str) -> Value {
    let (status, body) = get(simulation, host, path).await;
    assert_eq!(status, 200, "{host}{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_comes_up() {
    let simulation = simulation(1).await;
    let client = simulation.client("test");
    create_cluster(&client, "basic", 3, 3, 2).await;
    let pods = eventually(&client, 180, |pods| pods.len() == 9 && pods.iter().all(is_ready)).await;
    assert!(
        pods.iter().all(|pod| cluster::restarts(pod) == 0),
        "{:?}",
        pods.iter().map(cluster::summary).collect::<Vec<_>>()
    );
    // Ready without a probe means running; the third member joins a little later.
    tokio::time::sleep(Duration::from_secs(60)).await;

    let members = get_json(&simulation, "basic-pd.default:2379", "/pd/api/v1/members").await;
    let names: Vec<&str> = members["members"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let stores = get_json(&simulation, "basic-pd-1.basic-pd-peer.default.svc:2379", "/pd/api/v1/stores").await;
    assert_eq!(stores["count"], 3);
    let up = stores["stores"].as_array().unwrap().iter().all(|store| store["store"]["state_name"] == "Up");
    assert!(up, "{stores}");
    let tidb = get_json(&simulation, "basic-tidb-0.basic-tidb-peer.default.svc.cluster.local:10080", "/status").await;
    assert_eq!(tidb["version"], "8.0.11-TiDB-v8.5.0");
    let (_, metrics) = get(&simulation, "basic-tikv-0.basic-tikv-peer.default:20180", "/metrics").await;
    assert!(metrics.contains("tikv_raftstore_region_count{type=\"leader\"}"), "{metrics}");
    assert_eq!(get(&simulation, "other-pd.default:2379", "/").await.0, 502);

    let pd = pod(&pods, "basic-pd-0");
    let status = pd.status.clone().unwrap();
    assert!(status.pod_ip.unwrap().starts_with("10.78.") && status.host_ip.unwrap().starts_with("10.78."));
    let zones: std::collections::BTreeSet<_> =
        ["basic-pd-0", "basic-pd-1", "basic-pd-2"].map(|name| pod(&pods, name).spec.clone().unwrap().node_name).into();
    assert_eq!(zones.len(), 3, "members do not share a node");
    assert_eq!(reasons(&simulation, "basic-pd-0").await, ["Created", "Pulled", "Scheduled", "Started"]);
}

async fn reasons(simulation: &Simulation, pod: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(simulation.client("test"), NAMESPACE);
    let all = events.list(&ListParams::default()).await.unwrap().items;
    let about = all.into_iter().filter(|event| event.involved_object.name.as_deref() == Some(pod));
    let mut reasons: Vec<String> = about.filter_map(|event| event.reason).collect();
    reasons.sort();
    reasons.dedup();
    reasons
}

#[tokio::test(start_paused = true)]
async fn claims_are_bound_grown_and_released() {
    let simulation = simulation(2).await;
    let client = simulation.client("test");
    create_cluster(&client, "a", 1, 0, 0).await;
    eventually(&client, 60, |pods| pods.len() == 2 && pods.iter().all(is_ready)).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), NAMESPACE);
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let claim = claims.get("pd-a-pd-0").await.unwrap();
    let volume = volumes.get(&claim.spec.unwrap().volume_name.unwrap()).await.unwrap();
    let spec = volume.spec.unwrap();
    assert_eq!(spec.storage_class_name.as_deref(), Some("standard"));
    assert_eq!(spec.claim_ref.unwrap().name.as_deref(), Some("pd-a-pd-0"));
    assert_eq!(volume.status.unwrap().phase.as_deref(), Some("Bound"));

    let larger = serde_json::json!({"spec": {"resources": {"requests": {"storage": "20Gi"}}}});
    claims.patch("pd-a-pd-0", &Default::default(), &kube::api::Patch::Merge(&larger)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let capacity = claims.get("pd-a-pd-0").await.unwrap().status.unwrap().capacity.unwrap();
    assert_eq!(capacity["storage"].0, "20Gi");

    let sets: Api<k8s_openapi::api::apps::v1::StatefulSet> = Api::namespaced(client.clone(), NAMESPACE);
    claims.delete("pd-a-pd-0", &Default::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(claims.get_opt("pd-a-pd-0").await.unwrap().is_some(), "a claim in use stays");
    sets.delete("a-pd", &Default::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(claims.get_opt("pd-a-pd-0").await.unwrap().is_none());
    assert!(volumes.list(&ListParams::default()).await.unwrap().items.is_empty(), "the class says Delete");
}

#[tokio::test(start_paused = true)]
async fn nodes_have_zones_leases_and_room() {
    let simulation = simulation(3).await;
    let client = simulation.client("test");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(nodes.len(), 9);
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    assert_eq!(leases.list(&ListParams::default()).await.unwrap().items.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_audit_log() {
    async fn run(seed: u64) -> Vec<tidepool_sim::audit::Entry> {
        let audit = tidepool_sim::audit::AuditLog::default();
        let options = tidepool_sim::simulation::Options {
            crds: vec![cluster::crd()],
            audit: audit.clone(),
            ..tidepool_sim::simulation::Options::in_virtual_time(tidepool_sim::clock::Seed(seed))
        };
        let simulation = Simulation::start(options).await.unwrap();
        let client = simulation.client("test");
        create_cluster(&client, "basic", 3, 3, 2).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        simulation.faults().unwrap().kill(NAMESPACE, "basic-tikv-0");
        tokio::time::sleep(Duration::from_secs(60)).await;
        audit.entries()
    }
    let first = run(7).await;
    let second = run(7).await;
    assert!(first.len() > 100);
    for (index, (a, b)) in first.iter().zip(&second).enumerate() {
        assert_eq!(a, b, "entry {index}");
    }
    assert_eq!(first.len(), second.len());
    assert_ne!(first, run(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_at_rest_costs_next_to_nothing() {
    const SECONDS: u64 = 100_000;
    let simulation = simulation(4).await;
    let client = simulation.client("test");
    create_cluster(&client, "basic", 3, 3, 2).await;
    eventually(&client, 180, |pods| pods.len() == 9 && pods.iter().all(is_ready)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let began = std::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let took = began.elapsed();
    println!("{SECONDS} simulated seconds at rest took {took:?}");
    assert!(took < Duration::from_secs(SECONDS / 10_000), "took {took:?}");
}
