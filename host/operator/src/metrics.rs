//! Metrics of the operator. Labels are small sets: components that have a policy, verbs of the contract, categories of
//! errors, and reasons of waits up to a limit. No name of an object or cluster is a label, so nobody can make the number
//! of series grow.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::progress::Progress;

/// Seconds: a decision takes tens of microseconds, a round with a dead PD takes its timeouts.
const BUCKETS: [f64; 13] = [0.000_05, 0.000_2, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0];

/// Pairs of component and reason that are told apart. The shipped policies have some dozens; a policy that makes up a
/// reason for each round must not wear out the reader of the metrics.
const WAITS_MAX: usize = 256;

/// The reason of all waits beyond [`WAITS_MAX`].
const OTHER_REASON: &str = "Other";

/// Label `result`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `ok`, or a category of failure.
    pub result: &'static str,
}

/// Labels of decisions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecisionLabels {
    /// Component.
    pub component: String,
    /// `plan`, `invalid-spec`, `fault` or `refused`.
    pub outcome: &'static str,
}

/// Label `component`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ComponentLabel {
    /// Component.
    pub component: String,
}

/// Labels of actions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ActionLabels {
    /// Method of the contract.
    pub verb: &'static str,
    /// `ok`, or a category of failure.
    pub result: &'static str,
}

/// Labels of what is waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct WaitLabels {
    /// Component that waits.
    pub component: String,
    /// Why, as in the status.
    pub reason: String,
}

/// All metrics of one operator.
pub struct Metrics {
    registry: Registry,
    /// Rounds by how they ended.
    pub rounds: Family<ResultLabel, Counter>,
    /// Duration of rounds.
    pub round_seconds: Histogram,
    /// Decisions by outcome.
    pub decisions: Family<DecisionLabels, Counter>,
    /// Calls of policies. Fewer than decisions: what a policy would say again, it is not asked.
    pub calls: Family<ComponentLabel, Counter>,
    /// Duration of calls of policies.
    pub call_seconds: Histogram,
    /// Actions by result.
    pub actions: Family<ActionLabels, Counter>,
    /// Things that are waited for, over all clusters.
    pub waiting: Family<WaitLabels, Gauge>,
    /// The waits that have been told, so that those which ended go to 0.
    waits: Mutex<BTreeSet<WaitLabels>>,
    /// Clusters that are seen.
    pub clusters: Gauge,
    /// 1 while this instance leads.
    pub leader: Gauge,
    /// Status writes.
    pub status_writes: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("tidepool"),
            rounds: Family::default(),
            round_seconds: Histogram::new(BUCKETS),
            decisions: Family::default(),
            calls: Family::default(),
            call_seconds: Histogram::new(BUCKETS),
            actions: Family::default(),
            waiting: Family::default(),
            waits: Mutex::default(),
            clusters: Gauge::default(),
            leader: Gauge::default(),
            status_writes: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string fails only if a metric's own encoding does; what was written so far is still true.
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("failed to encode the metrics");
        }
        text
    }

    /// Notes a decision.
    pub fn decided(&self, component: &str, outcome: &'static str) {
        self.decisions.get_or_create(&DecisionLabels { component: component.to_owned(), outcome }).inc();
    }

    /// Notes that a policy was asked.
    pub fn asked(&self, component: &str, duration: Duration) {
        self.calls.get_or_create(&ComponentLabel { component: component.to_owned() }).inc();
        self.call_seconds.observe(duration.as_secs_f64());
    }

    /// Notes an action.
    pub fn acted(&self, verb: &'static str, result: &'static str) {
        self.actions.get_or_create(&ActionLabels { verb, result }).inc();
    }

    /// Sets what is counted over all clusters.
    pub fn progressed(&self, all: &Progress) {
        self.clusters.set(all.len().try_into().unwrap_or(i64::MAX));
        let mut known = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts: BTreeMap<WaitLabels, i64> = known.iter().map(|labels| (labels.clone(), 0)).collect();
        for component in all.values().flat_map(|cluster| &cluster.components) {
            for on in &component.waiting {
                let component = component.component.clone();
                let mut labels = WaitLabels { component, reason: on.reason.clone() };
                if counts.len() >= WAITS_MAX && !counts.contains_key(&labels) {
                    OTHER_REASON.clone_into(&mut labels.reason);
                }
                *counts.entry(labels).or_default() += 1;
            }
        }
        for (labels, count) in counts {
            self.waiting.get_or_create(&labels).set(count);
            known.insert(labels);
        }
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("rounds", "Rounds over a cluster, by how they ended", self.rounds.clone());
        registry.register("round_seconds", "Duration of a round", self.round_seconds.clone());
        registry.register("decisions", "Decisions of policies, by outcome", self.decisions.clone());
        registry.register("calls", "Calls of policies: decisions that were not known beforehand", self.calls.clone());
        registry.register("call_seconds", "Duration of a call of a policy", self.call_seconds.clone());
        registry.register("actions", "Actions of plans, by result", self.actions.clone());
        registry.register("waiting", "Things that are waited for, by component and reason", self.waiting.clone());
        registry.register("clusters", "TidbClusters that are seen", self.clusters.clone());
        registry.register("leader", "1 while this instance leads", self.leader.clone());
        registry.register("status_writes", "Writes of a TidbCluster's status", self.status_writes.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidepool_model::WaitingOn;

    use super::*;
    use crate::{
        cluster::ClusterKey,
        progress::{ClusterProgress, ComponentProgress},
    };

    #[test]
    fn metrics_are_text_that_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.decided("pd", "plan");
        metrics.asked("pd", Duration::from_micros(30));
        metrics.acted("create", "ok");
        let text = metrics.text();
        assert!(text.contains(r#"tidepool_decisions_total{component="pd",outcome="plan"} 1"#), "{text}");
        assert!(text.contains(r#"tidepool_actions_total{verb="create",result="ok"} 1"#), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    fn waiting(reasons: impl IntoIterator<Item = String>) -> Progress {
        let on = |reason| WaitingOn { reason, subject: String::new(), message: String::new(), deadline_ms: None };
        let waiting = reasons.into_iter().map(on).collect();
        let component = ComponentProgress { component: "pd".into(), waiting, ..ComponentProgress::default() };
        let cluster = ClusterProgress { components: vec![component], ..ClusterProgress::default() };
        let key = ClusterKey { namespace: "tidb".into(), name: "basic".into() };
        Progress::from([(key, Arc::new(cluster))])
    }

    #[test]
    fn waits_are_counted_by_reason_and_go_to_nothing_when_they_end() {
        let metrics = Metrics::default();
        let shown = |count: i64| format!(r#"tidepool_waiting{{component="pd",reason="PodsNotReady"}} {count}"#);
        metrics.progressed(&waiting(["PodsNotReady".into(), "PodsNotReady".into()]));
        assert!(metrics.text().contains(&shown(2)), "{}", metrics.text());
        metrics.progressed(&Progress::new());
        assert!(metrics.text().contains(&shown(0)), "the cluster is gone: {}", metrics.text());
    }

    #[test]
    fn a_policy_that_makes_up_reasons_cannot_make_the_metrics_grow() {
        let metrics = Metrics::default();
        for round in 0..10 {
            metrics.progressed(&waiting((0..100).map(|number| format!("Reason{round}-{number}"))));
        }
        let lines = metrics.text().lines().filter(|line| line.starts_with("tidepool_waiting{")).count();
        assert_eq!(lines, WAITS_MAX + 1);
    }
}
