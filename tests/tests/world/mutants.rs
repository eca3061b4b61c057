//! Policies whose guards are broken on purpose: each wants one wrong thing. The host refuses the whole plan and names
//! the rule, nothing of it is done, and the history stays clean. (`scenarios/broken-*` do the wrong things, as a host
//! without its check would, and show that the history's rules notice.)

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tidepool_model::{
    Plan, Snapshot,
    plan::{Action, ObjectRef, Precondition},
};
use tidepool_tests::{
    deciders::Natives,
    scenario,
    world::{Setup, World, in_virtual_time},
};

/// What a component wants beside, or instead of, what its policy says.
type Wrong = Arc<dyn Fn(&Snapshot, &mut Plan) + Send + Sync>;

/// The present wish of each component.
#[derive(Clone, Default)]
struct Wishes {
    now: Arc<Mutex<Option<(&'static str, Wrong)>>>,
}

impl Wishes {
    fn set(&self, wish: Option<(&'static str, Wrong)>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = wish;
    }

    fn policies(&self) -> Natives {
        ["pd", "tikv", "housekeeping"].into_iter().fold(Natives::default(), |natives, component| {
            let wishes = self.clone();
            natives.changing(component, move |snapshot, plan| wishes.spoil(component, snapshot, plan))
        })
    }

    fn spoil(&self, component: &str, snapshot: &Snapshot, plan: &mut Plan) {
        let wish = self.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, wrong)) = wish.filter(|(of, _)| *of == component) {
            wrong(snapshot, plan);
        }
    }
}

#[test]
fn a_policy_without_a_guard_is_refused_by_the_rule_and_nothing_happens() {
    in_virtual_time(async {
        let wishes = Wishes::default();
        let setup = Setup { policies: Arc::new(wishes.policies()), ..Setup::new(1) };
        let world = World::start_with(setup).await.expect("a world");
        world.apply("examples/basic.yaml", include_str!("../../../examples/basic.yaml")).await.expect("applied");
        settle(&world).await;
        for case in cases(&world).await {
            let Case { rule, component, wrong, patch, undo } = case;
            if let Some(patch) = &patch {
                world.patch("basic", patch).await.expect("patched");
            }
            let before = deeds(&world);
            wishes.set(Some((component, wrong)));
            let told = refused(&world, rule).await;
            assert!(told.is_ok(), "{rule} of {component} was not refused: {}", told.unwrap_err());
            assert_eq!(deeds(&world), before, "{rule}: nothing of the plan is done");
            wishes.set(None);
            if let Some(undo) = &undo {
                world.patch("basic", undo).await.expect("patched");
            }
            settle(&world).await;
        }
        assert_eq!(world.history.violations(), []);
        world.stop().await;
    });
}

/// L6: a policy that always wants to be asked again is told on.
#[test]
fn a_policy_that_never_rests_is_noticed() {
    let policies = Natives::default().changing("tidb", |_, plan| plan.requeue_after_ms = Some(2_000));
    let setup = Setup { policies: Arc::new(policies), ..Setup::new(1) };
    let script = "start examples/minimal.yaml\nquiet 300\n";
    let played = in_virtual_time(scenario::play_in(script, setup, "")).expect("played");
    assert_eq!(played.broken.len(), 1, "{:?}", played.broken);
    assert!(played.broken[0].starts_with("L6"), "{:?}", played.broken);
}

/// S16: a policy that flaps is told on, although each single write changes something.
#[test]
fn a_policy_that_writes_at_rest_is_noticed() {
    let policies = Natives::default().changing("tidb", |snapshot, plan| {
        if let Some(status) = &mut plan.status {
            status["tidb"]["image"] = format!("seen at {}", snapshot.now_ms).into();
        }
    });
    let setup = Setup { policies: Arc::new(policies), ..Setup::new(1) };
    let script = "apply examples/minimal.yaml\nwait-ready minimal 900\nadvance 60\nquiet 120\n";
    let played = in_virtual_time(scenario::play_in(script, setup, "")).expect("played");
    assert!(played.broken.iter().any(|broken| broken.starts_with("S16")), "{:?}", played.broken);
}

/// One rule, and what breaks it.
struct Case {
    rule: &'static str,
    component: &'static str,
    wrong: Wrong,
    /// What the user asks for, so that there is something to do wrong.
    patch: Option<Value>,
    undo: Option<Value>,
}

impl Case {
    fn new(
        rule: &'static str,
        component: &'static str,
        wrong: impl Fn(&Snapshot, &mut Plan) + Send + Sync + 'static,
    ) -> Self {
        Self { rule, component, wrong: Arc::new(wrong), patch: None, undo: None }
    }

    /// The plan is these actions and no others.
    fn acts(rule: &'static str, component: &'static str, actions: impl Into<Vec<Action>>) -> Self {
        let actions = actions.into();
        Self::new(rule, component, move |_, plan| plan.actions.clone_from(&actions))
    }

    fn while_so(mut self, patch: Value, undo: Value) -> Self {
        (self.patch, self.undo) = (Some(patch), Some(undo));
        self
    }
}

async fn cases(world: &World) -> Vec<Case> {
    let get = async |api_version: &str, kind: &str, name: &str| {
        json!(world.api(api_version, kind).get(name).await.expect("it is there"))
    };
    let pd_set = get("apps/v1", "StatefulSet", "basic-pd").await;
    let tikv_set = get("apps/v1", "StatefulSet", "basic-tikv").await;
    let service = get("v1", "Service", "basic-pd").await;
    let claim = get("v1", "PersistentVolumeClaim", "pd-basic-pd-0").await;
    let volume = get("v1", "PersistentVolume", claim["spec"]["volumeName"].as_str().expect("bound")).await;
    let now = world.history.now();
    let pd = now.pd.values().next().expect("a PD").clone();
    let leader = pd.members.iter().find(|member| member.leader).expect("a leader").clone();
    let mut pods = Vec::new();
    for member in pd.members.iter().filter(|member| !member.leader) {
        pods.push(get("v1", "Pod", &member.name).await);
    }
    let leader_pod = get("v1", "Pod", &leader.name).await;
    let smaller = |set: &Value| {
        let mut set = set.clone();
        set["spec"]["replicas"] = 2.into();
        replace(set)
    };
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": {}}});
    let patch = |object: &Value, patch: Value, expect: Precondition| Action::MergePatch {
        target: ObjectRef::of(object),
        patch,
        expect,
    };
    let at_once = |set: &Value| {
        let mut set = set.clone();
        set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 31.into();
        set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0.into();
        replace(set)
    };
    let timed = pd_set.clone();
    vec![
        Case::acts("S1", "pd", pods.iter().map(delete).collect::<Vec<_>>()),
        Case::acts("S1", "pd", [at_once(&pd_set)]),
        Case::acts("S2", "pd", [smaller(&pd_set)]),
        Case::acts("S3", "pd", [delete(&leader_pod)]),
        Case::acts("S3", "pd", [Action::DeletePdMember { id: leader.id.to_string() }]),
        Case::acts("S8", "tikv", [Action::DeleteStore { id: pd.stores.first().expect("a store").id }]),
        Case::acts("S9", "tikv", [smaller(&tikv_set)]),
        Case::acts("S10", "pd", [delete(&claim)]),
        Case::acts(
            "S11",
            "housekeeping",
            [patch(&volume, json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}}), expect(&volume))],
        ),
        Case::new("S15", "pd", move |snapshot, plan| {
            let mut set = timed.clone();
            set["spec"]["template"]["metadata"]["annotations"]["now"] = snapshot.now_ms.to_string().into();
            plan.actions = vec![replace(set)];
        }),
        Case::acts(
            "S16",
            "pd",
            [patch(&service, json!({"metadata": {"labels": service["metadata"]["labels"]}}), expect(&service))],
        ),
        Case::acts("S18", "pd", [Action::Create { object: foreign }]),
        Case::acts(
            "S19",
            "pd",
            [patch(&service, json!({"metadata": {"labels": {"a": "b"}}}), Precondition::default())],
        ),
        Case::acts("S27", "tikv", [smaller(&tikv_set)])
            .while_so(json!({"spec": {"paused": true}}), json!({"spec": {"paused": false}})),
        Case::acts("grant", "pd", [Action::SetPdReplication { config: json!({}) }]),
    ]
}

fn expect(object: &Value) -> Precondition {
    Precondition { uid: object["metadata"]["uid"].as_str().map(str::to_owned), resource_version: None }
}

fn delete(object: &Value) -> Action {
    Action::Delete { target: ObjectRef::of(object), expect: expect(object) }
}

fn replace(object: Value) -> Action {
    let expect = expect(&object);
    Action::Replace { object, expect }
}

/// Until the status says that a plan was refused by this rule.
async fn refused(world: &World, rule: &str) -> Result<(), String> {
    let mut told = Vec::new();
    for _ in 0..120 {
        let cluster = world.cluster("basic").expect("it is known");
        let waiting = cluster.components.iter().flat_map(|component| component.waiting.clone());
        told = waiting.map(|on| format!("{}: {}", on.reason, on.message)).collect();
        if told.iter().any(|told| told.starts_with("PlanRefused: ") && told.contains(&format!("{rule}: "))) {
            return Ok(());
        }
        pass(world).await;
    }
    Err(format!("{told:?}"))
}

/// Until all is well and nothing is waited for.
async fn settle(world: &World) {
    for _ in 0..1_800 {
        pass(world).await;
        let at_rest = world.cluster("basic").is_some_and(|cluster| {
            cluster.ready.as_ref().is_some_and(|ready| ready.ready)
                && cluster.components.iter().all(|component| component.waiting.is_empty())
        });
        if at_rest {
            return;
        }
    }
    panic!("not at rest: {:?}", world.cluster("basic"));
}

/// What the operator has done so far, but for status and events.
fn deeds(world: &World) -> Vec<String> {
    let own = ["leases", "events", "tidbclusters/status"];
    let entries = world.audit(0);
    let done = entries.iter().filter(|e| e.user_agent == "tidepool" && !own.contains(&e.resource.as_str()));
    done.map(|entry| format!("{} {} {}", entry.verb, entry.resource, entry.name)).collect()
}

async fn pass(world: &World) {
    world.pass(Duration::from_secs(1)).await;
    world.history.look();
}
