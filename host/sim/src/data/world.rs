//! The state that programs, kubelets and clients share: one lock, held for moments.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    faults::FaultTable,
    network::{Key, Network},
    pd::{Fleet, Start, StartArgs, keep::pairs},
    process::{
        Process,
        launch::{Kind, Launch, kind_word},
        process_name,
    },
};
use crate::clock::Seed;

/// What the programs of one database agree on beside PD.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Database {
    sql_started: bool,
    /// Told to expect an upgrade of the TiDB servers.
    pub upgrading: bool,
    /// The TiCDC capture that owns, by pod.
    pub cdc_owner: Option<Key>,
    /// Tables on each TiCDC capture.
    #[serde(with = "pairs")]
    pub cdc_tables: BTreeMap<Key, u64>,
    /// Pumps that were told to close.
    pub closed_pumps: BTreeSet<Key>,
}

impl Database {
    /// Whether a TiDB server that starts now is the first one, which creates the system tables.
    pub fn first_sql_start(&mut self) -> bool {
        !std::mem::replace(&mut self.sql_started, true)
    }
}

#[derive(Serialize)]
struct KeptRef<'w> {
    fleet: &'w Fleet,
    store_disks: &'w BTreeMap<String, (u64, u64)>,
    pd_disks: &'w BTreeSet<String>,
    databases: &'w BTreeMap<u64, Database>,
    #[serde(with = "pairs")]
    member_of: &'w BTreeMap<Key, u64>,
}

#[derive(Deserialize)]
struct Kept {
    fleet: Value,
    store_disks: BTreeMap<String, (u64, u64)>,
    pd_disks: BTreeSet<String>,
    databases: BTreeMap<u64, Database>,
    #[serde(with = "pairs")]
    member_of: BTreeMap<Key, u64>,
}

/// Everything below the control plane.
pub struct World {
    /// Where each part gets its random numbers.
    pub seed: Seed,
    /// All PD processes, and the stores registered with them.
    pub fleet: Fleet,
    /// Names and addresses.
    pub network: Network,
    /// The main program of each pod that has one.
    pub processes: BTreeMap<Key, Process>,
    /// What is on the disks of stores: cluster id and store id.
    pub store_disks: BTreeMap<String, (u64, u64)>,
    /// Labels that TiDB servers were given, with when the server started: a restart forgets them.
    pub server_labels: BTreeMap<Key, (u64, serde_json::Map<String, Value>)>,
    /// What scenarios broke.
    pub faults: FaultTable,
    pd_disks: BTreeSet<String>,
    databases: BTreeMap<u64, Database>,
    /// The database that a pod's program works for, by cluster id.
    member_of: BTreeMap<Key, u64>,
}

impl World {
    /// Nothing runs.
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            fleet: Fleet::new(seed),
            network: Network::default(),
            processes: BTreeMap::new(),
            store_disks: BTreeMap::new(),
            server_labels: BTreeMap::new(),
            faults: FaultTable::default(),
            pd_disks: BTreeSet::new(),
            databases: BTreeMap::new(),
            member_of: BTreeMap::new(),
        }
    }

    /// What outlives the simulator's process: PDs, disks, databases.
    ///
    /// # Errors
    /// When something cannot be written as JSON.
    pub fn keep(&self) -> Result<Value, serde_json::Error> {
        serde_json::to_value(KeptRef {
            fleet: &self.fleet,
            store_disks: &self.store_disks,
            pd_disks: &self.pd_disks,
            databases: &self.databases,
            member_of: &self.member_of,
        })
    }

    /// The world that [`World::keep`] wrote; its pods' programs are looked for by the kubelets.
    ///
    /// # Errors
    /// When `kept` is something else.
    pub fn restore(seed: Seed, kept: Value) -> Result<Self, serde_json::Error> {
        let kept: Kept = serde_json::from_value(kept)?;
        Ok(Self {
            fleet: Fleet::restore(seed, kept.fleet)?,
            store_disks: kept.store_disks,
            pd_disks: kept.pd_disks,
            databases: kept.databases,
            member_of: kept.member_of,
            ..Self::new(seed)
        })
    }

    /// Whether a PD has run on this disk.
    pub fn has_pd_data(&self, disk: &str) -> bool {
        self.pd_disks.contains(disk)
    }

    /// Starts a PD and remembers that its disk has data, unless it could not join.
    pub fn start_pd(&mut self, now: u64, pod: &Key, args: StartArgs) -> Start {
        let disk = args.data_dir.clone();
        let start = self.fleet.start(now, &process_name(pod), args);
        if start == Start::Runs {
            self.pd_disks.insert(disk);
        }
        start
    }

    /// Starts a PD that was a member before this simulation began.
    pub fn adopt_pd(&mut self, now: u64, pod: &Key, args: StartArgs, cluster: u64, member: u64) {
        self.pd_disks.insert(args.data_dir.clone());
        self.fleet.adopt(now, &process_name(pod), args, cluster, member);
    }

    /// The name in the fleet of a PD that `launch` can reach.
    pub fn pd_for(&self, launch: &Launch) -> Option<String> {
        let target = self.network.resolve(launch.pd.as_deref()?, &launch.pod.0).ok()?;
        let process = self.processes.get(&target.pod)?;
        (process.launch.kind == Kind::Pd && !self.faults.pod(&target.pod).silent).then(|| process_name(&target.pod))
    }

    /// Whether SQL could work: PD has a leader, there is a clock, and a TiKV store is up.
    pub fn database_usable(&mut self, now: u64, cluster: u64) -> bool {
        self.fleet.leader(now, cluster).is_some()
            && self.fleet.gives_timestamps(now, cluster)
            && self.fleet.stores(now, cluster).iter().any(|store| store.state_name == "Up")
    }

    /// A microservice of PD registers.
    pub fn run_service(&mut self, now: u64, cluster: u64, launch: &Launch) {
        let scheme = if launch.tls { "https" } else { "http" };
        let address = format!("{scheme}://{}:2379", launch.host);
        self.fleet.ms_runs(now, cluster, kind_word(launch.kind), launch.member_name(), &address, &launch.version);
        self.note_cluster(&launch.pod, cluster);
    }

    /// A microservice of PD is gone: it was told to end, or killed.
    pub fn stop_service(&mut self, now: u64, launch: &Launch, told: bool) {
        if let Some(cluster) = self.cluster_of(&launch.pod) {
            self.fleet.ms_stopped(now, cluster, kind_word(launch.kind), launch.member_name(), told);
        }
    }

    /// What the programs of a database agree on.
    pub fn database(&mut self, cluster: u64) -> &mut Database {
        self.databases.entry(cluster).or_default()
    }

    /// The program of this pod works for the database `cluster`.
    pub fn note_cluster(&mut self, pod: &Key, cluster: u64) {
        self.member_of.insert(pod.clone(), cluster);
    }

    /// The database that the program of `pod` works for.
    pub fn cluster_of(&self, pod: &Key) -> Option<u64> {
        self.member_of.get(pod).copied()
    }

    /// Live programs of one kind in one database, in name order.
    pub fn peers(&self, kind: Kind, cluster: u64) -> Vec<Key> {
        let live = |key: &Key, process: &Process| {
            process.launch.kind == kind && process.is_live() && self.cluster_of(key) == Some(cluster)
        };
        self.processes.iter().filter(|(key, process)| live(key, process)).map(|(key, _)| key.clone()).collect()
    }

    /// A volume is gone, and what was on it.
    pub fn wipe(&mut self, now: u64, disk: &str) {
        if self.pd_disks.remove(disk) {
            self.fleet.wipe(disk);
        }
        if let Some((cluster, store)) = self.store_disks.remove(disk) {
            self.fleet.store_destroyed(now, cluster, store);
        }
    }

    /// A pod stands still, or goes on.
    pub fn set_silent(&mut self, pod: &Key, silent: bool, now: u64) {
        let Some(process) = self.processes.get(pod) else { return };
        match process.launch.kind {
            Kind::Tso | Kind::Scheduling => {
                let (launch, live) = (process.launch.clone(), process.is_live());
                match self.cluster_of(pod) {
                    Some(_) if silent => self.stop_service(now, &launch, false),
                    Some(cluster) if live => self.run_service(now, cluster, &launch),
                    _ => {}
                }
            }
            Kind::Pd if silent => self.fleet.pause(now, &process_name(pod)),
            Kind::Pd => self.fleet.resume(now, &process_name(pod)),
            Kind::Tikv | Kind::Tiflash => {
                if let Some(&(cluster, store)) = self.store_disks.get(&process.launch.disk) {
                    if silent {
                        self.fleet.store_stopped(now, cluster, store);
                    } else if process.is_live() {
                        self.fleet.store_runs(now, cluster, store);
                    }
                }
            }
            _ => {}
        }
    }
}
