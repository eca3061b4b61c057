//! What the author of a policy uses.
//!
//! A policy implements [`Policy`] and calls [`export_policy!`]. It reads a [`Snapshot`], notes actions on a [`Plan`], and
//! does nothing else: there is no clock, no randomness and no I/O in a guest. The same code runs natively for tests,
//! through [`native::run`].

#[cfg(any(test, target_arch = "wasm32"))]
mod alloc;
pub mod apply;
pub mod build;
pub mod claims;
#[cfg(any(test, target_arch = "wasm32"))]
mod compare;
mod export;
pub mod flow;
pub mod live;
pub mod log;
pub mod native;
pub mod node;
pub mod ownership;
mod plan;
pub mod rollout;
pub mod same;
pub mod script;
pub mod slots;
mod snapshot;
pub mod stores;
pub mod suspend;
pub mod time;
pub mod volumes;
pub mod wait;
pub mod world;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/policy.wit",
        world: "component-policy",
        pub_export_macro: true,
        default_bindings_module: "tidepool_sdk::bindings",
    });
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use alloc::OneCall;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use export::{__describe, __reconcile};
pub use plan::{Plan, unchanged};
pub use snapshot::Snapshot;
pub use tidepool_api as api;
pub use tidepool_model::{
    descriptor::{ComponentCall, Descriptor, Kind, PdRead, Probe, Scope, Watch},
    known::{Known, Unknown},
    plan::{EventType, ObjectRef, Precondition},
    snapshot::{ObjectHead, PdMember, PodPhase, PodRow, ProbeAnswer, StoreRow, StoreState},
    waiting::WaitingOn,
};

/// A policy: decides for one component.
pub trait Policy {
    /// What the policy reads and which actions it may plan.
    fn describe() -> Descriptor;

    /// Decides. Called with a fresh instance each time: nothing is remembered between calls.
    ///
    /// # Errors
    /// [`Failure::InvalidSpec`] when the user must change the TidbCluster. Nothing of the plan is used then.
    fn reconcile(snapshot: &Snapshot, plan: &mut Plan) -> Result<(), Failure>;
}

/// The TidbCluster with the defaults that the user left open.
///
/// # Errors
/// When it does not read as one.
pub fn cluster(snapshot: &Snapshot) -> Result<api::TidbCluster, Failure> {
    let mut cluster = snapshot.cluster()?;
    api::defaults::apply_defaults(&mut cluster);
    Ok(cluster)
}

/// What its schema cannot say is in order with the cluster.
///
/// # Errors
/// Every fault with its field, when the user must change the cluster.
pub fn validate(cluster: &api::TidbCluster) -> Result<(), Failure> {
    let faults: Vec<String> = api::validate::validate(cluster).iter().map(ToString::to_string).collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure::InvalidSpec(faults.join("; "))) }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The user must change the TidbCluster; the text names the field.
    InvalidSpec(String),
    /// The policy itself failed.
    Internal(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InvalidSpec(text) => write!(f, "invalid spec: {text}"),
            Self::Internal(text) => write!(f, "internal: {text}"),
        }
    }
}

impl std::error::Error for Failure {}

/// An object that does not read back as its type is the policy's fault, not the user's: the API server has accepted it.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(format!("failed to read JSON: {error}"))
    }
}

/// What a decision needs and is unknown ends the decision: nothing is planned from ignorance.
impl From<Unknown> for Failure {
    fn from(unknown: Unknown) -> Self {
        Self::Internal(format!("needed for the decision, but {unknown}"))
    }
}
