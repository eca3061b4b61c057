//! What is, as the status tells it: phase, members, volumes.

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use tidepool_sdk::{
    Failure, WaitingOn,
    api::{
        Component,
        labels::CONTROLLER_REVISION_HASH,
        status::{PdmsStatus, Phase},
    },
    live::LiveSet,
    volumes,
    wait::{self, Reason},
};

use crate::{
    desired,
    world::{Member, Registry, World, watch},
};

/// Brings the status up to what was read. What PD did not say stays as it was known before.
///
/// # Errors
/// When pods or claims could not be read.
pub fn observe(world: &World<'_>, status: &mut PdmsStatus) -> Result<(), Failure> {
    world.service.name().clone_into(&mut status.name);
    let Some(set) = &world.set else { return Ok(()) };
    status.common.stateful_set = Some(set.0.at::<StatefulSetStatus>("/status").unwrap_or_default());
    if status.common.phase != Phase::SUSPEND {
        status.common.phase = phase(world, set, &status.common.phase)?.to_owned();
    }
    status.synced = matches!(world.registry, Registry::Apart { .. });
    if let Registry::Apart { members, .. } = &world.registry {
        status.members = members.iter().map(|member: &Member| member.service_addr.clone()).collect();
    }
    set.image(world.service.name()).clone_into(&mut status.image);
    let wanted = volumes::further(&world.view, desired::class(world.spec));
    status.common.volumes = volumes::of_pods(world.snapshot, watch::CLAIM, &world.pods, &wanted)?;
    Ok(())
}

/// What the service still lacks to be as the spec wants it; none if every pod that is wanted is a member.
pub fn lacks(world: &World<'_>) -> Option<WaitingOn> {
    let name = world.service.name();
    match &world.registry {
        Registry::Unknown(why) => {
            let message = format!("the members of {name} are not known: {why}");
            return Some(wait::on(Reason::PdUnknown, world.name(), message));
        }
        Registry::InPd => {
            let message = format!("{name} has no members as long as PD runs it itself");
            return Some(wait::on(Reason::OtherComponent, Component::Pd.name(), message));
        }
        Registry::Apart { .. } => {}
    }
    let pods: Vec<String> = (0..world.view.replicas()).map(|ordinal| world.pod_name(ordinal)).collect();
    if let Some(pod) = pods.iter().find(|pod| !world.pod(pod).is_some_and(|row| row.ready)) {
        return Some(wait::on(Reason::PodsNotReady, wait::pod(pod), format!("pod {pod} is not ready")));
    }
    let pod = pods.iter().find(|pod| world.registry.member(pod).is_none())?;
    Some(wait::on(Reason::MemberUnhealthy, wait::pod(pod), format!("pod {pod} is not a member of {name}")))
}

/// Whether pods are being replaced.
pub fn upgrades(status: &PdmsStatus) -> bool {
    status.common.phase == Phase::UPGRADE
}

/// An upgrade is over when every pod is a member again: PD goes by it (safety rule S23).
fn phase(world: &World<'_>, set: &LiveSet, before: &str) -> Result<&'static str, Failure> {
    let revisions = world.snapshot.labels(watch::POD, CONTROLLER_REVISION_HASH)?;
    let all_well = || world.pods.iter().all(|pod| pod.ready && world.registry.member(&pod.name).is_some());
    Ok(if world.view.replicas() != set.replicas() {
        Phase::SCALE
    } else if set.upgrading(revisions.iter().map(Option::as_deref)) || (before == Phase::UPGRADE && !all_well()) {
        Phase::UPGRADE
    } else {
        Phase::NORMAL
    })
}
