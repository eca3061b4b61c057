//! `spec.pd`: the placement driver.

use crate::component::{ComponentSpec, Resources};
use crate::config::Config;
use crate::shared::{ServiceSpec, StorageVolume};

object! {
    /// PD, the placement driver: members with a quorum, metadata and scheduling.
    pub struct PdSpec + (component: ComponentSpec, resources: Resources) {
        /// Service account of the pods.
        "serviceAccount" => service_account: String,
        /// Number of members; an odd number.
        "replicas" => replicas: i32 { required().min(0) },
        /// Image without tag.
        "baseImage" => base_image: String { default("\"pingcap/pd\"") },
        /// The client Service CLUSTER-pd.
        "service" => service: Option<ServiceSpec>,
        /// Most members replaced by failover; 0 switches failover off, absent means 3.
        "maxFailoverCount" => max_failover_count: Option<i32> { min(0) },
        /// Class of the data volume.
        "storageClassName" => storage_class_name: Option<String>,
        /// Volume attributes class of the data volume.
        "volumeAttributesClassName" => volume_attributes_class_name: Option<String>,
        /// Further volumes.
        "storageVolumes" => storage_volumes: Vec<StorageVolume>,
        /// Directory of the data inside the data volume.
        "dataSubDir" => data_sub_dir: String,
        /// Configuration: TOML text, or an object.
        "config" => config: Option<Config>,
        /// Secret of the dashboard's SQL client certificate.
        "tlsClientSecretName" => tls_client_secret_name: Option<String>,
        /// Deprecated: written to the configuration as dashboard.internal-proxy.
        "enableDashboardInternalProxy" => enable_dashboard_internal_proxy: Option<bool>,
        /// Mount the cluster's client certificate.
        "mountClusterClientSecret" => mount_cluster_client_secret: Option<bool>,
        /// v1 selects another DNS check in the first start script.
        "startUpScriptVersion" => start_up_script_version: String { one_of(&["", "v1"]) },
        /// Seconds the start script waits for its own DNS name.
        "startTimeout" => start_timeout: i64 { default("30") },
        /// Seconds slept before start.
        "initWaitTime" => init_wait_time: i64 { default("0") },
        /// ms runs PD's services apart; see spec.pdms.
        "mode" => mode: String { one_of(&["", "ms"]) },
        /// Replicas added while volumes are replaced; absent means 1.
        "spareVolReplaceReplicas" => spare_vol_replace_replicas: Option<i32> { min(0) },
    }
}
