//! The operator is killed at each action of an upgrade: before the request is sent (F1), and after it was handled and
//! before its answer was read (F2). Another one starts from nothing, the end is the same, and no rule is broken.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tidepool_tests::{
    history::state::{State, is_ready, key},
    parallel,
    wire::Kill,
    world::{OPERATOR, World, in_virtual_time},
};

const SEED: u64 = 5;

/// Only PD: what is killed here is its upgrade and a change of its size at once.
const CLUSTER: &str = "
apiVersion: pingcap.com/v1alpha1
kind: TidbCluster
metadata: {name: small}
spec:
  version: v8.5.0
  pd: {replicas: 3, requests: {storage: 1Gi}, config: \"\"}
";

/// Longest time for the cluster to come up, and for the upgrade, seconds.
const SECONDS_MAX: u64 = 1_200;

/// At rest for so long, nothing more happens, seconds.
const REST: u64 = 60;

/// What came of a run.
struct End {
    /// What the cluster looks like, without names and numbers that chance gives.
    shape: BTreeMap<String, Value>,
    /// Changes that the operator made, or tried to, after the user's.
    changes: usize,
    /// Rules that were broken.
    broken: Vec<String>,
}

#[test]
fn an_operator_killed_at_any_action_of_an_upgrade_is_followed_by_one_that_ends_it() {
    let undisturbed = run(None);
    assert!(undisturbed.broken.is_empty(), "{:?}", undisturbed.broken);
    assert!(undisturbed.changes > 20, "only {} changes", undisturbed.changes);
    let cases: Vec<(usize, Kill)> =
        (0..undisturbed.changes).flat_map(|at| [(at, Kill::Before), (at, Kill::After)]).collect();
    let complaints = parallel::each(&cases, |case| complaint(*case, &undisturbed));
    let complaints: Vec<String> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn complaint((at, kill): (usize, Kill), undisturbed: &End) -> Option<String> {
    let end = run(Some((at, kill)));
    let differs = end.shape != undisturbed.shape;
    (differs || !end.broken.is_empty()).then(|| {
        let shape = if differs {
            format!("\n  {:?}\n  instead of\n  {:?}", end.shape, undisturbed.shape)
        } else {
            String::new()
        };
        format!("killed {kill:?} change {at}: {}{shape}", end.broken.join("; "))
    })
}

fn run(kill: Option<(usize, Kill)>) -> End {
    in_virtual_time(async {
        let mut world = World::start(SEED).await.expect("a world");
        world.apply("small.yaml", CLUSTER).await.expect("applied");
        until_at_rest(&mut world, |state| wanted(state, 3, "v8.5.0")).await;
        let line = world.operator(OPERATOR).expect("an operator").line.clone();
        match kill {
            Some((at, kill)) => line.kill_at(at, kill),
            None => line.count(),
        }
        let patch = json!({"spec": {"pd": {"version": "v8.5.1", "replicas": 4}}});
        world.patch("small", &patch).await.expect("patched");
        until_at_rest(&mut world, |state| wanted(state, 4, "v8.5.1")).await;
        let broken = world.history.violations().iter().map(|v| format!("{v:?}")).collect();
        let end = End { shape: shape(&world.history.now()), changes: line.changes(), broken };
        world.stop().await;
        end
    })
}

/// Lets time pass until all is so and stays so, and starts another operator for each that is killed.
async fn until_at_rest(world: &mut World, so: impl Fn(&State) -> bool) {
    let mut rest = 0;
    for _ in 0..SECONDS_MAX {
        let line = world.operator(OPERATOR).expect("an operator").line.clone();
        tokio::select! {
            () = line.killed() => world.start_operator(OPERATOR).expect("another operator"),
            () = world.pass(Duration::from_secs(1)) => {}
        }
        world.history.look();
        rest = if so(&world.history.now()) { rest + 1 } else { 0 };
        if rest > REST {
            return;
        }
    }
}

/// So many pods of PD run this version, and are healthy members.
fn wanted(state: &State, pods: usize, version: &str) -> bool {
    let runs = |pod: &&Value| {
        let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
        is_ready(pod) && image.ends_with(version)
    };
    let members: usize = state.pd.values().map(|pd| pd.healthy_without(&[])).sum();
    state.of_component("pd").filter(runs).count() == pods && members == pods && state.of_component("pd").count() == pods
}

fn shape(state: &State) -> BTreeMap<String, Value> {
    let specs = ["statefulsets", "deployments"].into_iter().flat_map(|resource| state.all(resource));
    let mut shape: BTreeMap<String, Value> = specs.map(|object| (key(object), object["spec"].clone())).collect();
    for claim in state.all("persistentvolumeclaims") {
        let annotations = claim["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        shape.insert(key(claim), json!(annotations.keys().collect::<Vec<_>>()));
    }
    for cluster in state.all("tidbclusters") {
        let status = &cluster["status"];
        let members: Vec<&String> =
            status["pd"]["members"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
        let told = json!({"members": members, "phase": status["pd"]["phase"], "waiting": status["waiting"]});
        shape.insert(key(cluster), told);
    }
    let mut members: Vec<&str> = state.pd.values().flat_map(|pd| &pd.members).map(|m| m.name.as_str()).collect();
    members.sort_unstable();
    shape.insert("members".to_owned(), json!(members));
    shape
}
