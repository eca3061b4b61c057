//! TiKV and TiFlash stores as PD knows them: registration, heartbeats by age, states and removal.

use super::{
    TimeMs,
    cluster::{Cluster, Event},
    timing::{DISCONNECTED_AFTER, HEARTBEAT_PERSISTED, STORE_CHECK, STORE_HEARTBEAT, TOMBSTONE_KEPT},
};

/// A store's own account of itself when it registers.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StoreSpec {
    /// The id on its disk; none if the disk is empty.
    pub id: Option<u64>,
    /// `host:port` of its gRPC service.
    pub address: String,
    /// Empty: the same as `address`.
    pub peer_address: String,
    /// Empty: port 20180 on the host of `address`.
    pub status_address: String,
    /// Without `v`: `8.5.7`.
    pub version: String,
    /// Key and value, in order.
    pub labels: Vec<(String, String)>,
}

/// Why PD does not register a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreRefusal {
    /// No leader answers; the store tries again.
    #[error("no leader")]
    NoLeader,
    /// TiFlash cannot be the first store.
    #[error("cluster is not bootstrapped")]
    NotBootstrapped,
    /// Somebody was faster.
    #[error("cluster is already bootstrapped")]
    AlreadyBootstrapped,
    /// The store was removed for good.
    #[error("store is tombstone")]
    Tombstone,
    /// Another store that still exists has the address.
    #[error("duplicated store address: {0}")]
    DuplicateAddress(String),
    /// Older than the cluster.
    #[error("version should compatible with version  {cluster}, got {store}")]
    Version {
        /// The cluster's version.
        cluster: String,
        /// The store's version.
        store: String,
    },
    /// TiFlash needs placement rules.
    #[error("placement rules is disabled")]
    PlacementRulesDisabled,
}

/// One store as seen now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreView {
    /// PD's id.
    pub id: u64,
    /// `host:port`
    pub address: String,
    /// `Up`, `Disconnected`, `Down`, `Offline` or `Tombstone`.
    pub state_name: &'static str,
    /// The store's process runs.
    pub running: bool,
    /// Regions that it leads, as TiKV counts them.
    pub leader_count: usize,
    /// Regions with a replica on it, as TiKV counts them.
    pub region_count: usize,
    /// PD evicts leaders from it.
    pub evicting: bool,
}

/// Where a store is on its way through the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum State {
    /// Up, not looked at yet.
    Preparing,
    /// Up.
    Serving,
    /// Offline: its regions move away.
    Removing,
    /// Tombstone.
    Removed,
}

/// A registered store.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Store {
    pub id: u64,
    pub spec: StoreSpec,
    pub state: State,
    pub destroyed: bool,
    pub leader_weight: f64,
    pub region_weight: f64,
    /// When its process was started, if it runs.
    pub runs_since: Option<TimeMs>,
    /// When its process was started last.
    pub started_at: TimeMs,
    /// The last heartbeat before the present run.
    pub beat_before: Option<TimeMs>,
    /// The last heartbeat that is in etcd.
    pub persisted: Option<TimeMs>,
    /// Its data is lost for ever.
    pub disk_lost: bool,
    /// Regions on it when its removal began, for the progress.
    pub regions_at_removal: usize,
}

impl Store {
    fn new(id: u64, spec: StoreSpec, now: TimeMs) -> Self {
        Self {
            id,
            spec: StoreSpec { id: Some(id), ..spec },
            state: State::Preparing,
            destroyed: false,
            leader_weight: 1.0,
            region_weight: 1.0,
            runs_since: None,
            started_at: now,
            beat_before: None,
            persisted: None,
            disk_lost: false,
            regions_at_removal: 0,
        }
    }

    pub fn is_tiflash(&self) -> bool {
        self.label("engine").is_some_and(|engine| engine.starts_with("tiflash"))
    }

    /// An exclusive label takes a store out of the default placement rule.
    pub fn is_exclusive(&self) -> bool {
        self.spec.labels.iter().any(|(key, _)| key.starts_with('$'))
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.spec.labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Preparing | State::Serving)
    }

    /// The last heartbeat it sent.
    fn last_sent(&self, now: TimeMs) -> Option<TimeMs> {
        match self.runs_since {
            Some(since) => Some(now - now.saturating_sub(since) % STORE_HEARTBEAT),
            None => self.beat_before,
        }
    }

    /// The last heartbeat that a leader who leads since `leader_since` has received itself.
    pub fn received(&self, now: TimeMs, leader_since: TimeMs) -> Option<TimeMs> {
        self.last_sent(now).filter(|beat| *beat >= leader_since)
    }

    /// The last heartbeat that this leader knows of.
    pub fn last_beat(&self, now: TimeMs, leader_since: TimeMs) -> Option<TimeMs> {
        self.received(now, leader_since).or(self.persisted)
    }

    fn persist(&mut self, now: TimeMs, leader_since: TimeMs) {
        let Some(last) = self.received(now, leader_since) else { return };
        // The first heartbeat that a leader receives is written, then one every five minutes.
        let first = self.runs_since.map_or(last, |since| {
            since + leader_since.saturating_sub(since).div_ceil(STORE_HEARTBEAT) * STORE_HEARTBEAT
        });
        let first = match self.persisted {
            Some(old) if old >= leader_since && first < old + HEARTBEAT_PERSISTED => old,
            _ => first,
        };
        if last >= first {
            self.persisted = Some(last - (last - first) % HEARTBEAT_PERSISTED);
        }
    }
}

impl Cluster {
    /// Heartbeats reach etcd before the leader's memory is lost.
    pub fn persist_heartbeats(&mut self) {
        let (now, since) = (self.now, self.lead.since);
        for store in self.stores.values_mut() {
            store.persist(now, since);
        }
    }

    pub fn state_name(&self, store: &Store) -> &'static str {
        match store.state {
            State::Removing => "Offline",
            State::Removed => "Tombstone",
            State::Preparing | State::Serving => {
                let beat = store.last_beat(self.now, self.lead.since).unwrap_or(0);
                let age = self.now.saturating_sub(beat);
                if age > self.config.max_store_down_ms() {
                    "Down"
                } else if age > DISCONNECTED_AFTER {
                    "Disconnected"
                } else {
                    "Up"
                }
            }
        }
    }

    pub fn store_view(&self, id: u64) -> Option<StoreView> {
        let store = self.stores.get(&id)?;
        let (leader_count, region_count) = self.regions.counts(id);
        Some(StoreView {
            id,
            address: store.spec.address.clone(),
            state_name: self.state_name(store),
            running: store.runs_since.is_some(),
            leader_count,
            region_count,
            evicting: self.schedulers.evicts(id),
        })
    }

    pub fn bootstrap(&mut self, now: TimeMs, spec: StoreSpec) -> Result<u64, StoreRefusal> {
        if self.bootstrapped.is_some() {
            return Err(StoreRefusal::AlreadyBootstrapped);
        }
        // A disk has an id already if its store is older than this simulation.
        let id = spec.id.unwrap_or_else(|| self.ids.next());
        self.ids.taken(id);
        self.bootstrapped = Some(now);
        self.config.set_cluster_version(&spec.version);
        self.stores.insert(id, Store::new(id, with_default_addresses(spec), now));
        self.first_regions(id);
        self.leader_loads_regions();
        self.followers_sync();
        self.coordinator_runs();
        self.schedule_store_check();
        Ok(id)
    }

    pub fn register_store(&mut self, now: TimeMs, spec: StoreSpec) -> Result<u64, StoreRefusal> {
        let spec = with_default_addresses(spec);
        let tiflash = spec.labels.iter().any(|(key, value)| key == "engine" && value.starts_with("tiflash"));
        if self.bootstrapped.is_none() {
            return if tiflash { Err(StoreRefusal::NotBootstrapped) } else { self.bootstrap(now, spec) };
        }
        self.check_registration(&spec, tiflash)?;
        let id = spec.id.unwrap_or_else(|| self.ids.next());
        self.ids.taken(id);
        match self.stores.get_mut(&id) {
            Some(store) => {
                let mut labels = store.spec.labels.clone();
                for (key, value) in &spec.labels {
                    set_label(&mut labels, key, value);
                }
                store.spec = StoreSpec { id: Some(id), labels, ..spec };
                store.started_at = now;
            }
            None => {
                self.stores.insert(id, Store::new(id, spec, now));
            }
        }
        self.raise_cluster_version();
        self.schedule_store_check();
        self.regions_changed();
        Ok(id)
    }

    fn check_registration(&self, spec: &StoreSpec, tiflash: bool) -> Result<(), StoreRefusal> {
        if spec.id.and_then(|id| self.stores.get(&id)).is_some_and(|store| store.state == State::Removed) {
            return Err(StoreRefusal::Tombstone);
        }
        let cluster = self.config.cluster_version();
        if major_minor(&spec.version) < major_minor(&cluster) {
            return Err(StoreRefusal::Version { cluster, store: spec.version.clone() });
        }
        if tiflash && !self.config.placement_rules() {
            return Err(StoreRefusal::PlacementRulesDisabled);
        }
        let holder = self.stores.values().find(|store| {
            store.spec.address == spec.address
                && Some(store.id) != spec.id
                && store.state != State::Removed
                && !store.destroyed
        });
        match holder {
            Some(store) => Err(StoreRefusal::DuplicateAddress(format!(
                "id:{} address:\"{}\" , already registered by id:{} address:\"{}\" ",
                spec.id.unwrap_or_default(),
                spec.address,
                store.id,
                store.spec.address
            ))),
            None => Ok(()),
        }
    }

    fn raise_cluster_version(&mut self) {
        let lowest = self
            .stores
            .values()
            .filter(|store| store.state != State::Removed)
            .map(|store| store.spec.version.clone())
            .min_by_key(|version| version_parts(version));
        if let Some(lowest) = lowest.filter(|it| version_parts(it) > version_parts(&self.config.cluster_version())) {
            self.config.set_cluster_version(&lowest);
        }
    }

    pub fn store_runs(&mut self, now: TimeMs, id: u64) {
        self.advance(now);
        if let Some(store) = self.stores.get_mut(&id).filter(|store| store.runs_since.is_none()) {
            store.runs_since = Some(now);
            store.started_at = now;
        }
        self.regions_changed();
    }

    pub fn store_stopped(&mut self, now: TimeMs, id: u64) {
        self.advance(now);
        let since = self.lead.since;
        if let Some(store) = self.stores.get_mut(&id) {
            store.persist(now, since);
            store.beat_before = store.last_sent(now);
            store.runs_since = None;
        }
        self.regions_changed();
    }

    pub fn store_destroyed(&mut self, now: TimeMs, id: u64) {
        self.store_stopped(now, id);
        if let Some(store) = self.stores.get_mut(&id) {
            store.disk_lost = true;
        }
    }

    pub fn schedule_store_check(&mut self) {
        let waits = self.stores.values().any(|store| matches!(store.state, State::Preparing | State::Removing));
        let (Some(bootstrapped), Some(_)) = (self.bootstrapped, self.lead.serving) else { return };
        if !waits || self.regions.check_scheduled {
            return;
        }
        self.regions.check_scheduled = true;
        let start = self.lead.since.max(bootstrapped);
        let passed = (self.now - start) % STORE_CHECK;
        self.after(STORE_CHECK - passed, Event::StoreCheck { epoch: self.lead.term });
    }

    pub fn store_check(&mut self) {
        self.regions.check_scheduled = false;
        if self.serving_leader().is_none() {
            return;
        }
        for store in self.stores.values_mut() {
            match store.state {
                State::Preparing => store.state = State::Serving,
                State::Removing if self.regions.counts(store.id).1 == 0 => store.state = State::Removed,
                _ => {}
            }
        }
        self.schedule_store_check();
        self.regions_changed();
    }

    /// Tombstones are forgotten some time after their last heartbeat.
    pub fn forget_old_tombstones(&mut self) {
        let (now, since) = (self.now, self.lead.since);
        self.stores.retain(|_, store| {
            store.state != State::Removed
                || store.last_beat(now, since).is_some_and(|beat| now.saturating_sub(beat) < TOMBSTONE_KEPT)
        });
    }
}

fn with_default_addresses(mut spec: StoreSpec) -> StoreSpec {
    if spec.peer_address.is_empty() {
        spec.peer_address.clone_from(&spec.address);
    }
    if spec.status_address.is_empty() {
        let host = spec.address.rsplit_once(':').map_or(spec.address.as_str(), |(host, _)| host);
        spec.status_address = format!("{host}:20180");
    }
    spec
}

/// Sets a label in place; an empty value removes it.
pub(super) fn set_label(labels: &mut Vec<(String, String)>, key: &str, value: &str) {
    match labels.iter().position(|(name, _)| name == key) {
        Some(at) if value.is_empty() => {
            labels.remove(at);
        }
        Some(at) => labels[at].1 = value.into(),
        None if value.is_empty() => {}
        None => labels.push((key.into(), value.into())),
    }
}

pub(super) fn version_parts(version: &str) -> Vec<u64> {
    let core = version.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
    core.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

fn major_minor(version: &str) -> Vec<u64> {
    version_parts(version).into_iter().take(2).collect()
}
