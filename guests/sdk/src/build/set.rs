//! The StatefulSet of a component.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy},
    core::v1::{PersistentVolumeClaim, PodTemplateSpec},
};
use tidepool_api::{TidbCluster, View, labels::STATEFUL_SET_DELETE_SLOTS};

use crate::{
    build::{meta, selector, some_list, some_map},
    slots::{self, Slots},
};

/// `OnDelete`: pods get a new template when somebody deletes them.
pub const ON_DELETE: &str = "OnDelete";
/// `RollingUpdate`: the StatefulSet controller replaces the pods from the partition on.
pub const ROLLING_UPDATE: &str = "RollingUpdate";

/// What a component adds to what every StatefulSet has.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Pods wanted, those that failover added among them.
    pub replicas: i32,
    /// Template of the pods.
    pub template: PodTemplateSpec,
    /// Templates of the claims.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Pods get a new template only when they are deleted, whatever the spec says.
    pub on_delete: bool,
}

/// The StatefulSet. A new template reaches no pod by itself: the partition is above every ordinal, and the upgrade
/// lowers it one by one.
pub fn stateful_set(cluster: &TidbCluster, view: &View<'_>, parts: Parts) -> StatefulSet {
    let component = view.kind();
    let delete = slots::delete_slots(cluster, component);
    let mut metadata = meta(cluster, component, cluster.member_name(component));
    metadata.annotations = some_map(slots_annotation(cluster, view));
    StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            pod_management_policy: Some(view.pod_management_policy().to_owned()),
            replicas: Some(parts.replicas),
            selector: selector(cluster, component),
            service_name: Some(cluster.peer_service_name(component)),
            template: parts.template,
            update_strategy: Some(update_strategy(view, parts.on_delete, partition(parts.replicas, &delete))),
            volume_claim_templates: some_list(parts.claims),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// The partition above every ordinal: no pod gets a new template.
pub fn partition(replicas: i32, delete: &Slots) -> i32 {
    replicas.saturating_add(i32::try_from(delete.len()).unwrap_or(i32::MAX))
}

/// The strategy with this partition, or `OnDelete`.
pub fn update_strategy(view: &View<'_>, on_delete: bool, partition: i32) -> StatefulSetUpdateStrategy {
    if on_delete || view.stateful_set_update_strategy() == ON_DELETE {
        return StatefulSetUpdateStrategy { type_: Some(ON_DELETE.to_owned()), rolling_update: None };
    }
    rolling(partition)
}

/// A rolling update down to this ordinal.
pub fn rolling(partition: i32) -> StatefulSetUpdateStrategy {
    StatefulSetUpdateStrategy {
        type_: Some(ROLLING_UPDATE.to_owned()),
        rolling_update: Some(RollingUpdateStatefulSetStrategy { partition: Some(partition), max_unavailable: None }),
    }
}

fn slots_annotation(cluster: &TidbCluster, view: &View<'_>) -> BTreeMap<String, String> {
    let given = cluster.annotation(&tidepool_api::labels::delete_slots(view.kind()));
    given.map(|text| (STATEFUL_SET_DELETE_SLOTS.to_owned(), text.to_owned())).into_iter().collect()
}
