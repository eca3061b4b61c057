//! The claims of a pod of a StatefulSet. They are found by name, which Kubernetes gives them: a label may not be on them
//! yet.

use serde_json::{Value, json};
use tidepool_api::{labels::PVC_DEFER_DELETING, names::claim_name};

use crate::{
    Failure, ObjectRef, Plan, Snapshot,
    live::{Live, LiveSet},
    time,
};

/// Names of the claims of a pod of this set.
pub fn names(set: &LiveSet, pod: &str) -> Vec<String> {
    let templates = set.0.value().pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let names = templates.into_iter().flatten().filter_map(|template| template["metadata"]["name"].as_str());
    names.map(|template| claim_name(template, pod)).collect()
}

/// The claims of a pod that exist. `watch` selects the component's claims.
///
/// # Errors
/// When the host could not read them.
pub fn of_pod(snapshot: &Snapshot, watch: u32, set: &LiveSet, pod: &str) -> Result<Vec<Live>, Failure> {
    names(set, pod).iter().filter_map(|name| Live::read(snapshot, watch, name).transpose()).collect()
}

/// Whether the claim belongs to a pod that was scaled in: its data is that of somebody who has left.
pub fn deferred(claim: &Live) -> bool {
    claim.annotation(PVC_DEFER_DELETING).is_some_and(|time| !time.is_empty())
}

/// Marks a claim as that of a pod that is scaled in.
pub fn defer(plan: &mut Plan, claim: &Live, now_ms: u64) {
    let patch = json!({"metadata": {"annotations": {PVC_DEFER_DELETING: time::text(now_ms)}}});
    plan.merge_patch(reference(claim), patch, claim.unchanged());
}

/// Deletes a claim, if it is still the one that was seen.
pub fn delete(plan: &mut Plan, claim: &Live) {
    plan.delete(reference(claim), claim.unchanged());
}

fn reference(claim: &Live) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: "PersistentVolumeClaim".to_owned(), name: claim.name().to_owned() }
}
