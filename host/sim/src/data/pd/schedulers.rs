//! PD's schedulers by name, the leader eviction, and the window in which a new leader has not loaded them.

use std::collections::BTreeMap;

use super::{
    TimeMs,
    cluster::{Cluster, Event},
    timing::{PREPARE_FIRST, PREPARE_MAX, PREPARE_POLL, draw},
};

/// The schedulers of a new cluster, with their `type` in the configuration.
pub(super) const DEFAULTS: [(&str, &str); 5] = [
    ("balance-region-scheduler", "balance-region"),
    ("balance-leader-scheduler", "balance-leader"),
    ("balance-hot-region-scheduler", "hot-region"),
    ("evict-slow-store-scheduler", "evict-slow-store"),
    ("evict-stopping-store-scheduler", "evict-stopping-store"),
];

/// The scheduler that moves leaders off some stores.
pub(super) const EVICT: &str = "evict-leader-scheduler";

/// Leaders moved at once, unless set otherwise.
const EVICT_BATCH: u64 = 3;

/// The configuration of the leader eviction.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Evict {
    /// The first one created the scheduler.
    pub stores: Vec<u64>,
    pub batch: u64,
}

/// What is stored in etcd, and what the leader has loaded of it.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Schedulers {
    /// The leader has the regions and has loaded the schedulers.
    pub loaded: bool,
    /// Default schedulers that were removed.
    pub removed: Vec<String>,
    pub stored_evict: Option<Evict>,
    pub evict: Option<Evict>,
    /// Paused schedulers, and until when.
    pub paused: BTreeMap<String, TimeMs>,
    /// The store that created the eviction, as the configuration lists it.
    pub evict_creator: Option<u64>,
    /// The leader's memory is of use: it has been elected and not yet lost.
    in_term: bool,
    /// The prepare window has begun.
    preparing: bool,
}

impl Schedulers {
    pub fn evicts(&self, store: u64) -> bool {
        self.evict.as_ref().is_some_and(|evict| evict.stores.contains(&store))
    }

    pub fn names(&self) -> Vec<&str> {
        let defaults = DEFAULTS.iter().map(|(name, _)| *name);
        let mut names: Vec<&str> =
            defaults.filter(|name| self.loaded && !self.removed.iter().any(|removed| removed == name)).collect();
        names.extend(self.evict.as_ref().map(|_| EVICT));
        names
    }

    pub fn has(&self, name: &str) -> bool {
        self.names().contains(&name)
    }

    pub fn is_paused(&self, name: &str, now: TimeMs) -> bool {
        self.paused.get(name).is_some_and(|until| now < *until)
    }

    /// Evicts leaders from `store` too. Gives true if the scheduler is new.
    pub fn add_evict(&mut self, store: u64) -> bool {
        let created = self.evict.is_none();
        let evict = self.evict.get_or_insert(Evict { stores: Vec::new(), batch: EVICT_BATCH });
        if !evict.stores.contains(&store) {
            evict.stores.push(store);
        }
        if created {
            self.evict_creator = Some(store);
        }
        self.stored_evict.clone_from(&self.evict);
        created
    }

    /// Ends the eviction from `store`. Gives how many stores are left, or none if it was not evicted.
    pub fn remove_evict(&mut self, store: u64) -> Option<usize> {
        let evict = self.evict.as_mut()?;
        let at = evict.stores.iter().position(|id| *id == store)?;
        evict.stores.remove(at);
        let left = evict.stores.len();
        if left == 0 {
            self.end_evict();
        } else {
            self.stored_evict.clone_from(&self.evict);
        }
        Some(left)
    }

    pub fn end_evict(&mut self) {
        self.evict = None;
        self.stored_evict = None;
        self.evict_creator = None;
    }
}

impl Cluster {
    /// The leader's memory is lost.
    pub fn leader_left(&mut self) {
        if self.schedulers.in_term {
            self.schedulers.in_term = false;
            self.persist_heartbeats();
            self.schedulers.loaded = false;
            self.regions_changed();
        }
    }

    /// A leader begins: it loads what etcd has.
    pub fn new_term(&mut self) {
        self.schedulers.in_term = true;
        self.schedulers.loaded = false;
        self.schedulers.preparing = false;
        self.schedulers.evict = None;
        self.schedulers.paused.clear();
        self.regions.check_scheduled = false;
        if self.bootstrapped.is_none() {
            return;
        }
        let synced = self.lead.serving.and_then(|id| self.process_of(id)).is_some_and(|(_, it)| it.synced);
        self.leader_loads_regions();
        if synced {
            self.coordinator_runs();
        } else {
            self.begin_prepare();
        }
        self.schedule_store_check();
    }

    /// The prepare window of a leader that serves and does not have the regions.
    pub fn begin_prepare(&mut self) {
        let waits = self.bootstrapped.is_some() && !self.schedulers.loaded && !self.schedulers.preparing;
        if waits && self.serving_leader().is_some() {
            self.schedulers.preparing = true;
            let delay = draw(&mut self.rng, PREPARE_FIRST);
            self.after(delay, Event::PreparePoll { epoch: self.lead.term });
        }
    }

    pub fn leader_loads_regions(&mut self) {
        let (serving, bootstrapped) = (self.lead.serving, self.bootstrapped.is_some());
        for it in self.processes.values_mut() {
            if bootstrapped && Some(it.member) == serving && it.running() {
                it.ready = true;
                it.synced = true;
            }
        }
    }

    /// Have enough regions been reported since the leader leads?
    pub fn prepare_poll(&mut self) {
        let reported = self.regions.list.iter().filter(|region| {
            region
                .leader
                .and_then(|id| self.stores.get(&id))
                .is_some_and(|store| store.runs_since.is_some() || store.received(self.now, self.lead.since).is_some())
        });
        let enough = reported.count() * 10 >= self.regions.list.len() * 9;
        if enough || self.now - self.lead.since >= PREPARE_MAX {
            self.coordinator_runs();
        } else {
            self.after(PREPARE_POLL, Event::PreparePoll { epoch: self.lead.term });
        }
    }

    /// The prepare window ends: schedulers are loaded, except an eviction that was created within it.
    pub fn coordinator_runs(&mut self) {
        self.schedulers.loaded = true;
        if self.schedulers.evict.is_none() {
            self.schedulers.evict.clone_from(&self.schedulers.stored_evict);
        }
        self.regions_changed();
    }
}
