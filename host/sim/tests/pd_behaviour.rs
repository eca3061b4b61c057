//! What a scenario relies on in the simulated PD beyond the recorded answers: rest costs nothing, faults, lost regions.

use tidepool_sim::{
    clock::{Seed, VIRTUAL_EPOCH_MS},
    data::pd::{Answer, Fleet, Reply, Request, Start, StartArgs, Stop, StoreSpec},
};

struct World {
    fleet: Fleet,
    now: u64,
    cluster: u64,
    stores: Vec<u64>,
}

/// Three members and `stores` stores with some regions, settled.
fn world(stores: usize) -> World {
    let mut world = World { fleet: Fleet::new(Seed(3)), now: VIRTUAL_EPOCH_MS, cluster: 0, stores: Vec::new() };
    for name in ["a", "b", "c"] {
        let join = if name == "a" { String::new() } else { "http://a:2379".into() };
        assert_eq!(world.start(name, join), Start::Runs);
        world.now += 30_000;
    }
    world.cluster = world.fleet.cluster_id("a").unwrap();
    for number in 0..stores {
        let spec =
            StoreSpec { address: format!("tikv-{number}:20160"), version: "8.5.7".into(), ..StoreSpec::default() };
        let id = world.fleet.register_store(world.now, "b", spec).unwrap();
        world.fleet.store_runs(world.now, world.cluster, id);
        world.stores.push(id);
    }
    world.fleet.split_regions(world.now, world.cluster, 20);
    world.now += 120_000;
    world
}

impl World {
    fn start(&mut self, name: &str, join: String) -> Start {
        let args = StartArgs {
            name: name.into(),
            data_dir: name.into(),
            advertise_client_url: format!("http://{name}:2379"),
            advertise_peer_url: format!("http://{name}:2380"),
            join,
            version: "v8.5.7".into(),
            ..StartArgs::default()
        };
        self.fleet.start(self.now, name, args)
    }

    fn ask(&mut self, process: &str, method: &str, path: &str, body: &str) -> Answer {
        let request = Request { waited_ms: u64::MAX, ..Request::new(method, path, body) };
        self.fleet.handle(self.now, process, &request)
    }

    fn reply(&mut self, process: &str, path: &str) -> Reply {
        match self.ask(process, "GET", path, "") {
            Answer::Reply(reply) => reply,
            other => panic!("{path}: {other:?}"),
        }
    }

    fn leader(&mut self) -> Option<String> {
        self.fleet.leader(self.now, self.cluster)
    }

    fn settles(&mut self) {
        self.now += 600_000;
        self.reply("a", "/pd/api/v1/ping");
    }
}

#[test]
fn a_cluster_at_rest_schedules_nothing() {
    let mut world = world(3);
    world.settles();
    assert_eq!(world.fleet.next_change_ms(), None);
    let views = world.fleet.stores(world.now, world.cluster);
    assert!(views.iter().all(|store| store.state_name == "Up" && store.region_count == 25), "{views:?}");
    let leaders: Vec<usize> = views.iter().map(|store| store.leader_count).collect();
    assert!(leaders.iter().max().unwrap() - leaders.iter().min().unwrap() <= 1, "{leaders:?}");
}

#[test]
fn all_members_killed_and_started_again_find_a_leader() {
    let mut world = world(3);
    let before = world.leader();
    for name in ["a", "b", "c"] {
        world.fleet.stop(world.now, name, Stop::Kill);
    }
    assert!(before.is_some() && world.leader().is_none());
    world.now += 30_000;
    for name in ["a", "b", "c"] {
        // A join is ignored by a member that has data.
        assert_eq!(world.start(name, "http://nobody:2379".into()), Start::Runs);
    }
    world.now += 20_000;
    assert!(world.leader().is_some());
    assert_eq!(world.reply("c", "/pd/api/v1/stores").status, 200);
    world.settles();
    assert_eq!(world.fleet.next_change_ms(), None);
}

#[test]
fn regions_without_a_majority_keep_their_replicas() {
    let mut world = world(3);
    let (cluster, stores) = (world.cluster, world.stores.clone());
    assert_eq!(world.fleet.region_health(world.now, cluster), (25, 0));
    world.fleet.store_stopped(world.now, cluster, stores[0]);
    world.now += 30_000;
    assert_eq!(world.fleet.region_health(world.now, cluster), (25, 0));
    assert_eq!(world.fleet.store(world.now, cluster, stores[0]).unwrap().leader_count, 0, "others were elected");
    world.fleet.store_stopped(world.now, cluster, stores[1]);
    assert_eq!(world.fleet.region_health(world.now, cluster), (25, 25));
    // With a new store PD would move them, but nothing moves without a majority.
    let spec = StoreSpec { address: "tikv-9:20160".into(), version: "8.5.7".into(), ..StoreSpec::default() };
    let new = world.fleet.register_store(world.now, "a", spec).unwrap();
    world.fleet.store_runs(world.now, cluster, new);
    world.now += 4_000_000;
    assert_eq!(world.fleet.region_health(world.now, cluster), (25, 25));
    world.fleet.store_runs(world.now, cluster, stores[1]);
    world.now += 600_000;
    assert_eq!(world.fleet.region_health(world.now, cluster), (25, 0));
    assert_eq!(world.fleet.store(world.now, cluster, new).unwrap().region_count, 25, "the dead store is replaced");
}

#[test]
fn faults_slow_fail_and_lose_answers() {
    let mut world = world(3);
    world.fleet.faults("a").unwrap().slow_ms = 700;
    assert_eq!(world.reply("a", "/pd/api/v1/ping").after_ms, 700);
    world.fleet.faults("a").unwrap().fail_status = Some(502);
    assert_eq!(world.reply("a", "/pd/api/v1/ping").status, 502);
    *world.fleet.faults("a").unwrap() = tidepool_sim::data::pd::Faults { drop_answers: true, ..Default::default() };
    let path = format!("/pd/api/v1/store/{}/label", world.stores[0]);
    assert_eq!(world.ask("a", "POST", &path, r#"{"zone": "z1"}"#), Answer::Hang);
    *world.fleet.faults("a").unwrap() = tidepool_sim::data::pd::Faults::default();
    assert!(world.reply("a", "/pd/api/v1/stores").text().contains("z1"), "applied, the answer lost");
}

#[test]
fn a_cluster_can_be_without_a_leader_for_a_while() {
    let mut world = world(3);
    let until = world.now + 15_000;
    world.fleet.no_leader_until(world.now, world.cluster, until);
    for process in ["a", "b", "c"] {
        assert_eq!(world.reply(process, "/pd/api/v1/stores").status, 503);
        assert_eq!(world.reply(process, "/pd/api/v1/health").status, 200);
    }
    world.now = until - 1;
    assert_eq!(world.leader(), None);
    world.now = until + 1_000;
    assert!(world.leader().is_some());
}

#[test]
fn a_removed_member_cannot_return_with_its_data() {
    let mut world = world(3);
    let leader = world.leader().unwrap();
    let victim = ["a", "b", "c"].into_iter().find(|name| *name != leader).unwrap();
    let Answer::Reply(reply) = world.ask(&leader, "DELETE", &format!("/pd/api/v1/members/name/{victim}"), "") else {
        panic!("no answer")
    };
    assert_eq!(reply.status, 200, "{}", reply.text());
    world.fleet.stop(world.now, victim, Stop::Kill);
    assert_eq!(world.start(victim, format!("http://{leader}:2379")), Start::Runs);
    world.now += 60_000;
    assert!(world.fleet.accepts_tcp(world.now, victim));
    assert_eq!(world.ask(victim, "GET", "/pd/api/v1/ping", ""), Answer::Hang);
}
