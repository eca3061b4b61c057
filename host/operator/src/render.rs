//! Every object that the policies would create for a cluster from nothing, in a world where nothing goes wrong.

use serde_json::{Value, value::to_raw_value};
use tidepool_model::{
    record::Outcome,
    render::{Deciding, RenderError},
};

use crate::policies::{Policies, Settings, in_order};

/// Renders `cluster`, a TidbCluster with name and namespace: the objects in the order of their creation. The same
/// policies, settings and cluster give the same objects.
///
/// # Errors
/// When a policy gives no plan, one that the host refuses, or the policies do not come to rest.
pub fn render(policies: &dyn Policies, settings: &Settings, cluster: Value) -> Result<Vec<Value>, RenderError> {
    let deciding = in_order(policies.current()).into_iter().map(|policy| Deciding {
        descriptor: policy.descriptor().clone(),
        settings: settings.get(&policy.descriptor().component).and_then(|s| to_raw_value(s).ok()).unwrap_or_else(empty),
        decide: Box::new(move |snapshot| match policy.decide(snapshot).outcome {
            Outcome::Plan(plan) => Ok(plan),
            Outcome::InvalidSpec(reason) | Outcome::Fault(reason) => Err(reason),
        }),
    });
    tidepool_model::render::render(cluster, &deciding.collect::<Vec<_>>())
}

fn empty() -> Box<serde_json::value::RawValue> {
    to_raw_value(&serde_json::Map::new()).unwrap_or_default()
}
