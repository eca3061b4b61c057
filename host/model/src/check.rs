//! The host's verdict on a plan: grants, limits and the safety rules that a single plan can break.
//!
//! A policy is not trusted. Whatever it says, a plan that could lose quorum or data, or that touches what is not this
//! cluster's, is refused as a whole. Rules carry the numbers of `ARCHITECTURE.md`; one file holds the rules of one subject.
//! The rules look at the actions one after another, each in the light of those before it, because the host may stop
//! between any two.

mod claims;
mod facts;
mod grants;
mod members;
mod ownership;
mod quiet;
mod ready;
mod same;
mod stores;
mod template;
mod workload;

pub use facts::{ClusterFacts, Facts};
pub use template::stable_templates;

use crate::{descriptor::Descriptor, plan::Plan, snapshot::Snapshot};

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the rule: `S1`, `S2`, …, `grant`, or `shape`.
    pub rule: &'static str,
    /// What breaks it, on what.
    pub message: String,
}

impl Violation {
    fn new(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.message)
    }
}

/// Checks `plan`, which the policy that `descriptor` describes made from `snapshot`, against what the host knows.
///
/// # Errors
/// Every rule that the plan breaks; never empty.
pub fn check(
    facts: &dyn Facts,
    descriptor: &Descriptor,
    snapshot: &Snapshot,
    plan: &Plan,
) -> Result<(), Vec<Violation>> {
    let mut violations = Vec::new();
    match ClusterFacts::of(snapshot) {
        Ok(cluster) => {
            grants::check(&cluster, descriptor, plan, &mut violations);
            ownership::check(facts, &cluster, plan, &mut violations);
            quiet::check(facts, &cluster, plan, &mut violations);
            members::check(facts, &cluster, plan, &mut violations);
            stores::check(facts, &cluster, plan, &mut violations);
            claims::check(facts, &cluster, plan, &mut violations);
            ready::check(facts, &cluster, plan, &mut violations);
        }
        Err(error) => violations.push(Violation::new("shape", format!("failed to read the TidbCluster: {error}"))),
    }
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

#[cfg(test)]
mod tests;
