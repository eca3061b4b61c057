//! A service that PD is to run itself: its pods go one by one, once PD says that it does. The StatefulSet stays, without
//! pods, and so do Services and configuration.

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use tidepool_sdk::{
    Failure, Plan, Snapshot,
    api::{
        Component, TidbCluster,
        status::{PdmsStatus, Phase},
    },
    apply,
    live::LiveSet,
    wait::{self, Reason},
};

use crate::world::{Registry, Service, watch};

/// One step of the service on its way out, if PD does its work.
///
/// # Errors
/// When the StatefulSet could not be read.
pub fn retire(
    part: &Snapshot,
    cluster: &TidbCluster,
    service: Service,
    status: &mut PdmsStatus,
    plan: &mut Plan,
) -> Result<(), Failure> {
    let set = LiveSet::read(part, watch::STATEFUL_SET, &cluster.member_name(service.component))?;
    status.common.stateful_set = set.as_ref().map(|set| set.0.at::<StatefulSetStatus>("/status").unwrap_or_default());
    status.synced = false;
    let Some(set) = set.filter(|set| set.replicas() > 0) else {
        status.members.clear();
        Phase::NORMAL.clone_into(&mut status.common.phase);
        return Ok(());
    };
    Phase::SCALE.clone_into(&mut status.common.phase);
    if cluster.spec.paused {
        return Ok(());
    }
    if !pd_does_it(part, cluster, service) {
        let message = format!("{} stays until PD runs it itself", service.name());
        plan.wait(wait::on(Reason::OtherComponent, Component::Pd.name(), message));
        return Ok(());
    }
    apply::replicas(plan, &set, set.replicas() - 1, cluster.metadata.generation.unwrap_or_default())?;
    let message = format!("PD runs {} itself: its pods go one by one", service.name());
    plan.wait(wait::on(Reason::Scaling, wait::stateful_set(set.0.name()), message));
    plan.requeue_after_ms(crate::ASK_AGAIN_MS);
    Ok(())
}

/// PD says so, and none of its members is about to change.
fn pd_does_it(part: &Snapshot, cluster: &TidbCluster, service: Service) -> bool {
    if cluster.spec.pd.is_none() {
        return true;
    }
    let normal = cluster.common_status(Component::Pd).is_some_and(|pd| pd.phase == Phase::NORMAL);
    normal && Registry::read(part, service) == Registry::InPd
}
