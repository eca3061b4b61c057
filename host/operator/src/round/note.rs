//! What a round remembers of each component, and what it concludes in the end. Pure.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tidepool_api::status::Phase;
use tidepool_model::{Action, Descriptor, WaitingOn};

use super::{Failure, Outcomes, Round, Step, digests};
use crate::{
    apply,
    policies::Policy,
    progress::{ClusterProgress, ComponentProgress, Ready},
    queue::Next,
    status::{self, Wait},
    store::Store,
};

/// A deadline in the past is no reason to ask again at once, for ever.
const DEADLINE_PAUSE_MS_MIN: u64 = 1_000;

/// While something is waited for, a round follows at least this often.
const WAITING_SECONDS: u64 = 5;

impl Round {
    /// Takes what came of one component. Its status is seen by the components after it.
    pub(super) fn note(&mut self, descriptor: &Descriptor, outcomes: Outcomes) {
        let Outcomes { step, plan } = outcomes;
        self.held |= step.failure.is_some();
        if let Some(plan) = plan {
            self.held |= plan.hold_later;
            self.requeue_ms = earlier(self.requeue_ms, plan.requeue_after_ms.map(u64::from));
            if let Some(said) = plan.status {
                let before = self.status.clone();
                status::merge_component(&mut self.status, descriptor, said);
                if self.status != before {
                    self.renew_text();
                }
            }
        }
        self.steps.push(step);
    }

    /// Says which components were held back: what the status says of them is older than this round. A round that only met
    /// something newer says nothing of that, for the next one comes at once.
    pub(super) fn tell_held(&mut self) {
        let overtaken = |step: &Step| matches!(step.failure, Some(Failure::Apply(apply::Error::Stale { .. })));
        if self.steps.iter().any(overtaken) {
            return;
        }
        let held: Vec<&str> = self.steps.iter().filter(|step| step.held).map(|step| step.component.as_str()).collect();
        let before = self.status["held"].clone();
        status::set_held(&mut self.status, &held);
        if self.status["held"] != before {
            self.renew_text();
        }
    }

    /// The cluster's text with the status of now.
    fn renew_text(&mut self) {
        let mut value = self.cluster.value.clone();
        value["status"] = self.status.clone();
        match serde_json::value::to_raw_value(&value) {
            Ok(text) => self.text = text.into(),
            Err(error) => tracing::error!(%error, "failed to write a TidbCluster as JSON"),
        }
    }

    /// What all components wait for, in the order of the round.
    pub(super) fn waits(&self) -> Vec<Wait> {
        let of = |step: &Step| {
            step.waiting.iter().map(|on| Wait { component: step.component.clone(), on: on.clone() }).collect::<Vec<_>>()
        };
        self.steps.iter().flat_map(of).collect()
    }

    /// Puts what the host itself concludes into the status.
    pub(super) fn judge(&mut self, waits: &[Wait]) {
        self.tell_held();
        status::set_waiting(&mut self.status, waits, self.now_ms);
        status::set_policies(&mut self.status, &digests(&self.steps));
        status::set_reconciled(&mut self.status, waits, self.now_ms);
    }

    /// When to come again.
    pub(super) fn next(&self, written: &Result<bool, apply::Error>, resync: Duration) -> Next {
        let failure = self.steps.iter().find_map(|step| step.failure.as_ref());
        let done = self
            .steps
            .iter()
            .any(|step| step.actions.iter().take(step.done).any(|a| !matches!(a, Action::Event { .. })));
        let pause = self.pause(resync);
        match (failure, written) {
            // Stale is no failure: the next round sees what is newer.
            (Some(Failure::Apply(apply::Error::Stale { .. })), _) | (_, Err(apply::Error::Stale { .. })) => {
                Next::Again(pause)
            }
            (Some(Failure::Apply(_) | Failure::Fault(_) | Failure::Refused(_)), _) | (_, Err(_)) => Next::Retry,
            // The user must act; that is a change, and brings a round by itself.
            (Some(Failure::InvalidSpec(_)), _) => Next::Rest(pause),
            (None, Ok(status)) if done || *status => Next::Again(pause),
            (None, Ok(_)) => Next::Rest(pause),
        }
    }

    /// What is waited for may be outside the API server (PD, a component), where no watch tells of it.
    fn pause(&self, resync: Duration) -> Duration {
        let waiting = self.steps.iter().any(|step| !step.waiting.is_empty());
        let resync = if waiting { resync.min(Duration::from_secs(WAITING_SECONDS)) } else { resync };
        let deadlines = self.steps.iter().flat_map(|step| &step.waiting).filter_map(|on| on.deadline_ms);
        let until = |deadline: u64| deadline.saturating_sub(self.now_ms).max(DEADLINE_PAUSE_MS_MIN);
        let asked = earlier(self.requeue_ms, deadlines.map(until).min());
        asked.map_or(resync, |ms| resync.min(Duration::from_millis(ms.max(1))))
    }

    /// The round for a person who watches.
    pub(super) fn progress(&self, store: &Store) -> ClusterProgress {
        let conditions = self.status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let ready = ready.map(|condition| Ready {
            ready: condition["status"] == "True",
            reason: text(&condition["reason"]),
            message: text(&condition["message"]),
        });
        let component = |step: &Step| {
            let parts = self.parts(&step.component);
            let ready = |part: &Part<'_>| {
                let pods = store.pods(&self.cluster, part.name).unwrap_or_default();
                pods.iter().filter(|pod| pod.ready).count()
            };
            ComponentProgress {
                component: step.component.clone(),
                phase: phase(&parts),
                ready: parts.iter().map(ready).sum::<usize>().try_into().unwrap_or(u32::MAX),
                desired: parts.iter().map(|part| store.desired(&self.cluster, part.name)).sum(),
                waiting: step.waiting.clone(),
                actions: step.actions.iter().take(step.done).map(|a| format!("{} {}", a.verb(), a.subject())).collect(),
                policy: step.policy.clone(),
                held: step.held,
            }
        };
        // A component that the cluster does not have, and never had, has nothing to show.
        let absent = |step: &Step| step.idle && self.status[&step.component].is_null();
        let shown = |progress: &(bool, ComponentProgress)| !progress.0 || progress.1.desired > 0;
        let steps = self.steps.iter().map(|step| (absent(step), component(step)));
        let components = steps.filter(shown).map(|(_, progress)| progress).collect();
        ClusterProgress { ready, components, now_ms: self.now_ms, generation: self.cluster.generation }
    }

    /// The parts of a component, each with a status and pods of its own: itself, where its status is that of one.
    fn parts<'a>(&'a self, component: &'a str) -> Vec<Part<'a>> {
        let status = &self.status[component];
        let of = |name: &'a str, status: &'a Value| Some(Part { name, phase: status["phase"].as_str()? });
        if let Some(whole) = of(component, status) {
            return vec![whole];
        }
        let parts: Vec<_> = status.as_object().into_iter().flatten().filter_map(|(name, s)| of(name, s)).collect();
        if parts.is_empty() { vec![Part { name: component, phase: "" }] } else { parts }
    }
}

/// Pods of one kind of a component.
struct Part<'a> {
    /// Value of the pods' component label.
    name: &'a str,
    phase: &'a str,
}

/// The phase of all parts together: the first that is not the usual one.
fn phase(parts: &[Part<'_>]) -> String {
    let first = parts.first().map_or("", |part| part.phase);
    let unusual = parts.iter().map(|part| part.phase).find(|phase| *phase != Phase::NORMAL);
    unusual.unwrap_or(first).to_owned()
}

impl Step {
    fn nothing(component: String, policy: String) -> Self {
        let (actions, waiting) = (Vec::new(), Vec::new());
        Self { component, policy, held: false, idle: false, actions, done: 0, waiting, failure: None }
    }

    pub(super) fn held(policy: &Arc<dyn Policy>) -> Self {
        let component = policy.descriptor().component.clone();
        let policy = policy.digest().to_owned();
        Self { held: true, ..Self::nothing(component, policy) }
    }

    pub(super) fn failed(component: String, policy: String, failure: Failure) -> Self {
        let mut step = Self::nothing(component, policy);
        step.waiting.extend(failure.wait(&step.component));
        step.failure = Some(failure);
        step
    }
}

impl Failure {
    /// The label of metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::InvalidSpec(_) => "invalid-spec",
            Self::Fault(_) => "fault",
            Self::Refused(_) => "refused",
            Self::Apply(error) => error.category(),
        }
    }

    /// The failure as something that is waited for: a person, a better policy, an API that answers.
    pub(super) fn wait(&self, component: &str) -> Option<WaitingOn> {
        let (reason, subject, message) = match self {
            Self::InvalidSpec(text) => (status::INVALID_SPEC, "tidbcluster".to_owned(), text.clone()),
            Self::Fault(text) => ("PolicyFault", format!("policy/{component}"), text.clone()),
            Self::Refused(text) => ("PlanRefused", format!("policy/{component}"), text.clone()),
            // Nobody waits for it: the next round comes at once.
            Self::Apply(apply::Error::Stale { .. }) => return None,
            Self::Apply(error) => ("ApplyFailed", "api".to_owned(), error.chain()),
        };
        Some(WaitingOn { reason: reason.to_owned(), subject, message, deadline_ms: None })
    }

    /// The reason of the event for a wait with this reason, if it is a failure.
    pub(super) fn event(reason: &str) -> Option<&'static str> {
        match reason {
            status::INVALID_SPEC => Some("FailedValidation"),
            "PolicyFault" => Some("PolicyFault"),
            "PlanRefused" => Some("PlanRefused"),
            "ApplyFailed" => Some("ApplyFailed"),
            _ => None,
        }
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}
