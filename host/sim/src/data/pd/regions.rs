//! Regions with their replicas, and what moves them: TiKV's own elections and PD's schedulers.
//!
//! A step looks for the next move of each kind. A kind that finds one waits for its delay first, so that moves are
//! gradual. When no kind finds any, nothing is scheduled until something changes.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;

use super::{
    TimeMs,
    cluster::{Cluster, Event},
    stores::{State, Store},
    timing::{BALANCE_LEADER, BALANCE_REGION, DRAIN, EVICT, MAKE_UP, REGION_ELECTION},
};

/// Regions that a bootstrapped cluster has before any table: PD splits at the borders of the default keyspace.
const FIRST_REGIONS: usize = 5;

/// Size of a region, as its leader reports it.
pub(super) const REGION_MIB: u64 = 20;

/// A range of keys with its replicas.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Region {
    pub id: u64,
    /// Stores with a replica.
    pub peers: Vec<u64>,
    /// The store that leads it; a dead one until an election.
    pub leader: Option<u64>,
}

/// All regions, and when each kind of move may happen next.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Regions {
    pub list: Vec<Region>,
    ready_at: [Option<TimeMs>; KINDS.len()],
    scheduled: Option<TimeMs>,
    /// A check of preparing and offline stores is scheduled.
    pub check_scheduled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Elect,
    Evict,
    Drain,
    MakeUp,
    BalanceLeader,
    BalanceRegion,
}

/// Each kind with its delays: until the first move, then between moves.
const KINDS: [(Kind, (u64, u64)); 6] = [
    (Kind::Elect, (REGION_ELECTION, 100)),
    (Kind::Evict, EVICT),
    (Kind::Drain, DRAIN),
    (Kind::MakeUp, MAKE_UP),
    (Kind::BalanceLeader, BALANCE_LEADER),
    (Kind::BalanceRegion, BALANCE_REGION),
];

/// A move: the region's index, and what it becomes.
struct Move {
    region: usize,
    peers: Vec<u64>,
    leader: Option<u64>,
}

impl Regions {
    /// Leaders and replicas on a store.
    pub fn counts(&self, store: u64) -> (usize, usize) {
        let leaders = self.list.iter().filter(|region| region.leader == Some(store)).count();
        (leaders, self.list.iter().filter(|region| region.peers.contains(&store)).count())
    }

    fn all_counts(&self) -> BTreeMap<u64, (usize, usize)> {
        let mut counts = BTreeMap::<u64, (usize, usize)>::new();
        for region in &self.list {
            if let Some(leader) = region.leader {
                counts.entry(leader).or_default().0 += 1;
            }
            for peer in &region.peers {
                counts.entry(*peer).or_default().1 += 1;
            }
        }
        counts
    }
}

impl Cluster {
    /// The regions of a cluster that was just bootstrapped, all on its only store.
    pub fn first_regions(&mut self, store: u64) {
        for _ in 0..FIRST_REGIONS {
            self.new_region(vec![store], Some(store));
        }
    }

    fn new_region(&mut self, peers: Vec<u64>, leader: Option<u64>) {
        let id = self.ids.next();
        for _ in &peers {
            self.ids.next();
        }
        self.regions.list.push(Region { id, peers, leader });
    }

    pub fn add_regions(&mut self, now: TimeMs, count: usize, stores: &[u64]) {
        self.advance(now);
        let stores: Vec<u64> = stores.iter().copied().take(self.config.max_replicas()).collect();
        if stores.is_empty() {
            return;
        }
        for _ in 0..count {
            self.new_region(stores.clone(), None);
        }
        for (index, region) in self.regions.list.iter_mut().enumerate() {
            region.peers.clone_from(&stores);
            region.leader = Some(stores[index % stores.len()]);
        }
        self.regions_changed();
    }

    pub fn split_regions(&mut self, now: TimeMs, count: usize) {
        self.advance(now);
        let Some(first) = self.regions.list.first().cloned() else { return };
        for _ in 0..count {
            self.new_region(first.peers.clone(), first.leader);
        }
        self.regions_changed();
    }

    pub fn regions_without_majority(&self) -> usize {
        self.regions.list.iter().filter(|region| !self.has_majority(region)).count()
    }

    fn has_majority(&self, region: &Region) -> bool {
        region.peers.iter().filter(|peer| self.runs(**peer)).count() > region.peers.len() / 2
    }

    fn runs(&self, store: u64) -> bool {
        self.stores.get(&store).is_some_and(|store| store.runs_since.is_some() && !store.disk_lost)
    }

    /// Something changed that may make regions move: looks at once.
    pub fn regions_changed(&mut self) {
        if self.regions.scheduled.is_none_or(|at| at > self.now) && !self.regions.list.is_empty() {
            self.regions.scheduled = Some(self.now);
            self.after(0, Event::Schedule);
        }
    }

    /// Looks again at `at`.
    pub fn wake_regions_at(&mut self, at: TimeMs) {
        self.regions_changed();
        self.after(at.saturating_sub(self.now), Event::Recheck);
    }

    pub fn schedule_step(&mut self) {
        // A later step may have been replaced by an earlier one.
        if self.regions.scheduled.is_none_or(|at| at > self.now) {
            return;
        }
        self.regions.scheduled = None;
        let now = self.now;
        for (index, (kind, (first, between))) in KINDS.into_iter().enumerate() {
            let ready = self.regions.ready_at[index];
            let moves = if ready.is_some_and(|at| at > now) { None } else { Some(self.find(kind)) };
            self.regions.ready_at[index] = match (moves, ready) {
                (None, ready) => ready,
                (Some(moves), _) if moves.is_empty() => None,
                (Some(_), None) => Some(now + first),
                (Some(moves), Some(_)) => {
                    self.apply(moves);
                    Some(now + between)
                }
            };
        }
        let next = self.regions.ready_at.iter().flatten().copied().chain(self.next_down()).min();
        if let Some(at) = next {
            self.regions.scheduled = Some(at);
            self.after(at - now, Event::Schedule);
        }
    }

    fn apply(&mut self, moves: Vec<Move>) {
        for it in moves {
            let added = self
                .regions
                .list
                .get(it.region)
                .map_or(0, |region| it.peers.iter().filter(|peer| !region.peers.contains(peer)).count());
            for _ in 0..added {
                self.ids.next();
            }
            if let Some(region) = self.regions.list.get_mut(it.region) {
                region.peers = it.peers;
                region.leader = it.leader;
            }
        }
    }

    /// When the next silent store with replicas turns Down.
    fn next_down(&self) -> Option<TimeMs> {
        let limit = self.config.max_store_down_ms();
        self.stores
            .values()
            .filter(|store| store.is_up() && store.runs_since.is_none() && self.regions.counts(store.id).1 > 0)
            .filter_map(|store| store.last_beat(self.now, self.lead.since))
            .map(|beat| beat + limit + 1)
            .filter(|at| *at > self.now)
            .min()
    }

    fn find(&mut self, kind: Kind) -> Vec<Move> {
        if kind == Kind::Elect {
            return self.find_elections();
        }
        if !self.schedulers.loaded || self.serving_leader().is_none() {
            return Vec::new();
        }
        match kind {
            Kind::Elect => Vec::new(),
            Kind::Evict => self.find_evictions(),
            Kind::Drain => self.find_drain().into_iter().collect(),
            Kind::MakeUp => self.find_make_up().into_iter().collect(),
            Kind::BalanceLeader => self.find_leader_balance().into_iter().collect(),
            Kind::BalanceRegion => self.find_region_balance().into_iter().collect(),
        }
    }

    /// TiKV elects a leader where the last one is gone and a majority is there.
    fn find_elections(&mut self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (index, region) in self.regions.list.iter().enumerate() {
            if region.leader.is_some_and(|leader| self.runs(leader)) || !self.has_majority(region) {
                continue;
            }
            let living: Vec<u64> = region.peers.iter().copied().filter(|peer| self.runs(*peer)).collect();
            moves.push((index, region.peers.clone(), living));
        }
        moves
            .into_iter()
            .map(|(region, peers, living)| Move { region, peers, leader: living.choose(&mut self.rng).copied() })
            .collect()
    }

    fn find_evictions(&self) -> Vec<Move> {
        let Some(evict) = &self.schedulers.evict else { return Vec::new() };
        let counts = self.regions.all_counts();
        let leaders = |store: &u64| counts.get(store).map_or(0, |count| count.0);
        let movable = self.regions.list.iter().enumerate().filter_map(|(index, region)| {
            let leader = region.leader.filter(|leader| evict.stores.contains(leader) && self.runs(*leader))?;
            let target = region
                .peers
                .iter()
                .filter(|peer| **peer != leader && self.runs(**peer) && !evict.stores.contains(peer))
                .min_by_key(|peer| leaders(peer))?;
            Some(Move { region: index, peers: region.peers.clone(), leader: Some(*target) })
        });
        movable.take(usize::try_from(evict.batch).unwrap_or(1)).collect()
    }

    fn is_draining(&self, store: &Store) -> bool {
        match store.state {
            State::Removing => true,
            State::Removed => false,
            State::Preparing | State::Serving => self.state_name(store) == "Down",
        }
    }

    /// Stores that may receive replicas, with their counts.
    fn targets(&self) -> Vec<(u64, (usize, usize))> {
        let counts = self.regions.all_counts();
        self.stores
            .values()
            .filter(|store| store.is_up() && store.runs_since.is_some() && !store.disk_lost)
            .filter(|store| !store.is_tiflash() && !store.is_exclusive())
            .map(|store| (store.id, counts.get(&store.id).copied().unwrap_or_default()))
            .collect()
    }

    fn find_drain(&self) -> Option<Move> {
        let draining: Vec<u64> =
            self.stores.values().filter(|store| self.is_draining(store)).map(|store| store.id).collect();
        if draining.is_empty() {
            return None;
        }
        let targets = self.targets();
        self.regions.list.iter().enumerate().find_map(|(index, region)| {
            let leaving = region.peers.iter().copied().find(|peer| draining.contains(peer))?;
            if !self.has_majority(region) {
                return None;
            }
            let mut peers: Vec<u64> = region.peers.iter().copied().filter(|peer| *peer != leaving).collect();
            if peers.len() < self.config.max_replicas() {
                let new = targets.iter().filter(|(id, _)| !region.peers.contains(id)).min_by_key(|it| it.1.1)?;
                peers.push(new.0);
            }
            let leader = region.leader.filter(|leader| *leader != leaving);
            let leader = leader.or_else(|| peers.iter().copied().find(|peer| self.runs(*peer)));
            Some(Move { region: index, peers, leader })
        })
    }

    /// Adds missing replicas and removes those that are too many.
    fn find_make_up(&self) -> Option<Move> {
        let wanted = self.config.max_replicas();
        let targets = self.targets();
        self.regions.list.iter().enumerate().find_map(|(index, region)| {
            if region.peers.len() == wanted || !self.has_majority(region) {
                return None;
            }
            let mut peers = region.peers.clone();
            if peers.len() < wanted {
                let new = targets.iter().filter(|(id, _)| !peers.contains(id)).min_by_key(|it| it.1.1)?;
                peers.push(new.0);
            } else {
                let at = peers.iter().rposition(|peer| Some(*peer) != region.leader)?;
                peers.remove(at);
            }
            Some(Move { region: index, peers, leader: region.leader })
        })
    }

    fn find_leader_balance(&self) -> Option<Move> {
        if self.schedulers.is_paused("balance-leader-scheduler", self.now) {
            return None;
        }
        let mut targets = self.targets();
        targets.retain(|(id, _)| !self.schedulers.evicts(*id));
        let leaders = |id: u64| targets.iter().find(|(target, _)| *target == id).map(|(_, counts)| counts.0);
        let movable = self.regions.list.iter().enumerate().filter_map(|(index, region)| {
            let from = region.leader?;
            let (to, least) = region
                .peers
                .iter()
                .filter(|peer| **peer != from)
                .filter_map(|peer| Some((*peer, leaders(*peer)?)))
                .min_by_key(|it| it.1)?;
            let gap = leaders(from)?.checked_sub(least).filter(|gap| *gap >= 2)?;
            Some((gap, Move { region: index, peers: region.peers.clone(), leader: Some(to) }))
        });
        movable.max_by_key(|(gap, _)| *gap).map(|(_, it)| it)
    }

    fn find_region_balance(&self) -> Option<Move> {
        if self.schedulers.is_paused("balance-region-scheduler", self.now) {
            return None;
        }
        let targets = self.targets();
        let (to, least) = targets.iter().min_by_key(|it| it.1.1).map(|(id, counts)| (*id, counts.1))?;
        let mut sources: Vec<_> = targets.iter().filter(|it| it.1.1 >= least + 2).collect();
        sources.sort_by_key(|it| std::cmp::Reverse(it.1.1));
        sources.into_iter().find_map(|(from, _)| {
            let (index, region) = self.regions.list.iter().enumerate().find(|(_, region)| {
                region.peers.contains(from) && !region.peers.contains(&to) && self.has_majority(region)
            })?;
            let peers: Vec<u64> = region.peers.iter().map(|peer| if peer == from { to } else { *peer }).collect();
            let leader = if region.leader == Some(*from) { Some(to) } else { region.leader };
            Some(Move { region: index, peers, leader })
        })
    }
}
