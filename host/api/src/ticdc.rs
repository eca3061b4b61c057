//! `spec.ticdc`: change data capture.

use crate::component::{ComponentSpec, Resources};
use crate::config::Config;
use crate::shared::StorageVolume;

object! {
    /// TiCDC, change data capture.
    pub struct TicdcSpec + (component: ComponentSpec, resources: Resources) {
        /// Service account of the pods.
        "serviceAccount" => service_account: String,
        /// Number of captures.
        "replicas" => replicas: i32 { required().min(0) },
        /// Image without tag.
        "baseImage" => base_image: String { default("\"pingcap/ticdc\"") },
        /// Secrets of client certificates for downstream systems.
        "tlsClientSecretNames" => tls_client_secret_names: Vec<String>,
        /// Configuration: TOML text, or an object.
        "config" => config: Option<Config>,
        /// Further volumes.
        "storageVolumes" => storage_volumes: Vec<StorageVolume>,
        /// Class of the further volumes.
        "storageClassName" => storage_class_name: Option<String>,
        /// Volume attributes class of the further volumes.
        "volumeAttributesClassName" => volume_attributes_class_name: Option<String>,
        /// How long a capture may take to hand over its tables; absent means 10m.
        "gracefulShutdownTimeout" => graceful_shutdown_timeout: Option<String>,
    }
}
