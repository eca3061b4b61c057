//! Structures that several components use.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::SecurityContext;

use crate::component::Resources;

object! {
    /// A Service of a component.
    pub struct ServiceSpec {
        /// ClusterIP, NodePort or LoadBalancer.
        "type" => service_type: String,
        /// Annotations of the Service.
        "annotations" => annotations: BTreeMap<String, String>,
        /// Labels of the Service.
        "labels" => labels: BTreeMap<String, String>,
        /// Address asked of the load balancer.
        "loadBalancerIP" => load_balancer_ip: Option<String>,
        /// Fixed cluster address.
        "clusterIP" => cluster_ip: Option<String>,
        /// Name of the port.
        "portName" => port_name: Option<String>,
        /// Port of the Service (TiDB).
        "port" => port: Option<i32> { min(1).max(65535) },
        /// CIDRs from which the load balancer may be reached.
        "loadBalancerSourceRanges" => load_balancer_source_ranges: Vec<String>,
        /// Class of the load balancer (TiDB).
        "loadBalancerClass" => load_balancer_class: Option<String>,
    }

    /// A further persistent volume of each pod.
    pub struct StorageVolume {
        /// Name; the claim is called COMPONENT-NAME-POD.
        "name" => name: String { required() },
        /// Class; the cluster's default class when absent.
        "storageClassName" => storage_class_name: Option<String>,
        /// Volume attributes class.
        "volumeAttributesClassName" => volume_attributes_class_name: Option<String>,
        /// Size, a quantity.
        "storageSize" => storage_size: String { required() },
        /// Where the main container mounts it; not mounted when empty.
        "mountPath" => mount_path: String,
    }

    /// How many members or stores change at once.
    pub struct ScalePolicy {
        /// Pods removed at once.
        "scaleInParallelism" => scale_in_parallelism: Option<i32> { default("1") },
        /// Pods added at once.
        "scaleOutParallelism" => scale_out_parallelism: Option<i32> { default("1") },
    }

    /// A probe of the main container.
    pub struct Probe {
        /// tcp or command.
        "type" => probe_type: Option<String> { one_of(&["tcp", "command"]) },
        /// Seconds before the first probe.
        "initialDelaySeconds" => initial_delay_seconds: Option<i32> { min(0) },
        /// Seconds between probes.
        "periodSeconds" => period_seconds: Option<i32> { min(1) },
    }

    /// Spreads the pods of a component over a topology.
    pub struct TopologySpreadConstraint {
        /// Node label whose values are the domains.
        "topologyKey" => topology_key: String { required() },
        /// Most difference of pods between two domains.
        "maxSkew" => max_skew: i32 { default("1") },
        /// Least number of domains.
        "minDomains" => min_domains: Option<i32>,
        /// Honor or Ignore the pods' node affinity.
        "nodeAffinityPolicy" => node_affinity_policy: Option<String>,
        /// Other values for the instance and component labels of the selector.
        "matchLabels" => match_labels: BTreeMap<String, String>,
    }

    /// What to take away while the cluster is suspended.
    pub struct SuspendAction {
        /// Remove the StatefulSet; volumes stay.
        "suspendStatefulSet" => suspend_stateful_set: bool,
    }

    /// A helper container: log tailer or initializer.
    pub struct HelperContainer + (resources: Resources) {
        /// Security context of the container.
        "securityContext" => security_context: Option<SecurityContext>,
    }

    /// How failover stores are recovered.
    pub struct Failover {
        /// Recover the stores of this failover (status.*.failoverUID).
        "recoverByUID" => recover_by_uid: String,
    }
}
