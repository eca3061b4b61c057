//! The `Ready` condition of a cluster, and how a condition is set.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::cluster::TidbCluster;
use crate::kind::Component;
use crate::status::ClusterCondition;

/// The only type of condition.
pub const READY: &str = "Ready";

/// Components that decide about readiness, in the order in which they are asked, with reason and message when they are not ready.
const ASKED: [(Component, &str, &str); 8] = [
    (Component::Pd, "PDUnhealthy", "PD(s) are not healthy"),
    (Component::Tso, "PDMSUnhealthy", "TSO server(s) are not members, or are being replaced"),
    (Component::Scheduling, "PDMSUnhealthy", "scheduling server(s) are not members, or are being replaced"),
    (Component::Tikv, "TiKVStoreNotUp", "TiKV store(s) are not up"),
    (Component::Tidb, "TiDBUnhealthy", "TiDB(s) are not healthy"),
    (Component::Tiflash, "TiFlashStoreNotUp", "TiFlash store(s) are not up"),
    (Component::Ticdc, "TiCDCCaptureNotReady", "TiCDC capture(s) are not up"),
    (Component::Tiproxy, "TiProxyUnhealthy", "TiProxy(s) are not healthy"),
];

/// Components whose StatefulSets must be up to date, even if the spec no longer has them.
const UP_TO_DATE: [Component; 4] = [Component::Pd, Component::Tikv, Component::Tidb, Component::Tiflash];

/// The condition that spec and status give, without times.
pub fn ready(cluster: &TidbCluster) -> ClusterCondition {
    let condition = |status: &str, reason: &str, message: &str| ClusterCondition {
        condition_type: READY.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        ..ClusterCondition::default()
    };
    if UP_TO_DATE.into_iter().any(|kind| is_updating(cluster, kind)) {
        return condition("False", "StatefulSetNotUpToDate", "Statefulset(s) are in progress");
    }
    let unready = ASKED.into_iter().find(|(kind, ..)| is_wanted(cluster, *kind) && !cluster.all_ready(*kind));
    match unready {
        Some((_, reason, message)) => condition("False", reason, message),
        None => condition("True", READY, "TiDB cluster is fully up and running"),
    }
}

/// Whether the cluster has the component. Services that PD runs itself have nothing of their own.
fn is_wanted(cluster: &TidbCluster, kind: Component) -> bool {
    match kind {
        Component::Tso | Component::Scheduling => cluster.runs_apart(kind),
        _ => cluster.component(kind).is_some(),
    }
}

fn is_updating(cluster: &TidbCluster, kind: Component) -> bool {
    let set = cluster.common_status(kind).and_then(|status| status.stateful_set.as_ref());
    set.is_some_and(|set| {
        set.current_revision.as_deref().unwrap_or_default() != set.update_revision.as_deref().unwrap_or_default()
    })
}

/// Sets a condition. One with the same status and reason stays as it is, times included; `now` is not asked for then.
pub fn set(conditions: &mut Vec<ClusterCondition>, new: ClusterCondition, now: impl FnOnce() -> Time) {
    let at = conditions.iter().position(|old| old.condition_type == new.condition_type);
    let old = at.and_then(|at| conditions.get(at));
    if old.is_some_and(|old| old.status == new.status && old.reason == new.reason) {
        return;
    }
    let now = now();
    let same_status = old.filter(|old| old.status == new.status);
    let since = same_status.and_then(|old| old.last_transition_time.clone()).unwrap_or_else(|| now.clone());
    conditions.retain(|old| old.condition_type != new.condition_type);
    conditions.push(ClusterCondition { last_update_time: Some(now), last_transition_time: Some(since), ..new });
}
