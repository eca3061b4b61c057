//! Adding and removing members, one at a time. They hold no data; the one that acts hands over before its pod goes.

use k8s_openapi::api::apps::v1::StatefulSet;
use tidepool_sdk::{
    Plan,
    flow::Step,
    live::LiveSet,
    rollout, slots,
    wait::{self, Reason},
};

use crate::{
    primary,
    world::{Registry, World},
};

/// The next step towards the replicas that `wanted` has; `wanted` gets the size that the set is to have after this pass.
pub fn scale(world: &World<'_>, set: &LiveSet, wanted: &mut StatefulSet, plan: &mut Plan) -> Step {
    let (actual, desired) = (set.replicas(), world.view.replicas());
    // Until the step is made, the set keeps its size.
    wanted.spec.get_or_insert_default().replicas = Some(actual);
    slots::keep(set, wanted);
    if actual == desired {
        return Step::Done;
    }
    if let Some(waiting) = slots::refusal(world.cluster, world.component()) {
        rollout::resize(wanted, actual, desired);
        plan.wait(waiting);
        return Step::Done;
    }
    if let Registry::Unknown(why) = &world.registry {
        let message = format!("the number of members of {} does not change: {why}", world.service.name());
        plan.wait(wait::on(Reason::PdUnknown, world.name(), message));
        return Step::Wait;
    }
    let after = match slots::batch(actual, desired, 1).first() {
        Some(slots::Step::Out(ordinal)) => ordinal + 1,
        Some(slots::Step::In(ordinal)) => {
            if !primary::makes_way(world, set, &world.pod_name(*ordinal), plan) {
                return Step::Wait;
            }
            *ordinal
        }
        Some(slots::Step::None) | None => actual,
    };
    rollout::resize(wanted, after, desired);
    Step::Done
}
