//! The shipped policies, run natively and in the sandbox, on a pretended cluster.

use std::sync::Arc;

use serde_json::{Value, json, value::RawValue};
use tidepool_model::{
    Descriptor, Snapshot,
    record::Outcome,
    render::{Deciding, RenderError},
};
use tidepool_policy::LoadedPolicy;
use tidepool_sdk::{Failure, Policy, native};

/// One policy, run without the sandbox.
pub struct Native {
    /// What it says of itself.
    pub descriptor: Descriptor,
    /// Asks it.
    pub decide: fn(Arc<Snapshot>) -> Outcome,
}

/// The shipped policies in the order of a round.
pub fn natives() -> Vec<Native> {
    vec![
        native::<policy_discovery::Discovery>(),
        native::<policy_pdms::Pdms>(),
        native::<policy_pd::Pd>(),
        native::<policy_tikv::Tikv>(),
        native::<policy_tidb::Tidb>(),
        native::<policy_housekeeping::Housekeeping>(),
    ]
}

fn native<P: Policy>() -> Native {
    Native { descriptor: P::describe(), decide: decide::<P> }
}

fn decide<P: Policy>(snapshot: Arc<Snapshot>) -> Outcome {
    match native::run::<P>(snapshot) {
        Ok(plan) => Outcome::Plan(plan),
        Err(Failure::InvalidSpec(text)) => Outcome::InvalidSpec(text),
        Err(Failure::Internal(text)) => Outcome::Fault(text),
    }
}

/// The policies in the order of a round, run natively.
pub fn policies() -> Vec<Deciding<'static>> {
    let deciding = |policy: Native| Deciding {
        descriptor: policy.descriptor,
        settings: no_settings(),
        decide: Box::new(move |snapshot| plan((policy.decide)(snapshot))),
    };
    natives().into_iter().map(deciding).collect()
}

/// The policies in the order of a round, run in the sandbox.
///
/// # Panics
/// When one is not built or is refused.
pub fn sandboxed() -> Vec<Deciding<'static>> {
    let loaded = |policy: Native| {
        let component = &policy.descriptor.component;
        let all = crate::policies::sandboxed().iter();
        all.clone().find(|loaded| loaded.descriptor().component == *component).expect("every policy is built")
    };
    let deciding = |policy: &'static Arc<LoadedPolicy>| Deciding {
        descriptor: policy.descriptor().clone(),
        settings: no_settings(),
        decide: Box::new(move |snapshot| plan(policy.decide(snapshot).outcome)),
    };
    natives().into_iter().map(loaded).map(deciding).collect()
}

fn no_settings() -> Box<RawValue> {
    RawValue::from_string(json!({}).to_string()).expect("JSON")
}

fn plan(outcome: Outcome) -> Result<tidepool_model::Plan, String> {
    match outcome {
        Outcome::Plan(plan) => Ok(plan),
        Outcome::InvalidSpec(text) => Err(format!("invalid spec: {text}")),
        Outcome::Fault(text) => Err(format!("internal: {text}")),
    }
}

/// What the policies create for this cluster, in namespace `golden` unless it names another.
///
/// # Errors
/// When a policy gives no plan, or the host would refuse one.
pub fn render(cluster: Value) -> Result<Vec<Value>, RenderError> {
    render_with(cluster, &policies())
}

/// As [`render`], with these policies.
///
/// # Errors
/// When a policy gives no plan, or the host would refuse one.
pub fn render_with(mut cluster: Value, policies: &[Deciding<'_>]) -> Result<Vec<Value>, RenderError> {
    if cluster["metadata"]["namespace"].is_null() {
        cluster["metadata"]["namespace"] = "golden".into();
    }
    tidepool_model::render::render(cluster, policies)
}
