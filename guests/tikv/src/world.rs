//! What the policy sees of the cluster, read once.

use serde::Deserialize;
use tidepool_sdk::{
    Descriptor, Failure, Kind, Known, ObjectRef, PdRead, PodRow, Scope, Snapshot, StoreRow, Watch,
    api::{Component, TidbCluster, View, tikv::TikvSpec},
    live::LiveSet,
    stores,
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

/// Kinds of objects that are read, in the order of [`watch`], and whether plans write them.
const KINDS: [(&str, &str, bool); 6] = [
    ("v1", "Service", true),
    ("v1", "ConfigMap", true),
    ("apps/v1", "StatefulSet", true),
    ("v1", "Pod", true),
    ("v1", "PersistentVolumeClaim", true),
    ("v1", "Node", false),
];

const ACTIONS: [&str; 9] = [
    "create",
    "replace",
    "merge-patch",
    "delete",
    "delete-store",
    "set-store-labels",
    "begin-evict-leader",
    "end-evict-leader",
    "event",
];

/// Components that come first in a round.
const AFTER: [Component; 3] = [Component::Pd, Component::Tiproxy, Component::Tiflash];

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
    Descriptor {
        component: Component::Tikv.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        after: AFTER.map(|component| component.name().to_owned()).to_vec(),
        watches: KINDS.iter().map(watch).collect(),
        pods: Some(Component::Tikv.name().to_owned()),
        pd: vec![PdRead::Stores, PdRead::Config],
        actions: ACTIONS.map(str::to_owned).to_vec(),
        writes: KINDS.iter().filter(|(.., writes)| *writes).map(kind).collect(),
        ..Descriptor::default()
    }
}

/// Settings of the policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// Stores that stay down are replaced.
    pub auto_failover: bool,
    /// Seconds that PD must call a store Down before it is replaced.
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
    /// TiKV's settings over those of the cluster.
    pub view: View<'a>,
    /// TiKV's own part of the spec.
    pub spec: &'a TikvSpec,
    /// Settings of the policy.
    pub settings: Settings,
    /// The StatefulSet.
    pub set: Option<LiveSet>,
    /// Its pods.
    pub pods: Vec<PodRow>,
    /// All stores of PD, TiFlash's and other clusters' among them.
    pub stores: Known<Vec<StoreRow>>,
}

impl<'a> World<'a> {
    /// Reads it; none if the cluster has no TiKV of its own.
    ///
    /// # Errors
    /// When what every decision needs is unknown.
    pub fn read(snapshot: &'a Snapshot, cluster: &'a TidbCluster) -> Result<Option<Self>, Failure> {
        let (Some(spec), Some(view)) = (&cluster.spec.tikv, cluster.component(Component::Tikv)) else {
            return Ok(None);
        };
        let name = cluster.member_name(Component::Tikv);
        Ok(Some(Self {
            snapshot,
            cluster,
            view,
            spec,
            settings: snapshot.settings()?,
            set: LiveSet::read(snapshot, watch::STATEFUL_SET, &name)?,
            pods: snapshot.pods()?,
            stores: snapshot.stores(),
        }))
    }

    /// `metadata.generation` of the cluster.
    pub fn generation(&self) -> i64 {
        self.cluster.metadata.generation.unwrap_or_default()
    }

    /// Name of the StatefulSet.
    pub fn name(&self) -> String {
        self.cluster.member_name(Component::Tikv)
    }

    /// Name of the pod with an ordinal.
    pub fn pod_name(&self, ordinal: i32) -> String {
        self.cluster.pod_name(Component::Tikv, ordinal)
    }

    /// The pod of this name.
    pub fn pod(&self, name: &str) -> Option<&PodRow> {
        self.pods.iter().find(|pod| pod.name == name)
    }

    /// The living store of a pod among `rows`.
    pub fn store_of<'b>(&self, rows: &'b [StoreRow], pod: &str) -> Option<&'b StoreRow> {
        stores::living(self.cluster, Component::Tikv, rows, pod)
    }

    /// Whether a store is one of this cluster's pods.
    pub fn is_own(&self, row: &StoreRow) -> bool {
        stores::own_pod(self.cluster, Component::Tikv, &row.address).is_some()
    }
}

/// A pod, to be patched.
pub fn pod_reference(name: &str) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: "Pod".to_owned(), name: name.to_owned() }
}
