//! Replacing stores that PD has given up: one more pod is added for each. The extra pods go when everything is well
//! again and the user says so.

use tidepool_sdk::{
    EventType, Failure, Plan,
    api::status::{FailureStore, TikvStatus},
    claims,
    live::LiveSet,
    slots,
    stores::{DOWN, UP},
    time,
    wait::{self, Reason},
};

use crate::{
    status,
    world::{World, watch},
};

/// Forgets failures that no longer matter: of pods that are not wanted any more, and all of them once the user wants
/// that and everything is well.
pub fn recover(world: &World<'_>, status: &mut TikvStatus) {
    let wanted = slots::present(world.spec.replicas);
    let pods: Vec<String> = wanted.iter().map(|ordinal| world.pod_name(*ordinal)).collect();
    status.failure_stores.retain(|_, failed| pods.contains(&failed.pod_name));
    if status.failure_stores.is_empty() {
        return;
    }
    let by_uid = world.spec.failover.as_ref().map_or("", |failover| &failover.recover_by_uid);
    let asked = world.spec.recover_failover || by_uid == status.failover_uid;
    let well = |pod: &String| {
        let up = status.stores.values().any(|store| store.pod_name == *pod && store.state == UP);
        up && world.pod(pod).is_some_and(|row| row.ready)
    };
    if asked && pods.iter().all(well) {
        status.failure_stores.clear();
        status.failover_uid.clear();
    }
}

/// Records stores that have been down for long; the pods that replace them are added in the next pass.
///
/// # Errors
/// When pods or claims could not be read.
pub fn failover(world: &World<'_>, set: &LiveSet, status: &mut TikvStatus, plan: &mut Plan) -> Result<(), Failure> {
    let limit = usize::try_from(world.spec.max_failover_count.unwrap_or_default()).unwrap_or_default();
    let pods = i64::from(status::replicas(world, status));
    let settled = set.0.number("/status/replicas") == pods && set.replicas() == status::replicas(world, status);
    if !world.settings.auto_failover || limit == 0 || !status.synced || !settled || status::all_up(world, status) {
        return Ok(());
    }
    let wanted = slots::present(world.spec.replicas);
    let now = world.snapshot.now_ms();
    for pod in wanted.into_iter().map(|ordinal| world.pod_name(ordinal)) {
        let Some(store) = status.stores.values().find(|store| store.pod_name == pod && store.state == DOWN) else {
            continue;
        };
        let Some(since) = store.last_transition_time.as_ref().and_then(time::ms) else { continue };
        let deadline = since.saturating_add(world.settings.failover_period_seconds.saturating_mul(1000));
        let known = status.failure_stores.values().any(|failed| failed.pod_name == pod);
        let subject = format!("store/{}", store.id);
        if known || !world.scheduled(&pod)? {
            continue;
        } else if now <= deadline {
            plan.wait(wait::until(Reason::Failover, subject, format!("store {} is down", store.id), deadline));
        } else if status.failure_stores.len() >= limit {
            let message = format!("{limit} stores have been replaced already, no more");
            plan.wait(wait::on(Reason::FailoverLimit, subject, message));
        } else {
            let id = store.id.clone();
            record(world, set, status, &id, &pod)?;
            plan.event(
                EventType::Warning,
                "Unhealthy",
                &format!("tikv pod[{pod}] is unhealthy, msg:store[{id}] is Down"),
            );
        }
    }
    Ok(())
}

fn record(world: &World<'_>, set: &LiveSet, status: &mut TikvStatus, id: &str, pod: &str) -> Result<(), Failure> {
    let now = world.snapshot.now_ms();
    if status.failover_uid.is_empty() {
        // Distinct from those of earlier failovers, and the same however often this is decided.
        status.failover_uid = format!("{now:x}-{id}");
    }
    let claims = claims::of_pod(world.snapshot, watch::CLAIM, set, pod)?;
    let failed = FailureStore {
        pod_name: pod.to_owned(),
        store_id: id.to_owned(),
        pvc_uid_set: claims::uids(&claims),
        created_at: Some(time::at(now)),
        ..FailureStore::default()
    };
    status.failure_stores.insert(id.to_owned(), failed);
    Ok(())
}
