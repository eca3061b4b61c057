//! State that outlives the simulator, and the simulator over TCP.

use std::{net::SocketAddr, time::Duration};

use tidepool_sim::{
    clock::{Clock, Seed, VIRTUAL_EPOCH_MS},
    simulation::{Options, Simulation},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    cluster::{crd, create_cluster, eventually, is_ready, restarts, simulation},
    get_json,
};

#[tokio::test(start_paused = true)]
async fn databases_survive_a_restart_of_the_simulator() {
    let dir = std::env::temp_dir().join(format!("tidepool-sim-keeping-{}", std::process::id()));
    let clock = Clock::starting_at(VIRTUAL_EPOCH_MS);
    let options =
        Options { crds: vec![crd()], data_dir: Some(dir.clone()), clock, ..Options::in_virtual_time(Seed(21)) };
    let first = Simulation::start(options.clone()).await.unwrap();
    create_cluster(&first.client("test"), "a", 3, 3, 1).await;
    eventually(&first.client("test"), 180, |pods| pods.len() == 8 && pods.iter().all(is_ready)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = identity(&first).await;
    first.shutdown().await;

    let second = Simulation::start(options).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(identity(&second).await, before);
    let pods = super::cluster::pods(&second.client("test")).await;
    assert!(pods.len() == 8 && pods.iter().all(|pod| is_ready(pod) && restarts(pod) == 0));
    second.shutdown().await;
    std::fs::remove_dir_all(dir).unwrap();
}

/// Cluster id, members and stores.
async fn identity(simulation: &Simulation) -> Vec<String> {
    let members = get_json(simulation, "a-pd.default:2379", "/pd/api/v1/members").await;
    let stores = get_json(simulation, "a-pd.default:2379", "/pd/api/v1/stores").await;
    let mut all = vec![members["header"]["cluster_id"].to_string()];
    all.extend(members["members"].as_array().unwrap().iter().map(|member| member["member_id"].to_string()));
    all.extend(stores["stores"].as_array().unwrap().iter().map(|store| store["store"]["id"].to_string()));
    all.sort();
    all
}

#[tokio::test]
async fn both_servers_listen_and_the_kubeconfig_says_where() {
    let options = Options { crds: vec![crd()], ..Options::new(Clock::system(), Seed(22)) };
    let simulation = Simulation::start(options).await.unwrap();
    let served = simulation.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let components = served.components.unwrap();
    let kubeconfig = served.kubeconfig();
    assert!(kubeconfig.contains(&format!("server: http://{}", served.api)), "{kubeconfig}");
    assert!(kubeconfig.contains(&format!("address: {components}")), "{kubeconfig}");
    assert!(kubeconfig.contains("tidepool.dev/component-address"));
    let answer = raw_get(components, "nobody.default:2379").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("failed to resolve nobody.default: no such host"), "{answer}");
    let taken = simulation.serve(served.api).await;
    assert!(taken.is_err_and(|error| error.to_string().starts_with("failed to listen on 127.0.0.1:")));
}

async fn raw_get(address: SocketAddr, host: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn a_bare_simulation_has_no_nodes() {
    let full = simulation(23).await;
    assert!(full.gateway().is_some());
    let options = Options { bare: true, ..Options::in_virtual_time(Seed(23)) };
    let bare = Simulation::start(options).await.unwrap();
    assert!(bare.gateway().is_none() && bare.faults().is_none());
    let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(bare.client("test"));
    assert!(nodes.list(&kube::api::ListParams::default()).await.unwrap().items.is_empty());
}
