//! New pods one at a time: the StatefulSet gets the new template with a partition above all pods, then the partition is
//! lowered by one whenever everything above it is well again.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetUpdateStrategy};
use tidepool_sdk::{
    Failure, Plan, PodRow,
    api::{
        Component,
        labels::{CONTROLLER_REVISION_HASH, FORCE_UPGRADE, PD_CHECK_QUORUM, min_ready_seconds},
        status::{PdStatus, Phase},
    },
    apply,
    build::set::rolling,
    live::{Live, LiveSet},
    wait::{self, Reason},
};

use crate::{
    Step, members,
    world::{World, watch},
};

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
        keep_pod_spec(set, wanted)?;
    }
    let changed = apply::pod_spec_differs(set, wanted);
    if !changed && status.common.phase != Phase::UPGRADE {
        return Ok(Step::Done);
    }
    if !status.synced {
        let subject = world.cluster.member_name(Component::Pd);
        plan.wait(wait::on(Reason::PdUnknown, subject, "PD is not upgraded while its members are not known"));
        return Ok(Step::Wait);
    }
    if status.common.phase == Phase::SCALE {
        keep_pod_spec(set, wanted)?;
        return Ok(Step::Done);
    }
    Phase::UPGRADE.clone_into(&mut status.common.phase);
    if changed {
        // The template first; no pod restarts for it, since the partition is above them all.
        return Ok(Step::Done);
    }
    if !set.partitioned() {
        let message = "pods get the new template when somebody deletes them: the update strategy says so";
        plan.wait(wait::on(Reason::Manual, wait::stateful_set(set.0.name()), message));
        strategy(wanted, set.0.at("/spec/updateStrategy").unwrap_or_default());
        return Ok(Step::Done);
    }
    roll(world, set, wanted, status, plan)
}

/// The template that the pods have stays for now; its labels and annotations may change.
fn keep_pod_spec(set: &LiveSet, wanted: &mut StatefulSet) -> Result<(), Failure> {
    let last = set.0.last_applied().and_then(|last| last.pointer("/template/spec").cloned());
    let Some(last) = last else {
        return Err(Failure::Internal(format!("StatefulSet {} does not say what was last applied", set.0.name())));
    };
    wanted.spec.get_or_insert_default().template.spec = Some(serde_json::from_value(last)?);
    Ok(())
}

fn strategy(wanted: &mut StatefulSet, strategy: StatefulSetUpdateStrategy) {
    wanted.spec.get_or_insert_default().update_strategy = Some(strategy);
}

/// From the highest ordinal down: those that are new must be well, and the first old one is next.
fn roll(
    world: &World<'_>,
    set: &LiveSet,
    wanted: &mut StatefulSet,
    status: &PdStatus,
    plan: &mut Plan,
) -> Result<Step, Failure> {
    let partition = set.partition().unwrap_or_default();
    strategy(wanted, rolling(partition));
    for ordinal in (0..set.replicas()).rev() {
        let name = world.cluster.pod_name(Component::Pd, ordinal);
        let pod = world.pod(&name).zip(Live::read(world.snapshot, watch::POD, &name)?);
        let Some((pod, revision)) =
            pod.and_then(|(row, live)| live.label(CONTROLLER_REVISION_HASH).map(|revision| (row, revision.to_owned())))
        else {
            plan.wait(wait::on(Reason::PodsNotReady, wait::pod(&name), format!("pod {name} is being created")));
            return Ok(Step::Wait);
        };
        if revision == set.revisions().1 {
            if !is_well(world, status, pod, plan) {
                return Ok(Step::Wait);
            }
        } else if ordinal >= partition {
            // It may restart already; the controller has not got to it.
            plan.wait(wait::on(Reason::Upgrading, wait::pod(&name), format!("pod {name} is being replaced")));
            return Ok(Step::Wait);
        } else {
            return Ok(next(world, set, wanted, status, (ordinal, &name), plan));
        }
    }
    Ok(Step::Done)
}

/// Whether a pod with the new template serves.
fn is_well(world: &World<'_>, status: &PdStatus, pod: &PodRow, plan: &mut Plan) -> bool {
    let name = &pod.name;
    let seconds = world.cluster.annotation(&min_ready_seconds(Component::Pd));
    let min_ready = seconds.and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let ready_at = pod.ready_since_ms.saturating_add(min_ready.saturating_mul(1000));
    let healthy = members::in_pod(&status.members, name).is_some_and(|member| member.health);
    let waiting = if !pod.ready {
        wait::on(Reason::PodsNotReady, wait::pod(name), format!("pod {name} has the new template and is not ready"))
    } else if min_ready > 0 && world.snapshot.now_ms() <= ready_at {
        let message = format!("pod {name} must be ready for {min_ready} s");
        wait::until(Reason::PodReadyTooShort, wait::pod(name), message, ready_at)
    } else if !healthy {
        wait::on(Reason::MemberUnhealthy, wait::pd_member(name), format!("the member in pod {name} is not healthy"))
    } else if !world.says_ready(name) {
        let message = format!("the member in pod {name} does not say that it is ready");
        wait::on(Reason::MemberUnhealthy, wait::pd_member(name), message)
    } else {
        return true;
    };
    plan.wait(waiting);
    false
}

/// The next pod to restart: what must be so before, then the lower partition.
fn next(
    world: &World<'_>,
    set: &LiveSet,
    wanted: &mut StatefulSet,
    status: &PdStatus,
    (ordinal, pod): (i32, &str),
    plan: &mut Plan,
) -> Step {
    let Ok(members) = &world.members else {
        plan.wait(wait::on(Reason::PdUnknown, wait::pod(pod), "PD's members are not known"));
        return Step::Wait;
    };
    let cautious = world.cluster.annotation(PD_CHECK_QUORUM) == Some("true");
    let healthy = members.iter().filter(|member| member.healthy).count();
    if !members::can_spare(members, pod) || (cautious && healthy <= members::quorum(members.len())) {
        let message = format!("without {pod} the healthy members would be too few");
        plan.wait(wait::on(Reason::QuorumAtRisk, wait::pod(pod), message));
        return Step::Wait;
    }
    let leads = members.iter().find(|member| member.leader && members::pod_of(&member.name) == pod);
    if let Some(leader) = leads {
        let own = members::successor(world.cluster, &status.members, 0..set.replicas(), ordinal);
        if let Some(to) = own.or_else(|| members::peer_successor(&status.peer_members, &leader.name)) {
            plan.transfer_pd_leader(&to);
            let message = format!("leadership moves from {} to {to} before {pod} restarts", leader.name);
            plan.wait(wait::on(Reason::LeaderTransfer, wait::pd_member(&to), message));
            return Step::Wait;
        }
    }
    strategy(wanted, rolling(ordinal));
    plan.wait(wait::on(Reason::Upgrading, wait::pod(pod), format!("pod {pod} is being replaced")));
    Step::Done
}

/// Whether the new template goes to all pods at once since PD does not serve anyway, and the user says so or has only
/// one member. The number of replicas does not change with it.
pub fn force(world: &World<'_>, set: &LiveSet, wanted: &mut StatefulSet, status: &mut PdStatus) -> bool {
    let asked = world.cluster.annotation(FORCE_UPGRADE) == Some("true");
    let alone = set.replicas() < 2 && status.peer_members.is_empty();
    if status.synced || !(asked || alone) || !apply::pod_spec_differs(set, wanted) {
        return false;
    }
    Phase::UPGRADE.clone_into(&mut status.common.phase);
    wanted.spec.get_or_insert_default().replicas = Some(set.replicas());
    strategy(wanted, rolling(0));
    true
}
