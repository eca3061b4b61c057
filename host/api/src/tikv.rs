//! `spec.tikv`: the row store.

use crate::component::{ComponentSpec, Resources};
use crate::config::Config;
use crate::shared::{Failover, HelperContainer, ScalePolicy, StorageVolume};

object! {
    /// TiKV, the row store.
    pub struct TikvSpec + (component: ComponentSpec, resources: Resources) {
        /// Service account of the pods.
        "serviceAccount" => service_account: String,
        /// Number of stores.
        "replicas" => replicas: i32 { required().min(0) },
        /// Image without tag.
        "baseImage" => base_image: String { default("\"pingcap/tikv\"") },
        /// Deprecated: run privileged; only when securityContext is absent.
        "privileged" => privileged: Option<bool>,
        /// Most stores replaced by failover; 0 switches failover off, absent means 3.
        "maxFailoverCount" => max_failover_count: Option<i32> { min(0) },
        /// Show the RocksDB log in a container of its own.
        "separateRocksDBLog" => separate_rocks_db_log: Option<bool>,
        /// Show the Raft log in a container of its own.
        "separateRaftLog" => separate_raft_log: Option<bool>,
        /// Volume of the RocksDB log.
        "rocksDBLogVolumeName" => rocks_db_log_volume_name: String,
        /// Volume of the Raft log.
        "raftLogVolumeName" => raft_log_volume_name: String,
        /// The containers that show the logs.
        "logTailer" => log_tailer: Option<HelperContainer>,
        /// Class of the data volume.
        "storageClassName" => storage_class_name: Option<String>,
        /// Volume attributes class of the data volume.
        "volumeAttributesClassName" => volume_attributes_class_name: Option<String>,
        /// Directory of the data inside the data volume.
        "dataSubDir" => data_sub_dir: String,
        /// Configuration: TOML text, or an object.
        "config" => config: Option<Config>,
        /// Give back all stores that failover added.
        "recoverFailover" => recover_failover: bool,
        /// Give back the stores of one failover.
        "failover" => failover: Option<Failover>,
        /// Mount the cluster's client certificate.
        "mountClusterClientSecret" => mount_cluster_client_secret: Option<bool>,
        /// How long leaders may take to leave a store before its pod is restarted; absent means 1500m.
        "evictLeaderTimeout" => evict_leader_timeout: Option<String>,
        /// How long leaders may take to come back after a restart; absent means 400s.
        "waitLeaderTransferBackTimeout" => wait_leader_transfer_back_timeout: Option<String>,
        /// Further volumes.
        "storageVolumes" => storage_volumes: Vec<StorageVolume>,
        /// Node labels copied to the stores, besides PD's location-labels.
        "storeLabels" => store_labels: Vec<String>,
        /// Give the status port a name in the pod.
        "enableNamedStatusPort" => enable_named_status_port: bool,
        /// How many stores are added or removed at once.
        "scalePolicy" => scale_policy: Option<ScalePolicy>,
        /// Replicas added while volumes are replaced; absent means 1.
        "spareVolReplaceReplicas" => spare_vol_replace_replicas: Option<i32> { min(0) },
    }
}
