//! What the policy sees of the cluster, read once.

use std::ops::Deref;

use tidepool_sdk::{
    Descriptor, Failure, Known, PdRead, Snapshot, StoreRow,
    api::{Component, TidbCluster, tikv::TikvSpec},
    stores, world,
};

pub use tidepool_sdk::world::{pod_reference, watch};

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
    let common = world::descriptor(Component::Tikv, env!("CARGO_PKG_VERSION"), &AFTER, &ACTIONS);
    Descriptor { pd: vec![PdRead::Stores, PdRead::Config], ..world::with_nodes(common) }
}

/// The cluster as it is.
pub struct World<'a> {
    /// What every component sees.
    common: world::World<'a>,
    /// TiKV's own part of the spec.
    pub spec: &'a TikvSpec,
    /// All stores of PD, TiFlash's and other clusters' among them.
    pub stores: Known<Vec<StoreRow>>,
}

impl<'a> Deref for World<'a> {
    type Target = world::World<'a>;

    fn deref(&self) -> &Self::Target {
        &self.common
    }
}

impl<'a> World<'a> {
    /// Reads it; none if the cluster has no TiKV of its own.
    ///
    /// # Errors
    /// When what every decision needs is unknown.
    pub fn read(snapshot: &'a Snapshot, cluster: &'a TidbCluster) -> Result<Option<Self>, Failure> {
        let common = world::World::read(snapshot, cluster, Component::Tikv)?;
        let (Some(common), Some(spec)) = (common, &cluster.spec.tikv) else { return Ok(None) };
        Ok(Some(Self { common, spec, stores: snapshot.stores() }))
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
