//! New pods one at a time: the StatefulSet gets the new template with a partition above all pods, then the partition is
//! lowered by one whenever everything above it is well again.

use k8s_openapi::api::apps::v1::StatefulSet;
use tidepool_sdk::{
    Failure, Plan, PodRow, WaitingOn,
    api::{
        Component,
        labels::{FORCE_UPGRADE, PD_CHECK_QUORUM},
        status::{PdStatus, Phase},
    },
    apply,
    flow::Step,
    live::LiveSet,
    rollout::{self, Progress},
    slots,
    wait::{self, Reason},
};

use crate::{members, world::World};

/// Takes the upgrade one step on, if there is one.
///
/// # Errors
/// When pods could not be read.
pub fn upgrade(
    world: &World<'_>,
    set: &LiveSet,
    wanted: &mut StatefulSet,
    status: &mut PdStatus,
    plan: &mut Plan,
) -> Result<Step, Failure> {
    if status.vol_replace_in_progress {
        rollout::keep_pod_spec(set, wanted)?;
    }
    let changed = apply::pod_spec_differs(set, wanted);
    if !changed && status.common.phase != Phase::UPGRADE {
        return Ok(Step::Done);
    }
    if !status.synced {
        plan.wait(wait::on(Reason::PdUnknown, world.name(), "PD is not upgraded while its members are not known"));
        return Ok(Step::Wait);
    }
    if status.common.phase == Phase::SCALE {
        rollout::keep_pod_spec(set, wanted)?;
        return Ok(Step::Done);
    }
    if !rollout::begun(set, wanted, &mut status.common.phase, changed, plan) {
        return Ok(Step::Done);
    }
    rollout::roll(world, set, wanted, plan, |progress, ordinal, pod, plan| {
        Ok(match progress {
            Progress::New => is_well(world, status, pod, plan),
            _ => may_restart(world, set, status, (ordinal, &pod.name), plan),
        })
    })
}

/// Whether a pod with the new template serves.
fn is_well(world: &World<'_>, status: &PdStatus, pod: &PodRow, plan: &mut Plan) -> bool {
    if let Some(waiting) = rollout::lacks(world.cluster, Component::Pd, pod, world.now_ms()) {
        plan.wait(waiting);
        return false;
    }
    let name = &pod.name;
    let healthy = members::in_pod(&status.members, name).is_some_and(|member| member.health);
    let message = if !healthy {
        format!("the member in pod {name} is not healthy")
    } else if !world.says_ready(name) {
        format!("the member in pod {name} does not say that it is ready")
    } else {
        return true;
    };
    plan.wait(wait::on(Reason::MemberUnhealthy, wait::pd_member(name), message));
    false
}

/// Whether the next pod may restart: the others are a quorum, and another member leads.
fn may_restart(
    world: &World<'_>,
    set: &LiveSet,
    status: &PdStatus,
    (ordinal, pod): (i32, &str),
    plan: &mut Plan,
) -> bool {
    let Ok(members) = &world.members else {
        plan.wait(wait::on(Reason::PdUnknown, wait::pod(pod), "PD's members are not known"));
        return false;
    };
    let cautious = world.cluster.annotation(PD_CHECK_QUORUM) == Some("true");
    let healthy = members.iter().filter(|member| member.healthy).count();
    if !members::can_spare(members, pod) || (cautious && healthy <= members::quorum(members.len())) {
        let message = format!("without {pod} the healthy members would be too few");
        plan.wait(wait::on(Reason::QuorumAtRisk, wait::pod(pod), message));
        return false;
    }
    let leads = members.iter().find(|member| member.leader && members::pod_of(&member.name) == pod);
    let Some(leader) = leads else { return true };
    let own = members::successor(world.cluster, &status.members, slots::present(set.replicas()), ordinal);
    let Some(to) = own.or_else(|| members::peer_successor(&status.peer_members, &leader.name)) else { return true };
    members::hand_over(plan, &leader.name, &to, &format!("before {pod} restarts"));
    false
}

/// Gives pods the new template at once, without waiting for their members, if PD does not serve anyway and the user says so
/// or has only one member. True if it was so.
///
/// Only pods that are not ready are taken down that way. A PD that does not answer is unknown and not gone: it may have a
/// quorum that only the operator does not see, and then a pod that serves is part of it (safety rule S33). The number of
/// replicas does not change with it.
///
/// # Errors
/// When the StatefulSet does not serialise.
pub fn force(
    world: &World<'_>,
    set: &LiveSet,
    wanted: &mut StatefulSet,
    status: &mut PdStatus,
    plan: &mut Plan,
) -> Result<bool, Failure> {
    let asked = world.cluster.annotation(FORCE_UPGRADE) == Some("true");
    let alone = set.replicas() < 2 && status.peer_members.is_empty();
    if status.synced || !(asked || alone) {
        return Ok(false);
    }
    let lowest = lowest_down(world, set);
    let upgrades = status.common.phase == Phase::UPGRADE;
    let behind = upgrades && set.partition().is_some_and(|partition| lowest < partition);
    if !apply::pod_spec_differs(set, wanted) && !behind {
        return Ok(false);
    }
    if lowest >= set.replicas() {
        if asked {
            plan.wait(refused(&world.pod_name(set.replicas() - 1)));
        }
        return Ok(asked);
    }
    Phase::UPGRADE.clone_into(&mut status.common.phase);
    wanted.spec.get_or_insert_default().replicas = Some(set.replicas());
    rollout::roll_down_to(wanted, lowest);
    apply::stateful_set(plan, set, wanted, world.generation())?;
    let message = "PD does not serve: its pods get the new template without waiting for their members";
    plan.wait(wait::on(Reason::PdUnavailable, wait::stateful_set(set.0.name()), message));
    Ok(true)
}

/// The lowest ordinal from which on no pod is ready: so far down a rolling update takes nobody from PD.
fn lowest_down(world: &World<'_>, set: &LiveSet) -> i32 {
    let ready = |ordinal: &i32| world.pod(&world.pod_name(*ordinal)).is_some_and(|pod| pod.ready);
    slots::present(set.replicas()).into_iter().rfind(ready).map_or(0, |highest| highest + 1)
}

/// Why an upgrade is not forced, and what somebody can do.
fn refused(pod: &str) -> WaitingOn {
    let message = format!(
        "the upgrade is not forced: PD does not answer, but pod {pod}, which would be the first to go, is ready, and PD may \
         have a quorum that only the operator does not reach. If {pod} hangs, delete it: as soon as PD answers, or {pod} is \
         not ready, the upgrade goes on"
    );
    wait::on(Reason::Manual, wait::pod(pod), message)
}
