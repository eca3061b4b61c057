//! Faults: what they look like from outside, and that they end.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use tidepool_sim::data::faults::{AnswerFault, PodFault};

use super::{
    cluster::{NAMESPACE, config, create_cluster, eventually, is_ready, pod, restarts, simulation, waiting_reason},
    get, get_json,
};

#[tokio::test(start_paused = true)]
async fn a_killed_store_comes_back_under_its_id() {
    let simulation = simulation(11).await;
    let client = simulation.client("test");
    create_cluster(&client, "a", 1, 3, 0).await;
    eventually(&client, 120, |pods| pods.len() == 5 && pods.iter().all(is_ready)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = store_ids(&simulation).await;
    simulation.faults().unwrap().kill(NAMESPACE, "a-tikv-1");
    let pods = eventually(&client, 30, |pods| restarts(pod(pods, "a-tikv-1")) == 1).await;
    let status = pod(&pods, "a-tikv-1").status.clone().unwrap().container_statuses.unwrap();
    let last = status[0].last_state.clone().unwrap().terminated.unwrap();
    assert_eq!(last.exit_code, 137);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(store_ids(&simulation).await, before);
}

async fn store_ids(simulation: &tidepool_sim::simulation::Simulation) -> Vec<(u64, String)> {
    let stores = get_json(simulation, "a-pd.default:2379", "/pd/api/v1/stores").await;
    let mut ids: Vec<(u64, String)> = stores["stores"]
        .as_array()
        .unwrap()
        .iter()
        .map(|store| (store["store"]["id"].as_u64().unwrap(), store["store"]["address"].as_str().unwrap().to_owned()))
        .collect();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn a_bad_configuration_crashes_until_it_is_mended() {
    let simulation = simulation(12).await;
    let client = simulation.client("test");
    create_cluster(&client, "a", 1, 1, 0).await;
    eventually(&client, 120, |pods| pods.len() == 3 && pods.iter().all(is_ready)).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let write = async |text: &str| {
        let map = config("a", "tikv", text);
        maps.patch("a-tikv", &PatchParams::default(), &Patch::Merge(&map)).await.unwrap();
    };
    write("log-level = \"loud\"").await;
    simulation.faults().unwrap().kill(NAMESPACE, "a-tikv-0");
    let pods = eventually(&client, 60, |pods| waiting_reason(pod(pods, "a-tikv-0")) == "CrashLoopBackOff").await;
    let status = pod(&pods, "a-tikv-0").status.clone().unwrap().container_statuses.unwrap();
    let message = status[0].last_state.clone().unwrap().terminated.unwrap().message.unwrap();
    assert_eq!(message, "invalid configuration: bad value \"loud\" for log-level");
    write("log-level = \"info\"").await;
    eventually(&client, 120, |pods| is_ready(pod(pods, "a-tikv-0"))).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(is_ready(pod(&super::cluster::pods(&client).await, "a-tikv-0")));
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_configmap_and_its_image() {
    let simulation = simulation(13).await;
    let client = simulation.client("test");
    let fault = PodFault { image_missing: true, ..PodFault::default() };
    simulation.faults().unwrap().set_pod(NAMESPACE, "a-pd-0", fault);
    create_cluster(&client, "a", 1, 1, 0).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    maps.delete("a-tikv", &Default::default()).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    tokio::time::sleep(Duration::from_secs(1)).await;
    pods.delete("a-tikv-0", &Default::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    eventually(&client, 60, |pods| pods.len() == 3 && waiting_reason(pod(pods, "a-pd-0")) == "ErrImagePull").await;
    let pods = super::cluster::pods(&client).await;
    assert_eq!(waiting_reason(pod(&pods, "a-tikv-0")), "ContainerCreating");
    assert!(super::reasons(&simulation, "a-tikv-0").await.contains(&"FailedMount".to_owned()));
    super::cluster::create(&maps, config("a", "tikv", "")).await;
    simulation.faults().unwrap().clear_pod(NAMESPACE, "a-pd-0");
    eventually(&client, 120, |pods| pods.iter().all(is_ready)).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_node_is_noticed_and_its_pods_are_evicted() {
    let simulation = simulation(14).await;
    let client = simulation.client("test");
    create_cluster(&client, "a", 3, 3, 1).await;
    let pods = eventually(&client, 180, |pods| pods.len() == 8 && pods.iter().all(is_ready)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let node = pod(&pods, "a-tikv-0").spec.clone().unwrap().node_name.unwrap();
    let faults = simulation.faults().unwrap();
    faults.lose_node(&node);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let nodes: Api<Node> = Api::all(client.clone());
    let conditions = nodes.get(&node).await.unwrap().status.unwrap().conditions.unwrap();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "Unknown");
    assert!(!is_ready(pod(&super::cluster::pods(&client).await, "a-tikv-0")));
    let stores = get_json(&simulation, "a-pd.default:2379", "/pd/api/v1/stores").await;
    assert!(stores.to_string().contains("Disconnected"), "{stores}");
    eventually(&client, 400, |pods| pod(pods, "a-tikv-0").metadata.deletion_timestamp.is_some()).await;
    faults.recover_node(&node);
    let replaced = |pod: &Pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none();
    eventually(&client, 120, |pods| pods.len() == 8 && pods.iter().all(replaced)).await;
}

#[tokio::test(start_paused = true)]
async fn answers_can_be_slow_wrong_or_missing() {
    let simulation = simulation(15).await;
    let client = simulation.client("test");
    create_cluster(&client, "a", 1, 1, 0).await;
    eventually(&client, 120, |pods| pods.len() == 3 && pods.iter().all(is_ready)).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let faults = simulation.faults().unwrap();
    let ask = || get(&simulation, "a-pd.default:2379", "/pd/api/v1/health");
    assert_eq!(ask().await.0, 200);
    faults.set_answers(NAMESPACE, "a-pd-0", AnswerFault { fail_status: Some(503), ..AnswerFault::default() });
    assert_eq!(ask().await.0, 503);
    faults.set_answers(NAMESPACE, "a-pd-0", AnswerFault { slow_ms: 7_000, ..AnswerFault::default() });
    let began = tokio::time::Instant::now();
    assert_eq!(ask().await.0, 200);
    assert!(began.elapsed() >= Duration::from_secs(7));
    faults.set_pod(NAMESPACE, "a-pd-0", PodFault { silent: true, ..PodFault::default() });
    assert!(tokio::time::timeout(Duration::from_secs(60), ask()).await.is_err(), "a silent server never answers");
    faults.clear_pod(NAMESPACE, "a-pd-0");
    assert_eq!(ask().await.0, 200);
    faults.pd_without_leader(NAMESPACE, "a-pd-0", 15_000);
    let leader = || get(&simulation, "a-pd.default:2379", "/pd/api/v1/leader");
    assert_eq!(leader().await.0, 503);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(leader().await.0, 200);
}
