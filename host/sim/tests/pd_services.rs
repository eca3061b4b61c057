//! PD's services that run apart from it: who is listed, who acts, and how long after a process its traces stay.

use serde_json::{Value, json};
use tidepool_sim::{
    clock::Seed,
    data::pd::{Answer, Fleet, Reply, Request, StartArgs},
};

const PD: &str = "ns/a-pd-0";
const START_MS: u64 = 1_777_000_000_000;

struct World {
    fleet: Fleet,
    cluster: u64,
    now: u64,
}

impl World {
    /// A PD with a leader.
    fn new(api_mode: bool) -> Self {
        let mut fleet = Fleet::new(Seed(7));
        let args = StartArgs {
            name: "a-pd-0".into(),
            data_dir: "disk".into(),
            advertise_client_url: "http://a-pd-0:2379".into(),
            advertise_peer_url: "http://a-pd-0:2380".into(),
            version: "v8.5.7".into(),
            api_mode,
            ..StartArgs::default()
        };
        fleet.start(START_MS, PD, args);
        let cluster = fleet.cluster_id(PD).expect("it has started a cluster");
        Self { fleet, cluster, now: START_MS + 60_000 }
    }

    /// The same with two TSO processes, one of which acts.
    fn with_tso(version: &str) -> Self {
        let mut world = Self::new(true);
        for pod in ["a-tso-0", "a-tso-1"] {
            world.fleet.ms_runs(world.now, world.cluster, "tso", pod, &address(pod), version);
            world.now += 1_000;
        }
        world
    }

    fn pd(&mut self, path: &str) -> Reply {
        reply(self.fleet.handle(self.now, PD, &Request::new("GET", &format!("/pd/api/v2/ms/{path}"), "")))
    }

    fn tso(&mut self, pod: &str, method: &str, path: &str, body: &Value) -> Reply {
        let request = Request::new(method, path, &body.to_string());
        reply(self.fleet.ms_handle(self.now, self.cluster, "tso", pod, &request))
    }

    fn transfer(&mut self, asked: &str, to: &str) -> Reply {
        self.tso(asked, "POST", "/tso/api/v1/primary/transfer", &json!({"new_primary": to}))
    }

    fn members(&mut self) -> Vec<String> {
        let list: Value = serde_json::from_str(&self.pd("members/tso").text()).expect("JSON");
        let names = list.as_array().map(Vec::as_slice).unwrap_or_default();
        names.iter().map(|entry| entry["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn primary(&mut self) -> String {
        self.pd("primary/tso").text()
    }
}

fn address(pod: &str) -> String {
    format!("http://{pod}.a-tso-peer.ns.svc:2379")
}

fn reply(answer: Answer) -> Reply {
    match answer {
        Answer::Reply(reply) => reply,
        other => panic!("no answer: {other:?}"),
    }
}

#[test]
fn a_pd_that_runs_its_services_itself_says_so() {
    let mut world = World::new(false);
    let members = world.pd("members/tso");
    assert_eq!((members.status, members.text().as_str()), (404, "\"not support micro service\""));
    assert_eq!(world.pd("members/other").status, 404);
    assert!(world.fleet.gives_timestamps(world.now, world.cluster));
}

#[test]
fn without_processes_nobody_is_listed_and_there_is_no_clock() {
    let mut world = World::new(true);
    assert_eq!(world.pd("members/tso").text(), "null");
    let other = world.pd("members/other");
    assert_eq!((other.status, other.text().as_str()), (500, "\"unknown service name other\""));
    let primary = world.pd("primary/tso");
    assert_eq!((primary.text().as_str(), primary.after_ms), ("\"\"", 2_500));
    assert!(!world.fleet.gives_timestamps(world.now, world.cluster));
}

#[test]
fn the_first_process_acts_and_can_hand_over() {
    let mut world = World::with_tso("v8.5.7");
    let list: Value = serde_json::from_str(&world.pd("members/tso").text()).expect("JSON");
    assert_eq!(list[0]["name"], "a-tso-0");
    assert_eq!(list[0]["service-addr"], address("a-tso-0"));
    assert_eq!(world.primary(), format!("\"{}\"", address("a-tso-0")));
    assert!(world.fleet.gives_timestamps(world.now, world.cluster));
    assert_eq!(world.tso("a-tso-1", "GET", "/tso/api/v1/health", &Value::Null).text(), "\"ok\"\n");
    let wrong = world.transfer("a-tso-0", "a-tso-9");
    assert_eq!(wrong.status, 500);
    assert!(wrong.text().contains("no valid secondary to transfer primary"));
    assert_eq!(world.transfer("a-tso-1", "a-tso-1").status, 200, "whoever is asked forwards to the primary");
    world.now += 1_000;
    assert_eq!(world.primary(), format!("\"{}\"", address("a-tso-1")));
    assert_eq!(world.transfer("a-tso-0", "").status, 200, "without a name it is any other");
    world.now += 1_000;
    assert_eq!(world.primary(), format!("\"{}\"", address("a-tso-0")));
}

#[test]
fn old_versions_cannot_hand_over() {
    let mut world = World::with_tso("v8.2.0");
    assert_eq!(world.transfer("a-tso-0", "a-tso-1").status, 404);
}

#[test]
fn a_killed_primary_is_named_until_its_lease_ends_and_then_replaced() {
    let mut world = World::with_tso("v8.5.7");
    world.fleet.ms_stopped(world.now, world.cluster, "tso", "a-tso-0", false);
    world.now += 4_900;
    assert_eq!(world.members(), ["a-tso-0", "a-tso-1"]);
    assert_eq!(world.primary(), format!("\"{}\"", address("a-tso-0")));
    assert!(!world.fleet.gives_timestamps(world.now, world.cluster), "it is only a name");
    assert_eq!(world.transfer("a-tso-1", "a-tso-1").status, 500);
    world.now += 200;
    assert_eq!(world.members(), ["a-tso-1"]);
    world.now += 1_000;
    assert_eq!(world.primary(), format!("\"{}\"", address("a-tso-1")));
}

#[test]
fn a_primary_that_is_told_to_end_leaves_at_once() {
    let mut world = World::with_tso("v8.5.7");
    world.fleet.ms_stopped(world.now, world.cluster, "tso", "a-tso-0", true);
    assert_eq!(world.members(), ["a-tso-1"]);
    world.now += 1_000;
    assert_eq!(world.primary(), format!("\"{}\"", address("a-tso-1")));
}

#[test]
fn a_process_that_is_back_soon_does_not_inherit_its_office() {
    let mut world = World::with_tso("v8.5.7");
    world.fleet.ms_stopped(world.now, world.cluster, "tso", "a-tso-0", false);
    world.now += 1_000;
    world.fleet.ms_runs(world.now, world.cluster, "tso", "a-tso-0", &address("a-tso-0"), "v8.5.7");
    assert!(!world.fleet.gives_timestamps(world.now, world.cluster));
    world.now += 6_000;
    assert_eq!(world.members(), ["a-tso-0", "a-tso-1"]);
    assert_eq!(world.primary(), format!("\"{}\"", address("a-tso-1")), "who runs longer comes first");
}
