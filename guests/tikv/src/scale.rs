//! Adding and removing stores.
//!
//! A store leaves in steps that are each seen before the next: its leaders go, PD moves its regions elsewhere and buries
//! it, and only then its pod goes. Its volumes stay, marked.

use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::json;
use tidepool_sdk::{
    Failure, Plan, StoreRow, StoreState,
    api::{
        Component,
        labels::{EVICT_LEADER, SCALE_IN_TIME, TIKV_NO_ACTIVE_STORE_SINCE},
        status::TikvStatus,
    },
    claims,
    flow::Step,
    live::{Live, LiveSet},
    rollout, slots, stores, time,
    wait::{self, Reason},
};

use crate::{
    status,
    world::{World, pod_reference, watch},
};

/// How long leaders may take to leave a store before it is deleted all the same: PD moves them then.
const EVICT_TIMEOUT_MS: u64 = 5 * 60 * 1000;
/// How long a pod without a store may take to register one before it counts as one that never will.
const REGISTER_TIMEOUT_MS: u64 = 150 * 1000;

/// The next steps towards the replicas that `wanted` has; `wanted` gets the size that the set is to have after this pass.
///
/// # Errors
/// When pods or claims could not be read.
pub fn scale(
    world: &World<'_>,
    set: &LiveSet,
    wanted: &mut StatefulSet,
    status: &TikvStatus,
    plan: &mut Plan,
) -> Result<Step, Failure> {
    let (actual, desired) = (set.replicas(), wanted.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default());
    // Until steps are made, the set keeps its size.
    wanted.spec.get_or_insert_default().replicas = Some(actual);
    slots::keep(set, wanted);
    let rows = match status::rows(world, status) {
        Ok(rows) => rows,
        Err(waiting) => {
            plan.wait(waiting);
            return Ok(Step::Wait);
        }
    };
    if let (true, Some(waiting)) = (actual != desired, slots::refusal(world.cluster, Component::Tikv)) {
        rollout::resize(wanted, actual, desired);
        plan.wait(waiting);
        return Ok(Step::Done);
    }
    cancel(world, rows, desired, plan)?;
    let batch = slots::batch(actual, desired, slots::parallelism(world.spec.scale_policy.as_ref(), desired > actual));
    let mut leaving = Leaving::new(world, rows);
    let mut finished = actual;
    for step in &batch {
        let (done, after) = match step {
            slots::Step::None => (Step::Done, finished),
            slots::Step::Out(ordinal) => (scale_out(world, set, &world.pod_name(*ordinal), plan)?, ordinal + 1),
            slots::Step::In(ordinal) => (leaving.leave(set, &world.pod_name(*ordinal), plan)?, *ordinal),
        };
        // Those beyond an unfinished one wait for it, since a set only grows and shrinks at its end.
        if done == Step::Done && (after - finished).abs() == 1 {
            finished = after;
        }
    }
    rollout::resize(wanted, finished, desired);
    Ok(if finished == actual && !batch.is_empty() { Step::Wait } else { Step::Done })
}

fn scale_out(world: &World<'_>, set: &LiveSet, pod: &str, plan: &mut Plan) -> Result<Step, Failure> {
    let left = claims::of_pod(world.snapshot, watch::CLAIM, set, pod)?;
    match claims::clear(plan, pod, &left) {
        Some(waiting) => {
            plan.wait(waiting);
            Ok(Step::Wait)
        }
        None => Ok(Step::Done),
    }
}

/// Stores that were to leave and stay after all get their leaders back (safety rule S17).
fn cancel(world: &World<'_>, rows: &[StoreRow], desired: i32, plan: &mut Plan) -> Result<(), Failure> {
    for ordinal in slots::present(desired) {
        let Some(pod) = Live::read(world.snapshot, watch::POD, &world.pod_name(ordinal))? else { continue };
        if pod.annotation(SCALE_IN_TIME).is_none() || pod.deleting() {
            continue;
        }
        let store = world.store_of(rows, pod.name());
        match store {
            // It was deleted: PD does not take that back, and its leaders must go on leaving.
            Some(row) if row.state == StoreState::Offline || row.state == StoreState::Removing => {}
            Some(row) if row.evicting_leaders && pod.annotation(EVICT_LEADER).is_none() => {
                plan.end_evict_leader(row.id)
            }
            _ => {
                let patch = json!({"metadata": {"annotations": {SCALE_IN_TIME: null}}});
                plan.merge_patch(pod_reference(pod.name()), patch, pod.unchanged());
            }
        }
    }
    Ok(())
}

/// Stores on their way out in one pass.
struct Leaving<'a> {
    world: &'a World<'a>,
    rows: &'a [StoreRow],
    /// Replicas of each region that PD wants; none if that is not known.
    max_replicas: Option<usize>,
    /// TiKV stores that are up, less those that leave in this pass.
    up: usize,
}

impl<'a> Leaving<'a> {
    fn new(world: &'a World<'a>, rows: &'a [StoreRow]) -> Self {
        let config = world.snapshot.pd_document("config").unwrap_or_default();
        let max_replicas = config["replication"]["max-replicas"].as_u64().and_then(|n| usize::try_from(n).ok());
        let up = rows.iter().filter(|row| !row.tiflash && row.state == StoreState::Up).count();
        Self { world, rows, max_replicas, up }
    }

    /// One step of a pod on its way out.
    fn leave(&mut self, set: &LiveSet, pod: &str, plan: &mut Plan) -> Result<Step, Failure> {
        let world = self.world;
        let (Some(row), Some(live)) = (world.pod(pod), Live::read(world.snapshot, watch::POD, pod)?) else {
            plan.wait(wait::on(Reason::PodsNotReady, wait::pod(pod), format!("pod {pod} is being created")));
            return Ok(Step::Wait);
        };
        if let Some(store) = world.store_of(self.rows, pod) {
            if self.may_leave(store, plan) {
                self.empty(store, &live, plan);
            }
            return Ok(Step::Wait);
        }
        let buried: Vec<&StoreRow> = status::tombstones(world, self.rows, pod).collect();
        if buried.is_empty() && !never_registers(world, row.ready, &live, plan) {
            return Ok(Step::Wait);
        }
        for store in buried.iter().filter(|store| store.evicting_leaders) {
            plan.end_evict_leader(store.id);
        }
        let left = claims::of_pod(world.snapshot, watch::CLAIM, set, pod)?;
        claims::defer_all(plan, &left, world.snapshot.now_ms());
        Ok(Step::Done)
    }

    /// Whether enough stores stay for every region to have its replicas. One that is down already costs nothing.
    fn may_leave(&self, store: &StoreRow, plan: &mut Plan) -> bool {
        let subject = stores::subject(store.id);
        let Some(max) = self.max_replicas else {
            let message = "PD does not say how many replicas a region has";
            plan.wait(wait::on(Reason::StoresUnknown, subject, message));
            return false;
        };
        let leaving_already = matches!(store.state, StoreState::Offline | StoreState::Removing);
        let costs = usize::from(store.state == StoreState::Up);
        if leaving_already || self.up >= max + costs {
            return true;
        }
        let message =
            format!("with {} TiKV stores up, none can leave: PD keeps {max} replicas of each region", self.up);
        plan.wait(wait::on(Reason::StoresNotUp, subject, message));
        false
    }

    /// Moves leaders off a store for a while, then everything else.
    fn empty(&mut self, store: &StoreRow, pod: &Live, plan: &mut Plan) {
        let now = self.world.snapshot.now_ms();
        let subject = stores::subject(store.id);
        let name = pod.name();
        if matches!(store.state, StoreState::Offline | StoreState::Removing) {
            let message = format!("{} regions leave store {} of pod {name}", store.region_count, store.id);
            plan.wait(wait::on(Reason::StoreOffline, subject, message));
            return;
        }
        // The mark comes first: what has a mark is taken back if the pod is to stay.
        let begun = pod.annotation(SCALE_IN_TIME).and_then(time::parse);
        if begun.is_none() {
            let patch = json!({"metadata": {"annotations": {SCALE_IN_TIME: time::text(now)}}});
            plan.merge_patch(pod_reference(name), patch, pod.unchanged());
        }
        let deadline = begun.unwrap_or(now).saturating_add(EVICT_TIMEOUT_MS);
        if store.leader_count > 0 && now <= deadline {
            if !store.evicting_leaders {
                plan.begin_evict_leader(store.id);
            }
            let message = format!("{} leaders leave store {} of pod {name}", store.leader_count, store.id);
            plan.wait(wait::until(Reason::LeaderEviction, subject, message, deadline));
            return;
        }
        plan.delete_store(store.id);
        self.up -= usize::from(store.state == StoreState::Up);
        plan.wait(wait::on(Reason::StoreOffline, subject, format!("store {} of pod {name} is deleted", store.id)));
    }
}

/// Whether a pod without a store, living or buried, has had time enough to register one.
fn never_registers(world: &World<'_>, ready: bool, pod: &Live, plan: &mut Plan) -> bool {
    let since = if ready {
        pod.annotation(TIKV_NO_ACTIVE_STORE_SINCE).and_then(time::parse)
    } else {
        time::parse(pod.text("/metadata/creationTimestamp"))
    };
    let deadline = since.map(|since| since.saturating_add(REGISTER_TIMEOUT_MS));
    if deadline.is_some_and(|deadline| world.snapshot.now_ms() > deadline) {
        return true;
    }
    let message = format!("pod {} has no store, and may still register one", pod.name());
    let mut waiting = wait::on(Reason::StoresNotUp, wait::pod(pod.name()), message);
    waiting.deadline_ms = deadline;
    plan.wait(waiting);
    false
}
