//! What holds for one component: its own settings over those of the cluster.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, PodDNSConfig, PodSecurityContext, Toleration,
    TopologySpreadConstraint as PodTopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::cluster::{TidbCluster, TidbClusterSpec};
use crate::component::{ComponentSpec, Resources};
use crate::config::{Config, ConfigError, Table};
use crate::kind::Component;
use crate::labels;
use crate::shared::{StorageVolume, TopologySpreadConstraint};
use crate::version::Version;

/// Image of helper containers when nobody names one.
pub const DEFAULT_HELPER_IMAGE: &str = "busybox:1.26.2";
/// Time zone when nobody names one.
pub const DEFAULT_TIMEZONE: &str = "UTC";
/// Key of the request that sizes a data volume.
pub const STORAGE: &str = "storage";

/// How a changed configuration reaches the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigUpdateStrategy {
    /// At the next restart, whatever its reason.
    InPlace,
    /// By a rolling restart.
    RollingUpdate,
}

/// One component as it is to run. Obtained from [`TidbCluster::component`].
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    cluster: &'a TidbCluster,
    kind: Component,
    own: &'a ComponentSpec,
    resources: &'a Resources,
    service_account: &'a str,
    base_image: &'a str,
    replicas: i32,
    config: Option<&'a Config>,
    storage_volumes: &'a [StorageVolume],
}

static NO_COMPONENT: LazyLock<ComponentSpec> = LazyLock::new(ComponentSpec::default);
static NO_RESOURCES: LazyLock<Resources> = LazyLock::new(Resources::default);

macro_rules! view {
    ($cluster:expr, $kind:expr, $spec:expr, $base_image:expr, $config:expr, $volumes:expr) => {
        View {
            cluster: $cluster,
            kind: $kind,
            own: &$spec.component,
            resources: &$spec.resources,
            service_account: &$spec.service_account,
            base_image: $base_image,
            replicas: $spec.replicas,
            config: $config,
            storage_volumes: $volumes,
        }
    };
    ($cluster:expr, $kind:expr, $spec:expr) => {
        $spec.as_ref().map(|s| view!($cluster, $kind, s, &s.base_image, s.config.as_ref(), &s.storage_volumes))
    };
}

impl TidbCluster {
    /// The component as it is to run; `None` if the spec does not have it.
    pub fn component(&self, kind: Component) -> Option<View<'_>> {
        let spec = &self.spec;
        match kind {
            Component::Discovery => Some(self.discovery_view()),
            Component::Pd => view!(self, kind, spec.pd),
            Component::Tso | Component::Scheduling => {
                let service = spec.pdms.iter().find(|s| s.name == kind.name())?;
                let image = service.base_image.as_deref().unwrap_or_default();
                Some(view!(self, kind, service, image, service.config.as_ref(), &service.storage_volumes))
            }
            Component::Tikv => view!(self, kind, spec.tikv),
            Component::Tidb => view!(self, kind, spec.tidb),
            // TiFlash has two configurations and its own claims: see its spec.
            Component::Tiflash => spec.tiflash.as_ref().map(|s| view!(self, kind, s, &s.base_image, None, &[])),
            Component::Ticdc => view!(self, kind, spec.ticdc),
            Component::Pump => spec.pump.as_ref().map(|s| view!(self, kind, s, &s.base_image, s.config.as_ref(), &[])),
            Component::Tiproxy => view!(self, kind, spec.tiproxy),
        }
    }

    /// Every component the spec has, discovery first.
    pub fn components(&self) -> impl Iterator<Item = View<'_>> {
        Component::ALL.into_iter().filter_map(|kind| self.component(kind))
    }

    fn discovery_view(&self) -> View<'_> {
        let spec = self.spec.discovery.as_ref();
        View {
            cluster: self,
            kind: Component::Discovery,
            own: spec.map_or(&NO_COMPONENT, |s| &s.component),
            resources: spec.map_or(&NO_RESOURCES, |s| &s.resources),
            service_account: "",
            base_image: "",
            replicas: 1,
            config: None,
            storage_volumes: &[],
        }
    }

    /// Image of log tailers and init containers.
    pub fn helper_image(&self) -> &str {
        let tailer = || self.spec.tidb.as_ref()?.slow_log_tailer.as_ref()?.image.as_deref();
        let helper = self.spec.helper.as_ref().and_then(|h| h.image.as_deref());
        helper.or_else(tailer).filter(|image| !image.is_empty()).unwrap_or(DEFAULT_HELPER_IMAGE)
    }

    /// Pull policy of that image.
    pub fn helper_image_pull_policy(&self) -> &str {
        let tailer = || self.spec.tidb.as_ref()?.slow_log_tailer.as_ref()?.image_pull_policy.as_deref();
        let helper = self.spec.helper.as_ref().and_then(|h| h.image_pull_policy.as_deref());
        helper.or_else(tailer).unwrap_or(&self.spec.image_pull_policy)
    }

    /// Time zone, `UTC` if none is given.
    pub fn timezone(&self) -> &str {
        non_empty(&self.spec.timezone).unwrap_or(DEFAULT_TIMEZONE)
    }

    /// Whether components talk to each other over TLS.
    pub fn tls_enabled(&self) -> bool {
        self.spec.tls_cluster.as_ref().is_some_and(|tls| tls.enabled)
    }

    /// Whether discovery does too.
    pub fn discovery_mtls_enabled(&self) -> bool {
        self.spec.tls_cluster.as_ref().is_some_and(|tls| tls.enabled && tls.enable_discovery_mtls)
    }

    /// Whether SQL clients talk to TiDB over TLS.
    pub fn tidb_client_tls_enabled(&self) -> bool {
        self.spec.tidb.as_ref().and_then(|tidb| tidb.tls_client.as_ref()).is_some_and(|tls| tls.enabled)
    }

    /// `http` or `https`: between components.
    pub fn scheme(&self) -> &'static str {
        if self.tls_enabled() { "https" } else { "http" }
    }

    /// The cluster whose PD this one joins.
    pub fn joined(&self) -> Option<&crate::cluster::ClusterRef> {
        self.spec.cluster.as_ref().filter(|cluster| !cluster.name.is_empty())
    }

    /// Whether PD leaves some of its services to pods of their own.
    pub fn pd_services_apart(&self) -> bool {
        !self.spec.pdms.is_empty() && self.spec.pd.as_ref().is_some_and(|pd| pd.mode == "ms")
    }

    /// Whether start scripts are of the second version. TiProxy's and, where its services run apart, PD's always are.
    pub fn start_script_v2(&self, kind: Component) -> bool {
        match kind {
            Component::Tiproxy | Component::Tso | Component::Scheduling => true,
            Component::Pd if self.pd_services_apart() => true,
            _ => self.spec.start_script_version == "v2",
        }
    }
}

impl<'a> View<'a> {
    fn spec(&self) -> &'a TidbClusterSpec {
        &self.cluster.spec
    }

    /// Which component.
    pub fn kind(&self) -> Component {
        self.kind
    }

    /// The component's own settings, without those of the cluster: environment, containers, volumes and the like.
    pub fn own(&self) -> &'a ComponentSpec {
        self.own
    }

    /// Replicas in the spec, without those that failover added.
    pub fn replicas(&self) -> i32 {
        self.replicas
    }

    /// Configuration; TiFlash's two are in its spec.
    pub fn config(&self) -> Option<&'a Config> {
        self.config
    }

    /// Configuration as a table, by the names that the component knows; empty if there is none.
    pub fn config_table(&self) -> Result<Table, ConfigError> {
        self.config.map_or_else(|| Ok(Table::new()), |config| config.table_for(self.kind))
    }

    /// Further volumes.
    pub fn storage_volumes(&self) -> &'a [StorageVolume] {
        self.storage_volumes
    }

    /// Requests and limits as written, `storage` included.
    pub fn resources(&self) -> &'a Resources {
        self.resources
    }

    /// Size of the data volume.
    pub fn storage_request(&self) -> Option<&'a Quantity> {
        self.resources.requests.get(STORAGE)
    }

    /// Resources of the main container: without `storage`.
    pub fn container_resources(&self) -> k8s_openapi::api::core::v1::ResourceRequirements {
        self.resources.for_container()
    }

    /// Image with tag; empty if nothing names one.
    pub fn image(&self) -> String {
        match (self.base_image, self.version()) {
            ("", _) if self.own.image.is_empty() && self.is_pd_service() => {
                self.cluster.component(Component::Pd).map(|pd| pd.image()).unwrap_or_default()
            }
            ("", _) => self.own.image.clone(),
            (base, "") => base.to_owned(),
            (base, version) => format!("{base}:{version}"),
        }
    }

    fn is_pd_service(&self) -> bool {
        matches!(self.kind, Component::Tso | Component::Scheduling)
    }

    /// Image tag: the component's, even if it is empty, else the cluster's.
    pub fn version(&self) -> &'a str {
        self.own.version.as_deref().unwrap_or(&self.spec().version)
    }

    /// The text after the last colon of the image, `latest` without one: what version dependent rules compare.
    pub fn image_version(&self) -> String {
        let image = self.image();
        image.rsplit_once(':').map_or_else(|| "latest".to_owned(), |(_, version)| version.to_owned())
    }

    /// That text as a version; `None` if it says none.
    pub fn parsed_version(&self) -> Option<Version> {
        Version::parse(&self.image_version())
    }

    /// Service account of the pods; empty for the namespace's own.
    pub fn service_account(&self) -> &'a str {
        non_empty(self.service_account).unwrap_or(&self.spec().service_account)
    }

    /// Pull policy of images.
    pub fn image_pull_policy(&self) -> &'a str {
        self.own.image_pull_policy.as_deref().unwrap_or(&self.spec().image_pull_policy)
    }

    /// Secrets for pulling images.
    pub fn image_pull_secrets(&self) -> &'a [LocalObjectReference] {
        non_empty_list(&self.own.image_pull_secrets, &self.spec().image_pull_secrets)
    }

    /// Whether pods use the node's network.
    pub fn host_network(&self) -> bool {
        self.own.host_network.or(self.spec().host_network).unwrap_or(false)
    }

    /// Affinity of the pods.
    pub fn affinity(&self) -> Option<&'a Affinity> {
        self.own.affinity.as_ref().or(self.spec().affinity.as_ref())
    }

    /// Priority class of the pods.
    pub fn priority_class_name(&self) -> Option<&'a str> {
        self.own.priority_class_name.as_deref().or(self.spec().priority_class_name.as_deref())
    }

    /// Scheduler of the pods.
    pub fn scheduler_name(&self) -> &'a str {
        self.own.scheduler_name.as_deref().unwrap_or(&self.spec().scheduler_name)
    }

    /// Node selector of the pods.
    pub fn node_selector(&self) -> BTreeMap<String, String> {
        merged(&self.spec().node_selector, &self.own.node_selector)
    }

    /// Annotations that the user wants on the pods.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        merged(&self.spec().annotations, &self.own.annotations)
    }

    /// Labels that the user wants on the pods.
    pub fn labels(&self) -> BTreeMap<String, String> {
        merged(&self.spec().labels, &self.own.labels)
    }

    /// Tolerations of the pods.
    pub fn tolerations(&self) -> &'a [Toleration] {
        non_empty_list(&self.own.tolerations, &self.spec().tolerations)
    }

    /// Security context of the pods.
    pub fn pod_security_context(&self) -> Option<&'a PodSecurityContext> {
        self.own.pod_security_context.as_ref().or(self.spec().pod_security_context.as_ref())
    }

    /// DNS settings of the pods.
    pub fn dns_config(&self) -> Option<&'a PodDNSConfig> {
        self.own.dns_config.as_ref().or(self.spec().dns_config.as_ref())
    }

    /// DNS policy of the pods.
    pub fn dns_policy(&self) -> &'a str {
        let default = if self.host_network() { "ClusterFirstWithHostNet" } else { "ClusterFirst" };
        non_empty(&self.own.dns_policy).or(non_empty(&self.spec().dns_policy)).unwrap_or(default)
    }

    /// How a changed configuration reaches the pods; the text itself if it is neither of the two.
    pub fn config_update_strategy(&self) -> Result<ConfigUpdateStrategy, &'a str> {
        match self.own.config_update_strategy.as_deref().unwrap_or(&self.spec().config_update_strategy) {
            "" | "InPlace" => Ok(ConfigUpdateStrategy::InPlace),
            // TiProxy reads a changed configuration by itself.
            _ if self.kind == Component::Tiproxy => Ok(ConfigUpdateStrategy::InPlace),
            "RollingUpdate" => Ok(ConfigUpdateStrategy::RollingUpdate),
            other => Err(other),
        }
    }

    /// `RollingUpdate` unless another is given.
    pub fn stateful_set_update_strategy(&self) -> &'a str {
        let cluster = non_empty(&self.spec().stateful_set_update_strategy);
        non_empty(&self.own.stateful_set_update_strategy).or(cluster).unwrap_or("RollingUpdate")
    }

    /// `OrderedReady` or `Parallel`.
    pub fn pod_management_policy(&self) -> &'static str {
        let given = non_empty(&self.own.pod_management_policy).or(non_empty(&self.spec().pod_management_policy));
        match given {
            Some("OrderedReady") => "OrderedReady",
            // Pump's sets were made so, and the field of an existing set cannot be changed.
            None if self.kind == Component::Pump => "OrderedReady",
            _ => "Parallel",
        }
    }

    /// Topology constraints of the pods.
    pub fn topology_spread_constraints(&self) -> Vec<PodTopologySpreadConstraint> {
        let given = non_empty_list(&self.own.topology_spread_constraints, &self.spec().topology_spread_constraints);
        given.iter().map(|constraint| self.pod_topology_spread_constraint(constraint)).collect()
    }

    fn pod_topology_spread_constraint(&self, given: &TopologySpreadConstraint) -> PodTopologySpreadConstraint {
        let mut labels = labels::component_labels(self.cluster, self.kind);
        // The name and not the instance label: what existing pods were made with.
        labels.insert(labels::INSTANCE.to_owned(), self.cluster.name().to_owned());
        for key in [labels::COMPONENT, labels::INSTANCE] {
            if let Some(value) = given.match_labels.get(key) {
                labels.insert(key.to_owned(), value.clone());
            }
        }
        PodTopologySpreadConstraint {
            label_selector: Some(LabelSelector { match_labels: Some(labels), match_expressions: None }),
            max_skew: if given.max_skew > 0 { given.max_skew } else { 1 },
            min_domains: given.min_domains,
            node_affinity_policy: given.node_affinity_policy.clone(),
            topology_key: given.topology_key.clone(),
            when_unsatisfiable: "DoNotSchedule".to_owned(),
            ..PodTopologySpreadConstraint::default()
        }
    }

    /// Whether the component is to be suspended.
    pub fn suspend(&self) -> bool {
        let action = self.own.suspend_action.as_ref().or(self.spec().suspend_action.as_ref());
        action.is_some_and(|action| action.suspend_stateful_set)
    }
}

impl Resources {
    /// Resources of a container: without `storage`, which sizes a volume.
    pub fn for_container(&self) -> k8s_openapi::api::core::v1::ResourceRequirements {
        let without_storage = |map: &BTreeMap<String, Quantity>| -> Option<BTreeMap<String, Quantity>> {
            let map: BTreeMap<_, _> =
                map.iter().filter(|(key, _)| *key != STORAGE).map(|(k, v)| (k.clone(), v.clone())).collect();
            (!map.is_empty()).then_some(map)
        };
        k8s_openapi::api::core::v1::ResourceRequirements {
            claims: None,
            limits: without_storage(&self.limits),
            requests: without_storage(&self.requests),
        }
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn non_empty_list<'a, T>(own: &'a [T], cluster: &'a [T]) -> &'a [T] {
    if own.is_empty() { cluster } else { own }
}

fn merged(cluster: &BTreeMap<String, String>, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = cluster.clone();
    all.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    all
}
