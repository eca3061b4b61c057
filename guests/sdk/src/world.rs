//! What the policy of a component sees that runs as a StatefulSet, whichever component it is. Each policy adds what is its
//! own: its part of the spec, PD's members or stores, answers of its pods.

use serde::Deserialize;
use tidepool_api::{Component, TidbCluster, View};
use tidepool_model::{
    descriptor::{Descriptor, Kind, Scope, Watch},
    snapshot::PodRow,
    waiting::WaitingOn,
};

use crate::{
    Failure, ObjectRef, Snapshot,
    live::{Live, LiveSet},
    wait::{self, Reason},
};

/// Indices of the watches of [`descriptor`].
pub mod watch {
    /// Services of the component.
    pub const SERVICE: u32 = 0;
    /// Its ConfigMaps.
    pub const CONFIG_MAP: u32 = 1;
    /// Its StatefulSet.
    pub const STATEFUL_SET: u32 = 2;
    /// Its pods.
    pub const POD: u32 = 3;
    /// The claims of its pods.
    pub const CLAIM: u32 = 4;
    /// The nodes of its pods, for those who ask for them ([`super::with_nodes`]).
    pub const NODE: u32 = 5;
}

/// Kinds of objects that are read and written, in the order of [`watch`].
const KINDS: [(&str, &str); 5] = [
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("apps/v1", "StatefulSet"),
    ("v1", "Pod"),
    ("v1", "PersistentVolumeClaim"),
];

/// What every component with a StatefulSet reads and writes. `version` is the policy's own; `after` are the components
/// that come first in a round.
pub fn descriptor(component: Component, version: &str, after: &[Component], actions: &[&str]) -> Descriptor {
    Descriptor {
        component: component.name().to_owned(),
        version: version.to_owned(),
        after: after.iter().map(|component| component.name().to_owned()).collect(),
        watches: KINDS.iter().map(|(version, kind)| watch(version, kind, Scope::Component)).collect(),
        pods: Some(component.name().to_owned()),
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        writes: KINDS.iter().map(|(version, kind)| self::kind(version, kind)).collect(),
        ..Descriptor::default()
    }
}

/// The descriptor of a policy that also reads the nodes of its pods.
pub fn with_nodes(mut descriptor: Descriptor) -> Descriptor {
    descriptor.watches.push(watch("v1", "Node", Scope::Used));
    descriptor
}

fn watch(api_version: &str, kind: &str, of: Scope) -> Watch {
    Watch { api_version: api_version.to_owned(), kind: kind.to_owned(), of }
}

fn kind(api_version: &str, kind: &str) -> Kind {
    Kind { api_version: api_version.to_owned(), kind: kind.to_owned() }
}

/// Settings from the PolicyModule.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Members that are down for long are replaced.
    pub auto_failover: bool,
    /// Seconds that a member is down before it is replaced.
    pub failover_period_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { auto_failover: true, failover_period_seconds: 300 }
    }
}

/// The cluster as it is, for one component.
pub struct World<'a> {
    /// What the host saw.
    pub snapshot: &'a Snapshot,
    /// The TidbCluster, defaults filled in.
    pub cluster: &'a TidbCluster,
    /// The component's settings over those of the cluster.
    pub view: View<'a>,
    /// The policy's settings.
    pub settings: Settings,
    /// The StatefulSet.
    pub set: Option<LiveSet>,
    /// Its pods.
    pub pods: Vec<PodRow>,
}

impl<'a> World<'a> {
    /// Reads it; none if the cluster does not have the component.
    ///
    /// # Errors
    /// When what every decision needs is unknown.
    pub fn read(
        snapshot: &'a Snapshot,
        cluster: &'a TidbCluster,
        component: Component,
    ) -> Result<Option<Self>, Failure> {
        let Some(view) = cluster.component(component) else { return Ok(None) };
        Ok(Some(Self {
            snapshot,
            cluster,
            view,
            settings: snapshot.settings()?,
            set: LiveSet::read(snapshot, watch::STATEFUL_SET, &cluster.member_name(component))?,
            pods: snapshot.pods()?,
        }))
    }

    /// The component.
    pub fn component(&self) -> Component {
        self.view.kind()
    }

    /// `metadata.generation` of the cluster.
    pub fn generation(&self) -> i64 {
        self.cluster.metadata.generation.unwrap_or_default()
    }

    /// Now, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.snapshot.now_ms()
    }

    /// Name of the StatefulSet.
    pub fn name(&self) -> String {
        self.cluster.member_name(self.component())
    }

    /// Name of the pod with an ordinal.
    pub fn pod_name(&self, ordinal: i32) -> String {
        self.cluster.pod_name(self.component(), ordinal)
    }

    /// The pod of this name.
    pub fn pod(&self, name: &str) -> Option<&PodRow> {
        self.pods.iter().find(|pod| pod.name == name)
    }

    /// The whole pod of this name.
    ///
    /// # Errors
    /// When the host could not read it.
    pub fn live_pod(&self, name: &str) -> Result<Option<Live>, Failure> {
        Live::read(self.snapshot, watch::POD, name)
    }

    /// Waits for a pod that is not ready, and says why it is not as far as Kubernetes does.
    pub fn not_ready(&self, pod: &str) -> WaitingOn {
        let why = self.live_pod(pod).ok().flatten().and_then(|live| live.trouble());
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        wait::on(Reason::PodsNotReady, wait::pod(pod), format!("pod {pod} is not ready{why}"))
    }

    /// Whether the pod has a node: one that waits for a node is no failure of what runs in it (safety rule S21).
    ///
    /// # Errors
    /// When the host could not read it.
    pub fn scheduled(&self, pod: &str) -> Result<bool, Failure> {
        Ok(self.live_pod(pod)?.is_some_and(|live| !live.text("/spec/nodeName").is_empty()))
    }
}

/// A pod, to be patched or deleted.
pub fn pod_reference(name: &str) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: "Pod".to_owned(), name: name.to_owned() }
}
