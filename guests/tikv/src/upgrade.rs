//! New pods one at a time: the StatefulSet gets the new template with a partition above all pods. Then, from the highest
//! ordinal down, the leaders leave a store, the partition is lowered by one, and the leaders come back.

use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::json;
use tidepool_sdk::{
    Failure, Plan, PodRow, StoreRow, StoreState,
    api::{
        Component, duration,
        labels::{EVICT_LEADER, EVICT_LEADER_BEGIN_TIME, EVICT_LEADER_END_AT, SCALE_IN_TIME, TIKV_CHECK_ALL_STORES_UP},
        status::{Phase, TikvStatus},
    },
    apply,
    flow::Step,
    live::{Live, LiveSet},
    rollout::{self, Progress},
    slots, stores, time,
    wait::{self, Reason},
};

use crate::{
    status,
    world::{World, pod_reference, watch},
};

/// How long leaders may take to leave a store when nothing is given.
const EVICT_LEADER_TIMEOUT_MS: u64 = 1500 * 60 * 1000;
/// How long leaders may take to come back when nothing is given.
const TRANSFER_BACK_TIMEOUT_MS: u64 = 400 * 1000;
/// With fewer leaders than this before, nobody waits for them to come back.
const LEADERS_WORTH_WAITING: i32 = 200;

/// Components that must not be changing while TiKV's pods are replaced, in the order in which they are asked.
const NOT_WITH: [Component; 2] = [Component::Tiflash, Component::Pd];

/// Takes the upgrade one step on, if there is one.
///
/// # Errors
/// When pods could not be read.
pub fn upgrade(
    world: &World<'_>,
    set: &LiveSet,
    wanted: &mut StatefulSet,
    status: &mut TikvStatus,
    plan: &mut Plan,
) -> Result<Step, Failure> {
    if status.vol_replace_in_progress {
        rollout::keep_pod_spec(set, wanted)?;
    }
    let changed = apply::pod_spec_differs(set, wanted);
    if !changed && status.common.phase != Phase::UPGRADE {
        return Ok(Step::Done);
    }
    let blocker = rollout::busy(world.cluster, &NOT_WITH);
    if let Some(blocker) = blocker.or((status.common.phase == Phase::SCALE).then_some(Component::Tikv)) {
        plan.wait(rollout::blocked(Component::Tikv, blocker));
        stand_down(world, status, plan)?;
        rollout::keep_pod_spec(set, wanted)?;
        return Ok(Step::Done);
    }
    if set.replicas() < 2 && status.peer_stores.is_empty() {
        // There is no other store that leaders could go to.
        Phase::UPGRADE.clone_into(&mut status.common.phase);
        if set.partitioned() {
            rollout::roll_down_to(wanted, 0);
        }
        return Ok(Step::Done);
    }
    if let Err(waiting) = status::rows(world, status) {
        plan.wait(waiting);
        return Ok(Step::Wait);
    }
    if changed && status.common.phase != Phase::UPGRADE {
        // Marks of an earlier upgrade would cut this one's waiting short.
        forget(world, plan)?;
    }
    if !rollout::begun(set, wanted, &mut status.common.phase, changed, plan) {
        return Ok(Step::Done);
    }
    let rows = world.stores.as_deref().unwrap_or_default();
    rollout::roll(world, set, wanted, plan, |progress, _, pod, plan| {
        let store = world.store_of(rows, &pod.name);
        Ok(match (progress, store) {
            (Progress::New, store) => {
                is_well(world, pod, store, plan) && leaders_are_back(world, &pod.name, store, status, plan)?
            }
            (_, Some(store)) => {
                others_are_up(world, rows, Some(store), plan)
                    && leaders_have_left(world, &pod.name, store, status, plan)?
            }
            (_, None) => others_are_up(world, rows, None, plan),
        })
    })
}

/// Whether a pod with the new template serves.
fn is_well(world: &World<'_>, pod: &PodRow, store: Option<&StoreRow>, plan: &mut Plan) -> bool {
    if let Some(waiting) = rollout::lacks(world.cluster, Component::Tikv, pod, world.snapshot.now_ms()) {
        plan.wait(waiting);
        return false;
    }
    // A pod that never had a store holds nothing that could be missed.
    let Some(store) = store.filter(|store| store.state != StoreState::Up) else { return true };
    let message = format!("store {} of pod {} is not up again", store.id, pod.name);
    plan.wait(wait::on(Reason::StoresNotUp, stores::subject(store.id), message));
    false
}

/// Whether no other store is away, so that no region loses two of its replicas (safety rules S6 and S7). A store that is
/// itself away costs nothing.
fn others_are_up(world: &World<'_>, rows: &[StoreRow], target: Option<&StoreRow>, plan: &mut Plan) -> bool {
    let cautious = world.cluster.annotation(TIKV_CHECK_ALL_STORES_UP) == Some("true");
    if !cautious && target.is_none_or(|target| target.state != StoreState::Up) {
        return true;
    }
    let own = target.map(|target| target.id);
    let away = |row: &&StoreRow| {
        !matches!(row.state, StoreState::Up | StoreState::Tombstone)
            && (cautious || (!row.tiflash && Some(row.id) != own))
    };
    let Some(other) = rows.iter().find(away) else { return true };
    let message = format!("no pod of TiKV restarts while store {} at {} is not up", other.id, other.address);
    plan.wait(wait::on(Reason::StoresNotUp, stores::subject(other.id), message));
    false
}

/// Whether the store of a pod may go down: its leaders have left it, or had all the time that they get.
fn leaders_have_left(
    world: &World<'_>,
    pod: &str,
    store: &StoreRow,
    status: &mut TikvStatus,
    plan: &mut Plan,
) -> Result<bool, Failure> {
    if store.state != StoreState::Up {
        // PD has moved leadership already, and this store cannot give anything away.
        return Ok(true);
    }
    let Some(live) = Live::read(world.snapshot, watch::POD, pod)? else { return Ok(false) };
    let now = world.snapshot.now_ms();
    let begun = live.annotation(EVICT_LEADER_BEGIN_TIME).and_then(time::parse);
    if begun.is_none() {
        // The mark comes first: what has a mark is taken back if the upgrade is called off.
        annotate(plan, &live, EVICT_LEADER_BEGIN_TIME, Some(time::text(now)));
    }
    let record = status.stores.get_mut(&store.id.to_string());
    if let Some(record) = record.filter(|record| begun.is_none() || record.leader_count_before_upgrade.is_none()) {
        record.leader_count_before_upgrade = Some(record.leader_count);
    }
    let timeout = timeout_ms(world.spec.evict_leader_timeout.as_deref(), EVICT_LEADER_TIMEOUT_MS);
    let deadline = begun.unwrap_or(now).saturating_add(timeout);
    if begun.is_some() && store.evicting_leaders && (now > deadline || store.leader_count == 0) {
        return Ok(true);
    }
    if !store.evicting_leaders {
        plan.begin_evict_leader(store.id);
    }
    let message = format!("{} leaders leave store {} of pod {pod} before it restarts", store.leader_count, store.id);
    plan.wait(wait::until(Reason::LeaderEviction, stores::subject(store.id), message, deadline));
    Ok(false)
}

/// Lets leaders come back to the store of a new pod, and says whether enough of them have, or had their time.
fn leaders_are_back(
    world: &World<'_>,
    pod: &str,
    store: Option<&StoreRow>,
    status: &mut TikvStatus,
    plan: &mut Plan,
) -> Result<bool, Failure> {
    let (Some(store), Some(live)) = (store, Live::read(world.snapshot, watch::POD, pod)?) else { return Ok(true) };
    if store.evicting_leaders && live.annotation(EVICT_LEADER).is_none() {
        plan.end_evict_leader(store.id);
    }
    let Some(record) = status.stores.get_mut(&store.id.to_string()) else { return Ok(true) };
    let Some(before) = record.leader_count_before_upgrade else { return Ok(true) };
    let ended = live.annotation(EVICT_LEADER_END_AT).and_then(time::parse);
    let now = world.snapshot.now_ms();
    let timeout = timeout_ms(world.spec.wait_leader_transfer_back_timeout.as_deref(), TRANSFER_BACK_TIMEOUT_MS);
    let deadline = ended.unwrap_or(now).saturating_add(timeout);
    if before < LEADERS_WORTH_WAITING || i64::from(record.leader_count) >= i64::from(before) * 2 / 3 || now > deadline {
        record.leader_count_before_upgrade = None;
        return Ok(true);
    }
    if ended.is_none() {
        annotate(plan, &live, EVICT_LEADER_END_AT, Some(time::text(now)));
    }
    let message = format!("{} of {before} leaders are back on store {} of pod {pod}", record.leader_count, store.id);
    plan.wait(wait::until(Reason::LeadersReturning, stores::subject(store.id), message, deadline));
    Ok(false)
}

/// Whether an upgrade whose pods are all new is over: the first pod is well, and no store gives its leaders away any
/// longer (safety rule S17). Until then it goes on.
///
/// # Errors
/// When pods could not be read.
pub fn is_over(world: &World<'_>, set: &LiveSet, status: &TikvStatus) -> Result<bool, Failure> {
    let Ok(rows) = status::rows(world, status) else { return Ok(false) };
    let first = slots::present(set.replicas()).into_iter().next();
    let lacks = |name: String| {
        let pod = world.pod(&name)?;
        rollout::lacks(world.cluster, Component::Tikv, pod, world.snapshot.now_ms()).is_none().then_some(())
    };
    if first.is_some_and(|ordinal| lacks(world.pod_name(ordinal)).is_none()) {
        return Ok(false);
    }
    let alone = set.replicas() < 2 && status.peer_stores.is_empty();
    for row in rows.iter().filter(|row| !alone && row.evicting_leaders && world.is_own(row)) {
        if !on_request(world, row)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the user, or a scale-in, has leaders moved off a store.
fn on_request(world: &World<'_>, row: &StoreRow) -> Result<bool, Failure> {
    let pod = Live::read(world.snapshot, watch::POD, stores::pod_of(&row.address))?;
    Ok(pod.is_some_and(|pod| [EVICT_LEADER, SCALE_IN_TIME].iter().any(|key| pod.annotation(key).is_some())))
}

/// Lets stores keep their leaders while the upgrade cannot go on, and forgets that they were to leave (safety rule S27).
///
/// # Errors
/// When pods could not be read.
pub fn stand_down(world: &World<'_>, status: &TikvStatus, plan: &mut Plan) -> Result<(), Failure> {
    let rows = world.stores.as_deref().unwrap_or_default();
    for row in rows.iter().filter(|row| row.evicting_leaders && world.is_own(row)) {
        let pod = Live::read(world.snapshot, watch::POD, stores::pod_of(&row.address))?;
        let marked = pod.is_some_and(|pod| pod.annotation(EVICT_LEADER_BEGIN_TIME).is_some());
        if (marked || status.common.phase == Phase::UPGRADE) && !on_request(world, row)? {
            plan.end_evict_leader(row.id);
        }
    }
    forget(world, plan)
}

/// Removes the marks of pods whose leaders are not leaving any more.
///
/// # Errors
/// When pods could not be read.
pub fn forget(world: &World<'_>, plan: &mut Plan) -> Result<(), Failure> {
    let rows = world.stores.as_deref().unwrap_or_default();
    for pod in &world.pods {
        let Some(live) = Live::read(world.snapshot, watch::POD, &pod.name)? else { continue };
        let evicting = world.store_of(rows, &pod.name).is_some_and(|store| store.evicting_leaders);
        if live.annotation(EVICT_LEADER_BEGIN_TIME).is_some() && !evicting && !live.deleting() {
            annotate(plan, &live, EVICT_LEADER_BEGIN_TIME, None);
        }
    }
    Ok(())
}

fn annotate(plan: &mut Plan, pod: &Live, key: &str, text: Option<String>) {
    let patch = json!({"metadata": {"annotations": {key: text}}});
    plan.merge_patch(pod_reference(pod.name()), patch, pod.unchanged());
}

fn timeout_ms(given: Option<&str>, default: u64) -> u64 {
    let parsed = given.and_then(duration::parse).and_then(|given| u64::try_from(given.as_millis()).ok());
    parsed.unwrap_or(default)
}
