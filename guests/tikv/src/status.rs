//! What is, as the status tells it: phase, stores, volumes.

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use tidepool_sdk::{
    Failure, StoreRow, WaitingOn,
    api::{
        Component,
        labels::CONTROLLER_REVISION_HASH,
        status::{Phase, TikvStatus},
    },
    live::LiveSet,
    stores::{self, Sorted, UP},
    volumes,
    wait::{self, Reason},
};

use crate::{
    desired::{self, TIKV},
    world::{World, watch},
};

/// Type of the condition that says that leaders are moved away from a pod on request.
const LEADER_EVICTING: &str = "LeaderEvicting";

/// The status as of now: what was known before, with what was read.
///
/// # Errors
/// When pods or claims could not be read.
pub fn observe(world: &World<'_>) -> Result<TikvStatus, Failure> {
    let before = world.cluster.status.as_ref().and_then(|status| status.tikv.clone());
    let mut status = before.unwrap_or_default();
    let Some(set) = &world.set else { return Ok(status) };
    status.common.stateful_set = Some(set.0.at::<StatefulSetStatus>("/status").unwrap_or_default());
    set.image(TIKV).clone_into(&mut status.image);
    status.common.volumes = volumes::of_pods(world.snapshot, watch::CLAIM, &world.pods, &desired::storage(world))?;
    let Some(rows) = known(world, &status) else {
        status.synced = false;
        return Ok(status);
    };
    sync_stores(world, rows, &mut status)?;
    Ok(status)
}

/// PD's stores, if they were read. Where there were stores once, a PD without any has lost what it knew.
fn known<'a>(world: &'a World<'_>, status: &TikvStatus) -> Option<&'a [StoreRow]> {
    let rows = world.stores.as_deref().ok()?;
    let lost = rows.is_empty() && !status.stores.is_empty();
    (!lost).then_some(rows)
}

fn sync_stores(world: &World<'_>, rows: &[StoreRow], status: &mut TikvStatus) -> Result<(), Failure> {
    let before = Sorted {
        own: std::mem::take(&mut status.stores),
        peers: std::mem::take(&mut status.peer_stores),
        tombstones: std::mem::take(&mut status.tombstone_stores),
    };
    let sorted = Sorted::new(world.snapshot, world.cluster, Component::Tikv, rows, &before)?;
    status.stores = sorted.own;
    status.peer_stores = sorted.peers;
    status.tombstone_stores = sorted.tombstones;
    status.boot_strapped = !rows.is_empty();
    status.synced = true;
    Ok(())
}

/// Pods wanted: those of the spec, and those that failover and a replacement of volumes add.
pub fn replicas(world: &World<'_>, status: &TikvStatus) -> i32 {
    let spare =
        if status.vol_replace_in_progress { world.spec.spare_vol_replace_replicas.unwrap_or_default() } else { 0 };
    let failed = i32::try_from(status.failure_stores.len()).unwrap_or(i32::MAX);
    world.spec.replicas.saturating_add(failed).saturating_add(spare)
}

/// Whether a change of the StatefulSet has not reached every pod.
///
/// # Errors
/// When pods could not be read.
pub fn upgrading(world: &World<'_>, set: &LiveSet) -> Result<bool, Failure> {
    let revisions = world.snapshot.labels(watch::POD, CONTROLLER_REVISION_HASH)?;
    Ok(set.upgrading(revisions.iter().map(Option::as_deref)))
}

/// The phase that follows from what is seen.
pub fn phase<'a>(world: &World<'_>, set: &LiveSet, status: &'a TikvStatus, upgrading: bool) -> &'a str {
    let pd = world.cluster.common_status(Component::Pd);
    let evicting = status.common.conditions.iter().any(|c| c.type_ == LEADER_EVICTING && c.status == "True");
    if replicas(world, status) != set.replicas() {
        Phase::SCALE
    } else if upgrading && evicting {
        &status.common.phase
    } else if upgrading && pd.is_none_or(|pd| pd.phase != Phase::UPGRADE) {
        Phase::UPGRADE
    } else {
        Phase::NORMAL
    }
}

/// Whether every pod that is wanted has a store that is up.
pub fn all_up(world: &World<'_>, status: &TikvStatus) -> bool {
    let wanted = usize::try_from(replicas(world, status)).unwrap_or_default();
    status.stores.len() == wanted && status.stores.values().all(|store| store.state == UP)
}

/// Why not every store is up.
pub fn not_up(world: &World<'_>, status: &TikvStatus) -> WaitingOn {
    if let Some(pod) = world.pods.iter().find(|pod| !pod.ready) {
        return world.not_ready(&pod.name);
    }
    if let Some(store) = status.stores.values().find(|store| store.state != UP) {
        let message = format!("store {} of pod {} is {}", store.id, store.pod_name, store.state);
        return wait::on(Reason::StoresNotUp, format!("store/{}", store.id), message);
    }
    let message = format!("{} of {} stores are known to PD", status.stores.len(), replicas(world, status));
    wait::on(Reason::StoresNotUp, world.name(), message)
}

/// PD's stores, or why there is nothing to be decided without them.
///
/// # Errors
/// What to wait for.
pub fn rows<'a>(world: &'a World<'_>, status: &TikvStatus) -> Result<&'a [StoreRow], WaitingOn> {
    let why = match (&world.stores, known(world, status)) {
        (_, Some(rows)) => return Ok(rows),
        (Err(unknown), _) => format!("PD's stores are not known: {unknown}"),
        (Ok(_), None) => "PD knows no stores although there were some".to_owned(),
    };
    Err(wait::on(Reason::StoresUnknown, world.name(), why))
}

/// Whether PD has a tombstone for a pod's store.
pub fn tombstones<'a>(world: &'a World<'_>, rows: &'a [StoreRow], pod: &'a str) -> impl Iterator<Item = &'a StoreRow> {
    let own = move |row: &&StoreRow| stores::own_pod(world.cluster, Component::Tikv, &row.address) == Some(pod);
    rows.iter().filter(own).filter(|row| row.state == tidepool_sdk::StoreState::Tombstone)
}
