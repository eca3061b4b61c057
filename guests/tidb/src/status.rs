//! What is, as the status tells it: phase, members, volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use tidepool_sdk::{
    Failure, WaitingOn,
    api::{
        Component,
        labels::CONTROLLER_REVISION_HASH,
        status::{Phase, TidbMember, TidbStatus},
    },
    live::{Live, LiveSet},
    slots, time, volumes,
    wait::{self, Reason},
};

use crate::{
    desired::{self, TIDB},
    world::{World, watch},
};

/// Components in whose upgrade a change of TiDB's pods is not called one.
const UPGRADE_BEFORE: [Component; 3] = [Component::Tikv, Component::Pd, Component::Pump];

/// The status as of now: what was known before, with what was read.
///
/// # Errors
/// When pods or claims could not be read.
pub fn observe(world: &World<'_>) -> Result<TidbStatus, Failure> {
    let before = world.cluster.status.as_ref().and_then(|status| status.tidb.clone());
    let mut status = before.unwrap_or_default();
    let Some(set) = &world.set else { return Ok(status) };
    status.common.stateful_set = Some(set.0.at::<StatefulSetStatus>("/status").unwrap_or_default());
    if status.common.phase != Phase::SUSPEND {
        let before = std::mem::take(&mut status.common.phase);
        status.common.phase = phase(world, set, &status, &before)?.to_owned();
    }
    status.members = members(world, set, &status)?;
    set.image(TIDB).clone_into(&mut status.image);
    status.common.volumes = volumes::of_pods(world.snapshot, watch::CLAIM, &world.pods, &desired::storage(world))?;
    Ok(status)
}

/// Pods wanted: those of the spec, and those that failover adds.
pub fn replicas(world: &World<'_>, status: &TidbStatus) -> i32 {
    let failed = i32::try_from(status.failure_members.len()).unwrap_or(i32::MAX);
    world.spec.replicas.saturating_add(failed)
}

fn phase(world: &World<'_>, set: &LiveSet, status: &TidbStatus, before: &str) -> Result<&'static str, Failure> {
    let revisions = world.snapshot.labels(watch::POD, CONTROLLER_REVISION_HASH)?;
    let rolls = set.upgrading(revisions.iter().map(Option::as_deref));
    // The upgrade is over when the last server that it restarted serves.
    let last = before == Phase::UPGRADE && !world.pods.iter().all(|pod| pod.ready && world.serves(&pod.name));
    let upgrades = |component| world.cluster.common_status(component).is_some_and(|s| s.phase == Phase::UPGRADE);
    Ok(if replicas(world, status) != set.replicas() {
        Phase::SCALE
    } else if (rolls || last) && !UPGRADE_BEFORE.into_iter().any(upgrades) {
        Phase::UPGRADE
    } else {
        Phase::NORMAL
    })
}

/// The servers of the pods that the StatefulSet has.
fn members(world: &World<'_>, set: &LiveSet, status: &TidbStatus) -> Result<BTreeMap<String, TidbMember>, Failure> {
    let replicas = set.0.at("/status/replicas").unwrap_or_default();
    let mut all = BTreeMap::new();
    for ordinal in slots::present(replicas) {
        let name = world.pod_name(ordinal);
        let before = status.members.get(&name);
        let health = world.serves(&name);
        let pod = Live::read(world.snapshot, watch::POD, &name)?;
        let node = pod.map(|pod| pod.text("/spec/nodeName").to_owned()).filter(|node| !node.is_empty());
        let same = before.filter(|before| before.health == health);
        let since = same.and_then(|before| before.last_transition_time.clone());
        let member = TidbMember {
            name: name.clone(),
            health,
            last_transition_time: since.or_else(|| Some(time::at(world.snapshot.now_ms()))),
            node: node.or_else(|| before.map(|before| before.node.clone())).unwrap_or_default(),
        };
        all.insert(name, member);
    }
    Ok(all)
}

/// Whether every pod that is wanted serves.
pub fn all_healthy(world: &World<'_>, status: &TidbStatus) -> bool {
    let wanted = usize::try_from(replicas(world, status)).unwrap_or_default();
    status.members.len() == wanted && status.members.values().all(|member| member.health)
}

/// Why not every server serves.
pub fn unhealthy(world: &World<'_>, status: &TidbStatus) -> WaitingOn {
    if let Some(pod) = world.pods.iter().find(|pod| !pod.ready) {
        return world.not_ready(&pod.name);
    }
    if let Some(member) = status.members.values().find(|member| !member.health) {
        let message = format!("the server in pod {} does not answer", member.name);
        return wait::on(Reason::MemberUnhealthy, wait::pod(&member.name), message);
    }
    let message = format!("{} of {} pods are there", status.members.len(), replicas(world, status));
    wait::on(Reason::PodsNotReady, wait::stateful_set(&world.name()), message)
}
