//! The discovery service on a real socket, before a control plane in this process and a PD that is made up.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use serde_json::{Value, json};
use tidepool_api::crd;
use tidepool_operator::{DiscoveryServer, DiscoverySettings};
use tidepool_pd::{
    Http,
    tls::{self, Pem},
};
use tidepool_sim::{
    authority::{Authority, Identity},
    clock::{Clock, Seed},
    simulation::{Options, Simulation},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

/// A running service with its surroundings.
struct Bed {
    questions: SocketAddr,
    dashboard: SocketAddr,
    /// What PD lists as its members; nothing is a PD that does not answer.
    members: Arc<Mutex<Option<Value>>>,
    /// Requests that PD got.
    asked: Arc<Mutex<Vec<String>>>,
    running: JoinHandle<()>,
    _simulation: Simulation,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn bed(tls: Option<&Path>) -> Bed {
    let clock = Clock::system();
    let options = Options { bare: true, crds: vec![crd::tidb_cluster()], ..Options::new(clock, Seed(5)) };
    let simulation = Simulation::start(options).await.expect("a control plane");
    create_cluster(&simulation.client("test")).await;
    let (members, asked) = (Arc::<Mutex<Option<Value>>>::default(), Arc::<Mutex<Vec<String>>>::default());
    let settings = DiscoverySettings {
        client: simulation.client("discovery"),
        http: pd(members.clone(), asked.clone()),
        namespace: "default".to_owned(),
        cluster: "demo".to_owned(),
        tls: tls.map(Path::to_owned),
        pd_tls: false,
        now_ms: Arc::new(move || clock.now_ms()),
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = DiscoveryServer::bind(settings, any, any).await.expect("it listens");
    let (questions, dashboard) = server.addresses().expect("addresses");
    let running = tokio::spawn(server.run(std::future::pending()));
    Bed { questions, dashboard, members, asked, running, _simulation: simulation }
}

async fn create_cluster(client: &Client) {
    let kind = GroupVersionKind::gvk("pingcap.com", "v1alpha1", "TidbCluster");
    let resource = ApiResource::from_gvk_with_plural(&kind, "tidbclusters");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
    let cluster = json!({
        "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster", "metadata": {"name": "demo"},
        "spec": {"version": "v8.5.0", "pd": {"replicas": 3, "requests": {"storage": "1Gi"}}},
    });
    let object = serde_json::from_value(cluster).expect("an object");
    api.create(&PostParams::default(), &object).await.expect("created");
}

/// A PD that lists what it is told to.
fn pd(members: Arc<Mutex<Option<Value>>>, asked: Arc<Mutex<Vec<String>>>) -> Http {
    Http::over(tower::service_fn(move |request: Request<Full<Bytes>>| {
        let members = members.lock().unwrap_or_else(PoisonError::into_inner).clone();
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.uri().to_string());
        async move {
            let members = members.ok_or_else(|| std::io::Error::other("refused"))?;
            Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from(members.to_string()))))
        }
    }))
}

async fn http<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, method: &str, path: &str) -> (u16, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: demo-discovery\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

impl Bed {
    async fn get(&self, path: &str) -> (u16, String) {
        http(TcpStream::connect(self.questions).await.expect("it listens"), "GET", path).await
    }

    async fn ask(&self, pod: &str) -> (u16, String) {
        self.get(&format!("/new/{}", STANDARD.encode(format!("{pod}\n")))).await
    }
}

fn address(ordinal: usize) -> String {
    format!("demo-pd-{ordinal}.demo-pd-peer.default.svc:2380")
}

#[tokio::test]
async fn three_pods_found_one_pd() {
    let bed = bed(None).await;
    for ordinal in [0, 1] {
        let (status, text) = bed.ask(&address(ordinal)).await;
        assert_eq!(status, 500, "D7, D8: {text}");
        assert!(text.contains("failed to find a PD to join"), "{text}");
    }
    let founds = format!("--initial-cluster=demo-pd-2=http://{}\n", address(2));
    assert_eq!(bed.ask(&address(2)).await, (200, founds), "D9");
    let member = json!({"name": "demo-pd-2", "member_id": 1, "peer_urls": [format!("http://{}", address(2))]});
    *bed.members.lock().unwrap() = Some(json!({"members": [member]}));
    let joins = format!("--join=http://{}", address(2).replace("2380", "2379"));
    assert_eq!(bed.ask(&address(0)).await, (200, joins), "D11");
    let (status, text) = bed.ask(&address(1)).await;
    assert_eq!((status, text.as_str()), (500, "demo-pd-0 joins now"), "one after the other");
    assert!(bed.asked.lock().unwrap().iter().all(|url| url == "http://demo-pd.default:2379/pd/api/v1/members"));
}

#[tokio::test]
async fn others_are_not_answered() {
    let bed = bed(None).await;
    let elsewhere = "demo-pd-0.demo-pd-peer.default1.svc:2380";
    for (id, pod) in [
        ("D1", ""),
        ("D2", "demo-pd-0.demo-pd-peer.default:2380"),
        ("D3", elsewhere),
        ("D4", "other-pd-0.other-pd-peer.default.svc:2380"),
    ] {
        assert_eq!(bed.ask(pod).await.0, 500, "{id}");
    }
    assert!(bed.asked.lock().unwrap().is_empty(), "nobody makes this service call somewhere");
    assert_eq!(bed.get("/").await.0, 404);
    assert_eq!(bed.get("/new/???").await.0, 500);
    assert_eq!(bed.get(&format!("/new/{}/dm", STANDARD.encode(address(0)))).await.0, 404);
    let stream = TcpStream::connect(bed.questions).await.unwrap();
    assert_eq!(http(stream, "POST", "/new/x").await.0, 405);
    let long = format!("/new/{}", "A".repeat(100_000));
    assert!((400..500).contains(&bed.get(&long).await.0));
}

#[tokio::test]
async fn verify_answers_with_the_address_or_says_why_not() {
    let bed = bed(None).await;
    let verify = |address: &str| format!("/verify/{}", STANDARD.encode(format!("{address}\n")).replace('=', "%3D"));
    assert_eq!(bed.get(&verify("http://demo-pd:2379")).await, (200, "http://demo-pd:2379".to_owned()));
    let (status, text) = bed.get(&verify("other-pd:2379")).await;
    assert_eq!(status, 500, "V-e");
    assert!(text.ends_with("other-pd:2379"), "{text}");
}

#[tokio::test]
async fn the_dashboard_is_passed_on_and_nothing_else() {
    let bed = bed(None).await;
    *bed.members.lock().unwrap() = Some(json!("the dashboard"));
    let get = async |path: &str| http(TcpStream::connect(bed.dashboard).await.unwrap(), "GET", path).await;
    assert_eq!(get("/dashboard/api?x=1").await, (200, "\"the dashboard\"".to_owned()));
    assert_eq!(*bed.asked.lock().unwrap(), ["http://demo-pd.default:2379/dashboard/api?x=1"]);
    for path in ["/pd/api/v1/members", "/dashboard/../pd/api/v1/members", "/dashboard/%2e%2e/pd", "/dashboards"] {
        assert_eq!(get(path).await.0, 404, "{path}");
    }
    assert_eq!(bed.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn with_mutual_tls_only_those_with_a_certificate_are_answered() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("discovery-tls");
    std::fs::create_dir_all(&folder).unwrap();
    let (authority, other) = (Authority::new("ca").unwrap(), Authority::new("other").unwrap());
    let server = authority.issue("TiDB", &["127.0.0.1"]).unwrap();
    for (name, text) in [("ca.crt", authority.certificate()), ("tls.crt", server.certificate), ("tls.key", server.key)]
    {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let bed = bed(Some(&folder)).await;
    let url = format!("https://{}/none", bed.questions);
    let ask = async |client: &Identity| {
        let ca = authority.certificate();
        let pem = Pem { ca: ca.as_bytes(), certificate: client.certificate.as_bytes(), key: client.key.as_bytes() };
        let clock = Clock::system();
        let config = tls::client(&pem, Arc::new(move || clock.now_ms())).expect("a client");
        let http = Http::network().secured(config).expect("the network has TLS");
        http.send(Method::GET, &url, Bytes::new()).await
    };
    assert_eq!(ask(&authority.issue("TiDB", &[]).unwrap()).await.unwrap().0, 404);
    let refused = ask(&other.issue("TiDB", &[]).unwrap()).await.unwrap_err();
    assert_eq!(refused.category(), "transport", "{}", refused.chain());
    let plain = Http::network();
    let unsent = plain.send(Method::GET, &url, Bytes::new()).await.unwrap_err();
    assert_eq!(unsent.category(), "request", "{}", unsent.chain());
    assert!(
        plain.send(Method::GET, &url.replace("https", "http"), Bytes::new()).await.is_err(),
        "no answer in the clear"
    );
}
