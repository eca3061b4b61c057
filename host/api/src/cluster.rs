//! `TidbCluster`: the object and its `spec`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, PodDNSConfig, PodSecurityContext, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::{IgnoredAny, MapAccess};
use serde::ser::SerializeMap;

use crate::discovery::DiscoverySpec;
use crate::object::{Fields, read};
use crate::pd::PdSpec;
use crate::pdms::PdmsSpec;
use crate::pump::PumpSpec;
use crate::shared::{SuspendAction, TopologySpreadConstraint};
use crate::status::TidbClusterStatus;
use crate::ticdc::TicdcSpec;
use crate::tidb::TidbSpec;
use crate::tiflash::TiflashSpec;
use crate::tikv::TikvSpec;
use crate::tiproxy::TiproxySpec;

/// API group of TidbCluster.
pub const GROUP: &str = "pingcap.com";
/// Version of TidbCluster.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of TidbCluster.
pub const API_VERSION: &str = "pingcap.com/v1alpha1";
/// `kind` of TidbCluster.
pub const KIND: &str = "TidbCluster";

/// A TiDB cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TidbCluster {
    /// Name, namespace, annotations and the like.
    pub metadata: ObjectMeta,
    /// What the user wants.
    pub spec: TidbClusterSpec,
    /// What the operator saw and decided; absent until the first pass.
    pub status: Option<TidbClusterStatus>,
}

serde_by_fields!(TidbCluster);

impl Fields for TidbCluster {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "metadata" => self.metadata = read(map)?,
            "spec" => self.spec = read(map)?,
            "status" => self.status = read(map)?,
            "apiVersion" | "kind" => {
                map.next_value::<IgnoredAny>()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("apiVersion", API_VERSION)?;
        map.serialize_entry("kind", KIND)?;
        map.serialize_entry("metadata", &self.metadata)?;
        map.serialize_entry("spec", &self.spec)?;
        if let Some(status) = &self.status {
            map.serialize_entry("status", status)?;
        }
        Ok(())
    }

    #[cfg(feature = "schema")]
    fn describe(properties: &mut crate::schema::Properties) {
        let required = crate::object::Rule::NONE.required();
        properties.add::<TidbClusterSpec>("spec", "What the user wants.", required);
        properties.add::<TidbClusterStatus>(
            "status",
            "What the operator saw; written by the operator alone.",
            crate::object::Rule::NONE,
        );
    }
}

impl k8s_openapi::Resource for TidbCluster {
    const API_VERSION: &'static str = API_VERSION;
    const GROUP: &'static str = GROUP;
    const KIND: &'static str = KIND;
    const VERSION: &'static str = VERSION;
    const URL_PATH_SEGMENT: &'static str = "tidbclusters";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for TidbCluster {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

object! {
    /// A TiDB cluster. Components that are absent are not run; settings here hold for every component that does not override them.
    pub struct TidbClusterSpec {
        /// Discovery service of the cluster.
        "discovery" => discovery: Option<DiscoverySpec>,
        /// Service account of pods whose component names none.
        "serviceAccount" => service_account: String,
        /// PD. Absent: the cluster joins the PD of spec.cluster or spec.pdAddresses.
        "pd" => pd: Option<PdSpec>,
        /// PD's services that run apart; only with pd.mode ms.
        "pdms" => pdms: Vec<PdmsSpec>,
        /// TiKV.
        "tikv" => tikv: Option<TikvSpec>,
        /// TiFlash.
        "tiflash" => tiflash: Option<TiflashSpec>,
        /// TiDB.
        "tidb" => tidb: Option<TidbSpec>,
        /// TiCDC.
        "ticdc" => ticdc: Option<TicdcSpec>,
        /// TiProxy.
        "tiproxy" => tiproxy: Option<TiproxySpec>,
        /// Pump.
        "pump" => pump: Option<PumpSpec>,
        /// Image of log tailers and init containers.
        "helper" => helper: Option<HelperSpec>,
        /// Write no workload while true.
        "paused" => paused: bool,
        /// A restore of volume snapshots is going on.
        "recoveryMode" => recovery_mode: bool,
        /// Image tag of every component.
        "version" => version: String { always() },
        /// Scheduler of the pods.
        "schedulerName" => scheduler_name: String,
        /// What becomes of persistent volumes: Retain or Delete.
        "pvReclaimPolicy" => pv_reclaim_policy: Option<String> { default("\"Retain\"") },
        /// Pull policy of images.
        "imagePullPolicy" => image_pull_policy: String { default("\"IfNotPresent\"") },
        /// Secrets for pulling images.
        "imagePullSecrets" => image_pull_secrets: Vec<LocalObjectReference>,
        /// InPlace: a changed configuration waits for the next restart. RollingUpdate: it restarts the pods.
        "configUpdateStrategy" => config_update_strategy: String,
        /// Delete the claims of pods that were scaled in.
        "enablePVReclaim" => enable_pv_reclaim: Option<bool>,
        /// Replace volumes whose class or size cannot be changed in place.
        "enablePVCReplace" => enable_pvc_replace: Option<bool>,
        /// Mutual TLS between components.
        "tlsCluster" => tls_cluster: Option<TlsCluster>,
        /// Pods use the node's network.
        "hostNetwork" => host_network: Option<bool>,
        /// Affinity of the pods.
        "affinity" => affinity: Option<Affinity>,
        /// Priority class of the pods.
        "priorityClassName" => priority_class_name: Option<String>,
        /// Node selector of the pods.
        "nodeSelector" => node_selector: BTreeMap<String, String>,
        /// Annotations of the pods.
        "annotations" => annotations: BTreeMap<String, String>,
        /// Labels of the pods.
        "labels" => labels: BTreeMap<String, String>,
        /// Tolerations of the pods.
        "tolerations" => tolerations: Vec<Toleration>,
        /// DNS settings of the pods.
        "dnsConfig" => dns_config: Option<PodDNSConfig>,
        /// DNS policy of the pods.
        "dnsPolicy" => dns_policy: String,
        /// Time zone of the processes.
        "timezone" => timezone: String,
        /// Deprecated: types of PD's Services.
        "services" => services: Vec<LegacyService>,
        /// Serve more of TiKV's status port to others.
        "enableDynamicConfiguration" => enable_dynamic_configuration: Option<bool>,
        /// Domain of the Kubernetes cluster.
        "clusterDomain" => cluster_domain: String,
        /// Members may live in other Kubernetes clusters.
        "acrossK8s" => across_k8s: bool,
        /// The TidbCluster whose PD this one joins.
        "cluster" => cluster: Option<ClusterRef>,
        /// PD endpoints to join, http(s)://host:port.
        "pdAddresses" => pd_addresses: Vec<String>,
        /// RollingUpdate or OnDelete.
        "statefulSetUpdateStrategy" => stateful_set_update_strategy: String,
        /// Security context of the pods.
        "podSecurityContext" => pod_security_context: Option<PodSecurityContext>,
        /// Parallel or OrderedReady.
        "podManagementPolicy" => pod_management_policy: String,
        /// Spreads the pods of each component over topologies.
        "topologySpreadConstraints" => topology_spread_constraints: Vec<TopologySpreadConstraint> { list_key("topologyKey") },
        /// Version of the start scripts: v1 or v2.
        "startScriptVersion" => start_script_version: String { one_of(&["", "v1", "v2"]) },
        /// Suspend the cluster: take pods away, keep volumes.
        "suspendAction" => suspend_action: Option<SuspendAction>,
        /// Services prefer two address families.
        "preferIPv6" => prefer_ipv6: bool,
        /// Switches of the v2 start scripts.
        "startScriptV2FeatureFlags" => start_script_v2_feature_flags: Vec<String>,
    }

    /// The helper image.
    pub struct HelperSpec {
        /// Image; absent means that of tidb.slowLogTailer, then busybox.
        "image" => image: Option<String>,
        /// Its pull policy.
        "imagePullPolicy" => image_pull_policy: Option<String>,
    }

    /// Mutual TLS between components.
    pub struct TlsCluster {
        /// On or off. Certificates are in Secrets CLUSTER-COMPONENT-cluster-secret.
        "enabled" => enabled: bool,
        /// Discovery takes part too.
        "enableDiscoveryMTLS" => enable_discovery_mtls: bool,
    }

    /// Deprecated: the type of one Service.
    pub struct LegacyService {
        /// Component.
        "name" => name: String,
        /// Type of the Service.
        "type" => service_type: String,
    }

    /// A reference to another TidbCluster.
    pub struct ClusterRef {
        /// Namespace; absent means this one.
        "namespace" => namespace: String,
        /// Name.
        "name" => name: String { required() },
        /// Domain of its Kubernetes cluster.
        "clusterDomain" => cluster_domain: String,
    }
}
