//! `spec.tiflash`: the column store.

use crate::component::{ComponentSpec, Resources};
use crate::config::Config;
use crate::shared::{Failover, HelperContainer, ScalePolicy};

object! {
    /// TiFlash, the column store.
    pub struct TiflashSpec + (component: ComponentSpec, resources: Resources) {
        /// Service account of the pods.
        "serviceAccount" => service_account: String,
        /// Number of stores.
        "replicas" => replicas: i32 { required().min(0) },
        /// Image without tag.
        "baseImage" => base_image: String { default("\"pingcap/tiflash\"") },
        /// Deprecated: run privileged; only when securityContext is absent.
        "privileged" => privileged: Option<bool>,
        /// Most stores replaced by failover; 0 switches failover off, absent means 3.
        "maxFailoverCount" => max_failover_count: Option<i32> { min(0) },
        /// The data volumes of each pod, at least one.
        "storageClaims" => storage_claims: Vec<StorageClaim> { required() },
        /// Configuration of the server and of its proxy.
        "config" => config: Option<TiflashConfig>,
        /// The init container that renders the configuration.
        "initializer" => initializer: Option<HelperContainer>,
        /// The containers that show the logs.
        "logTailer" => log_tailer: Option<HelperContainer>,
        /// Give back all stores that failover added.
        "recoverFailover" => recover_failover: bool,
        /// Give back the stores of one failover.
        "failover" => failover: Option<Failover>,
        /// How many stores are added or removed at once.
        "scalePolicy" => scale_policy: Option<ScalePolicy>,
    }

    /// One data volume of TiFlash.
    pub struct StorageClaim {
        /// The request for storage is the size.
        "resources" => resources: Option<Resources>,
        /// Class; the cluster's default class when absent.
        "storageClassName" => storage_class_name: Option<String>,
        /// Volume attributes class.
        "volumeAttributesClassName" => volume_attributes_class_name: Option<String>,
    }

    /// The two configurations of TiFlash.
    pub struct TiflashConfig {
        /// Configuration of the server: TOML text, or an object.
        "config" => config: Option<Config>,
        /// Configuration of the proxy: TOML text, or an object.
        "proxy" => proxy: Option<Config>,
    }
}
