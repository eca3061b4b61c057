//! The safety rules over a whole history: every request that changes something is judged in the order in which it was
//! handled, in the light of what was true just before and just after it.
//!
//! The host's `check` judges plans by what the operator has read. This judges deeds by what is true, whoever did them:
//! a pod that the StatefulSet controller deletes because the operator wrote a template is the operator's doing. Rules
//! carry the numbers of `ARCHITECTURE.md`; one file holds the rules of one subject.

mod calls;
mod claims;
mod evictions;
mod live;
mod members;
mod pods;
mod ready;
pub mod state;
#[cfg(test)]
mod tests;
mod writes;

use std::collections::BTreeSet;

use tidepool_sim::audit::Entry;

use self::state::State;
pub use self::{calls::Call, live::History};
use crate::world::{OPERATOR, SECOND_OPERATOR};

/// The StatefulSet and garbage-collection controllers' name in the audit log.
pub const CONTROLLERS: &str = "kube-controller-manager";

/// A request and what it did.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// The request.
    pub entry: &'a Entry,
    /// What was true just before.
    pub before: &'a State,
    /// What was true just after.
    pub after: &'a State,
}

impl Step<'_> {
    /// The operator asked for it.
    pub fn by_operator(&self) -> bool {
        is_operator(&self.entry.user_agent)
    }

    /// It was done.
    pub fn done(&self) -> bool {
        self.entry.status < 300
    }

    /// `verb resource`, for rules that look at one kind of request.
    fn what(&self) -> (&str, &str) {
        (&self.entry.verb, &self.entry.resource)
    }

    /// `namespace/name` of the object.
    fn key(&self) -> String {
        let Entry { namespace, name, .. } = self.entry;
        if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") }
    }
}

/// Whether a user agent is that of an operator.
pub fn is_operator(user_agent: &str) -> bool {
    [OPERATOR, SECOND_OPERATOR].contains(&user_agent)
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// For example `S1`.
    pub rule: &'static str,
    /// Number of the request in the audit log, counted from 0.
    pub step: usize,
    /// Milliseconds since the Unix epoch.
    pub ms: u64,
    /// What it happened to.
    pub object: String,
    /// What happened.
    pub what: String,
}

/// Judges one step after another.
#[derive(Default)]
pub struct Judge {
    /// Rules that were broken, in order; the same rule, object and text only once.
    pub violations: Vec<Violation>,
    told: BTreeSet<(&'static str, String, String)>,
    pods: pods::Pods,
    members: members::Members,
    claims: claims::Claims,
    writes: writes::Writes,
    ready: ready::Readiness,
    calls: calls::Calls,
    evictions: evictions::Evictions,
}

impl Judge {
    /// Judges the request with this number.
    pub fn step(&mut self, number: usize, step: Step<'_>) {
        let mut found = Found { violations: Vec::new(), step: number, ms: step.after.ms };
        self.pods.step(step, &mut found);
        self.members.step(step, &mut found);
        self.claims.step(step, &mut found);
        self.writes.step(step, &mut found);
        self.ready.step(step, &mut found);
        self.calls.look(step.before);
        self.evictions.step(step);
        self.keep(found);
    }

    /// Judges how a component is called. `number` is that of the next request.
    pub fn call(&mut self, number: usize, call: Call<'_>, now: &State) {
        let mut found = Found { violations: Vec::new(), step: number, ms: now.ms };
        self.calls.call(call, now, &mut found);
        self.keep(found);
    }

    /// Time has passed without a request: rules that say how long something may be so. `number` is that of the next
    /// request.
    pub fn look(&mut self, number: usize, now: &State) {
        let mut found = Found { violations: Vec::new(), step: number, ms: now.ms };
        self.pods.look(now);
        self.members.look(now, &mut found);
        self.writes.look(now);
        self.ready.look(now, &mut found);
        self.calls.look(now);
        self.evictions.look(now, &mut found);
        self.keep(found);
    }

    fn keep(&mut self, found: Found) {
        for violation in found.violations {
            let Violation { rule, object, what, .. } = &violation;
            if self.told.insert((*rule, object.clone(), what.clone())) {
                self.violations.push(violation);
            }
        }
    }
}

/// Where rules put what they find.
struct Found {
    violations: Vec<Violation>,
    step: usize,
    ms: u64,
}

impl Found {
    fn broken(&mut self, rule: &'static str, object: &str, what: impl Into<String>) {
        let Self { step, ms, .. } = *self;
        self.violations.push(Violation { rule, step, ms, object: object.to_owned(), what: what.into() });
    }
}
