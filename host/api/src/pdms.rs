//! `spec.pdms`: PD's services that run apart from PD.

use crate::component::{ComponentSpec, Resources};
use crate::config::Config;
use crate::shared::{ServiceSpec, StorageVolume};

object! {
    /// One service of PD that runs apart (pd.mode is ms).
    pub struct PdmsSpec + (component: ComponentSpec, resources: Resources) {
        /// tso or scheduling.
        "name" => name: String { required().one_of(&["tso", "scheduling"]) },
        /// Service account of the pods.
        "serviceAccount" => service_account: String,
        /// Number of servers.
        "replicas" => replicas: i32 { required().min(0) },
        /// Image without tag; PD's image when nothing is given.
        "baseImage" => base_image: Option<String> { default("\"pingcap/pd\"") },
        /// The client Service CLUSTER-NAME.
        "service" => service: Option<ServiceSpec>,
        /// Not used.
        "maxFailoverCount" => max_failover_count: Option<i32> { min(0) },
        /// Configuration: TOML text, or an object.
        "config" => config: Option<Config>,
        /// Not used.
        "tlsClientSecretName" => tls_client_secret_name: Option<String>,
        /// Mount the cluster's client certificate.
        "mountClusterClientSecret" => mount_cluster_client_secret: Option<bool>,
        /// Not used.
        "startUpScriptVersion" => start_up_script_version: String { one_of(&["", "v1"]) },
        /// Further volumes.
        "storageVolumes" => storage_volumes: Vec<StorageVolume>,
        /// Class of the further volumes.
        "storageClassName" => storage_class_name: Option<String>,
        /// Volume attributes class of the further volumes.
        "volumeAttributesClassName" => volume_attributes_class_name: Option<String>,
        /// Not used: pd.startTimeout applies.
        "startTimeout" => start_timeout: i64 { default("30") },
    }
}
