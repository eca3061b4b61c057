//! The simulated PD against the measured times of a real one (`tests/goldens/pd-api/timings.json`), over many seeds.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use tidepool_sim::{
    clock::{Seed, VIRTUAL_EPOCH_MS},
    data::pd::{Answer, Fleet, Phase, Reply, Request, Start, StartArgs, Stop, StoreSpec},
};

const SEEDS: u64 = 40;
/// How often the world is looked at; the recording looked every 20 to 50 ms.
const STEP_MS: u64 = 10;
/// Recorded times have the error of the polling.
const TOLERANCE_S: f64 = 0.06;
const WAIT_MS_MAX: u64 = 60_000;

/// Every row of `timings.json` with a least and a greatest value that the simulator draws from.
#[test]
fn times_are_within_the_measured_ranges() {
    let mut seen = BTreeMap::<(&str, &str), Vec<f64>>::new();
    for seed in 1..=SEEDS {
        for (section, row, seconds) in measure(seed) {
            seen.entry((section, row)).or_default().push(seconds);
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/pd-api/timings.json");
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut outside = String::new();
    for ((section, row), times) in &seen {
        let range = &recorded[section][row];
        let (min, max) = (range["min"].as_f64().expect(row), range["max"].as_f64().expect(row));
        let (low, high) = times.iter().fold((f64::MAX, 0.0_f64), |(low, high), time| (low.min(*time), high.max(*time)));
        println!("{row}: measured {min:.2}..{max:.2}, simulated {low:.2}..{high:.2}");
        if low < min - TOLERANCE_S || high > max + TOLERANCE_S {
            outside.push_str(&format!("{row}: measured {min}..{max}, simulated {low}..{high}\n"));
        }
    }
    assert!(seen.len() >= 20, "only {} rows measured", seen.len());
    assert!(outside.is_empty(), "outside the measured ranges:\n{outside}");
}

fn measure(seed: u64) -> Vec<(&'static str, &'static str, f64)> {
    let mut rows = Vec::new();
    for scenario in
        [joins, kill, terminate, silence, transfer, resign, delete_leader, lose_quorum, stores, restart_alone]
    {
        for (row, seconds) in scenario(&mut World::new(seed)) {
            rows.push((if row.1 { "stores" } else { "members" }, row.0, seconds));
        }
    }
    rows
}

type Row = ((&'static str, bool), f64);

fn member(row: &'static str, seconds: f64) -> Row {
    ((row, false), seconds)
}

fn store(row: &'static str, seconds: f64) -> Row {
    ((row, true), seconds)
}

struct World {
    fleet: Fleet,
    now: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self { fleet: Fleet::new(Seed(seed)), now: VIRTUAL_EPOCH_MS }
    }

    fn args(name: &str, join: &str) -> StartArgs {
        StartArgs {
            name: name.into(),
            data_dir: name.into(),
            advertise_client_url: format!("http://{name}:2379"),
            advertise_peer_url: format!("http://{name}:2380"),
            join: join.into(),
            version: "v8.5.7".into(),
            config: serde_json::json!({"schedule": {"max-store-down-time": "60s"}}),
            ..StartArgs::default()
        }
    }

    fn start(&mut self, name: &str, join: &str) -> f64 {
        let begin = self.now;
        assert_eq!(self.fleet.start(self.now, name, Self::args(name, join)), Start::Runs, "{name}");
        self.until(|world| world.leader_at(name).is_some());
        self.since(begin)
    }

    fn three(&mut self) {
        self.start("a", "");
        self.pass(10_000);
        self.start("b", "http://a:2379");
        self.pass(10_000);
        self.start("c", "http://a:2379,http://b:2379");
        self.pass(400_000);
        self.ask("a", "POST", "/pd/api/v1/leader/transfer/a", "");
        self.pass(20_000);
        assert_eq!(self.leader_at("b").as_deref(), Some("a"));
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
    }

    fn since(&self, begin: u64) -> f64 {
        (self.now - begin) as f64 / 1_000.0
    }

    fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..WAIT_MS_MAX / STEP_MS {
            if done(self) {
                return;
            }
            self.now += STEP_MS;
        }
        panic!("waited in vain");
    }

    /// The answer of one moment, or none.
    fn peek(&mut self, process: &str, path: &str) -> Option<Reply> {
        let request = Request { waited_ms: u64::MAX, ..Request::new("GET", path, "") };
        match self.fleet.handle(self.now, process, &request) {
            Answer::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    fn leader_at(&mut self, process: &str) -> Option<String> {
        let reply = self.peek(process, "/pd/api/v1/leader").filter(|reply| reply.status == 200)?;
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        Some(body["name"].as_str()?.to_owned())
    }

    fn ask(&mut self, process: &str, method: &str, path: &str, body: &str) -> Reply {
        match self.fleet.handle(self.now, process, &Request::new(method, path, body)) {
            Answer::Reply(reply) => reply,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Seconds until `process` names a leader other than `a`.
    fn until_another_leads(&mut self, process: &str) -> f64 {
        let begin = self.now;
        self.until(|world| world.leader_at(process).is_some_and(|leader| leader != "a"));
        self.since(begin)
    }

    fn store_status(&mut self, id: u64) -> Value {
        let reply = self.peek("a", &format!("/pd/api/v1/store/{id}")).unwrap();
        serde_json::from_slice(&reply.body).unwrap()
    }
}

fn joins(world: &mut World) -> Vec<Row> {
    world.start("a", "");
    world.pass(10_000);
    let second = world.start("b", "http://a:2379");
    world.pass(10_000);
    let third = world.start("c", "http://a:2379");
    world.pass(10_000);
    world.ask("a", "DELETE", "/pd/api/v1/members/name/c", "");
    world.pass(2_000);
    world.fleet.stop(world.now, "c", Stop::Kill);
    world.fleet.wipe("c");
    world.pass(6_000);
    let again = world.start("c", "http://a:2379");
    world.pass(10_000);
    world.fleet.stop(world.now, "c", Stop::Kill);
    world.pass(1_000);
    let restart = world.start("c", "");
    vec![
        member("join 1 to 2 until the joiner serves", second),
        member("join 2 to 3 until the joiner serves", third),
        member("join of a removed and wiped member until it serves", again),
        member("restart of a killed or terminated member until its GET leader is 200", restart),
    ]
}

fn kill(world: &mut World) -> Vec<Row> {
    world.three();
    world.fleet.stop(world.now, "a", Stop::Kill);
    assert_eq!(world.peek("b", "/pd/api/v1/leader").unwrap().text(), "[PD:apiutil:ErrRedirect]redirect failed\n");
    vec![member("kill -9 of the leader until a follower names another", world.until_another_leads("b"))]
}

fn terminate(world: &mut World) -> Vec<Row> {
    world.three();
    let gone = world.fleet.stop(world.now, "a", Stop::Term);
    let gone_s = (gone - world.now) as f64 / 1_000.0;
    let other = world.until_another_leads("b");
    world.now = gone;
    assert_eq!(world.fleet.phase(gone, "a"), Phase::Gone);
    vec![
        member("SIGTERM of the leader until a follower names another", other),
        member("SIGTERM of the leader until the process is gone", gone_s),
    ]
}

fn silence(world: &mut World) -> Vec<Row> {
    world.three();
    world.fleet.pause(world.now, "a");
    let row = "leader silent (SIGSTOP) until a follower names another, client timeout 1 s";
    let other = world.until_another_leads("b");
    world.fleet.resume(world.now, "a");
    assert_eq!(world.leader_at("a").as_deref(), Some("a"), "a woken leader still believes");
    world.pass(1_000);
    assert_ne!(world.leader_at("a").as_deref(), Some("a"));
    vec![member(row, other)]
}

fn transfer(world: &mut World) -> Vec<Row> {
    world.three();
    let reply = world.ask("a", "POST", "/pd/api/v1/leader/transfer/b", "");
    vec![
        member("POST leader/transfer until its answer", reply.after_ms as f64 / 1_000.0),
        member("POST leader/transfer until another leader serves", world.until_another_leads("c")),
    ]
}

fn resign(world: &mut World) -> Vec<Row> {
    world.three();
    let reply = world.ask("a", "POST", "/pd/api/v1/leader/resign", "");
    vec![
        member("POST leader/resign until its answer, 200 only", reply.after_ms as f64 / 1_000.0),
        member("POST leader/resign until another leader serves", world.until_another_leads("c")),
    ]
}

fn delete_leader(world: &mut World) -> Vec<Row> {
    world.three();
    world.ask("a", "DELETE", "/pd/api/v1/members/name/a", "");
    vec![member("DELETE of the leader until a follower names another", world.until_another_leads("b"))]
}

fn lose_quorum(world: &mut World) -> Vec<Row> {
    world.three();
    world.fleet.stop(world.now, "b", Stop::Kill);
    world.fleet.stop(world.now, "c", Stop::Kill);
    let begin = world.now;
    world.until(|world| world.leader_at("a").is_none());
    let lost = world.since(begin);
    world.pass(30_000);
    assert_eq!(world.leader_at("a"), None, "no leader without a quorum");
    let begin = world.now;
    world.fleet.start(world.now, "b", World::args("b", ""));
    world.until(|world| world.leader_at("a").is_some());
    let row = "one of the two started again until the survivor answers GET leader with 200";
    vec![
        member("quorum lost (both followers kill -9), leader answers 200 until", lost),
        member(row, world.since(begin)),
    ]
}

/// One PD with stores `1..=count` that hold 20 regions on the first three.
fn with_stores(world: &mut World, count: usize) -> (u64, Vec<u64>) {
    world.start("a", "");
    let mut ids = Vec::new();
    let cluster = world.fleet.cluster_id("a").unwrap();
    for number in 0..count {
        let spec =
            StoreSpec { address: format!("tikv-{number}:20160"), version: "8.5.7".into(), ..StoreSpec::default() };
        let id = world.fleet.register_store(world.now, "a", spec).unwrap();
        world.fleet.store_runs(world.now, cluster, id);
        ids.push(id);
        world.pass(if number + 1 == count { 0 } else { 500 });
    }
    world.fleet.add_regions(world.now, cluster, 15, &ids[..3]);
    (cluster, ids)
}

fn stores(world: &mut World) -> Vec<Row> {
    let (cluster, ids) = with_stores(world, 3);
    world.pass(30_500);
    let spec = StoreSpec { address: "tikv-3:20160".into(), version: "8.5.7".into(), ..StoreSpec::default() };
    let fourth = world.fleet.register_store(world.now, "a", spec).unwrap();
    world.fleet.store_runs(world.now, cluster, fourth);
    let begin = world.now;
    world.until(|world| world.store_status(fourth)["store"]["node_state"] == 1);
    assert!(world.since(begin) <= 10.0, "looked at every 10 s");
    world.pass(30_000);

    // A quarter of the leaders is evicted, then a quarter of the replicas moves away.
    let victim = ids[0];
    let leaders = world.store_status(victim)["status"]["leader_count"].as_u64().unwrap();
    let body = format!("{{\"name\": \"evict-leader-scheduler\", \"store_id\": {victim}}}");
    world.ask("a", "POST", "/pd/api/v1/schedulers", &body);
    let begin = world.now;
    world.until(|world| world.store_status(victim)["status"]["leader_count"] == 0);
    let evicted = world.since(begin);
    let mut rows = Vec::new();
    if (5..=7).contains(&leaders) {
        rows.push(store("evict-leader POST to leader_count 0, 5 to 7 leaders", evicted));
    }
    let regions = world.store_status(victim)["status"]["region_count"].as_u64().unwrap();
    world.ask("a", "DELETE", &format!("/pd/api/v1/store/{victim}"), "");
    let begin = world.now;
    world.until(|world| world.store_status(victim)["status"]["region_count"] == 0);
    if (12..=15).contains(&regions) {
        rows.push(store("DELETE store to region_count 0, 12 to 15 regions that move at once", world.since(begin)));
    }
    world.until(|world| world.store_status(victim)["store"]["state_name"] == "Tombstone");
    rows.push(store("DELETE store to Tombstone", world.since(begin)));

    let silent = ids[1];
    world.until(|world| world.store_status(silent)["store"]["last_heartbeat"] == world.now * 1_000_000);
    world.fleet.store_stopped(world.now, cluster, silent);
    let begin = world.now;
    for (state, row) in [
        ("Disconnected", "Disconnected, since the last heartbeat"),
        ("Down", "Down with max-store-down-time 60 s, since the last heartbeat"),
    ] {
        world.pass(15_000);
        world.until(|world| world.store_status(silent)["store"]["state_name"] == state);
        rows.push(store(row, world.since(begin)));
    }
    rows
}

fn restart_alone(world: &mut World) -> Vec<Row> {
    with_stores(world, 3);
    world.pass(20_000);
    let gone = world.fleet.stop(world.now, "a", Stop::Term);
    world.now = gone;
    world.start("a", "");
    let begin = world.now;
    world.until(|world| world.peek("a", "/pd/api/v1/schedulers").is_some_and(|reply| reply.text() != "[]\n"));
    let row = "restart of a single PD: GET schedulers is [] for, all regions reporting at once";
    vec![store(row, world.since(begin))]
}
