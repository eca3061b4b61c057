//! The whole loop against an API server that can be broken, under virtual time on one thread.

mod double;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use double::Api;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use tidepool_model::{
    Action, Descriptor, Plan, Snapshot, WaitingOn,
    descriptor::{Kind, PdRead, Scope, Watch},
    plan::Precondition,
    record::Outcome,
};
use tidepool_operator::{ClusterKey, Config, Deciders, Executor, LeaseConfig, Operator, Policies, Policy};
use tidepool_pd::Http;
use tidepool_policy::{Decision, Part, Reads, Swapped};
use tokio::task::JoinHandle;

const TC: &str = "pingcap.com/v1alpha1";

type Decide = Arc<dyn Fn(&Snapshot) -> Outcome + Send + Sync>;

/// A policy that is a closure.
struct Scripted {
    descriptor: Descriptor,
    digest: String,
    decide: Decide,
    /// What it is seen to read.
    reads: Reads,
    asked: AtomicUsize,
}

impl Policy for Scripted {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn decide(&self, snapshot: Arc<Snapshot>) -> Decision {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Decision {
            outcome: (self.decide)(&snapshot),
            reads: self.reads,
            fuel: 1,
            log: Vec::new(),
            duration: Duration::ZERO,
        }
    }
}

type Listener = Box<dyn Fn(&Swapped) + Send + Sync>;

#[derive(Default)]
struct Set {
    policies: Mutex<BTreeMap<String, Arc<Scripted>>>,
    listeners: Mutex<Vec<Listener>>,
}

impl Set {
    fn of(policies: Vec<Arc<Scripted>>) -> Arc<Self> {
        let set = Self::default();
        for policy in policies {
            set.policies.lock().unwrap().insert(policy.descriptor.component.clone(), policy);
        }
        Arc::new(set)
    }

    fn swap(&self, policy: Arc<Scripted>) {
        let (component, now) = (policy.descriptor.component.clone(), policy.digest.clone());
        self.policies.lock().unwrap().insert(component.clone(), policy);
        for listener in self.listeners.lock().unwrap().iter() {
            listener(&Swapped { component: component.clone(), before: None, now: now.clone() });
        }
    }
}

impl Policies for Set {
    fn current(&self) -> Vec<Arc<dyn Policy>> {
        self.policies.lock().unwrap().values().map(|policy| policy.clone() as Arc<dyn Policy>).collect()
    }

    fn on_swap(&self, listener: Listener) {
        self.listeners.lock().unwrap().push(listener);
    }
}

fn policy(component: &str, decide: impl Fn(&Snapshot) -> Outcome + Send + Sync + 'static) -> Arc<Scripted> {
    let kind = |api_version: &str, kind: &str| Kind { api_version: api_version.into(), kind: kind.into() };
    let watch = |api_version: &str, kind: &str, of| Watch { api_version: api_version.into(), kind: kind.into(), of };
    let descriptor = Descriptor {
        component: component.into(),
        watches: vec![watch("v1", "ConfigMap", Scope::Component), watch("v1", "Secret", Scope::Referenced)],
        actions: ["create", "replace", "merge-patch", "delete", "event"].map(Into::into).into(),
        writes: vec![kind("v1", "ConfigMap")],
        ..Descriptor::default()
    };
    let digest = format!("sha256:{component}");
    Arc::new(Scripted {
        descriptor,
        digest,
        decide: Arc::new(decide),
        reads: Reads::everything(),
        asked: AtomicUsize::new(0),
    })
}

fn map(snapshot: &Snapshot, component: &str, data: &str) -> Value {
    let cluster: Value = serde_json::from_str(snapshot.cluster.get()).unwrap();
    let name = cluster["metadata"]["name"].as_str().unwrap();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": data},
           "metadata": {"name": format!("{name}-{component}"), "labels": {
               "app.kubernetes.io/managed-by": "tidb-operator", "app.kubernetes.io/instance": name,
               "app.kubernetes.io/component": component}}})
}

/// Wants one ConfigMap with this content, and says in its status what it has seen.
fn wanting(component: &'static str, data: &'static str) -> Arc<Scripted> {
    policy(component, move |snapshot| {
        let object = map(snapshot, component, data);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let mut plan = Plan { status: Some(json!({"phase": "Normal", "empty": null})), ..Plan::default() };
        match snapshot.object(0, &name).expect("known") {
            None => plan.actions.push(Action::Create { object }),
            Some(kept) => {
                let value: Value = serde_json::from_str(kept.json.get()).unwrap();
                if value["data"]["a"] != data {
                    let expect = Precondition {
                        uid: Some(kept.head.uid.clone()),
                        resource_version: Some(kept.head.resource_version.clone()),
                    };
                    plan.actions.push(Action::Replace { object, expect });
                }
            }
        }
        Outcome::Plan(plan)
    })
}

struct Bed {
    api: Api,
    operator: Arc<Operator>,
    config: Config,
    policies: Arc<Set>,
    running: JoinHandle<()>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn nobody() -> Http {
    Http::over(tower::service_fn(|_: Request<Full<Bytes>>| async {
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        Ok::<_, Infallible>(response)
    }))
}

fn config(api: &Api, policies: Arc<Set>) -> Config {
    let start = tokio::time::Instant::now();
    let now_ms = Arc::new(move || 1_767_225_600_000 + u64::try_from(start.elapsed().as_millis()).unwrap());
    Config { executor: Executor::Inline, ..Config::new(api.client(), policies, nobody(), now_ms) }
}

fn start(api: &Api, policies: Vec<Arc<Scripted>>, adjust: impl FnOnce(&mut Config)) -> Bed {
    let policies = Set::of(policies);
    let mut config = config(api, policies.clone());
    adjust(&mut config);
    let operator = Arc::new(Operator::new(config.clone()));
    let runs = operator.clone();
    let running = tokio::spawn(async move { runs.run(std::future::pending()).await.expect("it runs") });
    Bed { api: api.clone(), operator, config, policies, running }
}

fn bed(policies: Vec<Arc<Scripted>>) -> Bed {
    let api = Api::default();
    api.put("tidbclusters", cluster("basic"));
    start(&api, policies, |_| ())
}

fn cluster(name: &str) -> Value {
    json!({"apiVersion": TC, "kind": "TidbCluster", "metadata": {"name": name, "namespace": "tidb", "generation": 1},
           "spec": {"tidb": {"secret": "password"}}})
}

impl Bed {
    fn status(&self) -> Value {
        self.api.get(TC, "tidbclusters", "tidb", "basic").expect("there")["status"].clone()
    }

    fn config_map(&self, component: &str) -> Option<Value> {
        self.api.get("v1", "configmaps", "tidb", &format!("basic-{component}"))
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_wants_comes_to_be_and_then_nothing_is_written() {
    let pd = wanting("pd", "x");
    let bed = bed(vec![pd.clone()]);
    seconds(20).await;
    let map = bed.config_map("pd").expect("created");
    assert_eq!(map["metadata"]["namespace"], "tidb");
    let owner = &map["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["controller"]), (&json!("TidbCluster"), &json!(true)));
    let status = bed.status();
    assert_eq!(status["pd"], json!({"phase": "Normal"}));
    assert_eq!(status["policies"], json!({"pd": "sha256:pd"}));
    assert_eq!(status["conditions"][0]["type"], "Reconciled");
    assert_eq!(status["conditions"][0]["status"], "True");
    bed.api.clear_writes();
    let asked = pd.asked.load(Ordering::Relaxed);
    seconds(3000).await;
    assert_eq!(bed.api.writes(), Vec::<String>::new(), "at rest nothing is written");
    assert_eq!(pd.asked.load(Ordering::Relaxed) - asked, 100, "one round for each resync");
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_asked_again_when_anything_that_it_read_changes_and_only_then() {
    let mut pd = wanting("pd", "x");
    let mut reads = Reads::default();
    [Part::Cluster, Part::Watches].into_iter().for_each(|part| reads.note(part));
    Arc::get_mut(&mut pd).expect("not shared yet").reads = reads;
    let bed = bed(vec![pd.clone()]);
    seconds(20).await;
    let asked = |since: usize| pd.asked.load(Ordering::Relaxed) - since;
    let rest = asked(0);
    seconds(3000).await;
    assert_eq!(asked(rest), 0, "it did not look at the clock, and nothing else has changed");
    let mut cluster = bed.api.get(TC, "tidbclusters", "tidb", "basic").expect("there");
    cluster["spec"]["tidb"]["secret"] = json!("other");
    bed.api.put("tidbclusters", cluster);
    seconds(40).await;
    let edited = asked(rest);
    assert!(edited >= 1, "the cluster changed");
    let mut map = bed.config_map("pd").expect("created");
    map["data"]["a"] = json!("y");
    bed.api.put("configmaps", map);
    seconds(40).await;
    assert_eq!(bed.config_map("pd").expect("there")["data"]["a"], "x");
    assert!(asked(rest) > edited, "an object changed");
    let next = Arc::new(Scripted {
        descriptor: pd.descriptor.clone(),
        digest: "sha256:next".into(),
        decide: pd.decide.clone(),
        reads,
        asked: AtomicUsize::new(0),
    });
    bed.policies.swap(next.clone());
    seconds(40).await;
    assert!(next.asked.load(Ordering::Relaxed) >= 1, "what another policy said is not its answer");
    assert_eq!(bed.status()["policies"], json!({"pd": "sha256:next"}));
}

#[tokio::test(start_paused = true)]
async fn a_change_by_somebody_else_is_put_right() {
    let bed = bed(vec![wanting("pd", "x")]);
    seconds(5).await;
    let mut map = bed.config_map("pd").expect("created");
    map["data"]["a"] = json!("y");
    bed.api.put("configmaps", map);
    seconds(1).await;
    assert_eq!(bed.config_map("pd").expect("there")["data"]["a"], "x");
    bed.api.remove("v1", "configmaps", "tidb", "basic-pd");
    seconds(1).await;
    assert!(bed.config_map("pd").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_fault_stays_in_its_cluster_and_in_the_components_after_it() {
    let pd = policy("pd", |snapshot| match snapshot.cluster.get().contains("\"basic\"") {
        true => Outcome::Fault("trapped".into()),
        false => Outcome::Plan(Plan::default()),
    });
    let mut tikv = wanting("tikv", "x");
    Arc::get_mut(&mut tikv).expect("not shared").descriptor.after = vec!["pd".into()];
    let bed = bed(vec![pd, tikv]);
    bed.api.put("tidbclusters", cluster("other"));
    seconds(5).await;
    assert!(bed.config_map("tikv").is_none(), "held back");
    assert!(bed.api.get("v1", "configmaps", "tidb", "other-tikv").is_some());
    let waiting = bed.status()["waiting"][0].clone();
    assert_eq!((&waiting["reason"], &waiting["message"]), (&json!("PolicyFault"), &json!("trapped")));
    let events = bed.api.all("events");
    assert_eq!(events.len(), 1, "told once: {events:#?}");
    assert_eq!((&events[0]["type"], &events[0]["reason"]), (&json!("Warning"), &json!("PolicyFault")));
    let writes = bed.api.writes().len();
    seconds(600).await;
    assert_eq!(bed.api.writes().len(), writes, "a fault that lasts writes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_breaks_a_rule_is_refused_as_a_whole() {
    let bed = bed(vec![policy("pd", |snapshot| {
        let mut foreign = map(snapshot, "pd", "x");
        foreign["metadata"]["namespace"] = json!("kube-system");
        let actions = vec![Action::Create { object: map(snapshot, "pd", "x") }, Action::Create { object: foreign }];
        Outcome::Plan(Plan { actions, ..Plan::default() })
    })]);
    seconds(5).await;
    assert!(bed.api.all("configmaps").is_empty());
    assert_eq!(bed.status()["waiting"][0]["reason"], "PlanRefused");
}

#[tokio::test(start_paused = true)]
async fn the_first_failed_action_ends_the_plan_and_a_later_round_makes_up_for_it() {
    let two = policy("pd", |snapshot| {
        let maps = [map(snapshot, "pd", "x"), map(snapshot, "pd-2", "x")];
        let missing = maps.into_iter().filter(|map| {
            let name = map["metadata"]["name"].as_str().unwrap();
            !snapshot.objects(0).expect("known").iter().any(|kept| kept.head.name == name)
        });
        let actions = missing.map(|mut object| {
            object["metadata"]["labels"]["app.kubernetes.io/component"] = json!("pd");
            Action::Create { object }
        });
        Outcome::Plan(Plan { actions: actions.collect(), ..Plan::default() })
    });
    let api = Api::default();
    api.put("tidbclusters", cluster("basic"));
    api.fail("POST configmaps/", 500);
    let bed = start(&api, vec![two], |_| ());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(bed.api.all("configmaps").is_empty(), "the second is not tried before the first is done");
    assert_eq!(bed.status()["waiting"][0]["reason"], "ApplyFailed");
    seconds(5).await;
    assert_eq!(bed.api.all("configmaps").len(), 2);
    assert_eq!(bed.status()["waiting"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn another_policy_decides_at_once_and_is_named() {
    let bed = bed(vec![wanting("pd", "x")]);
    seconds(5).await;
    let mut next = wanting("pd", "y");
    Arc::get_mut(&mut next).expect("not shared").digest = "sha256:next".into();
    bed.policies.swap(next);
    seconds(1).await;
    assert_eq!(bed.config_map("pd").expect("there")["data"]["a"], "y");
    assert_eq!(bed.status()["policies"]["pd"], "sha256:next");
    assert!(bed.api.all("events").iter().any(|event| event["reason"] == "PolicyChanged"));
}

#[tokio::test(start_paused = true)]
async fn waits_show_in_status_and_as_one_event_and_their_deadline_brings_a_round() {
    let until = 1_767_225_600_000 + 10_000;
    let pd = policy("pd", move |snapshot| {
        let mut plan = Plan::default();
        if snapshot.now_ms < until {
            plan.waiting.push(WaitingOn {
                reason: "PodsNotReady".into(),
                subject: "pod/basic-pd-0".into(),
                message: "it starts".into(),
                deadline_ms: Some(until),
            });
        }
        Outcome::Plan(plan)
    });
    let bed = bed(vec![pd]);
    seconds(5).await;
    let waiting = bed.status()["waiting"][0].clone();
    assert_eq!(waiting["deadline"], "2026-01-01T00:00:10Z");
    assert_eq!(bed.status()["conditions"][0]["reason"], "PodsNotReady");
    seconds(6).await;
    assert_eq!(bed.status()["waiting"], Value::Null, "the deadline brought a round before the resync");
    let events = bed.api.all("events");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["reason"], "PodsNotReady");
    assert_eq!(events[0]["message"], "pd: it starts (until 2026-01-01T00:00:10Z)");
}

#[tokio::test(start_paused = true)]
async fn secrets_are_asked_for_by_their_heads_alone() {
    let seen = Arc::new(Mutex::new(String::new()));
    let note = seen.clone();
    let api = Api::default();
    api.put("tidbclusters", cluster("basic"));
    api.put(
        "secrets",
        json!({"apiVersion": "v1", "kind": "Secret", "data": {"root": "canary"},
        "metadata": {"name": "password", "namespace": "tidb", "annotations": {"last": "canary"}}}),
    );
    let pd = policy("pd", move |snapshot| {
        *note.lock().unwrap() = serde_json::to_string(snapshot).unwrap();
        Outcome::Plan(Plan::default())
    });
    let _bed = start(&api, vec![pd], |_| ());
    seconds(5).await;
    let seen = seen.lock().unwrap().clone();
    assert!(seen.contains("\"password\""), "the head is there");
    assert!(!seen.contains("canary"));
    assert!(api.accepts("secrets").iter().all(|accept| accept.contains("PartialObjectMetadataList")));
}

#[tokio::test(start_paused = true)]
async fn a_status_that_the_server_drops_is_not_written_for_ever() {
    let bed = bed(vec![wanting("pd", "x")]);
    seconds(5).await;
    // Somebody takes a part away again and again; the operator puts it back once for each change, not on its own.
    let mut object = bed.api.get(TC, "tidbclusters", "tidb", "basic").expect("there");
    object["status"].as_object_mut().expect("written").remove("pd");
    bed.api.put("tidbclusters", object);
    seconds(2).await;
    assert_eq!(bed.status()["pd"]["phase"], "Normal");
    bed.api.clear_writes();
    seconds(100).await;
    assert_eq!(bed.api.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn without_a_status_subresource_the_object_itself_is_patched() {
    let api = Api::default();
    api.put("tidbclusters", cluster("basic"));
    api.fail("PATCH tidbclusters/basic/status", 404);
    let bed = start(&api, vec![wanting("pd", "x")], |_| ());
    seconds(5).await;
    assert_eq!(bed.status()["pd"]["phase"], "Normal");
    assert!(bed.api.writes().contains(&"PATCH tidbclusters/basic".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn only_the_holder_of_the_lease_works_and_the_next_takes_over() {
    let api = Api::default();
    api.put("tidbclusters", cluster("basic"));
    let leased = |instance: &'static str, data| {
        start(&api, vec![wanting("pd", data)], move |config| {
            let (namespace, name) = ("ops".to_owned(), "tidepool".to_owned());
            config.lease = Some(LeaseConfig { namespace, name, identity: instance.to_owned() });
        })
    };
    let first = leased("a", "from-a");
    seconds(1).await;
    let second = leased("b", "from-b");
    seconds(60).await;
    assert_eq!(second.config_map("pd").expect("there")["data"]["a"], "from-a");
    drop(first);
    seconds(30).await;
    assert_eq!(second.config_map("pd").expect("there")["data"]["a"], "from-b");
    let lease = api.get("coordination.k8s.io/v1", "leases", "ops", "tidepool").expect("there");
    assert_eq!(lease["spec"]["holderIdentity"], "b");
}

#[tokio::test(start_paused = true)]
async fn a_preview_shows_what_would_be_written_and_writes_nothing() {
    let bed = bed(vec![wanting("pd", "x")]);
    seconds(5).await;
    let mut map = bed.config_map("pd").expect("created");
    bed.running.abort();
    map["data"]["a"] = json!("old");
    bed.api.put("configmaps", map);
    bed.api.clear_writes();
    let preview = tidepool_operator::plan(&bed.config, cluster("basic")).await.expect("a preview");
    let change = &preview.components[0].changes[0];
    assert_eq!((change.verb, change.subject.as_str()), ("replace", "configmap/basic-pd"));
    assert_eq!(change.before.as_ref().expect("there")["data"]["a"], "old");
    let after = change.after.as_ref().expect("there");
    assert_eq!((&after["data"]["a"], &after["filledIn"]), (&json!("x"), &json!("by the server")));
    assert_eq!(bed.api.writes(), Vec::<String>::new());

    let Config { policies, settings, executor, now_ms, .. } = bed.config.clone();
    let deciders = Deciders { policies, settings, executor, now_ms };
    let preview = tidepool_operator::plan_from_nothing(deciders, cluster("basic")).await.expect("a preview");
    assert_eq!(preview.components[0].changes[0].verb, "create");
}

#[tokio::test(start_paused = true)]
async fn progress_and_records_tell_what_happened() {
    let bed = bed(vec![wanting("pd", "x")]);
    let mut progress = bed.operator.progress();
    seconds(5).await;
    let key = ClusterKey { namespace: "tidb".into(), name: "basic".into() };
    let seen = progress.borrow_and_update().get(&key).cloned().expect("a round was");
    assert_eq!((seen.components[0].component.as_str(), seen.components[0].phase.as_str()), ("pd", "Normal"));
    seconds(300).await;
    assert!(!progress.has_changed().expect("it runs"), "at rest there is no news");
    let records = bed.operator.recorder().records(&key, "pd");
    assert_eq!(records.len(), 2, "the first decision, and the last of those that repeat each other");
    bed.api.remove(TC, "tidbclusters", "tidb", "basic");
    seconds(5).await;
    assert!(progress.borrow().is_empty());
}

/// A pod of PD, so that PD is asked.
fn pd_pod(cluster: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running"},
           "metadata": {"name": format!("{cluster}-pd-0"), "namespace": "tidb", "labels": {
               "app.kubernetes.io/managed-by": "tidb-operator", "app.kubernetes.io/instance": cluster,
               "app.kubernetes.io/component": "pd"}}})
}

#[tokio::test(start_paused = true)]
async fn a_cluster_whose_pd_hangs_holds_no_other_back() {
    let api = Api::default();
    let mut hanging = cluster("basic");
    hanging["spec"]["pd"] = json!({});
    api.put("tidbclusters", hanging);
    api.put("pods", pd_pod("basic"));
    api.put("tidbclusters", cluster("other"));
    let mut pd = wanting("pd", "x");
    Arc::get_mut(&mut pd).expect("not shared").descriptor.pd = vec![PdRead::Members];
    let silent = Http::over(tower::service_fn(|_: Request<Full<Bytes>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    }));
    let bed = start(&api, vec![pd], |config| config.http = silent);
    seconds(1).await;
    assert!(bed.api.get("v1", "configmaps", "tidb", "other-pd").is_some());
    assert!(bed.config_map("pd").is_none(), "its round still waits for PD");
    // A read that met silence is tried once more, as a Service would lead to another member: two timeouts.
    seconds(11).await;
    assert!(bed.config_map("pd").is_some(), "decided with PD unknown");
}

#[tokio::test(start_paused = true)]
async fn a_pod_template_that_depends_on_the_time_is_refused() {
    let mut pd = policy("pd", |snapshot| {
        let mut set = map(snapshot, "pd", "x");
        set["apiVersion"] = json!("apps/v1");
        set["kind"] = json!("StatefulSet");
        let labels = set["metadata"]["labels"].clone();
        set["spec"] =
            json!({"template": {"metadata": {"labels": labels, "annotations": {"at": snapshot.now_ms.to_string()}}}});
        Outcome::Plan(Plan { actions: vec![Action::Create { object: set }], ..Plan::default() })
    });
    let kind = Kind { api_version: "apps/v1".into(), kind: "StatefulSet".into() };
    Arc::get_mut(&mut pd).expect("not shared").descriptor.writes.push(kind);
    let bed = bed(vec![pd]);
    seconds(5).await;
    assert!(bed.api.all("statefulsets").is_empty());
    let message = bed.status()["waiting"][0]["message"].clone();
    assert!(message.as_str().is_some_and(|text| text.contains("S15")), "{message}");
}

#[tokio::test(start_paused = true)]
async fn the_same_start_gives_the_same_writes() {
    let run = || async {
        let bed = bed(vec![wanting("pd", "x"), wanting("tikv", "x"), wanting("tidb", "x")]);
        for name in ["a", "b", "c"] {
            bed.api.put("tidbclusters", cluster(name));
        }
        bed.api.fail("POST configmaps/", 500);
        seconds(60).await;
        bed.api.writes()
    };
    let (first, second) = (run().await, run().await);
    assert_eq!(first, second);
    assert!(first.len() >= 16, "each cluster its objects and a status: {first:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_is_a_metric() {
    let bed = bed(vec![policy("pd", |_| Outcome::InvalidSpec("spec.pd.replicas: negative".into()))]);
    seconds(5).await;
    let text = bed.operator.metrics().text();
    assert!(text.contains(r#"tidepool_waiting{component="pd",reason="InvalidSpec"} 1"#), "{text}");
    assert!(text.contains("tidepool_clusters 1"), "{text}");
    assert_eq!(bed.status()["conditions"][0]["reason"], "InvalidSpec");
}
