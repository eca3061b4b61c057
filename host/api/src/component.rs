//! Settings that every component has. Most can also be given for the whole cluster; [`crate::view`] merges the two.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvFromSource, EnvVar, LocalObjectReference, PodDNSConfig, PodSecurityContext,
    SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::shared::{Probe, SuspendAction, TopologySpreadConstraint};

object! {
    /// Pod settings of one component.
    pub struct ComponentSpec {
        /// Full image. Deprecated: used only when baseImage is empty.
        "image" => image: String,
        /// Image tag; overrides spec.version. An empty text means no tag.
        "version" => version: Option<String>,
        /// Overrides spec.imagePullPolicy.
        "imagePullPolicy" => image_pull_policy: Option<String>,
        /// Replaces spec.imagePullSecrets.
        "imagePullSecrets" => image_pull_secrets: Vec<LocalObjectReference>,
        /// Overrides spec.hostNetwork.
        "hostNetwork" => host_network: Option<bool>,
        /// Overrides spec.affinity.
        "affinity" => affinity: Option<Affinity>,
        /// Overrides spec.priorityClassName.
        "priorityClassName" => priority_class_name: Option<String>,
        /// Overrides spec.schedulerName.
        "schedulerName" => scheduler_name: Option<String>,
        /// Merged over spec.nodeSelector by key.
        "nodeSelector" => node_selector: BTreeMap<String, String>,
        /// Pod annotations, merged over spec.annotations by key.
        "annotations" => annotations: BTreeMap<String, String>,
        /// Pod labels, merged over spec.labels by key. The operator's own labels win.
        "labels" => labels: BTreeMap<String, String>,
        /// Replaces spec.tolerations.
        "tolerations" => tolerations: Vec<Toleration>,
        /// Overrides spec.podSecurityContext.
        "podSecurityContext" => pod_security_context: Option<PodSecurityContext>,
        /// Overrides spec.configUpdateStrategy.
        "configUpdateStrategy" => config_update_strategy: Option<String>,
        /// More environment variables of the main container. Names that the operator sets itself are ignored.
        "env" => env: Vec<EnvVar>,
        /// Sources of environment variables of the main container.
        "envFrom" => env_from: Vec<EnvFromSource>,
        /// Init containers, run after the operator's own.
        "initContainers" => init_containers: Vec<Container>,
        /// More containers. One with the name of an operator's container is merged into that.
        "additionalContainers" => additional_containers: Vec<Container>,
        /// More volumes of the pod.
        "additionalVolumes" => additional_volumes: Vec<Volume>,
        /// More mounts of the main container.
        "additionalVolumeMounts" => additional_volume_mounts: Vec<VolumeMount>,
        /// Overrides spec.dnsConfig.
        "dnsConfig" => dns_config: Option<PodDNSConfig>,
        /// Overrides spec.dnsPolicy.
        "dnsPolicy" => dns_policy: String,
        /// Seconds a pod gets to end.
        "terminationGracePeriodSeconds" => termination_grace_period_seconds: Option<i64>,
        /// Overrides spec.statefulSetUpdateStrategy.
        "statefulSetUpdateStrategy" => stateful_set_update_strategy: String,
        /// Overrides spec.podManagementPolicy.
        "podManagementPolicy" => pod_management_policy: String,
        /// Replaces spec.topologySpreadConstraints.
        "topologySpreadConstraints" => topology_spread_constraints: Vec<TopologySpreadConstraint> { list_key("topologyKey") },
        /// Overrides spec.suspendAction; an empty object cancels it.
        "suspendAction" => suspend_action: Option<SuspendAction>,
        /// Security context of the main container.
        "securityContext" => security_context: Option<SecurityContext>,
        /// Readiness probe of the main container (PD, TiKV, TiDB, discovery).
        "readinessProbe" => readiness_probe: Option<Probe>,
        /// Whether the pod gets a service account token.
        "automountServiceAccountToken" => automount_service_account_token: Option<bool>,
    }

    /// Resources of a container. The request for storage sizes the component's data volume.
    pub struct Resources {
        /// Least resources, by name; storage is the size of the data volume.
        "requests" => requests: BTreeMap<String, Quantity>,
        /// Most resources, by name.
        "limits" => limits: BTreeMap<String, Quantity>,
        /// Names of resource claims.
        "claims" => claims: Vec<ResourceClaim> { list_key("name") },
    }

    /// A reference to a resource claim of the pod.
    pub struct ResourceClaim {
        /// Name of the claim.
        "name" => name: String { required() },
    }
}
