//! The claims of a pod of a StatefulSet. They are found by name, which Kubernetes gives them: a label may not be on them
//! yet.

use serde_json::{Value, json};
use tidepool_api::{
    labels::{PVC_DEFER_DELETING, SCALE_IN_TIME},
    names::claim_name,
    status::UidSet,
};

use crate::{
    Failure, ObjectRef, Plan, Snapshot, WaitingOn,
    live::{Live, LiveSet},
    time,
    wait::{self, Reason},
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

/// Their UIDs, as a status holds them.
pub fn uids(claims: &[Live]) -> UidSet {
    claims.iter().map(|claim| (claim.uid().to_owned(), serde_json::Map::new())).collect()
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

/// Marks the claims of a pod that is scaled in, with the time at which that began.
pub fn defer_all(plan: &mut Plan, claims: &[Live], now_ms: u64) {
    for claim in claims.iter().filter(|claim| !deferred(claim)) {
        let now = time::text(now_ms);
        let patch = json!({"metadata": {"annotations": {PVC_DEFER_DELETING: now, SCALE_IN_TIME: now}}});
        plan.merge_patch(reference(claim), patch, claim.unchanged());
    }
}

/// Clears the way for a pod that is added: none of its claims may hold the data of one that has left. What is waited
/// for, if there still is such a claim. One that nobody marked is somebody's data, and somebody must decide.
pub fn clear(plan: &mut Plan, pod: &str, claims: &[Live]) -> Option<WaitingOn> {
    let first = claims.first()?;
    if let Some(foreign) = claims.iter().find(|claim| !deferred(claim)) {
        let message = format!("{pod} would start with what is on {}: delete it when nobody needs it", foreign.name());
        return Some(wait::on(Reason::Manual, subject(foreign), message));
    }
    claims.iter().filter(|claim| !claim.deleting()).for_each(|claim| delete(plan, claim));
    let message = format!("{pod} must not start with the data of one that has left; its claims are being deleted");
    Some(wait::on(Reason::ClaimNotReady, subject(first), message))
}

fn subject(claim: &Live) -> String {
    format!("persistentvolumeclaim/{}", claim.name())
}

/// Deletes a claim, if it is still the one that was seen.
pub fn delete(plan: &mut Plan, claim: &Live) {
    plan.delete(reference(claim), claim.unchanged());
}

/// The claim, to be patched or deleted.
pub fn reference(claim: &Live) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: "PersistentVolumeClaim".to_owned(), name: claim.name().to_owned() }
}
