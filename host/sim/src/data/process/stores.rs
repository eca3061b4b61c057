//! TiKV and TiFlash: register with PD under the id on their disk, and send heartbeats while they run.

use super::launch::{Kind, Launch};
use crate::data::{
    pd::{StoreRefusal, StoreSpec},
    world::World,
};

/// Outcome of one try to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Registered {
    /// The store is known to PD and runs.
    Yes,
    /// PD does not answer yet.
    NotYet,
    /// PD refuses; the program ends with this message.
    Never(String),
}

/// Registers the store of `launch` through the PD process named `pd`.
pub(super) fn register(world: &mut World, now: u64, launch: &Launch, pd: &str) -> Registered {
    let Some(cluster) = world.fleet.cluster_id(pd) else { return Registered::NotYet };
    let known = world.store_disks.get(&launch.disk).copied();
    if let Some((other, _)) = known.filter(|(other, _)| *other != cluster) {
        return Registered::Never(format!("cluster ID mismatch, local {other} != remote {cluster}"));
    }
    let spec = spec(launch, known.map(|(_, store)| store));
    match world.fleet.register_store(now, pd, spec) {
        Ok(store) => {
            world.store_disks.insert(launch.disk.clone(), (cluster, store));
            world.note_cluster(&launch.pod, cluster);
            world.fleet.store_runs(now, cluster, store);
            Registered::Yes
        }
        Err(StoreRefusal::NoLeader | StoreRefusal::NotBootstrapped | StoreRefusal::AlreadyBootstrapped) => {
            Registered::NotYet
        }
        Err(refusal) => Registered::Never(refusal.to_string()),
    }
}

/// Whether PD hears from the store already, as after a restart of the simulator.
pub(super) fn runs(world: &mut World, now: u64, launch: &Launch) -> bool {
    let Some(&(cluster, store)) = world.store_disks.get(&launch.disk) else { return false };
    world.fleet.store(now, cluster, store).is_some_and(|view| view.running)
}

/// The store's process is gone.
pub(super) fn stopped(world: &mut World, now: u64, launch: &Launch) {
    if let Some(&(cluster, store)) = world.store_disks.get(&launch.disk) {
        world.fleet.store_stopped(now, cluster, store);
    }
}

fn spec(launch: &Launch, id: Option<u64>) -> StoreSpec {
    let host = &launch.host;
    let version = launch.version.trim_start_matches('v').to_owned();
    if launch.kind == Kind::Tiflash {
        return StoreSpec {
            id,
            address: format!("{host}:3930"),
            peer_address: format!("{host}:20170"),
            status_address: format!("{host}:20292"),
            version,
            labels: vec![("engine".to_owned(), "tiflash".to_owned())],
        };
    }
    StoreSpec {
        id,
        address: format!("{host}:20160"),
        peer_address: String::new(),
        status_address: format!("{host}:20180"),
        version,
        labels: configured_labels(launch.config.as_deref().unwrap_or("")),
    }
}

/// `[server] labels = {zone = "z1"}`
fn configured_labels(config: &str) -> Vec<(String, String)> {
    let Ok(table) = config.parse::<toml::Table>() else { return Vec::new() };
    let labels = table.get("server").and_then(|server| server.get("labels")).and_then(toml::Value::as_table);
    labels.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_from_the_configuration() {
        let labels = configured_labels("[server]\nlabels = {class = \"big\"}\n");
        assert_eq!(labels, [("class".to_owned(), "big".to_owned())]);
        assert!(configured_labels("").is_empty());
    }
}
