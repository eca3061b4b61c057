//! What the policy sees of the cluster, read once.

use std::ops::Deref;

use serde_json::Value;
use tidepool_sdk::{
    ComponentCall, Descriptor, Failure, PdRead, Probe, Snapshot,
    api::{Component, TidbCluster, names::ports::TIDB_STATUS, tidb::TidbSpec},
    world,
};

pub use tidepool_sdk::world::watch;

/// Index of the descriptor's probe: the server says that it serves.
const STATUS: u32 = 0;
/// Index of the descriptor's probe: what the server knows of itself.
const INFO: u32 = 1;
/// Index of the descriptor's call: tells a server where it is.
pub const SET_LABELS: u32 = 0;

const ACTIONS: [&str; 6] = ["create", "replace", "merge-patch", "delete", "component-call", "event"];

/// Components that come first in a round.
const AFTER: [Component; 4] = [Component::Pd, Component::Tiflash, Component::Tikv, Component::Pump];

/// What the policy reads and may do.
pub fn descriptor() -> Descriptor {
    let port = u16::try_from(TIDB_STATUS).unwrap_or_default();
    let probe = |path: &str| Probe { path: path.to_owned(), port };
    let common = world::descriptor(Component::Tidb, env!("CARGO_PKG_VERSION"), &AFTER, &ACTIONS);
    let mut descriptor = Descriptor {
        probes: vec![probe("/status"), probe("/info")],
        calls: vec![ComponentCall { method: "POST".to_owned(), path: "/labels".to_owned(), port, pods: None }],
        pd: vec![PdRead::Config],
        ..world::with_nodes(common)
    };
    // Servers hold no data: their pods are never touched one by one.
    descriptor.writes.retain(|kind| kind.kind != "Pod");
    descriptor
}

/// The cluster as it is.
pub struct World<'a> {
    /// What every component sees.
    common: world::World<'a>,
    /// TiDB's own part of the spec.
    pub spec: &'a TidbSpec,
}

impl<'a> Deref for World<'a> {
    type Target = world::World<'a>;

    fn deref(&self) -> &Self::Target {
        &self.common
    }
}

impl<'a> World<'a> {
    /// Reads it; none if the cluster has no TiDB of its own.
    ///
    /// # Errors
    /// When what every decision needs is unknown.
    pub fn read(snapshot: &'a Snapshot, cluster: &'a TidbCluster) -> Result<Option<Self>, Failure> {
        let common = world::World::read(snapshot, cluster, Component::Tidb)?;
        let (Some(common), Some(spec)) = (common, &cluster.spec.tidb) else { return Ok(None) };
        Ok(Some(Self { common, spec }))
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
