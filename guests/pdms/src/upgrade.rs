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
    wait::{self, Reason},
};

use crate::{
    primary, status,
    world::{Registry, World},
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
    if !rollout::begun(set, wanted, &mut status.common.phase, changed, plan) {
        if changed {
            let message = format!("the pods of {} are replaced one by one", world.service.name());
            plan.wait(wait::on(Reason::Upgrading, wait::stateful_set(set.0.name()), message));
        }
        return Ok(Step::Done);
    }
    rollout::roll(world, set, wanted, plan, |progress, _, pod, plan| {
        Ok(match progress {
            Progress::New => match lacks(world, pod) {
                Some(waiting) => {
                    plan.wait(waiting);
                    false
                }
                None => true,
            },
            _ => primary::makes_way(world, set, &pod.name, plan),
        })
    })
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
