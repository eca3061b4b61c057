//! What the policy of PD's services does, action by action, on a pretended cluster with PD. The host's own checker looks
//! at every plan.

use serde_json::{Value, json, value::to_raw_value};
use tidepool_sdk::{
    Unknown,
    native::{
        deciding,
        model::{plan::Action, pretend::World, render::Deciding},
        story::Story,
    },
};

fn cluster(tso: i32, scheduling: i32) -> Value {
    let pdms = |name: &str, replicas: i32| json!({"name": name, "replicas": replicas, "baseImage": "pingcap/pd", "config": {}});
    json!({
        "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
        "metadata": {"name": "c", "namespace": "n"},
        "spec": {
            "version": "v8.5.2",
            "pd": {
                "mode": "ms", "baseImage": "pingcap/pd", "replicas": 1, "config": {}, "requests": {"storage": "1Gi"},
            },
            "pdms": [pdms("tso", tso), pdms("scheduling", scheduling)],
        },
    })
}

fn policies() -> Vec<Deciding<'static>> {
    vec![deciding::<policy_pdms::Pdms>(&json!({})), deciding::<policy_pd::Pd>(&json!({}))]
}

fn from_nothing(tso: i32, scheduling: i32) -> Story {
    Story::new(World::new(cluster(tso, scheduling)), policies(), line)
}

fn at_rest(tso: i32, scheduling: i32) -> Story {
    from_nothing(tso, scheduling).at_rest()
}

fn line(action: &Action) -> String {
    match action {
        Action::Replace { object, .. } if object["kind"] == "StatefulSet" => format!(
            "{} replicas={} partition={}",
            object["metadata"]["name"].as_str().unwrap_or_default(),
            object["spec"]["replicas"],
            object["spec"]["updateStrategy"]["rollingUpdate"]["partition"]
        ),
        Action::ComponentCall { call, pod, body } => format!("call {call} {pod} {body}"),
        action => format!("{} {}", action.verb(), action.subject()),
    }
}

fn tso(story: &Story) -> &Value {
    &story.status("pdms")["tso"]
}

fn document(story: &mut Story, name: &str, value: &Value) {
    story.world.pd.documents.insert(name.to_owned(), Ok(to_raw_value(value).expect("JSON")));
}

fn unknown(story: &mut Story, name: &str) {
    let failed = Err(Unknown::Failed("no answer within 5 s".into()));
    story.world.pd.documents.insert(name.to_owned(), failed);
}

/// This pod acts for its service.
fn acts(story: &mut Story, service: &str, pod: &str) {
    let address = json!(format!("http://{pod}.c-{service}-peer.n.svc:2379"));
    document(story, &format!("ms/primary/{service}"), &address);
}

/// Rounds without the world following, until nothing more is done. What was done.
fn still(story: &mut Story) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..9 {
        let done = story.round();
        if done.is_empty() {
            return all;
        }
        all.extend(done);
    }
    panic!("no rest: {all:#?}")
}

#[test]
fn services_come_up_without_waiting_for_pd_and_pd_without_waiting_for_them() {
    let mut story = from_nothing(2, 1);
    let first = story.round();
    for object in ["service/c-tso", "service/c-tso-peer", "configmap/c-tso", "statefulset/c-tso", "statefulset/c-pd"] {
        assert!(first.contains(&format!("create {object}")), "{object}: {first:#?}");
    }
    let story = story.at_rest();
    assert_eq!(tso(&story)["phase"], "Normal");
    assert_eq!(tso(&story)["synced"], true);
    assert_eq!(tso(&story)["name"], "tso");
    assert_eq!(tso(&story)["image"], "pingcap/pd:v8.5.2");
    let members = ["http://c-tso-0.c-tso-peer.n.svc:2379", "http://c-tso-1.c-tso-peer.n.svc:2379"];
    assert_eq!(tso(&story)["members"], json!(members));
    assert_eq!(story.status("pdms")["scheduling"]["members"].as_array().map(Vec::len), Some(1));
    assert_eq!(story.waiting(), [""; 0]);
}

#[test]
fn a_cluster_whose_pd_runs_its_services_itself_is_not_touched() {
    for (path, value) in [("/spec/pd/mode", json!("")), ("/spec/pdms", json!([]))] {
        let mut cluster = cluster(2, 2);
        *cluster.pointer_mut(path).expect("it is there") = value;
        let story = Story::new(World::new(cluster), policies(), line).at_rest();
        assert!(story.world.get("StatefulSet", "c-tso").is_none(), "{path}");
        assert_eq!(story.status("pdms"), &Value::Null, "{path}");
    }
}

#[test]
fn an_upgrade_takes_one_pod_at_a_time_and_the_one_that_acts_hands_over_first() {
    for (acting, expected) in [
        (
            "c-tso-1",
            [
                "c-tso replicas=2 partition=2",
                "call 0 c-tso-1 {\"new_primary\":\"c-tso-0\"}",
                "c-tso replicas=2 partition=1",
                "call 0 c-tso-0 {\"new_primary\":\"c-tso-1\"}",
                "c-tso replicas=2 partition=0",
                "c-tso replicas=2 partition=2",
            ]
            .as_slice(),
        ),
        (
            "c-tso-0",
            [
                "c-tso replicas=2 partition=2",
                "c-tso replicas=2 partition=1",
                "call 0 c-tso-0 {\"new_primary\":\"c-tso-1\"}",
                "c-tso replicas=2 partition=0",
                "c-tso replicas=2 partition=2",
            ]
            .as_slice(),
        ),
    ] {
        let mut story = at_rest(2, 1);
        acts(&mut story, "tso", acting);
        story.edit(|spec| spec["pdms"][0]["version"] = "v8.5.3".into());
        assert_eq!(story.run(), expected, "{acting} acts");
        assert_eq!(tso(&story)["phase"], "Normal");
        assert_eq!(tso(&story)["image"], "pingcap/pd:v8.5.3");
    }
}

#[test]
fn the_highest_ordinal_above_takes_over_else_the_lowest_below() {
    for (acting, next) in [("c-tso-2", "c-tso-0"), ("c-tso-1", "c-tso-2"), ("c-tso-0", "c-tso-2")] {
        let mut story = at_rest(3, 1);
        story.edit(|spec| spec["pdms"][0]["version"] = "v8.5.3".into());
        acts(&mut story, "tso", acting);
        let done = story.run();
        let call = done.iter().find(|line| line.starts_with("call")).expect("it hands over");
        assert_eq!(*call, format!("call 0 {acting} {{\"new_primary\":\"{next}\"}}"));
    }
}

#[test]
fn a_pod_restarts_only_after_pd_says_that_another_one_acts() {
    let mut story = at_rest(2, 1);
    acts(&mut story, "tso", "c-tso-1");
    story.edit(|spec| spec["pdms"][0]["version"] = "v8.5.3".into());
    story.settled_round();
    story.world.settle();
    for _ in 0..3 {
        assert_eq!(story.round(), ["call 0 c-tso-1 {\"new_primary\":\"c-tso-0\"}"]);
        // The call was accepted, and PD still names the old one.
        acts(&mut story, "tso", "c-tso-1");
    }
    assert!(story.waiting().contains(&"LeaderTransfer".to_owned()));
    acts(&mut story, "tso", "c-tso-0");
    assert_eq!(story.round(), ["c-tso replicas=2 partition=1"]);
}

#[test]
fn nothing_restarts_while_it_is_not_known_who_acts() {
    let mut story = at_rest(2, 1);
    story.edit(|spec| spec["pdms"][0]["version"] = "v8.5.3".into());
    story.settled_round();
    story.world.settle();
    unknown(&mut story, "ms/primary/tso");
    assert_eq!(still(&mut story), [""; 0]);
    assert!(story.waiting().contains(&"PdUnknown".to_owned()));
    assert_eq!(tso(&story)["synced"], Value::Null);
    document(&mut story, "ms/primary/tso", &json!(""));
    assert_eq!(still(&mut story), [""; 0], "there is none yet");
    assert!(story.waiting().contains(&"LeaderTransfer".to_owned()));
    acts(&mut story, "tso", "c-tso-0");
    assert_eq!(story.round(), ["c-tso replicas=2 partition=1"]);
}

#[test]
fn a_new_pod_must_be_a_member_before_the_next_one_goes() {
    let mut story = at_rest(2, 1);
    acts(&mut story, "tso", "c-tso-0");
    story.edit(|spec| spec["pdms"][0]["version"] = "v8.5.3".into());
    story.until(|story| story.set("c-tso")["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == 1);
    story.world.settle();
    let alone =
        json!([{"name": "c-tso-0", "service-addr": "http://c-tso-0.c-tso-peer.n.svc:2379", "version": "v8.5.2"}]);
    document(&mut story, "ms/members/tso", &alone);
    assert_eq!(still(&mut story), [""; 0]);
    assert!(story.waiting().contains(&"MemberUnhealthy".to_owned()));
    assert_eq!(tso(&story)["phase"], "Upgrade");
}

#[test]
fn one_that_has_nobody_to_take_over_stays() {
    let mut story = at_rest(2, 1);
    acts(&mut story, "tso", "c-tso-1");
    story.edit(|spec| spec["pdms"][0]["version"] = "v8.5.3".into());
    story.settled_round();
    story.world.settle();
    story.world.set_ready("c-tso-0", false);
    assert_eq!(still(&mut story), [""; 0]);
    assert!(story.waiting().contains(&"NoCandidate".to_owned()));
}

#[test]
fn a_broken_pod_is_replaced_without_asking_anybody() {
    let mut story = at_rest(2, 1);
    acts(&mut story, "tso", "c-tso-1");
    story.edit(|spec| spec["pdms"][0]["version"] = "v8.5.3".into());
    story.settled_round();
    story.world.settle();
    story.world.set_ready("c-tso-1", false);
    assert_eq!(story.round(), ["c-tso replicas=2 partition=1"]);
}

#[test]
fn versions_that_cannot_hand_over_and_single_pods_just_restart() {
    let mut old = Story::new(World::new(cluster(2, 1)), policies(), line);
    old.edit(|spec| spec["pdms"][0]["version"] = "v8.2.0".into());
    let mut old = old.at_rest();
    acts(&mut old, "tso", "c-tso-1");
    old.edit(|spec| spec["pdms"][0]["version"] = "v8.2.1".into());
    let steps = [
        "c-tso replicas=2 partition=2",
        "c-tso replicas=2 partition=1",
        "c-tso replicas=2 partition=0",
        "c-tso replicas=2 partition=2",
    ];
    assert_eq!(old.run(), steps);
    let mut single = at_rest(1, 1);
    single.edit(|spec| spec["pdms"][0]["version"] = "v8.5.3".into());
    let steps = ["c-tso replicas=1 partition=1", "c-tso replicas=1 partition=0", "c-tso replicas=1 partition=1"];
    assert_eq!(single.run(), steps);
}

#[test]
fn pd_is_upgraded_after_its_services() {
    let mut story = at_rest(2, 2);
    story.edit(|spec| spec["version"] = "v8.5.3".into());
    let done = story.run();
    let last = |set: &str| done.iter().rposition(|line| line.starts_with(set) && line.ends_with("partition=0"));
    let first = |set: &str| done.iter().position(|line| line.starts_with(set));
    assert!(last("c-tso") < first("c-scheduling"), "{done:#?}");
    assert!(last("c-scheduling") < first("c-pd"), "{done:#?}");
    assert!(first("c-pd").is_some(), "{done:#?}");
}

#[test]
fn a_pd_that_does_not_answer_is_not_held_up_by_its_services() {
    let mut story = at_rest(2, 1);
    story.edit(|spec| spec["pdms"][0]["version"] = "v8.5.3".into());
    story.world.settle();
    let failed = || Unknown::Failed("no answer within 5 s".into());
    story.world.pd.members = Err(failed());
    unknown(&mut story, "ms/members/tso");
    unknown(&mut story, "ms/primary/tso");
    let plans = story.plans();
    assert_eq!(plans[0].actions, [], "{:#?}", plans[0].waiting);
    assert!(!plans[0].hold_later);
    assert_eq!(plans.len(), 2, "PD was asked");
}

#[test]
fn members_are_added_and_removed_one_at_a_time_and_never_the_one_that_acts() {
    let mut story = at_rest(1, 1);
    story.edit(|spec| spec["pdms"][0]["replicas"] = 3.into());
    assert_eq!(story.run(), ["c-tso replicas=2 partition=3", "c-tso replicas=3 partition=3"]);
    acts(&mut story, "tso", "c-tso-2");
    story.edit(|spec| spec["pdms"][0]["replicas"] = 1.into());
    let steps = [
        "call 0 c-tso-2 {\"new_primary\":\"c-tso-0\"}",
        "c-tso replicas=2 partition=2",
        "c-tso replicas=1 partition=1",
    ];
    assert_eq!(story.run(), steps);
    assert_eq!(tso(&story)["phase"], "Normal");
}

#[test]
fn a_smaller_size_in_the_middle_of_an_upgrade_restarts_nobody_else() {
    let mut story = at_rest(4, 1);
    acts(&mut story, "tso", "c-tso-0");
    story.edit(|spec| spec["pdms"][0]["version"] = "v8.5.3".into());
    story.until(|story| story.set("c-tso")["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == 3);
    story.edit(|spec| spec["pdms"][0]["replicas"] = 2.into());
    let steps = ["c-tso replicas=3 partition=3", "c-tso replicas=2 partition=2", "c-tso replicas=2 partition=1"];
    assert_eq!(story.run()[..3], steps);
}

#[test]
fn the_size_stays_while_the_members_are_not_known() {
    let mut story = at_rest(2, 1);
    story.world.settle();
    unknown(&mut story, "ms/members/tso");
    story.edit(|spec| spec["pdms"][0]["replicas"] = 3.into());
    assert_eq!(still(&mut story), [""; 0]);
    assert_eq!(tso(&story)["phase"], "Scale");
    assert!(story.waiting().contains(&"PdUnknown".to_owned()));
}

#[test]
fn delete_slots_keep_the_size() {
    let mut story = at_rest(2, 1);
    story.annotate("tso.tidb.pingcap.com/delete-slots", "[0]");
    story.edit(|spec| spec["pdms"][0]["replicas"] = 3.into());
    let done = story.run();
    assert!(!done.iter().any(|line| line.contains("replicas=3")), "{done:#?}");
    assert!(story.waiting().contains(&"CannotApply".to_owned()));
}

#[test]
fn services_go_back_into_pd_one_pod_at_a_time_once_pd_says_so() {
    let mut story = at_rest(2, 1);
    story.edit(|spec| spec["pd"]["mode"] = "".into());
    let before = story.round();
    assert!(!before.iter().any(|line| line.starts_with("c-tso")), "PD has still to restart: {before:#?}");
    let done = story.run();
    let own: Vec<_> = done.iter().filter(|line| !line.starts_with("c-pd")).collect();
    assert_eq!(
        own,
        ["c-tso replicas=1 partition=2", "c-scheduling replicas=0 partition=1", "c-tso replicas=0 partition=2"]
    );
    assert_eq!(tso(&story)["phase"], "Normal");
    assert_eq!(tso(&story)["members"], Value::Null);
    for kept in ["c-tso", "c-tso-peer"] {
        assert!(story.world.get("Service", kept).is_some(), "{kept} stays");
    }
    assert!(story.world.get("StatefulSet", "c-tso").is_some() && story.world.get("ConfigMap", "c-tso").is_some());
}

#[test]
fn a_service_that_leaves_the_list_stays_until_pd_runs_it() {
    let mut story = at_rest(2, 1);
    story.edit(|spec| {
        spec["pdms"].as_array_mut().expect("a list").remove(0);
    });
    assert_eq!(story.run(), [""; 0]);
    assert!(story.waiting().contains(&"OtherComponent".to_owned()));
}

#[test]
fn nothing_happens_while_the_cluster_is_paused() {
    let mut story = at_rest(2, 1);
    story.edit(|spec| {
        spec["paused"] = true.into();
        spec["version"] = "v8.5.3".into();
    });
    assert_eq!(story.run(), [""; 0]);
    story.edit(|spec| spec["pd"]["mode"] = "".into());
    assert_eq!(story.run(), [""; 0]);
}

#[test]
fn services_are_suspended_after_pd_and_come_back() {
    let mut story = at_rest(2, 1);
    story.edit(|spec| spec["suspendAction"] = json!({"suspendStatefulSet": true}));
    let done = story.run();
    assert_eq!(done, ["delete statefulset/c-pd", "delete statefulset/c-tso", "delete statefulset/c-scheduling"]);
    assert_eq!(tso(&story)["phase"], "Suspend");
    assert_eq!(tso(&story)["statefulSet"], Value::Null);
    story.edit(|spec| spec["suspendAction"] = Value::Null);
    story.run();
    assert_eq!(tso(&story)["phase"], "Normal");
    assert_eq!(tso(&story)["members"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_changed_configuration_replaces_the_pods_where_the_user_wants_that() {
    let mut story = at_rest(2, 1);
    story.edit(|spec| spec["pdms"][0]["config"] = "[log]\nlevel = \"warn\"\n".into());
    assert_eq!(story.run(), ["replace configmap/c-tso"]);
    story.edit(|spec| spec["configUpdateStrategy"] = "RollingUpdate".into());
    assert_eq!(story.run(), [""; 0], "the strategy alone restarts nothing");
    story.edit(|spec| spec["pdms"][0]["config"] = "[log]\nlevel = \"info\"\n".into());
    let done = story.run();
    assert!(done[0].starts_with("create configmap/c-tso-"), "{done:#?}");
    assert!(done.contains(&"c-tso replicas=2 partition=0".to_owned()), "{done:#?}");
}

#[test]
fn what_is_no_toml_is_named_by_its_place() {
    let mut cluster = cluster(1, 1);
    cluster["spec"]["pdms"][1]["config"] = "level = ".into();
    let story = std::panic::catch_unwind(|| Story::new(World::new(cluster), policies(), line).at_rest());
    let text = story.err().and_then(|panic| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    assert!(text.contains("spec.pdms[1].config"), "{text}");
}
