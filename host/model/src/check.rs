//! The host's verdict on a plan: grants, limits and the safety rules that a single plan can break.

use crate::{descriptor::Descriptor, plan::Plan, snapshot::Snapshot};

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the rule, for example `S1` or `grant`.
    pub rule: &'static str,
    /// What breaks it, on what.
    pub message: String,
}

/// Checks `plan`, made from `snapshot` by the policy that `descriptor` describes.
///
/// # Errors
/// Every rule that the plan breaks.
pub fn check(_descriptor: &Descriptor, _snapshot: &Snapshot, _plan: &Plan) -> Result<(), Vec<Violation>> {
    Ok(())
}
