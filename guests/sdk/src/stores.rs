//! Stores of PD as the status of TiKV and TiFlash tells them: whose they are, their state, since when.

use std::collections::BTreeMap;

use tidepool_api::{Component, TidbCluster, names, status::Store};
use tidepool_model::snapshot::{StoreRow, StoreState};

use crate::{Failure, Snapshot, time};

/// State of a store that is gone.
pub const TOMBSTONE: &str = "Tombstone";
/// State of a store that is being emptied.
pub const OFFLINE: &str = "Offline";
/// State of a store that serves.
pub const UP: &str = "Up";
/// State of a store whose heartbeats are missing for so long that PD replaces its data.
pub const DOWN: &str = "Down";

/// Stores by number, in the parts in which the status has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sorted {
    /// Those of this cluster.
    pub own: BTreeMap<String, Store>,
    /// Those of other clusters on the same PD, of the same kind.
    pub peers: BTreeMap<String, Store>,
    /// Those of this cluster that are gone.
    pub tombstones: BTreeMap<String, Store>,
}

impl Sorted {
    /// Sorts the stores of PD. When a state began and how many leaders a store had is taken over from `before`.
    ///
    /// # Errors
    /// When a store could not be read.
    pub fn new(
        snapshot: &Snapshot,
        cluster: &TidbCluster,
        component: Component,
        rows: &[StoreRow],
        before: &Self,
    ) -> Result<Self, Failure> {
        let mut sorted = Self::default();
        for row in rows {
            let id = row.id.to_string();
            let own = own_pod(cluster, component, &row.address).is_some();
            let gone = row.state == StoreState::Tombstone;
            let kin = row.tiflash == (component == Component::Tiflash);
            let (map, old) = match (own, gone) {
                (true, true) => (&mut sorted.tombstones, before.tombstones.get(&id)),
                (true, false) => (&mut sorted.own, before.own.get(&id).or(before.peers.get(&id))),
                (false, false) if kin => (&mut sorted.peers, before.own.get(&id).or(before.peers.get(&id))),
                (false, _) => continue,
            };
            map.insert(id, record(snapshot, row, old)?);
        }
        Ok(sorted)
    }
}

fn record(snapshot: &Snapshot, row: &StoreRow, before: Option<&Store>) -> Result<Store, Failure> {
    let host = row.address.split(':').next().unwrap_or_default();
    let state = state(snapshot, row)?;
    let since = before.filter(|before| before.state == state).and_then(|before| before.last_transition_time.clone());
    Ok(Store {
        id: row.id.to_string(),
        pod_name: pod_of(&row.address).to_owned(),
        ip: host.to_owned(),
        leader_count: i32::try_from(row.leader_count).unwrap_or(i32::MAX),
        last_transition_time: since.or_else(|| Some(time::at(snapshot.now_ms()))),
        leader_count_before_upgrade: before.and_then(|before| before.leader_count_before_upgrade),
        state,
    })
}

/// PD's own word for the state of a store.
fn state(snapshot: &Snapshot, row: &StoreRow) -> Result<String, Failure> {
    Ok(match row.state {
        StoreState::Up => UP.to_owned(),
        StoreState::Disconnected => "Disconnected".to_owned(),
        StoreState::Down => DOWN.to_owned(),
        // PD shows the same state under two names, of which this is the one that users know.
        StoreState::Offline | StoreState::Removing => OFFLINE.to_owned(),
        StoreState::Tombstone => TOMBSTONE.to_owned(),
        StoreState::Other => {
            let json = snapshot.store(row.id)?.unwrap_or_default();
            json["store"]["state_name"].as_str().unwrap_or("Unknown").to_owned()
        }
    })
}

/// Name of the pod that an address of a store belongs to, whosoever's pod it is.
pub fn pod_of(address: &str) -> &str {
    address.split(['.', ':']).next().unwrap_or_default()
}

/// Name of the pod of this cluster that serves at an address; none if it is not one of its pods.
pub fn own_pod<'a>(cluster: &TidbCluster, component: Component, address: &'a str) -> Option<&'a str> {
    let (host, _port) = address.rsplit_once(':')?;
    let (pod, domain) = host.split_once('.')?;
    let ordinal = names::ordinal(pod)?;
    let service = format!("{}.{}.svc", cluster.peer_service_name(component), cluster.namespace());
    let own = cluster.pod_name(component, ordinal) == pod
        && (domain == service || domain == format!("{service}{}", cluster.domain_suffix()));
    own.then_some(pod)
}

/// The row of a pod's living store, tombstones not counted.
pub fn living<'a>(
    cluster: &TidbCluster,
    component: Component,
    rows: &'a [StoreRow],
    pod: &str,
) -> Option<&'a StoreRow> {
    let mut own = rows.iter().filter(|row| own_pod(cluster, component, &row.address) == Some(pod));
    own.find(|row| row.state != StoreState::Tombstone)
}

/// `store/NUMBER`.
pub fn subject(id: u64) -> String {
    format!("store/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(domain: &str) -> TidbCluster {
        let mut cluster = TidbCluster::default();
        cluster.metadata.name = Some("a".into());
        cluster.metadata.namespace = Some("n".into());
        cluster.spec.cluster_domain = domain.into();
        cluster
    }

    #[test]
    fn stores_of_other_clusters_are_told_apart_by_address() {
        let own = |domain, address| own_pod(&cluster(domain), Component::Tikv, address);
        assert_eq!(own("", "a-tikv-1.a-tikv-peer.n.svc:20160"), Some("a-tikv-1"));
        assert_eq!(own("", "a-tikv-1.a-tikv-peer.n.svc.x.local:20160"), None);
        assert_eq!(own("x.local", "a-tikv-1.a-tikv-peer.n.svc.x.local:20160"), Some("a-tikv-1"));
        assert_eq!(own("x.local", "a-tikv-1.a-tikv-peer.n.svc:20160"), Some("a-tikv-1"));
        for other in ["b-a-tikv-1.a-tikv-peer.n.svc:1", "a-tikv-1.a-tikv-peer.nn.svc:1", "a-tikv-x.a-tikv-peer.n.svc:1"]
        {
            assert_eq!(own("", other), None, "{other}");
        }
        assert_eq!(own_pod(&cluster(""), Component::Tiflash, "a-tikv-1.a-tikv-peer.n.svc:20160"), None);
    }
}
