//! Replacing a member that has been down for long.
//!
//! It is marked first, then removed from PD, and only once PD no longer lists it do its volumes and its pod go, so that
//! the pod starts anew and joins as another member. One more member runs until all are well again. One failover at a
//! time, and none that PD's own list of members does not bear out.

use serde_json::json;
use tidepool_sdk::{
    EventType, Failure, Plan, PodPhase, WaitingOn,
    api::{
        Component,
        labels::MEMBER_ID,
        names,
        status::{PdFailureMember, PdMember, PdStatus},
    },
    claims,
    flow::Step,
    live::{Live, LiveSet},
    rollout, time,
    wait::{self, Reason},
    world::pod_reference,
};

use crate::{
    members::{self, pod_of},
    world::{World, watch},
};

/// Takes failover or recovery one step on, if there is need.
///
/// # Errors
/// When claims could not be read.
pub fn failover(world: &World<'_>, set: &LiveSet, status: &mut PdStatus, plan: &mut Plan) -> Result<Step, Failure> {
    let limit = usize::try_from(world.spec.max_failover_count.unwrap_or_default()).unwrap_or_default();
    if !world.settings.auto_failover {
        return Ok(Step::Done);
    }
    if recovered(world, status) {
        status.failure_members.clear();
        return Ok(Step::Done);
    }
    say_who_is_missing(world, status, plan);
    if limit == 0 || !needed(world, status) {
        return Ok(Step::Done);
    }
    if !status.synced {
        let subject = world.name();
        plan.wait(wait::on(Reason::PdUnknown, subject, "no member is replaced while the members are not known"));
        return Ok(Step::Wait);
    }
    forget_healthy(status);
    let total = status.members.len() + status.peer_members.len();
    let healthy = status.members.values().chain(status.peer_members.values()).filter(|member| member.health).count();
    if healthy <= total / 2 {
        let message = format!("{healthy} of {total} members are healthy: none is replaced without a quorum");
        plan.wait(wait::on(Reason::QuorumAtRisk, world.name(), message));
        return Ok(Step::Wait);
    }
    if let Some((name, failed)) = begun(status) {
        return replace(world, set, status, (&name, &failed), plan);
    }
    if status.failure_members.len() >= limit {
        let message = format!("{limit} members were replaced already, and no more are allowed");
        plan.wait(wait::on(Reason::FailoverLimit, "spec.pd.maxFailoverCount", message));
        return Ok(Step::Done);
    }
    mark(world, set, status, plan)
}

/// Every pod that the spec asks for runs a healthy member again: those that failover added are not needed any more.
fn recovered(world: &World<'_>, status: &PdStatus) -> bool {
    let well = |ordinal: i32| is_well(world, status, &world.pod_name(ordinal));
    !status.failure_members.is_empty() && (0..world.spec.replicas).all(well)
}

fn is_well(world: &World<'_>, status: &PdStatus, pod: &str) -> bool {
    world.pod(pod).is_some_and(|row| row.ready)
        && members::in_pod(&status.members, pod).is_some_and(|member| member.health)
}

/// Says why there is a member more than the spec asks for: the one that comes in the place of a lost one is not well yet.
fn say_who_is_missing(world: &World<'_>, status: &PdStatus, plan: &mut Plan) {
    let replaced = status.failure_members.iter().filter(|(_, failed)| failed.member_deleted);
    for (name, failed) in replaced.filter(|(_, failed)| !is_well(world, status, &failed.pod_name)) {
        let message = format!("the member that comes in the place of {name} is not well yet; until then one more runs");
        plan.wait(wait::on(Reason::Failover, wait::pod(&failed.pod_name), message));
    }
}

/// A member is missing or down while nothing else changes their number, or a replacement has begun.
fn needed(world: &World<'_>, status: &PdStatus) -> bool {
    let desired = world.cluster.desired_replicas(Component::Pd);
    let actual = status.common.stateful_set.as_ref().map_or(0, |set| set.replicas);
    let all_ready = usize::try_from(desired).is_ok_and(|desired| desired == status.members.len())
        && status.members.values().all(|member| member.health);
    (actual == desired && !all_ready) || status.failure_members.values().any(|member| !member.member_deleted)
}

/// A member that was marked and is healthy again was not lost.
fn forget_healthy(status: &mut PdStatus) {
    let PdStatus { members, failure_members, .. } = status;
    failure_members.retain(|name, failed| failed.member_deleted || !members.get(name).is_some_and(|m| m.health));
}

fn begun(status: &PdStatus) -> Option<(String, PdFailureMember)> {
    let begun = status.failure_members.iter().find(|(_, failed)| !failed.member_deleted);
    begun.map(|(name, failed)| (name.clone(), failed.clone()))
}

/// Marks the first member that has been down for longer than failover waits.
fn mark(world: &World<'_>, set: &LiveSet, status: &mut PdStatus, plan: &mut Plan) -> Result<Step, Failure> {
    let ordinals = 0..world.spec.replicas;
    let candidate = |member: &&PdMember| {
        let ordinal = names::ordinal(pod_of(&member.name));
        !member.health
            && ordinal.is_some_and(|ordinal| ordinals.contains(&ordinal))
            && !status.failure_members.contains_key(&member.name)
    };
    let candidates: Vec<PdMember> = status.members.values().filter(candidate).cloned().collect();
    for member in candidates {
        let Some(since) = member.last_transition_time.as_ref().and_then(time::ms) else { continue };
        let pod = pod_of(&member.name).to_owned();
        let due = since.saturating_add(world.settings.failover_period_seconds.saturating_mul(1000));
        if world.snapshot.now_ms() < due {
            plan.wait(patience(world, set, status, (&member.name, &pod), due)?);
            continue;
        }
        // A pod that has no node yet says nothing about its member, and a second one would find no node either.
        if world.pod(&pod).is_none_or(|row| row.phase == PodPhase::Pending) {
            let message = format!("pod {pod} of member {} is not running yet", member.name);
            plan.wait(wait::on(Reason::PodsNotReady, wait::pod(&pod), message));
            continue;
        }
        let message = format!("member {} has not been healthy since {}", member.name, time::text(since));
        plan.event(EventType::Warning, "PDMemberUnhealthy", &message);
        plan.wait(wait::on(Reason::Failover, wait::pd_member(&member.name), format!("{message}: it is replaced")));
        let failed = PdFailureMember {
            pvc_uid_set: claims::uids(&claims::of_pod(world.snapshot, watch::CLAIM, set, &pod)?),
            pod_name: pod,
            member_id: member.id.clone(),
            created_at: Some(time::at(world.snapshot.now_ms())),
            ..PdFailureMember::default()
        };
        status.failure_members.insert(member.name, failed);
        return Ok(Step::Wait);
    }
    Ok(Step::Done)
}

/// Waits for a member to be healthy before it is replaced. One that an upgrade restarts has not failed.
fn patience(
    world: &World<'_>,
    set: &LiveSet,
    status: &PdStatus,
    (member, pod): (&str, &str),
    due: u64,
) -> Result<WaitingOn, Failure> {
    let restarts = rollout::restarts(world, set, &status.common.phase, pod)?;
    let (reason, what) = match restarts {
        true => (Reason::Upgrading, "restarts with the new template and is not healthy yet"),
        false => (Reason::Failover, "is not healthy"),
    };
    let message = format!("member {member} {what}; it is replaced if it stays so");
    Ok(wait::until(reason, wait::pd_member(member), message, due))
}

/// Replaces a marked member: out of PD first, then its volumes and pod.
fn replace(
    world: &World<'_>,
    set: &LiveSet,
    status: &mut PdStatus,
    (name, failed): (&str, &PdFailureMember),
    plan: &mut Plan,
) -> Result<Step, Failure> {
    let Ok(listed) = &world.members else { return Ok(Step::Wait) };
    if failed.member_id.parse::<u64>().is_err() {
        let message = format!("status.pd.failureMembers: the id {:?} of {name} is no number", failed.member_id);
        plan.wait(wait::on(Reason::Manual, wait::pd_member(name), message));
        return Ok(Step::Wait);
    }
    if listed.iter().any(|member| member.id == failed.member_id) {
        if members::can_remove(listed, &failed.member_id) {
            plan.delete_pd_member(&failed.member_id);
            let message = format!("member {name} was removed from PD: it was not healthy for too long");
            plan.event(EventType::Warning, "PDMemberDeleted", &message);
            plan.wait(wait::on(Reason::MemberRemoval, wait::pd_member(name), format!("{name} leaves PD")));
        } else {
            let message = format!("without {name} the healthy members would be no quorum");
            plan.wait(wait::on(Reason::QuorumAtRisk, wait::pd_member(name), message));
        }
        return Ok(Step::Wait);
    }
    if !start_anew(world, set, failed, plan)? {
        return Ok(Step::Wait);
    }
    if let Some(failed) = status.failure_members.get_mut(name) {
        failed.member_deleted = true;
    }
    Ok(Step::Done)
}

/// Deletes the volumes that the lost member had, and the pod as long as it uses them; true once they are gone. Later
/// volumes of the same names belong to the new member and are not touched. The volumes go first: a pod that is made anew
/// before they are marked as going would start on them. Whether the pod seems to serve says nothing, for one that stands
/// still is ready as far as Kubernetes can tell, and so is the one that would come after it.
fn start_anew(world: &World<'_>, set: &LiveSet, failed: &PdFailureMember, plan: &mut Plan) -> Result<bool, Failure> {
    let claims = claims::of_pod(world.snapshot, watch::CLAIM, set, &failed.pod_name)?;
    let old: Vec<&Live> = claims.iter().filter(|claim| is_of(failed, claim.uid())).collect();
    let Some(first) = old.first() else { return Ok(true) };
    if world.pod(&failed.pod_name).is_some_and(|pod| pod.ready) && name(&old, failed, plan) {
        return Ok(false);
    }
    old.iter().filter(|claim| !claim.deleting()).for_each(|claim| claims::delete(plan, claim));
    if let Some(pod) = world.live_pod(&failed.pod_name)?.filter(|pod| !pod.deleting()) {
        plan.delete(pod_reference(&failed.pod_name), pod.unchanged());
    }
    let message = format!("the volumes of the lost member in {} are being deleted", failed.pod_name);
    plan.wait(wait::on(Reason::ClaimNotReady, format!("persistentvolumeclaim/{}", first.name()), message));
    Ok(false)
}

/// Writes on the volumes whose they were, where that is not known yet: under a pod that seems to serve the host lets only
/// those go that say so. True if something was written.
fn name(claims: &[&Live], failed: &PdFailureMember, plan: &mut Plan) -> bool {
    let nameless = claims.iter().filter(|claim| !claim.deleting() && claim.label(MEMBER_ID).is_none_or(str::is_empty));
    let mut written = false;
    for claim in nameless {
        let patch = json!({"metadata": {"labels": {MEMBER_ID: failed.member_id}}});
        plan.merge_patch(claims::reference(claim), patch, claim.unchanged());
        let message = format!("{} is marked as that of the lost member {}", claim.name(), failed.member_id);
        plan.wait(wait::on(Reason::ClaimNotReady, format!("persistentvolumeclaim/{}", claim.name()), message));
        written = true;
    }
    written
}

fn is_of(failed: &PdFailureMember, uid: &str) -> bool {
    failed.pvc_uid_set.contains_key(uid) || (!failed.pvc_uid.is_empty() && failed.pvc_uid == uid)
}
