//! Claims of pods that were scaled in: the scheduler's lock on them, and, where the spec allows it, their end.

use tidepool_sdk::{
    Failure, Plan,
    api::{
        Component,
        labels::{POD_NAME, POD_SCHEDULING},
    },
    claims,
    live::Live,
};

use crate::world::{Claim, World, component, reference, watch};

const COMPONENTS: [Component; 3] = [Component::Pd, Component::Tikv, Component::Tiflash];

/// Plans the cleaning.
///
/// # Errors
/// When a pod does not read.
pub fn clean(world: &World<'_>, plan: &mut Plan) -> Result<(), Failure> {
    let reclaim = world.cluster.spec.enable_pv_reclaim == Some(true);
    for claim in &world.claims {
        if !COMPONENTS.iter().any(|kind| kind.name() == component(&claim.live)) {
            continue;
        }
        if reclaim && may_go(world, claim) {
            go(world, &claim.live, plan);
        } else if is_locked_in_vain(world, claim)? {
            let patch = serde_json::json!({"metadata": {"annotations": {POD_SCHEDULING: null}}});
            plan.merge_patch(reference(&claim.live), patch, claim.live.unchanged());
        }
    }
    Ok(())
}

/// Nobody uses the claim any more, and it was told so when its pod was scaled in.
fn may_go(world: &World<'_>, claim: &Claim) -> bool {
    let live = &claim.live;
    let pod = live.annotation(POD_NAME).unwrap_or_default();
    live.text("/status/phase") == "Bound"
        && !live.deleting()
        && claims::deferred(live)
        && !pod.is_empty()
        && !world.pods.contains_key(pod)
}

/// The volume first: once the claim is gone, nobody would come back for it.
fn go(world: &World<'_>, claim: &Live, plan: &mut Plan) {
    let Some(volume) = world.volume(claim) else { return };
    if volume.text("/spec/persistentVolumeReclaimPolicy") != "Delete" {
        let patch = serde_json::json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}});
        plan.merge_patch(reference(volume), patch, volume.unchanged());
    }
    claims::delete(plan, claim);
}

/// The scheduler's lock outlived its purpose: the claim is bound and its pod has a node, or its pod has left.
fn is_locked_in_vain(world: &World<'_>, claim: &Claim) -> Result<bool, Failure> {
    let live = &claim.live;
    if live.annotation(POD_SCHEDULING).is_none() {
        return Ok(false);
    }
    if claims::deferred(live) {
        return Ok(true);
    }
    let Some(pod) = live.annotation(POD_NAME) else { return Ok(false) };
    let Some(pod) = Live::read(world.snapshot, watch::POD, pod)? else { return Ok(false) };
    Ok(live.text("/status/phase") == "Bound" && !pod.text("/spec/nodeName").is_empty())
}
