//! Mutual TLS to the components, and a cluster that ran elsewhere before.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Secret};
use kube::Api;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tidepool_sim::{
    authority::{Authority, Identity},
    clock::{Clock, Seed},
    simulation::{Options, Simulation},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{
    cluster::{NAMESPACE, crd, create, create_cluster, restarts, set},
    get_json,
};

#[tokio::test]
async fn pd_demands_a_certificate_of_its_authority() {
    let options = Options { crds: vec![crd()], ..Options::new(Clock::system(), Seed(31)) };
    let simulation = Simulation::start(options).await.unwrap();
    let client = simulation.client("test");
    let authority = Authority::new("test").unwrap();
    let host = "t-pd-0.t-pd-peer.default.svc";
    let server = authority.issue("pd", &[host, "t-pd.default"]).unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    create(&secrets, secret("t-pd-cluster-secret", &authority, &server)).await;
    create_cluster(&client, "t", 0, 0, 0).await;
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), NAMESPACE);
    let mut pd = set("t", "pd", 1);
    let volumes = pd["spec"]["template"]["spec"]["volumes"].as_array_mut().unwrap();
    volumes.push(json!({"name": "pd-tls", "secret": {"secretName": "t-pd-cluster-secret"}}));
    sets.delete("t-pd", &Default::default()).await.unwrap();
    create(&sets, pd).await;
    let kind = kube::api::GroupVersionKind::gvk("pingcap.com", "v1alpha1", "TidbCluster");
    let resource = kube::api::ApiResource::from_gvk_with_plural(&kind, "tidbclusters");
    let clusters: Api<kube::api::DynamicObject> = Api::namespaced_with(client, NAMESPACE, &resource);
    let one = json!({"spec": {"pd": {"replicas": 1}, "tlsCluster": {"enabled": true}}});
    clusters.patch("t", &Default::default(), &kube::api::Patch::Merge(&one)).await.unwrap();

    let served = simulation.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = served.components.unwrap();
    let known = authority.issue("client", &["client"]).unwrap();
    let mut answer = Err(String::new());
    for _ in 0..300 {
        // A member that does not serve yet lets its clients wait.
        let patience = Duration::from_secs(2);
        let asked = tokio::time::timeout(patience, ask(address, host, &authority, Some(&known))).await;
        answer = asked.unwrap_or_else(|_| Err("no answer".to_owned()));
        if answer.as_ref().is_ok_and(|text| text.contains("https://t-pd-0.t-pd-peer.default.svc:2379")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
    assert!(ask(address, host, &authority, None).await.unwrap_err().contains("CertificateRequired"));
    let stranger = Authority::new("other").unwrap().issue("client", &["client"]).unwrap();
    assert!(ask(address, host, &authority, Some(&stranger)).await.is_err());
}

fn secret(name: &str, authority: &Authority, identity: &Identity) -> Value {
    json!({"metadata": {"name": name}, "stringData": {
        "ca.crt": authority.certificate(), "tls.crt": identity.certificate, "tls.key": identity.key,
    }})
}

async fn ask(
    address: SocketAddr,
    host: &str,
    authority: &Authority,
    client: Option<&Identity>,
) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let text = |error: std::io::Error| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(text)?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(text)?;
    let request = format!("GET /pd/api/v1/members HTTP/1.1\r\nHost: {host}:2379\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(text)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(text)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_ran_elsewhere_goes_on_under_its_ids() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/takeover/basic/objects.json");
    let objects: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let labels = |key: &str| -> Vec<u64> {
        let pods = objects.iter().filter(|object| object["kind"] == "Pod");
        let mut ids: Vec<u64> = pods.filter_map(|pod| pod["metadata"]["labels"][key].as_str()?.parse().ok()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let (clusters, members, stores) = (
        labels("tidb.pingcap.com/cluster-id"),
        labels("tidb.pingcap.com/member-id"),
        labels("tidb.pingcap.com/store-id"),
    );
    let options = Options { crds: vec![crd()], objects, ..Options::in_virtual_time(Seed(32)) };
    let simulation = Simulation::start(options).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;

    let listed = get_json(&simulation, "basic-pd.basic:2379", "/pd/api/v1/members").await;
    assert_eq!(listed["header"]["cluster_id"].as_u64(), clusters.first().copied());
    let ids: Vec<u64> =
        listed["members"].as_array().unwrap().iter().map(|m| m["member_id"].as_u64().unwrap()).collect();
    assert_eq!(ids, members);
    let listed = get_json(&simulation, "basic-pd.basic:2379", "/pd/api/v1/stores").await;
    let mut ids: Vec<u64> =
        listed["stores"].as_array().unwrap().iter().map(|s| s["store"]["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, stores);
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(simulation.client("test"), "basic");
    let pods = pods.list(&Default::default()).await.unwrap().items;
    assert_eq!(pods.len(), 9);
    let restarted: Vec<_> = pods.iter().filter(|pod| restarts(pod) > 1).collect();
    assert!(restarted.is_empty(), "only the joiner that crashed then has a restart");
}
