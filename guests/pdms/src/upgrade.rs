//! New pods one at a time: the StatefulSet gets the new template with a partition above all pods, then the partition is
//! lowered by one whenever every pod above it is a member again.

use k8s_openapi::api::apps::v1::StatefulSet;
use tidepool_sdk::{
    Failure, Plan, PodRow, WaitingOn,
    api::status::{PdmsStatus, Phase},
    apply,
    flow::Step,
    live::LiveSet,
    rollout::{self, Progress},
    slots,
    wait::{self, Reason},
};

use crate::{
    primary, status,
    world::{Registry, World, watch},
};

/// Takes the upgrade one step on, if there is one.
///
/// # Errors
/// When pods could not be read.
pub fn upgrade(
    world: &World<'_>,
    set: &LiveSet,
    wanted: &mut StatefulSet,
    status: &mut PdmsStatus,
    plan: &mut Plan,
) -> Result<Step, Failure> {
    let changed = apply::pod_spec_differs(set, wanted);
    if !changed && !status::upgrades(status) {
        return Ok(Step::Done);
    }
    if let Registry::Unknown(why) = &world.registry {
        let message = format!("{} is not upgraded while its members are not known: {why}", world.service.name());
        plan.wait(wait::on(Reason::PdUnknown, world.name(), message));
        return Ok(Step::Wait);
    }
    if status.common.phase == Phase::SCALE {
        rollout::keep_pod_spec(set, wanted)?;
        return Ok(Step::Done);
    }
    Phase::UPGRADE.clone_into(&mut status.common.phase);
    if changed {
        // The template first; no pod restarts for it, since the partition is above them all.
        let message = format!("the pods of {} are replaced one by one", world.service.name());
        plan.wait(wait::on(Reason::Upgrading, wait::stateful_set(set.0.name()), message));
        return Ok(Step::Done);
    }
    if !set.partitioned() {
        plan.wait(rollout::keep_strategy(set, wanted));
        return Ok(Step::Done);
    }
    roll(world, set, wanted, plan)
}

/// From the highest ordinal down: those that are new must be members, and the first old one is next.
fn roll(world: &World<'_>, set: &LiveSet, wanted: &mut StatefulSet, plan: &mut Plan) -> Result<Step, Failure> {
    rollout::roll_down_to(wanted, set.partition().unwrap_or_default());
    for ordinal in slots::present(set.replicas()).into_iter().rev() {
        let name = world.pod_name(ordinal);
        let progress = rollout::progress(world.snapshot, watch::POD, set, &name, ordinal)?;
        match (&progress, world.pod(&name)) {
            (Progress::New, Some(pod)) => {
                if let Some(waiting) = lacks(world, pod) {
                    plan.wait(waiting);
                    return Ok(Step::Wait);
                }
            }
            (Progress::Old, Some(_)) => {
                if !primary::makes_way(world, set, &name, plan) {
                    return Ok(Step::Wait);
                }
                rollout::roll_down_to(wanted, ordinal);
                plan.wait(rollout::replaced(&name, &progress));
                return Ok(Step::Done);
            }
            _ => {
                plan.wait(rollout::replaced(&name, &progress));
                return Ok(Step::Wait);
            }
        }
    }
    Ok(Step::Done)
}

/// What a pod with the new template still lacks.
fn lacks(world: &World<'_>, pod: &PodRow) -> Option<WaitingOn> {
    let waiting = rollout::lacks(world.cluster, world.component(), pod, world.now_ms());
    let missing = matches!(world.registry, Registry::Apart { .. }) && world.registry.member(&pod.name).is_none();
    waiting.or_else(|| {
        let message = format!("pod {} is not a member of {}", pod.name, world.service.name());
        missing.then(|| wait::on(Reason::MemberUnhealthy, wait::pod(&pod.name), message))
    })
}
