//! New pods one at a time: the StatefulSet gets the new template with a partition above all pods, then the partition is
//! lowered by one whenever every server above it serves.

use k8s_openapi::api::apps::v1::StatefulSet;
use tidepool_sdk::{
    Failure, Plan, PodRow,
    api::{
        Component,
        status::{Phase, TidbStatus},
    },
    apply,
    flow::Step,
    live::LiveSet,
    rollout::{self, Progress},
    wait::{self, Reason},
};

use crate::world::World;

/// Components that must not be changing while TiDB's pods are replaced.
const NOT_WITH: [Component; 4] = [Component::Pd, Component::Tikv, Component::Tiflash, Component::Pump];

/// Takes the upgrade one step on, if there is one.
///
/// # Errors
/// When pods could not be read.
pub fn upgrade(
    world: &World<'_>,
    set: &LiveSet,
    wanted: &mut StatefulSet,
    status: &mut TidbStatus,
    plan: &mut Plan,
) -> Result<Step, Failure> {
    if status.vol_replace_in_progress {
        rollout::keep_pod_spec(set, wanted)?;
    }
    let changed = apply::pod_spec_differs(set, wanted);
    if world.spec.replicas == 0 || (!changed && status.common.phase != Phase::UPGRADE) {
        return Ok(Step::Done);
    }
    let blocker = rollout::busy(world.cluster, &NOT_WITH);
    if let Some(blocker) = blocker.or((status.common.phase == Phase::SCALE).then_some(Component::Tidb)) {
        plan.wait(rollout::blocked(Component::Tidb, blocker));
        rollout::keep_pod_spec(set, wanted)?;
        return Ok(Step::Done);
    }
    if !rollout::begun(set, wanted, &mut status.common.phase, changed, plan) {
        return Ok(Step::Done);
    }
    rollout::roll(world, set, wanted, plan, |progress, _, pod, plan| {
        Ok(match progress {
            Progress::New => is_well(world, status, pod, plan),
            _ => another_serves(status, &pod.name, plan),
        })
    })
}

/// Whether a pod with the new template serves.
fn is_well(world: &World<'_>, status: &TidbStatus, pod: &PodRow, plan: &mut Plan) -> bool {
    if let Some(waiting) = rollout::lacks(world.cluster, Component::Tidb, pod, world.snapshot.now_ms()) {
        plan.wait(waiting);
        return false;
    }
    let healthy = serves(status, &pod.name);
    if !healthy {
        let message = format!("the server in pod {} does not answer", pod.name);
        plan.wait(wait::on(Reason::MemberUnhealthy, wait::pod(&pod.name), message));
    }
    healthy
}

fn serves(status: &TidbStatus, pod: &str) -> bool {
    status.members.get(pod).is_some_and(|member| member.health)
}

/// Whether clients have another server while the one in `pod` restarts (safety rule S24). One that does not serve, or is
/// the only one, costs nothing that could be had.
fn another_serves(status: &TidbStatus, pod: &str, plan: &mut Plan) -> bool {
    let other = status.members.values().any(|member| member.name != pod && member.health);
    let ok = other || status.members.len() < 2 || !serves(status, pod);
    if !ok {
        let message = format!("{pod} is the only server that answers");
        plan.wait(wait::on(Reason::MemberUnhealthy, wait::pod(pod), message));
    }
    ok
}
