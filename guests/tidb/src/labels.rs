//! Labels of servers: where a server's node is, so that TiDB prefers replicas of its own zone.

use std::collections::BTreeMap;

use serde_json::json;
use tidepool_sdk::{Failure, Plan, api::status::TidbStatus, live::Live, node};

use crate::world::{SET_LABELS, World, watch};

/// Keys that mean a zone, the best first.
const ZONE_KEYS: [&str; 3] = ["zone", "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];

/// Tells servers where they are, where they do not know.
///
/// # Errors
/// When pods or nodes could not be read.
pub fn sync(world: &World<'_>, status: &TidbStatus, plan: &mut Plan) -> Result<(), Failure> {
    // Labels came with version 6.3; and whoever may not see nodes cannot label by them.
    let known = world.view.parsed_version().is_some_and(|version| version.at_least(6, 3, 0));
    if !known || world.snapshot.objects(watch::NODE).is_err() {
        return Ok(());
    }
    let Ok(config) = world.snapshot.pd_document("config") else { return Ok(()) };
    let keys = node::location_labels(&config);
    let Some(zone_key) = ZONE_KEYS.into_iter().find(|zone| keys.iter().any(|key| key == zone)) else { return Ok(()) };
    for member in status.members.values().filter(|member| member.health && !member.node.is_empty()) {
        let Some(node) = Live::read(world.snapshot, watch::NODE, &member.node)? else { continue };
        let mut wanted = node::labels(&node, &keys);
        if let Some(zone) = wanted.get(zone_key).cloned() {
            wanted.insert("zone".to_owned(), zone);
        }
        let Some(info) = world.info(&member.name).filter(|_| !wanted.is_empty()) else { continue };
        let present: BTreeMap<String, String> = serde_json::from_value(info["labels"].clone()).unwrap_or_default();
        if wanted.iter().any(|(key, value)| present.get(key) != Some(value)) {
            plan.component_call(SET_LABELS, &member.name, &json!(wanted).to_string());
        }
    }
    Ok(())
}
