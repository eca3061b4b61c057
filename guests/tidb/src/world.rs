//! What the policy sees of the cluster, read once.

use serde::Deserialize;
use serde_json::Value;
use tidepool_sdk::{
    ComponentCall, Descriptor, Failure, Kind, PdRead, PodRow, Probe, Scope, Snapshot, Watch,
    api::{Component, TidbCluster, View, names::ports::TIDB_STATUS, tidb::TidbSpec},
    live::LiveSet,
};

/// Indices of the descriptor's watches.
pub mod watch {
    pub const SERVICE: u32 = 0;
    pub const CONFIG_MAP: u32 = 1;
    pub const STATEFUL_SET: u32 = 2;
    pub const POD: u32 = 3;
    pub const CLAIM: u32 = 4;
    pub const NODE: u32 = 5;
}

/// Index of the descriptor's probe: the server says that it serves.
const STATUS: u32 = 0;
/// Index of the descriptor's probe: what the server knows of itself.
const INFO: u32 = 1;
/// Index of the descriptor's call: tells a server where it is.
pub const SET_LABELS: u32 = 0;

/// Kinds of objects that are read, in the order of [`watch`], and whether plans write them.
const KINDS: [(&str, &str, bool); 6] = [
    ("v1", "Service", true),
    ("v1", "ConfigMap", true),
    ("apps/v1", "StatefulSet", true),
    ("v1", "Pod", false),
    ("v1", "PersistentVolumeClaim", true),
    ("v1", "Node", false),
];

const ACTIONS: [&str; 6] = ["create", "replace", "merge-patch", "delete", "component-call", "event"];

/// Components that come first in a round.
const AFTER: [Component; 4] = [Component::Pd, Component::Tiflash, Component::Tikv, Component::Pump];

/// What the policy reads and may do.
pub fn descriptor() -> Descriptor {
    let kind = |(api_version, kind, _): &(&str, &str, bool)| Kind {
        api_version: (*api_version).to_owned(),
        kind: (*kind).to_owned(),
    };
    let watch = |entry: &(&str, &str, bool)| {
        let Kind { api_version, kind } = kind(entry);
        let of = if kind == "Node" { Scope::Used } else { Scope::Component };
        Watch { api_version, kind, of }
    };
    let port = u16::try_from(TIDB_STATUS).unwrap_or_default();
    let probe = |path: &str| Probe { path: path.to_owned(), port };
    Descriptor {
        component: Component::Tidb.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        after: AFTER.map(|component| component.name().to_owned()).to_vec(),
        watches: KINDS.iter().map(watch).collect(),
        pods: Some(Component::Tidb.name().to_owned()),
        probes: vec![probe("/status"), probe("/info")],
        calls: vec![ComponentCall { method: "POST".to_owned(), path: "/labels".to_owned(), port, pods: None }],
        pd: vec![PdRead::Config],
        actions: ACTIONS.map(str::to_owned).to_vec(),
        writes: KINDS.iter().filter(|(.., writes)| *writes).map(kind).collect(),
        ..Descriptor::default()
    }
}

/// Settings of the policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// Servers that stay unhealthy are replaced.
    pub auto_failover: bool,
    /// Seconds that a server must be unhealthy before it is replaced.
    pub failover_period_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { auto_failover: true, failover_period_seconds: 300 }
    }
}

/// The cluster as it is.
pub struct World<'a> {
    /// What the host saw.
    pub snapshot: &'a Snapshot,
    /// The TidbCluster, defaults filled in.
    pub cluster: &'a TidbCluster,
    /// TiDB's settings over those of the cluster.
    pub view: View<'a>,
    /// TiDB's own part of the spec.
    pub spec: &'a TidbSpec,
    /// Settings of the policy.
    pub settings: Settings,
    /// The StatefulSet.
    pub set: Option<LiveSet>,
    /// Its pods.
    pub pods: Vec<PodRow>,
}

impl<'a> World<'a> {
    /// Reads it; none if the cluster has no TiDB of its own.
    ///
    /// # Errors
    /// When what every decision needs is unknown.
    pub fn read(snapshot: &'a Snapshot, cluster: &'a TidbCluster) -> Result<Option<Self>, Failure> {
        let (Some(spec), Some(view)) = (&cluster.spec.tidb, cluster.component(Component::Tidb)) else {
            return Ok(None);
        };
        let name = cluster.member_name(Component::Tidb);
        Ok(Some(Self {
            snapshot,
            cluster,
            view,
            spec,
            settings: snapshot.settings()?,
            set: LiveSet::read(snapshot, watch::STATEFUL_SET, &name)?,
            pods: snapshot.pods()?,
        }))
    }

    /// `metadata.generation` of the cluster.
    pub fn generation(&self) -> i64 {
        self.cluster.metadata.generation.unwrap_or_default()
    }

    /// Name of the StatefulSet.
    pub fn name(&self) -> String {
        self.cluster.member_name(Component::Tidb)
    }

    /// Name of the pod with an ordinal.
    pub fn pod_name(&self, ordinal: i32) -> String {
        self.cluster.pod_name(Component::Tidb, ordinal)
    }

    /// The pod of this name.
    pub fn pod(&self, name: &str) -> Option<&PodRow> {
        self.pods.iter().find(|pod| pod.name == name)
    }

    /// Whether the server in a pod says that it serves. One that does not answer does not.
    pub fn serves(&self, pod: &str) -> bool {
        self.snapshot.probe(STATUS, pod).is_ok_and(|answer| answer.status < 400)
    }

    /// What the server in a pod knows of itself; none if it does not say.
    pub fn info(&self, pod: &str) -> Option<Value> {
        let answer = self.snapshot.probe(INFO, pod).ok().filter(|answer| answer.status < 400)?;
        serde_json::from_str(&answer.body).ok()
    }
}
