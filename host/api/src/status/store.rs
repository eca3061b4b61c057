//! Status of TiKV and TiFlash, whose pods are stores of PD.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::common::{CommonStatus, UidSet};

object! {
    /// Status of TiKV.
    pub struct TikvStatus + (common: CommonStatus) {
        /// The stores were read in the last pass.
        "synced" => synced: bool,
        /// PD knows the first store.
        "bootStrapped" => boot_strapped: bool,
        /// Stores of this cluster, by number.
        "stores" => stores: BTreeMap<String, Store>,
        /// Stores of other clusters on the same PD.
        "peerStores" => peer_stores: BTreeMap<String, Store>,
        /// Stores that are gone.
        "tombstoneStores" => tombstone_stores: BTreeMap<String, Store>,
        /// Stores replaced by failover.
        "failureStores" => failure_stores: BTreeMap<String, FailureStore>,
        /// Names the present failover.
        "failoverUID" => failover_uid: String,
        /// Image in the StatefulSet.
        "image" => image: String,
        /// Pods whose leaders are moved away on request, by pod.
        "evictLeader" => evict_leader: BTreeMap<String, EvictLeader>,
        /// Volumes are being replaced.
        "volReplaceInProgress" => vol_replace_in_progress: bool,
    }

    /// Status of TiFlash.
    pub struct TiflashStatus + (common: CommonStatus) {
        /// The stores were read in the last pass.
        "synced" => synced: bool,
        /// Stores of this cluster, by number.
        "stores" => stores: BTreeMap<String, Store>,
        /// Stores of other clusters on the same PD.
        "peerStores" => peer_stores: BTreeMap<String, Store>,
        /// Stores that are gone.
        "tombstoneStores" => tombstone_stores: BTreeMap<String, Store>,
        /// Stores replaced by failover.
        "failureStores" => failure_stores: BTreeMap<String, FailureStore>,
        /// Names the present failover.
        "failoverUID" => failover_uid: String,
        /// Image in the StatefulSet.
        "image" => image: String,
        /// Volumes are being replaced.
        "volReplaceInProgress" => vol_replace_in_progress: bool,
    }

    /// One store.
    pub struct Store {
        /// Number of the store, as text since it may need 64 bits.
        "id" => id: String { required() },
        /// Pod.
        "podName" => pod_name: String { required() },
        /// Address.
        "ip" => ip: String { required() },
        /// Regions whose leader is here.
        "leaderCount" => leader_count: i32 { required() },
        /// Up, Disconnected, Down, Offline or Tombstone.
        "state" => state: String { required() },
        /// When state last changed.
        "lastTransitionTime" => last_transition_time: Option<Time>,
        /// Leaders before the pod was restarted.
        "leaderCountBeforeUpgrade" => leader_count_before_upgrade: Option<i32>,
    }

    /// A store replaced by failover.
    pub struct FailureStore {
        /// Pod.
        "podName" => pod_name: String,
        /// Number of the store.
        "storeID" => store_id: String,
        /// UIDs of the pod's claims.
        "pvcUIDSet" => pvc_uid_set: UidSet,
        /// The store was removed from PD.
        "storeDeleted" => store_deleted: bool,
        /// The node is down.
        "hostDown" => host_down: bool,
        /// When failover began.
        "createdAt" => created_at: Option<Time>,
    }

    /// A request to move the leaders of a pod away.
    pub struct EvictLeader {
        /// When the pod was made.
        "podCreateTime" => pod_create_time: Option<Time>,
        /// When the move began.
        "beginTime" => begin_time: Option<Time>,
        /// Value of the annotation.
        "value" => value: String,
    }
}
