//! Status that every component has.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The UIDs of claims, each with an empty object.
pub type UidSet = BTreeMap<String, serde_json::Map<String, serde_json::Value>>;

/// Where a component stands; the texts of `phase`.
pub struct Phase;

impl Phase {
    /// As the spec wants it.
    pub const NORMAL: &'static str = "Normal";
    /// Pods are being replaced.
    pub const UPGRADE: &'static str = "Upgrade";
    /// Pods are being added or removed.
    pub const SCALE: &'static str = "Scale";
    /// Pods were taken away on request.
    pub const SUSPEND: &'static str = "Suspend";
}

object! {
    /// Status that every component has.
    pub struct CommonStatus {
        /// Normal, Upgrade, Scale or Suspend; empty before the first pass.
        "phase" => phase: String,
        /// Copy of the StatefulSet's status.
        "statefulSet" => stateful_set: Option<StatefulSetStatus>,
        /// Volumes, by name.
        "volumes" => volumes: BTreeMap<String, VolumeStatus>,
        /// Conditions of the component.
        "conditions" => conditions: Vec<Condition> { nullable() },
    }

    /// One volume of every pod of a component.
    pub struct VolumeStatus {
        /// Name.
        "name" => name: String { required() },
        /// Volumes that are bound.
        "boundCount" => bound_count: i64 { always() },
        /// Volumes of the current size and class.
        "currentCount" => current_count: i64 { always() },
        /// Volumes of the wanted size and class.
        "modifiedCount" => modified_count: i64 { always() },
        /// Size now.
        "currentCapacity" => current_capacity: Quantity { always() },
        /// Size wanted.
        "modifiedCapacity" => modified_capacity: Quantity { always() },
        /// Class now.
        "currentStorageClass" => current_storage_class: String { always() },
        /// Class wanted.
        "modifiedStorageClass" => modified_storage_class: String { always() },
        /// Deprecated: modifiedCapacity.
        "resizedCapacity" => resized_capacity: Quantity { always() },
        /// Deprecated: modifiedCount.
        "resizedCount" => resized_count: i64 { always() },
    }
}
