//! `spec.tiproxy`: the connection proxy.

use crate::component::{ComponentSpec, Resources};
use crate::config::Config;
use crate::shared::StorageVolume;

object! {
    /// TiProxy, the connection proxy.
    pub struct TiproxySpec + (component: ComponentSpec, resources: Resources) {
        /// Service account of the pods.
        "serviceAccount" => service_account: String,
        /// Number of proxies.
        "replicas" => replicas: i32 { required().min(0) },
        /// Image without tag.
        "baseImage" => base_image: String { default("\"pingcap/tiproxy\"") },
        /// TLS from the proxy to TiDB.
        "sslEnableTiDB" => ssl_enable_tidb: bool,
        /// Secret of the client certificate.
        "tlsClientSecretName" => tls_client_secret_name: Option<String>,
        /// Where certificates are mounted: empty, or v1.
        "certLayout" => cert_layout: String,
        /// Configuration: TOML text, or an object.
        "config" => config: Option<Config>,
        /// Further volumes.
        "storageVolumes" => storage_volumes: Vec<StorageVolume>,
        /// Class of the further volumes.
        "storageClassName" => storage_class_name: Option<String>,
        /// Volume attributes class of the further volumes.
        "volumeAttributesClassName" => volume_attributes_class_name: Option<String>,
    }
}
