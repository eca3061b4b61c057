//! One round over one cluster: for each component observe, decide, check, apply, and at the end the status.

mod note;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::{Value, json, value::RawValue};
use tidepool_model::{
    Action, Descriptor, Plan, Snapshot, WaitingOn, descriptor::PdRead, plan::EventType, record::Outcome,
    snapshot::PdView,
};
use tidepool_policy::Decision;
use tokio::time::Instant;

use crate::{
    apply::{self, Applied, Hands},
    check::{self, Checked},
    cluster::{Cluster, ClusterKey},
    decide::{Executor, Memory},
    events::Events,
    metrics::{Metrics, ResultLabel},
    observe::{self, Observed, RoundFacts, World},
    policies::{Policies, Policy, Settings, in_order},
    progress::Feed,
    queue::Next,
    record::Recorder,
    status::Wait,
    store::Store,
};

/// Everything a round needs. In a preview the world and the hands are pretended, the rest is the same.
pub struct Engine {
    pub(crate) store: Arc<Store>,
    pub(crate) world: Arc<dyn World>,
    pub(crate) hands: Arc<dyn Hands>,
    pub(crate) policies: Arc<dyn Policies>,
    pub(crate) settings: BTreeMap<String, Arc<RawValue>>,
    pub(crate) executor: Executor,
    pub(crate) memory: Memory,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) progress: Arc<Feed>,
    pub(crate) events: Option<Arc<Events>>,
    pub(crate) now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// A round without a reason comes after this time.
    pub(crate) resync: Duration,
}

/// What a round did.
#[derive(Debug)]
pub struct Report {
    /// When the next one is due.
    pub next: Next,
    /// Plans in the order of the round.
    pub steps: Vec<Step>,
}

/// What came of one component in a round.
#[derive(Debug)]
pub struct Step {
    /// The component.
    pub component: String,
    /// Digest of the policy that decided.
    pub policy: String,
    /// An earlier component held it back; it was not asked.
    pub held: bool,
    /// Its plan says nothing at all.
    pub idle: bool,
    /// Actions of its plan, if the plan was allowed.
    pub actions: Vec<Action>,
    /// Actions that were carried out, from the first.
    pub done: usize,
    /// What it, or the host for it, waits for.
    pub waiting: Vec<WaitingOn>,
    /// Why its plan was not, or not wholly, carried out.
    pub failure: Option<Failure>,
}

/// Why a plan was not, or not wholly, carried out.
#[derive(Debug)]
pub enum Failure {
    /// The user must change the TidbCluster.
    InvalidSpec(String),
    /// The policy failed.
    Fault(String),
    /// The plan breaks rules.
    Refused(String),
    /// An action failed.
    Apply(apply::Error),
}

/// The state of a round under way.
struct Round {
    cluster: Arc<Cluster>,
    now_ms: u64,
    pd: Arc<PdView>,
    status: Value,
    text: Arc<RawValue>,
    steps: Vec<Step>,
    held: bool,
    requeue_ms: Option<u64>,
}

impl Engine {
    /// One round. None if the cluster is gone or going.
    ///
    /// Boxed, because the compiler cannot yet prove a future with so many borrows `Send` where it is spawned.
    pub fn round<'a>(&'a self, key: &'a ClusterKey) -> BoxFuture<'a, Option<Report>> {
        Box::pin(self.walk(key))
    }

    async fn walk(&self, key: &ClusterKey) -> Option<Report> {
        let started = Instant::now();
        let policies = in_order(self.policies.current());
        let mut round = self.begin(key, pd_reads(&policies)).await?;
        for policy in policies {
            if round.held && !sees_the_whole(policy.descriptor()) {
                round.steps.push(Step::held(&policy));
                continue;
            }
            if sees_the_whole(policy.descriptor()) {
                round.tell_held();
            }
            let snapshot = self.observe(&round, policy.descriptor()).await; // observe (cluster)
            let decision = self.decide(&round, policy.clone(), &snapshot).await; // decide (pure), record
            let verdict = self.check(&round, policy.clone(), &snapshot, decision).await; // check (pure)
            let step = self.apply(&round, policy.clone(), verdict).await; // apply (cluster)
            round.note(policy.descriptor(), step);
        }
        let report = self.finish(round).await; // status (cluster)
        self.metrics.round_seconds.observe(started.elapsed().as_secs_f64());
        Some(report)
    }

    /// Drops what is kept of a cluster that is gone.
    pub(crate) fn forget(&self, key: &ClusterKey) {
        self.recorder.forget(key);
        self.memory.forget(key);
        self.progress.forget(key);
        self.metrics.progressed(&self.progress.all());
        if let Some(events) = &self.events {
            events.forget(key);
        }
    }

    async fn begin(&self, key: &ClusterKey, wanted: BTreeSet<PdRead>) -> Option<Round> {
        // A cluster that is being deleted is left to Kubernetes: what is owned goes with it, the rest stays.
        let cluster = self.store.cluster(key).filter(|cluster| !cluster.deleting)?;
        let pd = observe::pd(&*self.world, &self.store, &cluster, wanted).await;
        let status = if cluster.value["status"].is_object() {
            cluster.value["status"].clone()
        } else {
            Value::Object(Default::default())
        };
        Some(Round {
            now_ms: (self.now_ms)(),
            text: cluster.text.clone(),
            steps: Vec::new(),
            held: false,
            requeue_ms: None,
            status,
            pd,
            cluster,
        })
    }

    async fn observe(&self, round: &Round, descriptor: &Descriptor) -> Arc<Snapshot> {
        let observed = Observed {
            cluster: &round.cluster,
            text: round.text.clone(),
            now_ms: round.now_ms,
            pd: round.pd.clone(),
            settings: self.settings.get(&descriptor.component).cloned().unwrap_or_else(|| raw(&json!({}))),
        };
        Arc::new(observe::snapshot(&*self.world, &self.store, &observed, descriptor).await)
    }

    async fn decide(&self, round: &Round, policy: Arc<dyn Policy>, snapshot: &Arc<Snapshot>) -> Decision {
        let decision = self.ask(&round.cluster.key, policy.clone(), snapshot).await;
        let component = &policy.descriptor().component;
        for line in &decision.log {
            tracing::debug!(cluster = %round.cluster.key, component, level = ?line.level, "{}", line.text);
        }
        let (outcome, fuel) = (&decision.outcome, decision.fuel);
        self.recorder.note(&round.cluster.key, component, policy.digest(), snapshot, outcome, fuel);
        decision
    }

    async fn ask(&self, cluster: &ClusterKey, policy: Arc<dyn Policy>, snapshot: &Arc<Snapshot>) -> Decision {
        if let Some(known) = self.memory.recall(cluster, &*policy, snapshot) {
            return known;
        }
        let decision = self.executor.decide(policy.clone(), snapshot.clone()).await;
        self.metrics.asked(&policy.descriptor().component, decision.duration);
        self.memory.keep(cluster, &*policy, snapshot, &decision);
        decision
    }

    async fn check(
        &self,
        round: &Round,
        policy: Arc<dyn Policy>,
        snapshot: &Arc<Snapshot>,
        decision: Decision,
    ) -> Result<Checked, Failure> {
        let Decision { outcome, .. } = decision;
        let component = &policy.descriptor().component;
        let (label, verdict) = match outcome {
            Outcome::InvalidSpec(text) => ("invalid-spec", Err(Failure::InvalidSpec(text))),
            Outcome::Fault(text) => ("fault", Err(Failure::Fault(text))),
            Outcome::Plan(plan) => match self.allow(round, policy.clone(), snapshot, plan).await {
                Ok(checked) => ("plan", Ok(checked)),
                Err(broken) => ("refused", Err(Failure::Refused(broken))),
            },
        };
        self.metrics.decided(component, label);
        verdict
    }

    async fn allow(
        &self,
        round: &Round,
        policy: Arc<dyn Policy>,
        snapshot: &Arc<Snapshot>,
        plan: Plan,
    ) -> Result<Checked, String> {
        let broken = |violations: Vec<tidepool_model::check::Violation>| {
            violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        check::same_at_any_time(&self.executor, policy.clone(), snapshot, &plan).await.map_err(broken)?;
        let facts = RoundFacts { store: &self.store, cluster: &round.cluster, pd: &round.pd };
        check::verify(&facts, policy.descriptor(), snapshot, plan).map_err(broken)
    }

    async fn apply(&self, round: &Round, policy: Arc<dyn Policy>, verdict: Result<Checked, Failure>) -> Outcomes {
        let component = policy.descriptor().component.clone();
        let digest = policy.digest().to_owned();
        let checked = match verdict {
            Ok(checked) => checked,
            Err(failure) => return Outcomes { step: Step::failed(component, digest, failure), plan: None },
        };
        let Applied { done, error } = apply::apply(&*self.hands, &round.cluster, policy.descriptor(), &checked).await;
        let plan = checked.plan().clone();
        let idle = plan == Plan::default();
        for action in plan.actions.iter().take(done) {
            self.metrics.acted(action.verb(), "ok");
        }
        if let (Some(error), Some(action)) = (&error, plan.actions.get(done)) {
            self.metrics.acted(action.verb(), error.category());
        }
        let failure = error.map(Failure::Apply);
        let mut waiting = plan.waiting.clone();
        waiting.extend(failure.as_ref().and_then(|failure| failure.wait(&component)));
        let actions = plan.actions.clone();
        let step = Step { component, policy: digest, held: false, idle, done, waiting, failure, actions };
        Outcomes { step, plan: Some(plan) }
    }

    async fn finish(&self, mut round: Round) -> Report {
        let waits: Vec<Wait> = round.waits();
        let old = round.cluster.value["status"].clone();
        round.judge(&waits);
        self.tell(&round, &old, &waits).await;
        let written = match crate::status::patch(&old, &round.status) {
            Some(patch) => self.hands.write_status(&round.cluster, patch).await,
            None => Ok(false),
        };
        if matches!(written, Ok(true)) {
            self.metrics.status_writes.inc();
        }
        if self.progress.publish(&round.cluster.key, round.progress(&self.store)) {
            self.metrics.progressed(&self.progress.all());
        }
        let next = round.next(&written, self.resync);
        let result = round.steps.iter().find_map(|step| step.failure.as_ref().map(Failure::category));
        self.metrics.rounds.get_or_create(&ResultLabel { result: result.unwrap_or("ok") }).inc();
        if let Err(error) = &written {
            tracing::info!(cluster = %round.cluster.key, error = error.chain(), "failed to write the status");
        }
        Report { next, steps: round.steps }
    }

    /// Events for what is new in this round: waits, failures, and other policies than before.
    async fn tell(&self, round: &Round, old: &Value, waits: &[Wait]) {
        let Some(events) = &self.events else { return };
        for wait in crate::status::new_waits(old, waits) {
            let (kind, reason) = match Failure::event(&wait.on.reason) {
                Some(reason) => (EventType::Warning, reason),
                None => (EventType::Normal, wait.on.reason.as_str()),
            };
            events.publish(&round.cluster, kind, reason, &wait.text_with_deadline()).await;
        }
        for step in &round.steps {
            let before = old["policies"][&step.component].as_str();
            if before.is_some_and(|before| before != step.policy) {
                let message = format!("{} is now decided by the policy {}", step.component, step.policy);
                events.publish(&round.cluster, EventType::Normal, "PolicyChanged", &message).await;
            }
        }
    }
}

/// What `apply` hands on: the step, and the plan for what is not an action in it.
struct Outcomes {
    step: Step,
    plan: Option<Plan>,
}

/// A policy that states the cluster's conditions judges the whole. It is asked also when the round was held up, and told who
/// was held back, for a cluster that is held up must not go on calling itself ready (S29).
fn sees_the_whole(descriptor: &Descriptor) -> bool {
    descriptor.status.iter().any(|key| key == "conditions")
}

/// The settings as policies get them.
pub(crate) fn raw_settings(settings: &Settings) -> BTreeMap<String, Arc<RawValue>> {
    settings.iter().map(|(component, settings)| (component.clone(), raw(settings))).collect()
}

fn raw(value: &Value) -> Arc<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_default().into()
}

/// The parts of PD's view that some policy wants.
fn pd_reads(policies: &[Arc<dyn Policy>]) -> BTreeSet<PdRead> {
    policies.iter().flat_map(|policy| policy.descriptor().pd.iter().copied()).collect()
}

/// Digests by component, of all steps.
fn digests(steps: &[Step]) -> BTreeMap<String, String> {
    steps.iter().map(|step| (step.component.clone(), step.policy.clone())).collect()
}
