//! Labels of stores: where a store's node is, so that PD spreads replicas over nodes, zones and regions.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidepool_sdk::{
    Failure, Plan, StoreRow, StoreState,
    flow::Step,
    live::Live,
    node, stores,
    wait::{self, Reason},
};

use crate::world::{World, watch};

/// Gives stores the labels of their nodes, where they have others. Labels that somebody else gave stay.
///
/// # Errors
/// When pods or stores could not be read.
pub fn sync(world: &World<'_>, plan: &mut Plan) -> Result<Step, Failure> {
    let Ok(rows) = &world.stores else { return Ok(Step::Done) };
    // Whoever may not see nodes cannot label by them.
    if rows.is_empty() || world.snapshot.objects(watch::NODE).is_err() {
        return Ok(Step::Done);
    }
    let Ok(config) = world.snapshot.pd_document("config") else {
        plan.wait(wait::on(Reason::PdUnavailable, world.name(), "PD's configuration could not be read"));
        return Ok(Step::Wait);
    };
    let mut keys = node::location_labels(&config);
    keys.extend(world.spec.store_labels.iter().cloned());
    for row in rows.iter().filter(|row| world.is_own(row) && row.state != StoreState::Tombstone) {
        let wanted = node_labels(world, row, &keys)?;
        let present = store_labels(world, row)?;
        if wanted.iter().any(|(key, value)| present.get(key) != Some(value)) {
            plan.set_store_labels(row.id, json!(wanted));
        }
    }
    Ok(Step::Done)
}

fn node_labels(world: &World<'_>, row: &StoreRow, keys: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pod = Live::read(world.snapshot, watch::POD, stores::pod_of(&row.address))?;
    let Some(pod) = pod.filter(|pod| !pod.text("/spec/nodeName").is_empty()) else { return Ok(BTreeMap::new()) };
    let Some(node) = Live::read(world.snapshot, watch::NODE, pod.text("/spec/nodeName"))? else {
        return Ok(BTreeMap::new());
    };
    Ok(node::labels(&node, keys))
}

fn store_labels(world: &World<'_>, row: &StoreRow) -> Result<BTreeMap<String, String>, Failure> {
    let json = world.snapshot.store(row.id)?.unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels = json["store"]["labels"].as_array().cloned().unwrap_or_default();
    Ok(labels.iter().map(|label| (text(&label["key"]), text(&label["value"]))).collect())
}
