//! `spec.pump`: the binlog collector.

use crate::component::{ComponentSpec, Resources};
use crate::config::Config;

object! {
    /// Pump, the binlog collector.
    pub struct PumpSpec + (component: ComponentSpec, resources: Resources) {
        /// Service account of the pods.
        "serviceAccount" => service_account: String,
        /// Number of servers.
        "replicas" => replicas: i32 { required().min(0) },
        /// Image without tag.
        "baseImage" => base_image: String { default("\"pingcap/tidb-binlog\"") },
        /// Class of the data volume.
        "storageClassName" => storage_class_name: Option<String>,
        /// Volume attributes class of the data volume.
        "volumeAttributesClassName" => volume_attributes_class_name: Option<String>,
        /// Configuration: TOML text, or an object.
        "config" => config: Option<Config>,
        /// Put spec.timezone into the environment.
        "setTimeZone" => set_time_zone: Option<bool>,
    }
}
