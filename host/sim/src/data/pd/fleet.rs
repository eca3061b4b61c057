//! All PD processes of a simulation and the clusters they form: the entry for kubelets, stores and clients.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    TimeMs,
    cluster::Cluster,
    process::{Faults, Phase},
    request::{Answer, Request},
    stores::{StoreRefusal, StoreSpec, StoreView},
    timing::{JOIN_REFUSED, JOIN_UNANSWERED},
};
use crate::clock::Seed;

/// The command line, environment and files of a PD process.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct StartArgs {
    /// `--name`
    pub name: String,
    /// Names the content of `--data-dir`: the same token is the same data, a new token is an empty directory.
    pub data_dir: String,
    /// `--advertise-client-urls`, one URL; https switches TLS on in what PD prints.
    pub advertise_client_url: String,
    /// `--advertise-peer-urls`, one URL.
    pub advertise_peer_url: String,
    /// `--initial-cluster`; used when there is neither data nor a join.
    pub initial_cluster: String,
    /// `--join`: client URLs separated by commas, or empty.
    pub join: String,
    /// Version of the binary, `v8.5.7`.
    pub version: String,
    /// The configuration file as JSON, nested or with dotted keys; counts for a new cluster.
    pub config: Value,
    /// Started as `services api`, so that TSO and scheduling run as microservices.
    pub api_mode: bool,
}

/// What became of a start.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// The process runs. It serves later, or never.
    Runs,
    /// The process ends by itself after `after_ms`.
    Exits {
        /// Milliseconds from the start.
        after_ms: u64,
        /// The last line of its log.
        reason: JoinRefusal,
    },
}

/// Why a joining process ends.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JoinRefusal {
    /// None of the members it was told of answers.
    #[error("failed to list the members to join: no answer")]
    Unanswered,
    /// It is told to join itself.
    #[error("join self is forbidden")]
    JoinsItself,
    /// Its name is a member already, but it has no data.
    #[error("missing data or join a duplicated pd")]
    MissingData,
    /// An earlier joiner has not started yet.
    #[error("there is a member {0} that has not joined successfully")]
    UnstartedMember(u64),
    /// etcd refuses, for example within five seconds of another change.
    #[error("etcdserver: {0}")]
    Etcd(String),
}

/// A member as it is now, whatever PD says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// etcd's id.
    pub id: u64,
    /// Empty until it has started for the first time.
    pub name: String,
    /// Its process serves.
    pub healthy: bool,
    /// It leads and answers.
    pub leader: bool,
}

/// How a process is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGKILL: gone at once.
    Kill,
    /// SIGTERM: gives up the leadership and ends.
    Term,
}

/// Every PD process of a simulation. Processes have keys chosen by the caller, for example `namespace/pod`.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Fleet {
    #[serde(skip)]
    seed: Seed,
    clusters: Vec<Cluster>,
    /// Process key to the index of its cluster.
    processes: BTreeMap<String, usize>,
    /// Data directory to the index of its cluster and the member in it.
    data_dirs: BTreeMap<String, (usize, u64)>,
}

impl Fleet {
    /// No process yet.
    pub fn new(seed: Seed) -> Self {
        Self { seed, clusters: Vec::new(), processes: BTreeMap::new(), data_dirs: BTreeMap::new() }
    }

    /// The fleet that was kept as JSON; it draws from `seed` from now on.
    ///
    /// # Errors
    /// When it is not what a fleet writes.
    pub fn restore(seed: Seed, kept: Value) -> Result<Self, serde_json::Error> {
        let mut fleet: Self = serde_json::from_value(kept)?;
        fleet.seed = seed;
        for (index, cluster) in fleet.clusters.iter_mut().enumerate() {
            cluster.rng = seed.stream(&format!("pd/{index}/{}", cluster.now));
        }
        Ok(fleet)
    }

    /// Starts a process: with the data it has, else by joining, else as the first of a new cluster.
    pub fn start(&mut self, now: TimeMs, process: &str, args: StartArgs) -> Start {
        // Who can be joined depends on what has happened until now.
        self.clusters.iter_mut().for_each(|cluster| cluster.advance(now));
        self.forget_process(now, process);
        if let Some(&(cluster, member)) = self.data_dirs.get(&args.data_dir) {
            self.processes.insert(process.into(), cluster);
            self.clusters[cluster].restart(now, process, args, member);
            return Start::Runs;
        }
        if args.join.is_empty() {
            return self.start_first(now, process, args);
        }
        match self.join(now, process, args) {
            Ok(()) => Start::Runs,
            Err(JoinRefusal::Unanswered) => Start::Exits { after_ms: JOIN_UNANSWERED, reason: JoinRefusal::Unanswered },
            Err(reason) => Start::Exits { after_ms: JOIN_REFUSED, reason },
        }
    }

    /// Starts a process that was a member before this simulation began: under the ids that others know it by.
    pub fn adopt(&mut self, now: TimeMs, process: &str, args: StartArgs, cluster_id: u64, member: u64) {
        self.forget_process(now, process);
        let index = match self.clusters.iter().position(|cluster| cluster.id == cluster_id) {
            Some(index) => index,
            None => {
                let mut cluster = Cluster::new(self.seed.stream(&format!("pd/{cluster_id}")), now, &args.config);
                cluster.id = cluster_id;
                self.clusters.push(cluster);
                self.clusters.len() - 1
            }
        };
        self.data_dirs.insert(args.data_dir.clone(), (index, member));
        self.processes.insert(process.into(), index);
        self.clusters[index].adopt(now, process, args, member);
    }

    fn start_first(&mut self, now: TimeMs, process: &str, args: StartArgs) -> Start {
        let index = self.clusters.len();
        let mut cluster = Cluster::new(self.seed.stream(&format!("pd/{index}")), now, &args.config);
        let data_dir = args.data_dir.clone();
        let member = cluster.start_first(now, process, args);
        self.clusters.push(cluster);
        self.processes.insert(process.into(), index);
        self.data_dirs.insert(data_dir, (index, member));
        Start::Runs
    }

    fn join(&mut self, now: TimeMs, process: &str, args: StartArgs) -> Result<(), JoinRefusal> {
        if args.join.split(',').all(|url| url == args.advertise_client_url) {
            return Err(JoinRefusal::JoinsItself);
        }
        let index = args
            .join
            .split(',')
            .filter_map(|url| self.process_at(url))
            .find_map(|target| {
                let index = *self.processes.get(target)?;
                self.clusters[index].processes.get(target).is_some_and(|it| it.serves()).then_some(index)
            })
            .ok_or(JoinRefusal::Unanswered)?;
        let data_dir = args.data_dir.clone();
        let member = self.clusters[index].join(now, process, args)?;
        self.processes.insert(process.into(), index);
        self.data_dirs.insert(data_dir, (index, member));
        Ok(())
    }

    fn forget_process(&mut self, now: TimeMs, process: &str) {
        if let Some(index) = self.processes.remove(process) {
            self.clusters[index].stop(now, process, Stop::Kill);
            self.clusters[index].processes.remove(process);
        }
    }

    /// Stops a process and says when it is gone.
    pub fn stop(&mut self, now: TimeMs, process: &str, how: Stop) -> TimeMs {
        self.cluster_of(process).map_or(now, |cluster| cluster.stop(now, process, how))
    }

    /// The process stands still: it accepts connections and never answers (SIGSTOP).
    pub fn pause(&mut self, now: TimeMs, process: &str) {
        if let Some(cluster) = self.cluster_of(process) {
            cluster.pause(now, process);
        }
    }

    /// Ends [`Fleet::pause`].
    pub fn resume(&mut self, now: TimeMs, process: &str) {
        if let Some(cluster) = self.cluster_of(process) {
            cluster.resume(now, process);
        }
    }

    /// Empties a data directory. Its process must not run.
    pub fn wipe(&mut self, data_dir: &str) {
        self.data_dirs.remove(data_dir);
    }

    /// How far a process is; [`Phase::Gone`] if there is none.
    pub fn phase(&mut self, now: TimeMs, process: &str) -> Phase {
        self.cluster_of(process).map_or(Phase::Gone, |cluster| {
            cluster.advance(now);
            cluster.processes.get(process).map_or(Phase::Gone, |it| it.phase)
        })
    }

    /// True if the client port accepts TCP connections, which says nothing about answers.
    pub fn accepts_tcp(&mut self, now: TimeMs, process: &str) -> bool {
        self.cluster_of(process).is_some_and(|cluster| {
            cluster.advance(now);
            cluster.processes.get(process).is_some_and(|it| it.running() && now >= it.listen_at)
        })
    }

    /// The faults of a running process, to read or set.
    pub fn faults(&mut self, process: &str) -> Option<&mut Faults> {
        self.cluster_of(process)?.processes.get_mut(process).map(|it| &mut it.faults)
    }

    /// What the process does with a request.
    pub fn handle(&mut self, now: TimeMs, process: &str, request: &Request) -> Answer {
        match self.cluster_of(process) {
            Some(cluster) => cluster.handle(now, process, request),
            None => Answer::Refused,
        }
    }

    /// When something will change by itself, if nobody acts before.
    pub fn next_change_ms(&self) -> Option<TimeMs> {
        self.clusters.iter().filter_map(Cluster::next_change_ms).min()
    }

    /// The key of the process with this advertised client URL (scheme ignored), the latest if several had it.
    pub fn process_at(&self, client_url: &str) -> Option<&str> {
        let wanted = without_scheme(client_url);
        self.processes
            .iter()
            .filter_map(|(key, &cluster)| Some((key, self.clusters[cluster].processes.get(key)?)))
            .filter(|(_, it)| without_scheme(&it.args.advertise_client_url) == wanted)
            .max_by_key(|(_, it)| (it.running(), it.started_at))
            .map(|(key, _)| key.as_str())
    }

    /// The PD cluster id that a process belongs to. Ids of clusters never change.
    pub fn cluster_id(&self, process: &str) -> Option<u64> {
        self.processes.get(process).map(|&index| self.clusters[index].id)
    }

    /// The name of the member that leads, if one does and answers.
    pub fn leader(&mut self, now: TimeMs, cluster_id: u64) -> Option<String> {
        let cluster = self.cluster(cluster_id)?;
        cluster.advance(now);
        cluster.serving_leader().map(|it| it.args.name.clone())
    }

    /// The members of the cluster.
    pub fn members(&mut self, now: TimeMs, cluster_id: u64) -> Vec<MemberView> {
        let Some(cluster) = self.cluster(cluster_id) else { return Vec::new() };
        cluster.advance(now);
        let leader = cluster.serving_leader().map(|it| it.member);
        let healthy = |id| cluster.process_of(id).is_some_and(|(_, it)| it.serves());
        let view = |member: &super::etcd::Member| MemberView {
            id: member.id,
            name: member.name.clone(),
            healthy: healthy(member.id),
            leader: leader == Some(member.id),
        };
        cluster.members.iter().map(view).collect()
    }

    /// Forces the cluster to be without a leader until `until`.
    pub fn no_leader_until(&mut self, now: TimeMs, cluster_id: u64, until: TimeMs) {
        if let Some(cluster) = self.cluster(cluster_id) {
            cluster.no_leader_until(now, until);
        }
    }

    /// A TiKV or TiFlash process that reached PD through `process` registers its store: it bootstraps the cluster
    /// if nobody has (TiKV only), else registers, under `spec.id` if its disk has one. Gives the store's id.
    ///
    /// # Errors
    /// When PD refuses; the process then ends, or tries again if there was no answer.
    pub fn register_store(&mut self, now: TimeMs, process: &str, spec: StoreSpec) -> Result<u64, StoreRefusal> {
        let cluster = self.cluster_of(process).ok_or(StoreRefusal::NoLeader)?;
        cluster.advance(now);
        cluster.reachable_leader(process)?;
        cluster.register_store(now, spec)
    }

    /// Registers the first store. `register_store` does the same where it may.
    ///
    /// # Errors
    /// When the cluster is bootstrapped already, or has no leader.
    pub fn bootstrap(&mut self, now: TimeMs, process: &str, spec: StoreSpec) -> Result<u64, StoreRefusal> {
        let cluster = self.cluster_of(process).ok_or(StoreRefusal::NoLeader)?;
        cluster.advance(now);
        cluster.reachable_leader(process)?;
        cluster.bootstrap(now, spec)
    }

    /// The store's process runs from now on: it sends a heartbeat at once and every 10 s.
    pub fn store_runs(&mut self, now: TimeMs, cluster_id: u64, store: u64) {
        if let Some(cluster) = self.cluster(cluster_id) {
            cluster.store_runs(now, store);
        }
    }

    /// The store's process is gone.
    pub fn store_stopped(&mut self, now: TimeMs, cluster_id: u64, store: u64) {
        if let Some(cluster) = self.cluster(cluster_id) {
            cluster.store_stopped(now, store);
        }
    }

    /// The disk of a store is lost: its replicas are gone for ever.
    pub fn store_destroyed(&mut self, now: TimeMs, cluster_id: u64, store: u64) {
        if let Some(cluster) = self.cluster(cluster_id) {
            cluster.store_destroyed(now, store);
        }
    }

    /// Splits off `count` more regions, with replicas on `stores` and leaders spread over them.
    pub fn add_regions(&mut self, now: TimeMs, cluster_id: u64, count: usize, stores: &[u64]) {
        if let Some(cluster) = self.cluster(cluster_id) {
            cluster.add_regions(now, count, stores);
        }
    }

    /// Splits off `count` more regions next to the existing ones, for PD to balance.
    pub fn split_regions(&mut self, now: TimeMs, cluster_id: u64, count: usize) {
        if let Some(cluster) = self.cluster(cluster_id) {
            cluster.split_regions(now, count);
        }
    }

    /// One store as PD shows it now, with the true number of leaders and regions on it.
    pub fn store(&mut self, now: TimeMs, cluster_id: u64, store: u64) -> Option<StoreView> {
        let cluster = self.cluster(cluster_id)?;
        cluster.advance(now);
        cluster.store_view(store)
    }

    /// All stores that are not forgotten.
    pub fn stores(&mut self, now: TimeMs, cluster_id: u64) -> Vec<StoreView> {
        let Some(cluster) = self.cluster(cluster_id) else { return Vec::new() };
        cluster.advance(now);
        let ids: Vec<u64> = cluster.stores.keys().copied().collect();
        ids.into_iter().filter_map(|id| cluster.store_view(id)).collect()
    }

    /// Regions, and how many of them cannot serve because a majority of their replicas is away.
    pub fn region_health(&mut self, now: TimeMs, cluster_id: u64) -> (usize, usize) {
        let Some(cluster) = self.cluster(cluster_id) else { return (0, 0) };
        cluster.advance(now);
        (cluster.regions.list.len(), cluster.regions_without_majority())
    }

    /// A PD microservice process of `service` (`tso` or `scheduling`) runs under this name and address.
    pub fn ms_runs(&mut self, now: TimeMs, cluster_id: u64, service: &str, name: &str, address: &str, version: &str) {
        if let Some(cluster) = self.cluster(cluster_id) {
            cluster.ms_runs(now, service, name, address, version);
        }
    }

    /// A PD microservice process is gone: it was told to end, or killed.
    pub fn ms_stopped(&mut self, now: TimeMs, cluster_id: u64, service: &str, name: &str, told: bool) {
        if let Some(cluster) = self.cluster(cluster_id) {
            cluster.ms_stopped(now, service, name, told);
        }
    }

    /// Whether the cluster's clients get timestamps.
    pub fn gives_timestamps(&mut self, now: TimeMs, cluster_id: u64) -> bool {
        let Some(cluster) = self.cluster(cluster_id) else { return false };
        cluster.advance(now);
        cluster.gives_timestamps()
    }

    /// What a PD microservice process answers on its own address.
    pub fn ms_handle(&mut self, now: TimeMs, cluster_id: u64, service: &str, name: &str, request: &Request) -> Answer {
        match self.cluster(cluster_id) {
            Some(cluster) => cluster.ms_handle(now, service, name, request),
            None => Answer::Refused,
        }
    }

    fn cluster_of(&mut self, process: &str) -> Option<&mut Cluster> {
        let index = *self.processes.get(process)?;
        self.clusters.get_mut(index)
    }

    fn cluster(&mut self, id: u64) -> Option<&mut Cluster> {
        self.clusters.iter_mut().find(|cluster| cluster.id == id)
    }
}

fn without_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/')
}
