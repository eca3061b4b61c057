//! `spec.tidb`: the SQL server.

use k8s_openapi::api::core::v1::{Lifecycle, SecurityContext, ServicePort};

use crate::component::{ComponentSpec, Resources};
use crate::config::Config;
use crate::shared::{ScalePolicy, ServiceSpec, StorageVolume};

object! {
    /// TiDB, the SQL server.
    pub struct TidbSpec + (component: ComponentSpec, resources: Resources) {
        /// Service account of the pods.
        "serviceAccount" => service_account: String,
        /// Number of servers.
        "replicas" => replicas: i32 { required().min(0) },
        /// Image without tag.
        "baseImage" => base_image: String { default("\"pingcap/tidb\"") },
        /// The client Service CLUSTER-tidb; absent means none.
        "service" => service: Option<TidbServiceSpec>,
        /// Write a binlog; absent means yes if there is a spec.pump.
        "binlogEnabled" => binlog_enabled: Option<bool>,
        /// Most servers replaced by failover; 0 switches failover off, absent means 3.
        "maxFailoverCount" => max_failover_count: Option<i32> { min(0) },
        /// Show the slow log in a container of its own; absent means yes.
        "separateSlowLog" => separate_slow_log: Option<bool>,
        /// Volume of the slow log.
        "slowLogVolumeName" => slow_log_volume_name: String,
        /// The container that shows the slow log.
        "slowLogTailer" => slow_log_tailer: Option<SlowLogTailer>,
        /// TLS between SQL clients and the servers.
        "tlsClient" => tls_client: Option<TidbTlsClient>,
        /// Log in by token; needs a Secret with the key set.
        "tokenBasedAuthEnabled" => token_based_auth_enabled: Option<bool>,
        /// Plugins to load.
        "plugins" => plugins: Vec<String>,
        /// Configuration: TOML text, or an object.
        "config" => config: Option<Config>,
        /// Hooks of the main container.
        "lifecycle" => lifecycle: Option<Lifecycle>,
        /// Further volumes.
        "storageVolumes" => storage_volumes: Vec<StorageVolume>,
        /// Class of the further volumes.
        "storageClassName" => storage_class_name: Option<String>,
        /// Volume attributes class of the further volumes.
        "volumeAttributesClassName" => volume_attributes_class_name: Option<String>,
        /// What is done to a new cluster.
        "initializer" => initializer: Option<TidbInitializer>,
        /// ConfigMap whose key bootstrap-sql is run when the cluster is created.
        "bootstrapSQLConfigMapName" => bootstrap_sql_config_map_name: Option<String>,
        /// How many servers are added or removed at once.
        "scalePolicy" => scale_policy: Option<ScalePolicy>,
        /// A startup probe by a program of the user.
        "customizedStartupProbe" => customized_startup_probe: Option<CustomizedStartupProbe>,
        /// Further arguments of tidb-server.
        "arguments" => arguments: Vec<String>,
    }

    /// The client Service of TiDB.
    pub struct TidbServiceSpec + (service: ServiceSpec) {
        /// Cluster or Local.
        "externalTrafficPolicy" => external_traffic_policy: Option<String>,
        /// Also serve the status port; absent means yes.
        "exposeStatus" => expose_status: Option<bool>,
        /// Fixed node port of the SQL port.
        "mysqlNodePort" => mysql_node_port: Option<i64>,
        /// Fixed node port of the status port.
        "statusNodePort" => status_node_port: Option<i64>,
        /// Further ports.
        "additionalPorts" => additional_ports: Vec<ServicePort>,
    }

    /// The container that shows the slow log.
    pub struct SlowLogTailer + (resources: Resources) {
        /// Deprecated: see spec.helper.
        "image" => image: Option<String>,
        /// Deprecated: see spec.helper.
        "imagePullPolicy" => image_pull_policy: Option<String>,
        /// Security context of the container.
        "securityContext" => security_context: Option<SecurityContext>,
    }

    /// TLS between SQL clients and TiDB.
    pub struct TidbTlsClient {
        /// Use the certificate in Secret CLUSTER-tidb-server-secret.
        "enabled" => enabled: bool,
        /// Do not ask clients for a certificate.
        "disableClientAuthn" => disable_client_authn: bool,
        /// The cluster's own clients do not check the server's certificate.
        "skipInternalClientCA" => skip_internal_client_ca: bool,
    }

    /// What is done to a new cluster.
    pub struct TidbInitializer {
        /// Set a random root password.
        "createPassword" => create_password: bool,
    }

    /// A startup probe whose program is copied from an image.
    pub struct CustomizedStartupProbe {
        /// Image that holds the program.
        "image" => image: String { required() },
        /// Name of the program.
        "binaryName" => binary_name: String { required() },
        /// Its arguments.
        "args" => args: Vec<String>,
        /// Seconds before the first probe.
        "initialDelaySeconds" => initial_delay_seconds: Option<i32>,
        /// Seconds until a probe has failed.
        "timeoutSeconds" => timeout_seconds: Option<i32>,
        /// Seconds between probes.
        "periodSeconds" => period_seconds: Option<i32>,
        /// Successes in a row that count.
        "successThreshold" => success_threshold: Option<i32>,
        /// Failures in a row that count.
        "failureThreshold" => failure_threshold: Option<i32>,
    }
}
