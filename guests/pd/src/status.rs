//! What is, as the status tells it: phase, members, leader, volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use serde::Serialize;
use tidepool_sdk::{
    Failure, PdMember as Member, WaitingOn,
    api::{
        Component, TidbCluster, TidbClusterStatus,
        labels::CONTROLLER_REVISION_HASH,
        pd::PdSpec,
        status::{PdMember, PdStatus, Phase, UnjoinedMember},
    },
    claims,
    live::LiveSet,
    time, volumes,
    wait::{self, Reason},
};

use crate::{
    desired::{self, PD},
    members::{is_own, pod_of},
    world::{World, watch},
};

/// The part of the cluster's status that this policy writes.
#[derive(Debug, Serialize)]
pub struct Written {
    /// PD's number of the cluster; absent until it is known.
    #[serde(rename = "clusterID", skip_serializing_if = "String::is_empty")]
    pub cluster_id: String,
    /// PD.
    pub pd: PdStatus,
}

impl Written {
    /// Whether PD serves, by this status.
    pub fn pd_available(&self, world: &World<'_>) -> bool {
        let mut cluster = TidbCluster::default();
        cluster.spec.pd = Some(PdSpec { replicas: world.spec.replicas, ..PdSpec::default() });
        cluster.status = Some(TidbClusterStatus { pd: Some(self.pd.clone()), ..TidbClusterStatus::default() });
        cluster.pd_available()
    }
}

/// The status as of now: what was known before, with what was read.
///
/// # Errors
/// When pods could not be read.
pub fn observe(world: &World<'_>) -> Result<Written, Failure> {
    let before = world.cluster.status.clone().unwrap_or_default();
    let mut written = Written { cluster_id: before.cluster_id, pd: before.pd.unwrap_or_default() };
    let Some(set) = &world.set else { return Ok(written) };
    let status = &mut written.pd;
    status.common.stateful_set = Some(set.0.at::<StatefulSetStatus>("/status").unwrap_or_default());
    if status.common.phase != Phase::SUSPEND {
        status.common.phase = phase(world, set, &status.common.phase)?.to_owned();
    }
    let Ok(members) = &world.members else {
        status.synced = false;
        return Ok(written);
    };
    written.cluster_id.clone_from(&world.cluster_id);
    sync_members(world, status, members);
    status.synced = true;
    set.image(PD).clone_into(&mut status.image);
    status.unjoined_members = unjoined(world, set, status)?;
    let wanted = volumes::with_data(&world.view, desired::class(world.spec));
    status.common.volumes = volumes::of_pods(world.snapshot, watch::CLAIM, &world.pods, &wanted)?;
    Ok(written)
}

/// Every pod is ready and every member healthy. An upgrade is over only then: later components go by it (S23).
fn all_well(world: &World<'_>) -> bool {
    let healthy = |members: &Vec<Member>| members.iter().all(|member| member.healthy);
    world.pods.iter().all(|pod| pod.ready) && world.members.as_ref().is_ok_and(healthy)
}

fn phase(world: &World<'_>, set: &LiveSet, before: &str) -> Result<&'static str, Failure> {
    let revisions = world.snapshot.labels(watch::POD, CONTROLLER_REVISION_HASH)?;
    Ok(if world.cluster.desired_replicas(Component::Pd) != set.replicas() {
        Phase::SCALE
    } else if set.upgrading(revisions.iter().map(Option::as_deref)) || (before == Phase::UPGRADE && !all_well(world)) {
        Phase::UPGRADE
    } else {
        Phase::NORMAL
    })
}

fn sync_members(world: &World<'_>, status: &mut PdStatus, members: &[Member]) {
    let (own_before, peers_before) = (std::mem::take(&mut status.members), std::mem::take(&mut status.peer_members));
    // A member without a name was added and has not started.
    for member in members.iter().filter(|member| !member.name.is_empty()) {
        let own = is_own(world.cluster, &member.client_url);
        let before = if own { &own_before } else { &peers_before };
        let same = before.get(&member.name).filter(|before| before.health == member.healthy);
        let since = same.and_then(|before| before.last_transition_time.clone());
        let record = PdMember {
            name: member.name.clone(),
            id: member.id.clone(),
            client_url: member.client_url.clone(),
            health: member.healthy,
            last_transition_time: since.or_else(|| Some(time::at(world.snapshot.now_ms()))),
        };
        if member.leader {
            status.leader = record.clone();
        }
        let map = if own { &mut status.members } else { &mut status.peer_members };
        map.insert(member.name.clone(), record);
    }
}

/// Pods that are not members. When one was first seen so stays as it was.
fn unjoined(world: &World<'_>, set: &LiveSet, status: &PdStatus) -> Result<BTreeMap<String, UnjoinedMember>, Failure> {
    let joined = |pod: &str| status.members.keys().any(|name| pod_of(name).eq_ignore_ascii_case(pod));
    let mut all = BTreeMap::new();
    for pod in world.pods.iter().filter(|pod| !joined(&pod.name)) {
        let before = status.unjoined_members.get(&pod.name).and_then(|before| before.created_at.clone());
        let member = UnjoinedMember {
            pod_name: pod.name.clone(),
            pvc_uid_set: claims::uids(&claims::of_pod(world.snapshot, watch::CLAIM, set, &pod.name)?),
            created_at: before.or_else(|| Some(time::at(world.snapshot.now_ms()))),
            ..UnjoinedMember::default()
        };
        all.insert(pod.name.clone(), member);
    }
    Ok(all)
}

/// Why PD does not serve.
pub fn unavailable(world: &World<'_>, status: &PdStatus) -> WaitingOn {
    if let Err(unknown) = &world.members {
        let message = format!("PD's members are not known: {unknown}");
        return wait::on(Reason::PdUnknown, world.name(), message);
    }
    if let Some(pod) = world.pods.iter().find(|pod| !pod.ready) {
        return wait::on(Reason::PodsNotReady, wait::pod(&pod.name), format!("pod {} is not ready", pod.name));
    }
    if let Some(member) = status.members.values().find(|member| !member.health) {
        let message = format!("member {} is not healthy", member.name);
        return wait::on(Reason::MemberUnhealthy, wait::pd_member(&member.name), message);
    }
    let message = format!("{} of {} members have joined PD", status.members.len(), world.spec.replicas);
    wait::on(Reason::PdUnavailable, world.name(), message)
}
