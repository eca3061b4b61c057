//! The glue between a [`crate::Policy`] and the exports of the contract.

/// Exports a type that implements [`crate::Policy`] as this component's policy.
///
/// Natively it does nothing, so that several policies can be linked into one test.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::exports::tidepool::policy::policy as exported;

            #[global_allocator]
            static MEMORY: $crate::OneCall = $crate::OneCall::new();

            struct Exported;

            impl exported::Guest for Exported {
                fn describe() -> String {
                    $crate::__describe::<$policy>()
                }

                fn reconcile(snapshot: exported::Snapshot, plan: exported::Plan) -> Result<(), exported::Failure> {
                    $crate::__reconcile::<$policy>(snapshot, plan)
                }
            }

    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}

#[cfg(target_arch = "wasm32")]
mod glue {
    use crate::{
        Failure, Plan, Policy, Snapshot,
        bindings::{
            exports::tidepool::policy::policy as exported,
            tidepool::policy::{observed, planned},
        },
    };

    #[doc(hidden)]
    pub fn __describe<P: Policy>() -> String {
        serde_json::to_string(&P::describe()).unwrap_or_default()
    }

    #[doc(hidden)]
    pub fn __reconcile<P: Policy>(snapshot: observed::Snapshot, plan: planned::Plan) -> Result<(), exported::Failure> {
        let snapshot = Snapshot::from_source(snapshot);
        let mut plan = Plan::from_sink(plan);
        P::reconcile(&snapshot, &mut plan).map_err(|failure| match failure {
            Failure::InvalidSpec(text) => exported::Failure::InvalidSpec(text),
            Failure::Internal(text) => exported::Failure::Internal(text),
        })
    }
}

#[cfg(target_arch = "wasm32")]
pub use glue::{__describe, __reconcile};
