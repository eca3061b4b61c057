//! Runs a policy natively: the same code, without the sandbox. For tests and for comparing with the sandbox.

#[cfg(not(target_arch = "wasm32"))]
pub mod story;

#[cfg(not(target_arch = "wasm32"))]
use std::sync::Arc;

#[cfg(not(target_arch = "wasm32"))]
use crate::{Failure, Plan, Policy, Snapshot};

/// The vocabulary of a decision, for tests of policies: a pretended cluster, and a round of policies on it.
#[cfg(not(target_arch = "wasm32"))]
pub use tidepool_model as model;

/// What `P` decides on `snapshot`.
///
/// # Errors
/// As the policy itself.
#[cfg(not(target_arch = "wasm32"))]
pub fn run<P: Policy>(snapshot: Arc<tidepool_model::Snapshot>) -> Result<tidepool_model::Plan, Failure> {
    let mut plan = Plan::from_sink(tidepool_model::Plan::default());
    P::reconcile(&Snapshot::from_source(snapshot), &mut plan)?;
    Ok(plan.into_sink())
}

/// `P` as one of the policies of [`tidepool_model::render`], with these settings.
#[cfg(not(target_arch = "wasm32"))]
pub fn deciding<P: Policy>(settings: &serde_json::Value) -> tidepool_model::render::Deciding<'static> {
    let text = settings.to_string();
    tidepool_model::render::Deciding {
        descriptor: P::describe(),
        settings: serde_json::value::RawValue::from_string(text).unwrap_or_default(),
        decide: Box::new(|snapshot| run::<P>(snapshot).map_err(|failure| failure.to_string())),
    }
}
