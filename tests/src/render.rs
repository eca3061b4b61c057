//! The shipped policies, run natively on a pretended cluster.

use serde_json::{Value, json};
use tidepool_model::render::{Deciding, RenderError};
use tidepool_sdk::native::deciding;

/// The policies in the order of a round.
pub fn policies() -> Vec<Deciding<'static>> {
    let none = json!({});
    vec![deciding::<policy_discovery::Discovery>(&none), deciding::<policy_pd::Pd>(&none)]
}

/// What the policies create for this cluster, in namespace `golden` unless it names another.
///
/// # Errors
/// When a policy gives no plan, or the host would refuse one.
pub fn render(mut cluster: Value) -> Result<Vec<Value>, RenderError> {
    if cluster["metadata"]["namespace"].is_null() {
        cluster["metadata"]["namespace"] = "golden".into();
    }
    tidepool_model::render::render(cluster, &policies())
}
