//! Pods that can never be scheduled, because a claim they were made with is gone: their StatefulSet makes them anew,
//! with a new claim.

use tidepool_sdk::{Failure, Plan, PodPhase, api::Component, live::Live};

use crate::world::{World, component, reference, watch};

const COMPONENTS: [Component; 3] = [Component::Pd, Component::Tikv, Component::Tiflash];

/// Plans their deletion.
///
/// # Errors
/// When a pod does not read.
pub fn delete(world: &World<'_>, plan: &mut Plan) -> Result<(), Failure> {
    let pending = world.pods.values().filter(|pod| pod.phase == PodPhase::Pending && !pod.deleting);
    for row in pending {
        let Some(pod) = Live::read(world.snapshot, watch::POD, &row.name)? else { continue };
        let ours = COMPONENTS.iter().any(|kind| kind.name() == component(&pod));
        if ours && pod.text("/spec/nodeName").is_empty() && lacks_a_claim(world, &pod) {
            plan.delete(reference(&pod), pod.unchanged());
        }
    }
    Ok(())
}

fn lacks_a_claim(world: &World<'_>, pod: &Live) -> bool {
    let volumes = pod.value()["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let claims = volumes.iter().filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str());
    // Claims of others, which the user mounts, carry no label of this cluster and are none of our business.
    let own = claims.filter(|claim| claim.ends_with(pod.name()));
    own.into_iter().any(|claim| !world.claims.iter().any(|known| known.live.name() == claim))
}
