//! The reclaim policy of volumes follows the spec.

use tidepool_sdk::{Plan, api::Component, claims};

use crate::world::{World, component, reference};

/// Components whose volumes hold data that the spec's reclaim policy is about.
const COMPONENTS: [Component; 5] =
    [Component::Pd, Component::Tidb, Component::Tikv, Component::Tiflash, Component::Pump];

/// Plans the patches.
pub fn reclaim(world: &World<'_>, plan: &mut Plan) {
    let Some(wanted) = world.cluster.spec.pv_reclaim_policy.as_deref() else { return };
    let reclaims_claims = world.cluster.spec.enable_pv_reclaim == Some(true);
    for volume in &world.volumes {
        let Some(claim) = world.claim(volume) else { continue };
        let ours = COMPONENTS.iter().any(|kind| kind.name() == component(&claim.live));
        // Those are on their way out, and the cleaning of claims has its own word on them.
        let leaving = reclaims_claims && claims::deferred(&claim.live);
        if !ours || leaving || volume.text("/spec/persistentVolumeReclaimPolicy") == wanted {
            continue;
        }
        let patch = serde_json::json!({"spec": {"persistentVolumeReclaimPolicy": wanted}});
        plan.merge_patch(reference(volume), patch, volume.unchanged());
    }
}
