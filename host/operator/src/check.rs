//! Check (pure): the host's verdict on a plan, and the second question that S15 needs.

use std::sync::Arc;

use tidepool_model::{
    Action, Descriptor, Plan, Snapshot,
    check::{self, Facts, Violation},
    record::Outcome,
};

use crate::{decide::Executor, policies::Policy};

/// How much later the second question is asked: longer than any wait, and not a whole number of any unit.
const LATER_MS: u64 = 400 * 24 * 3_600_000 + 12_345_678;

/// A plan that may be applied. Only [`verify`] makes one.
pub struct Checked {
    plan: Plan,
}

impl Checked {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Checks a plan against the rules.
///
/// # Errors
/// Every rule that it breaks.
pub fn verify(
    facts: &dyn Facts,
    descriptor: &Descriptor,
    snapshot: &Snapshot,
    plan: Plan,
) -> Result<Checked, Vec<Violation>> {
    check::check(facts, descriptor, snapshot, &plan)?;
    Ok(Checked { plan })
}

/// Asks again at another time if the plan writes a pod template, and compares the templates (S15).
///
/// # Errors
/// Every object whose template depends on the time.
pub async fn same_at_any_time(
    executor: &Executor,
    policy: Arc<dyn Policy>,
    snapshot: &Arc<Snapshot>,
    plan: &Plan,
) -> Result<(), Vec<Violation>> {
    if !plan.actions.iter().any(writes_template) {
        return Ok(());
    }
    let mut later = Snapshot::clone(snapshot);
    later.now_ms = later.now_ms.saturating_add(LATER_MS);
    match executor.decide(policy, Arc::new(later)).await.outcome {
        Outcome::Plan(second) => check::stable_templates(plan, &second),
        // Another time may well make another decision; only two templates for one object are a contradiction.
        Outcome::InvalidSpec(_) | Outcome::Fault(_) => Ok(()),
    }
}

fn writes_template(action: &Action) -> bool {
    match action {
        Action::Create { object } | Action::Replace { object, .. } => object["spec"]["template"].is_object(),
        _ => false,
    }
}
