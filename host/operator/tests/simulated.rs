//! The operator with the repository's own policies, run natively, on a simulated cluster in virtual time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Pod, Secret},
};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    discovery::ApiResource,
};
use serde_json::{Value, json};
use tidepool_api::{TidbCluster, crd};
use tidepool_model::{Descriptor, Snapshot, record::Outcome};
use tidepool_operator::{ClusterKey, Config, Executor, Operator, Policies, Policy};
use tidepool_policy::{Decision, Reads, Swapped};
use tidepool_sdk::{Failure, native};
use tidepool_sim::{
    audit::{AuditLog, Entry},
    authority::{self, Authority},
    clock::Seed,
    simulation::{Options, Simulation},
};
use tokio::task::JoinHandle;

/// A policy of the repository without its sandbox.
struct Native<P>(Descriptor, std::marker::PhantomData<fn() -> P>);

impl<P: tidepool_sdk::Policy> Policy for Native<P> {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn digest(&self) -> &str {
        "sha256:native"
    }

    fn decide(&self, snapshot: Arc<Snapshot>) -> Decision {
        let outcome = match native::run::<P>(snapshot) {
            Ok(plan) => Outcome::Plan(plan),
            Err(Failure::InvalidSpec(text)) => Outcome::InvalidSpec(text),
            Err(Failure::Internal(text)) => Outcome::Fault(text),
        };
        Decision { outcome, reads: Reads::everything(), fuel: 0, log: Vec::new(), duration: Duration::ZERO }
    }
}

fn native<P: tidepool_sdk::Policy + 'static>() -> Arc<dyn Policy> {
    Arc::new(Native::<P>(P::describe(), std::marker::PhantomData))
}

struct Shipped(Vec<Arc<dyn Policy>>);

impl Policies for Shipped {
    fn current(&self) -> Vec<Arc<dyn Policy>> {
        self.0.clone()
    }

    fn on_swap(&self, _: Box<dyn Fn(&Swapped) + Send + Sync>) {}
}

struct Bed {
    simulation: Simulation,
    audit: AuditLog,
    operator: Arc<Operator>,
    running: JoinHandle<()>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn bed(cluster: &Value) -> Bed {
    let audit = AuditLog::default();
    let options =
        Options { audit: audit.clone(), crds: vec![crd::tidb_cluster()], ..Options::in_virtual_time(Seed(7)) };
    let clock = options.clock;
    let simulation = Simulation::start(options).await.expect("a simulation");
    let policies = Shipped(vec![
        native::<policy_discovery::Discovery>(),
        native::<policy_pdms::Pdms>(),
        native::<policy_pd::Pd>(),
        native::<policy_tikv::Tikv>(),
        native::<policy_tidb::Tidb>(),
        native::<policy_housekeeping::Housekeeping>(),
    ]);
    let http = simulation.http().expect("a data plane");
    let config = Config::new(simulation.client("tidepool"), Arc::new(policies), http, Arc::new(move || clock.now_ms()));
    let operator = Arc::new(Operator::new(Config { executor: Executor::Inline, ..config }));
    let runs = operator.clone();
    let running = tokio::spawn(async move { runs.run(std::future::pending()).await.expect("it runs") });
    let bed = Bed { simulation, audit, operator, running };
    let object: DynamicObject = serde_json::from_value(cluster.clone()).expect("an object");
    bed.clusters().create(&PostParams::default(), &object).await.expect("accepted");
    bed
}

impl Bed {
    fn clusters(&self) -> Api<DynamicObject> {
        let gvk = kube::core::GroupVersionKind::gvk("pingcap.com", "v1alpha1", "TidbCluster");
        let resource = ApiResource::from_gvk_with_plural(&gvk, "tidbclusters");
        Api::namespaced_with(self.simulation.client("test"), "default", &resource)
    }

    async fn status(&self) -> Value {
        self.clusters().get("basic").await.expect("there").data["status"].clone()
    }

    /// Waits until the cluster is ready; the virtual seconds that it took.
    async fn ready(&self, seconds_max: u64) -> u64 {
        let start = tokio::time::Instant::now();
        for _ in 0..seconds_max {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if condition(&self.status().await, "Ready") == "True" {
                return start.elapsed().as_secs();
            }
        }
        panic!("not ready: {:#}", self.status().await);
    }

    /// The Secrets that the cluster would need with TLS.
    async fn write_certificates(&self) {
        let mut cluster = pd_only();
        cluster["spec"]["tlsCluster"] = json!({"enabled": true});
        let cluster: TidbCluster = serde_json::from_value(cluster).expect("a cluster");
        let authority = Authority::new("test").expect("an authority");
        let api: Api<Secret> = Api::namespaced(self.simulation.client("test"), "default");
        for secret in authority::secrets(&authority, &cluster).expect("issued") {
            let secret = serde_json::from_value(secret).expect("a Secret");
            api.create(&PostParams::default(), &secret).await.expect("accepted");
        }
    }

    fn writes(&self) -> Vec<Entry> {
        self.audit.entries().into_iter().filter(|entry| entry.user_agent == "tidepool").collect()
    }
}

fn condition(status: &Value, name: &str) -> String {
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == name);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default().to_owned()
}

/// The example with 3 PD, 3 TiKV and 2 TiDB.
fn basic() -> Value {
    let mut cluster: Value = serde_saphyr::from_str(include_str!("../../../examples/basic.yaml")).expect("YAML");
    cluster["metadata"]["namespace"] = json!("default");
    cluster
}

fn pd_only() -> Value {
    json!({"apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster", "metadata": {"name": "basic", "namespace": "default"},
           "spec": {"version": "v8.5.0", "pd": {"replicas": 3, "requests": {"storage": "1Gi"}, "config": ""}}})
}

#[tokio::test(start_paused = true)]
async fn a_whole_cluster_comes_up_and_then_all_is_quiet() {
    let bed = bed(&basic()).await;
    let took = bed.ready(600).await;
    println!("ready after {took} simulated seconds, {} writes", bed.writes().len());
    let status = bed.status().await;
    assert_eq!(status["pd"]["members"].as_object().map(serde_json::Map::len), Some(3), "{status:#}");
    // Let the last of the bring-up pass.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let before = bed.writes().len();
    let start = std::time::Instant::now();
    const REST_SECONDS: u64 = 7_200;
    tokio::time::sleep(Duration::from_secs(REST_SECONDS)).await;
    let wall = start.elapsed().as_secs_f64();
    let new: Vec<_> = bed.writes().split_off(before);
    assert!(new.is_empty(), "at rest nothing is written: {:#?}", &new[..new.len().min(3)]);
    println!("at rest {:.0} simulated seconds a second", REST_SECONDS as f64 / wall);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_audit_log() {
    let run = || async {
        let bed = bed(&basic()).await;
        bed.ready(600).await;
        bed.audit.entries()
    };
    let (first, second) = (run().await, run().await);
    assert_eq!(first.len(), second.len());
    let differs = first.iter().zip(&second).find(|(a, b)| a != b);
    assert!(differs.is_none(), "{differs:#?}");
}

#[tokio::test(start_paused = true)]
async fn another_member_is_added_and_progress_shows_it() {
    let bed = bed(&pd_only()).await;
    bed.ready(600).await;
    let patch = json!({"spec": {"pd": {"replicas": 5}}});
    bed.clusters().patch("basic", &PatchParams::default(), &Patch::Merge(patch)).await.expect("accepted");
    tokio::time::sleep(Duration::from_secs(2)).await;
    bed.ready(600).await;
    let status = bed.status().await;
    assert_eq!(status["pd"]["members"].as_object().map(serde_json::Map::len), Some(5));
    let key = ClusterKey { namespace: "default".into(), name: "basic".into() };
    let progress = bed.operator.progress().borrow().get(&key).cloned().expect("a round was");
    let by_name: BTreeMap<_, _> =
        progress.components.iter().map(|c| (c.component.as_str(), (c.ready, c.desired))).collect();
    assert_eq!(by_name["pd"], (5, 5));
}

/// S30: one PD pod restarts with TLS by somebody's hand while the cluster is paused. Each member is asked in its own mode, so PD
/// stays known, and nothing is written. Afterwards the operator puts the template and that pod right, and no other restarts.
#[tokio::test(start_paused = true)]
async fn members_of_both_modes_are_asked_as_they_run() {
    let bed = bed(&pd_only()).await;
    bed.ready(600).await;
    bed.write_certificates().await;
    let patch = async |patch: Value| {
        bed.clusters().patch("basic", &PatchParams::default(), &Patch::Merge(patch)).await.expect("accepted");
        tokio::time::sleep(Duration::from_secs(5)).await;
    };
    patch(json!({"spec": {"paused": true}})).await;
    let before = bed.writes().len();
    let volume = json!({"name": "pd-tls", "secret": {"secretName": "basic-pd-cluster-secret"}});
    let set = json!({"spec": {
        "updateStrategy": {"rollingUpdate": {"partition": 2}}, "template": {"spec": {"volumes": [volume]}},
    }});
    let sets: Api<StatefulSet> = Api::namespaced(bed.simulation.client("test"), "default");
    sets.patch("basic-pd", &PatchParams::default(), &Patch::Strategic(set)).await.expect("accepted");
    tokio::time::sleep(Duration::from_secs(120)).await;

    let members = bed.status().await["pd"]["members"].clone();
    let seen = |pod: &str| (members[pod]["clientURL"].as_str().unwrap_or_default(), members[pod]["health"].clone());
    let url = |scheme: &str, pod: &str| format!("{scheme}://{pod}.basic-pd-peer.default.svc:2379");
    for (pod, scheme, healthy) in
        [("basic-pd-0", "http", true), ("basic-pd-1", "http", true), ("basic-pd-2", "https", false)]
    {
        assert_eq!(seen(pod), (url(scheme, pod).as_str(), json!(healthy)), "{members:#}");
    }
    let written: Vec<_> = bed.writes().split_off(before);
    let workloads = written.iter().filter(|entry| entry.resource == "statefulsets" || entry.resource == "pd");
    assert_eq!(workloads.count(), 0, "{written:#?}");

    let pods: Api<Pod> = Api::namespaced(bed.simulation.client("test"), "default");
    let uids = async || {
        let mut uids = Vec::new();
        for name in ["basic-pd-0", "basic-pd-1", "basic-pd-2"] {
            uids.push(pods.get(name).await.expect("there").metadata.uid);
        }
        uids
    };
    let before = uids().await;
    patch(json!({"spec": {"paused": false}})).await;
    bed.ready(600).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let members = bed.status().await["pd"]["members"].clone();
    let well = |pod: &str| members[pod]["health"] == true && members[pod]["clientURL"] == url("http", pod);
    assert!(["basic-pd-0", "basic-pd-1", "basic-pd-2"].into_iter().all(well), "{members:#}");
    let after = uids().await;
    assert_eq!((&before[..2], before[2] == after[2]), (&after[..2], false), "only the pod of the other mode restarted");
}
