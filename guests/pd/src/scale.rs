//! Adding and removing members, one at a time.
//!
//! A member leaves in steps that are each seen before the next: it gives away leadership, leaves PD, and only then its
//! pod goes. Its volumes stay, marked, and are removed before a new member takes the same ordinal.

use k8s_openapi::api::apps::v1::StatefulSet;
use tidepool_sdk::{
    Failure, PdMember as Member, Plan,
    api::Component,
    claims,
    flow::Step,
    live::LiveSet,
    rollout,
    slots::{self, Slots},
    wait::{self, Reason},
};

use crate::{
    members,
    world::{World, watch},
};

/// The next step towards the replicas that `wanted` has; `wanted` gets the size that the set is to have after this pass.
///
/// # Errors
/// When claims could not be read.
pub fn scale(world: &World<'_>, set: &LiveSet, wanted: &mut StatefulSet, plan: &mut Plan) -> Result<Step, Failure> {
    let (actual, desired) = (set.replicas(), world.cluster.desired_replicas(Component::Pd));
    // Until the step is made, the set keeps its size.
    wanted.spec.get_or_insert_default().replicas = Some(actual);
    slots::keep(set, wanted);
    if let Some(waiting) = slots::refusal(world.cluster, Component::Pd) {
        rollout::resize(wanted, actual, desired);
        plan.wait(waiting);
        return Ok(Step::Done);
    }
    let none = Slots::new();
    let next = slots::next((actual, &none), (desired, &none));
    let step = match next.step {
        slots::Step::None => return Ok(Step::Done),
        slots::Step::Out(ordinal) => scale_out(world, set, ordinal, plan)?,
        slots::Step::In(ordinal) if in_use(world) => {
            rollout::resize(wanted, actual, desired);
            let message = "the last PD members stay while other components use them";
            plan.wait(wait::on(Reason::StillInUse, wait::pod(&world.pod_name(ordinal)), message));
            return Ok(Step::Done);
        }
        slots::Step::In(ordinal) => scale_in(world, set, ordinal, plan)?,
    };
    if step == Step::Done {
        rollout::resize(wanted, next.replicas, desired);
    }
    Ok(step)
}

/// PD's members, if they are known.
fn known<'a>(world: &'a World<'_>, plan: &mut Plan) -> Option<&'a [Member]> {
    match &world.members {
        Ok(members) => Some(members),
        Err(unknown) => {
            let message = format!("the number of PD members does not change while {unknown}");
            plan.wait(wait::on(Reason::PdUnknown, world.name(), message));
            None
        }
    }
}

fn scale_out(world: &World<'_>, set: &LiveSet, ordinal: i32, plan: &mut Plan) -> Result<Step, Failure> {
    let pod = world.pod_name(ordinal);
    let Some(members) = known(world, plan) else { return Ok(Step::Wait) };
    // The pod of a member that PD has already, for example one that somebody took away by hand, only comes back.
    let joins = !members.iter().any(|member| members::pod_of(&member.name) == pod && own(world, member));
    if joins && !members::can_add(members) {
        let message = format!("{pod} is added when enough members are healthy for a quorum with one more");
        plan.wait(wait::on(Reason::QuorumAtRisk, wait::pod(&pod), message));
        return Ok(Step::Wait);
    }
    let left: Vec<_> = claims::of_pod(world.snapshot, watch::CLAIM, set, &pod)?;
    let left: Vec<_> = left.iter().filter(|claim| claims::deferred(claim)).collect();
    for claim in &left {
        if !claim.deleting() {
            claims::delete(plan, claim);
        }
    }
    if let Some(claim) = left.first() {
        let message = format!("{pod} must not start with the data of the member that left");
        plan.wait(wait::on(Reason::ClaimNotReady, format!("persistentvolumeclaim/{}", claim.name()), message));
        return Ok(Step::Wait);
    }
    Ok(Step::Done)
}

/// Something of the cluster runs, and PD is to have no members.
fn in_use(world: &World<'_>) -> bool {
    let Some(status) = &world.cluster.status else { return false };
    let replicas = |set: &Option<k8s_openapi::api::apps::v1::StatefulSetStatus>| {
        set.as_ref().map_or(0, |set| usize::try_from(set.replicas).unwrap_or_default())
    };
    let users = status.tikv.as_ref().map_or(0, |tikv| tikv.stores.len())
        + status.tiflash.as_ref().map_or(0, |tiflash| tiflash.stores.len())
        + status.tidb.as_ref().map_or(0, |tidb| tidb.members.len())
        + status.ticdc.as_ref().map_or(0, |ticdc| replicas(&ticdc.common.stateful_set))
        + status.pump.as_ref().map_or(0, |pump| replicas(&pump.common.stateful_set));
    world.spec.replicas == 0 && users > 0
}

fn scale_in(world: &World<'_>, set: &LiveSet, ordinal: i32, plan: &mut Plan) -> Result<Step, Failure> {
    let pod = world.pod_name(ordinal);
    let Some(members) = known(world, plan) else { return Ok(Step::Wait) };
    let member = members.iter().find(|member| members::pod_of(&member.name) == pod && own(world, member));
    let last = members.len() == 1 && set.replicas() == 1;
    match member {
        Some(member) if !last => Ok(leave(world, set, members, member, plan)),
        // The last member of all cannot be removed from PD: there would be no PD to ask.
        _ => {
            for claim in claims::of_pod(world.snapshot, watch::CLAIM, set, &pod)? {
                if !claims::deferred(&claim) {
                    claims::defer(plan, &claim, world.snapshot.now_ms());
                }
            }
            Ok(Step::Done)
        }
    }
}

fn own(world: &World<'_>, member: &Member) -> bool {
    members::is_own(world.cluster, &member.client_url)
}

/// One step of a member on its way out of PD.
fn leave(world: &World<'_>, set: &LiveSet, all: &[Member], member: &Member, plan: &mut Plan) -> Step {
    let subject = wait::pd_member(&member.name);
    if !members::can_remove(all, &member.id) {
        let message = format!("without {} the healthy members would be no quorum", member.name);
        plan.wait(wait::on(Reason::QuorumAtRisk, subject, message));
    } else if member.leader {
        let pods = slots::present(set.replicas()).into_iter().map(|ordinal| world.pod_name(ordinal));
        match members::heir(world.cluster, pods, all, member) {
            Some(to) => members::hand_over(plan, &member.name, &to.name, &format!("before {} leaves PD", member.name)),
            None => {
                let message = format!("no healthy member can lead instead of {}", member.name);
                plan.wait(wait::on(Reason::NoCandidate, subject, message));
            }
        }
    } else {
        plan.delete_pd_member(&member.id);
        plan.wait(wait::on(Reason::MemberRemoval, subject, format!("{} leaves PD", member.name)));
    }
    Step::Wait
}
