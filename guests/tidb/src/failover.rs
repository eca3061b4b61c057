//! Replacing servers that have been unhealthy for long: one more pod is added for each. The extra pods go when all that
//! the spec asks for are well again.

use tidepool_sdk::{
    EventType, Failure, Plan, WaitingOn,
    api::status::{TidbFailureMember, TidbStatus},
    live::LiveSet,
    rollout, slots, time,
    wait::{self, Reason},
};

use crate::{status, world::World};

/// Forgets all failures once every pod that the spec asks for serves, else records a new one. The pods that replace
/// failed ones are added in the next pass.
///
/// # Errors
/// When pods could not be read.
pub fn failover(world: &World<'_>, set: &LiveSet, status: &mut TidbStatus, plan: &mut Plan) -> Result<(), Failure> {
    if !world.settings.auto_failover {
        return Ok(());
    }
    if !status.failure_members.is_empty() && recovered(world, status) {
        status.failure_members.clear();
        return Ok(());
    }
    let wanted = status::replicas(world, status);
    let settled = set.0.number("/status/replicas") == i64::from(wanted) && set.replicas() == wanted;
    if !settled || status::all_healthy(world, status) {
        return Ok(());
    }
    let healthy = |pod: &str| status.members.get(pod).is_some_and(|member| member.health);
    let still: Vec<String> = status.failure_members.keys().filter(|pod| !healthy(pod)).cloned().collect();
    status.failure_members.retain(|pod, _| still.contains(pod));
    record(world, set, status, plan)
}

/// Failover's own pods do not count.
fn recovered(world: &World<'_>, status: &TidbStatus) -> bool {
    let wanted = slots::present(world.spec.replicas);
    wanted.into_iter().map(|ordinal| world.pod_name(ordinal)).all(|pod| {
        let healthy = status.members.get(&pod).is_some_and(|member| member.health);
        healthy && world.pod(&pod).is_some_and(|row| row.ready)
    })
}

/// Records the first server that has been unhealthy for too long; one in a pass.
fn record(world: &World<'_>, set: &LiveSet, status: &mut TidbStatus, plan: &mut Plan) -> Result<(), Failure> {
    let limit = usize::try_from(world.spec.max_failover_count.unwrap_or_default()).unwrap_or_default();
    if limit == 0 {
        return Ok(());
    }
    let unhealthy = status.members.values().filter(|member| !member.health);
    for member in unhealthy.filter(|member| !status.failure_members.contains_key(&member.name)) {
        let Some(since) = member.last_transition_time.as_ref().and_then(time::ms) else { continue };
        let deadline = since.saturating_add(world.settings.failover_period_seconds.saturating_mul(1000));
        let name = member.name.clone();
        if !world.scheduled(&name)? {
            continue;
        }
        // Only where somebody is unhealthy does the decision depend on the time.
        let now = world.snapshot.now_ms();
        if now <= deadline {
            plan.wait(patience(world, set, status, &name, deadline)?);
            continue;
        }
        if status.failure_members.len() >= limit {
            let message = format!("{limit} servers have been replaced already, no more");
            plan.wait(wait::on(Reason::FailoverLimit, wait::pod(&name), message));
            return Ok(());
        }
        let failed = TidbFailureMember { pod_name: name.clone(), created_at: Some(time::at(now)) };
        plan.event(
            EventType::Warning,
            "Unhealthy",
            &format!("tidb pod[{name}] is unhealthy, msg:tidb[{name}] is unhealthy"),
        );
        status.failure_members.insert(name, failed);
        return Ok(());
    }
    Ok(())
}

/// Waits for a server to answer before it is replaced. One that an upgrade restarts has not failed.
fn patience(
    world: &World<'_>,
    set: &LiveSet,
    status: &TidbStatus,
    name: &str,
    deadline: u64,
) -> Result<WaitingOn, Failure> {
    let restarts = rollout::restarts(world, set, &status.common.phase, name)?;
    Ok(if restarts {
        let message = format!("{name} restarts with the new template and does not answer yet");
        wait::until(Reason::Upgrading, wait::pod(name), message, deadline)
    } else {
        wait::until(Reason::Failover, wait::pod(name), format!("{name} does not answer"), deadline)
    })
}
