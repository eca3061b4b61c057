//! Invariants of the simulated PD under random orders: members are killed, paused, terminated, removed and joined,
//! stores come and go, and whatever happens, what PD promises holds. The same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};
use serde_json::Value;
use tidepool_sim::{
    clock::{Seed, VIRTUAL_EPOCH_MS},
    data::pd::{Answer, Fleet, Phase, Reply, Request, Start, StartArgs, Stop, StoreSpec},
};

const SEEDS: u64 = 200;
const ORDERS: usize = 120;
/// Longer than any lease: what was possible without a quorum before is over.
const LEASE_OVER_MS: u64 = 6_000;
/// So long a woken leader may believe that it leads.
const BELIEVES_MS: u64 = 1_000;
/// Longer than any election.
const RECOVERED_MS: u64 = 60_000;
const NAMES: [&str; 5] = ["pd-0", "pd-1", "pd-2", "pd-3", "pd-4"];

struct World {
    fleet: Fleet,
    rng: SmallRng,
    now: u64,
    cluster: u64,
    stores: BTreeMap<u64, String>,
    paused: BTreeSet<&'static str>,
    /// Members that were removed; their data is of no use.
    removed: BTreeSet<&'static str>,
    /// Last seen state of each store.
    states: BTreeMap<u64, String>,
    no_quorum_since: Option<u64>,
    /// A woken leader believes for a moment that it still leads.
    woken_at: u64,
    log: String,
}

#[test]
fn invariants_hold_under_random_orders() {
    for seed in 1..=SEEDS {
        let mut world = World::new(seed);
        for _ in 0..ORDERS {
            world.order();
            world.check(seed);
        }
        world.recover();
        world.check_recovered(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::new(seed);
        (0..ORDERS).for_each(|_| world.order());
        world.log
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

fn args(name: &str, join: String) -> StartArgs {
    StartArgs {
        name: name.into(),
        data_dir: name.into(),
        advertise_client_url: format!("http://{name}:2379"),
        advertise_peer_url: format!("http://{name}:2380"),
        join,
        version: "v8.5.7".into(),
        ..StartArgs::default()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            fleet: Fleet::new(Seed(seed)),
            rng: Seed(seed).stream("orders"),
            now: VIRTUAL_EPOCH_MS,
            cluster: 0,
            stores: BTreeMap::new(),
            paused: BTreeSet::new(),
            removed: BTreeSet::new(),
            states: BTreeMap::new(),
            no_quorum_since: None,
            woken_at: 0,
            log: String::new(),
        };
        world.fleet.start(world.now, NAMES[0], args(NAMES[0], String::new()));
        world.cluster = world.fleet.cluster_id(NAMES[0]).unwrap();
        world.now += 5_000;
        world
    }

    fn running(&mut self, name: &str) -> bool {
        self.fleet.phase(self.now, name) != Phase::Gone
    }

    /// One random order, then some time.
    fn order(&mut self) {
        let name = *NAMES.choose(&mut self.rng).unwrap();
        let kind = self.rng.random_range(0..14);
        match kind {
            0 => {
                self.fleet.stop(self.now, name, Stop::Kill);
            }
            1 => {
                self.fleet.stop(self.now, name, Stop::Term);
            }
            2 if self.running(name) => {
                self.fleet.pause(self.now, name);
                self.paused.insert(name);
            }
            3..=5 => self.bring_back(name),
            6 => self.remove(name),
            7 => self.change("POST", &format!("/pd/api/v1/leader/transfer/{name}")),
            8 => self.new_store(),
            9 => self.change_store(|id| ("DELETE", format!("/pd/api/v1/store/{id}"))),
            10 => self.change_store(|id| ("POST", format!("/pd/api/v1/store/{id}/state?state=Up"))),
            11 => self.stop_or_run_store(),
            12 => self.change("POST", "/pd/api/v1/leader/resign"),
            _ => {}
        }
        self.now += self.rng.random_range(0..20_000);
        let leader = self.fleet.leader(self.now, self.cluster);
        let members = self.told_members();
        let line = format!("{} {kind} {name} {leader:?} {members:?}\n", self.now);
        self.log.push_str(&line);
    }

    /// Resumes, restarts, or replaces a member that was removed.
    fn bring_back(&mut self, name: &'static str) {
        if self.paused.remove(name) {
            self.fleet.resume(self.now, name);
            self.woken_at = self.now;
            return;
        }
        if self.removed.remove(name) {
            self.fleet.stop(self.now, name, Stop::Kill);
            self.fleet.wipe(name);
        }
        if self.running(name) {
            return;
        }
        let join: Vec<String> = NAMES.iter().filter(|it| **it != name).map(|it| format!("http://{it}:2379")).collect();
        let start = self.fleet.start(self.now, name, args(name, join.join(",")));
        self.log.push_str(&format!("  start {name}: {start:?}\n"));
        if let Start::Exits { .. } = start {
            assert!(!self.running(name), "a refused joiner does not run");
        }
    }

    fn remove(&mut self, name: &'static str) {
        let listed = |world: &mut Self| world.told_members().map(|known| known.iter().any(|it| it == name));
        let before = listed(self);
        self.change("DELETE", &format!("/pd/api/v1/members/name/{name}"));
        if before == Some(true) && listed(self) == Some(false) {
            self.removed.insert(name);
        }
    }

    fn ask(&mut self, process: &str, method: &str, path: &str) -> Option<Reply> {
        let request = Request { waited_ms: u64::MAX, ..Request::new(method, path, "") };
        match self.fleet.handle(self.now, process, &request) {
            Answer::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    /// Sends a change to every member until one takes it.
    fn change(&mut self, method: &str, path: &str) {
        for name in NAMES {
            if let Some(reply) = self.ask(name, method, path) {
                self.log.push_str(&format!("  {path}: {} {}", reply.status, reply.text()));
                if reply.status < 500 {
                    return;
                }
            }
        }
    }

    fn new_store(&mut self) {
        let spec = StoreSpec {
            address: format!("tikv-{}:20160", self.rng.random_range(0..6)),
            version: "8.5.7".into(),
            ..StoreSpec::default()
        };
        let address = spec.address.clone();
        for name in NAMES {
            if let Ok(id) = self.fleet.register_store(self.now, name, spec.clone()) {
                assert!(self.stores.keys().all(|old| *old < id), "ids rise");
                self.stores.insert(id, address);
                self.fleet.store_runs(self.now, self.cluster, id);
                self.fleet.split_regions(self.now, self.cluster, 2);
                return;
            }
        }
    }

    fn change_store(&mut self, request: impl Fn(u64) -> (&'static str, String)) {
        let ids: Vec<u64> = self.stores.keys().copied().collect();
        if let Some(id) = ids.choose(&mut self.rng) {
            let (method, path) = request(*id);
            self.change(method, &path);
        }
    }

    fn stop_or_run_store(&mut self) {
        let ids: Vec<u64> = self.stores.keys().copied().collect();
        let Some(id) = ids.choose(&mut self.rng) else { return };
        if self.rng.random_bool(0.4) {
            self.fleet.store_stopped(self.now, self.cluster, *id);
        } else {
            self.fleet.store_runs(self.now, self.cluster, *id);
        }
    }

    /// Members by name; all that there may be, if nobody tells.
    fn members(&mut self) -> Vec<String> {
        self.told_members().unwrap_or_else(|| NAMES.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Members by name, as the first of them that answers tells.
    fn told_members(&mut self) -> Option<Vec<String>> {
        for name in NAMES {
            let Some(reply) = self.ask(name, "GET", "/pd/api/v1/health") else { continue };
            if let Ok(Value::Array(list)) = serde_json::from_slice(&reply.body) {
                let names: Vec<String> = list.iter().filter_map(|it| it["name"].as_str().map(str::to_owned)).collect();
                if reply.status == 200 && names.iter().any(|it| it == name) {
                    return Some(names);
                }
            }
        }
        None
    }

    fn check(&mut self, seed: u64) {
        let now = self.now;
        let context = format!("seed {seed}, {} ms", now - VIRTUAL_EPOCH_MS);
        let (mut leaders, mut writable) = (BTreeSet::new(), false);
        for name in NAMES {
            if let Some(reply) = self.ask(name, "GET", "/pd/api/v1/cluster").filter(|reply| reply.status == 200) {
                let body: Value = serde_json::from_slice(&reply.body).unwrap();
                assert_eq!(body["id"], self.cluster, "{context}: the cluster id never changes");
                writable = true;
            }
            if let Some(reply) = self.ask(name, "GET", "/pd/api/v1/members").filter(|reply| reply.status == 200) {
                let body: Value = serde_json::from_slice(&reply.body).unwrap();
                let members: Vec<&Value> = body["members"].as_array().unwrap().iter().collect();
                let started = members.iter().filter(|it| it.get("name").is_some()).count();
                // Only a second member may be added before it has started.
                let quorum = started > members.len() / 2 || (started, members.len()) == (1, 2);
                assert!(quorum, "{context}: {started} of {} members have started", members.len());
                let ids: BTreeSet<u64> = members.iter().filter_map(|it| it["member_id"].as_u64()).collect();
                assert_eq!(ids.len(), members.len(), "{context}: member ids differ");
                if let Some(leader) = body["etcd_leader"]["name"].as_str() {
                    leaders.insert(leader.to_owned());
                }
            }
        }
        assert!(leaders.len() <= 1, "{context}: leaders {leaders:?}");
        self.check_quorum(writable, &context);
        self.check_stores(&context);
    }

    /// Without a quorum for longer than the lease, nothing that needs the leader is answered.
    fn check_quorum(&mut self, writable: bool, context: &str) {
        let members = self.members();
        let living = members
            .iter()
            .filter(|name| {
                let phase = self.fleet.phase(self.now, name);
                !self.paused.contains(name.as_str()) && !matches!(phase, Phase::Gone | Phase::Closing | Phase::Booting)
            })
            .count();
        if living > members.len() / 2 {
            self.no_quorum_since = None;
        } else {
            let since = *self.no_quorum_since.get_or_insert(self.now);
            assert!(
                !writable || self.now - since < LEASE_OVER_MS || self.now - self.woken_at <= BELIEVES_MS,
                "{context}: {living} of {members:?} live and PD answers\n{}",
                self.log
            );
        }
    }

    fn check_stores(&mut self, context: &str) {
        let mut addresses = BTreeSet::new();
        for store in self.fleet.stores(self.now, self.cluster) {
            if store.state_name != "Tombstone" {
                assert!(addresses.insert(store.address.clone()), "{context}: address {} twice", store.address);
            } else {
                assert_eq!(store.region_count, 0, "{context}: a Tombstone is empty");
            }
            let old = self.states.insert(store.id, store.state_name.into());
            if old.as_deref() == Some("Tombstone") {
                assert_eq!(store.state_name, "Tombstone", "{context}: a Tombstone stays");
            }
        }
    }

    /// Brings every member back.
    fn recover(&mut self) {
        for name in std::mem::take(&mut self.paused) {
            self.fleet.resume(self.now, name);
        }
        for _ in 0..10 {
            for name in NAMES {
                self.bring_back(name);
                self.now += 2_000;
            }
            self.now += 20_000;
        }
        self.now += RECOVERED_MS;
    }

    fn check_recovered(&mut self, seed: u64) {
        let leader = self.fleet.leader(self.now, self.cluster);
        let phases: Vec<_> = NAMES.iter().map(|name| (*name, self.fleet.phase(self.now, name))).collect();
        let members = self.members();
        assert!(leader.is_some(), "seed {seed}: there is a leader again: {phases:?}, {members:?}\n{}", self.log);
        for name in self.members() {
            let reply = self.ask(&name, "GET", "/pd/api/v1/leader").expect("an answer");
            assert_eq!(reply.status, 200, "seed {seed}: {name}: {}", reply.text());
        }
    }
}
