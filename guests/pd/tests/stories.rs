//! What the PD policy does, action by action, on a pretended cluster. The host's own checker looks at every plan.

use serde_json::{Value, json};
use tidepool_sdk::{
    ProbeAnswer, Unknown,
    native::{
        deciding,
        model::{plan::Action, pretend::World, render::Deciding},
        story::Story,
    },
};

fn cluster(replicas: i32) -> Value {
    json!({
        "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
        "metadata": {"name": "c", "namespace": "n"},
        "spec": {
            "version": "v8.5.2",
            "pd": {
                "baseImage": "pingcap/pd", "replicas": replicas, "config": {}, "requests": {"storage": "1Gi"},
            },
        },
    })
}

fn policies() -> Vec<Deciding<'static>> {
    vec![deciding::<policy_pd::Pd>(&json!({}))]
}

fn at_rest(replicas: i32) -> Story {
    Story::new(World::new(cluster(replicas)), policies(), line).at_rest()
}

fn pd(story: &Story) -> &Value {
    story.status("pd")
}

fn line(action: &Action) -> String {
    match action {
        Action::Replace { object, .. } if object["kind"] == "StatefulSet" => format!(
            "replace statefulset replicas={} partition={}",
            object["spec"]["replicas"], object["spec"]["updateStrategy"]["rollingUpdate"]["partition"]
        ),
        action => format!("{} {}", action.verb(), action.subject()),
    }
}

#[test]
fn a_new_cluster_comes_up_and_then_nothing_is_written() {
    let mut story = at_rest(3);
    assert_eq!(pd(&story)["phase"], "Normal");
    assert_eq!(pd(&story)["synced"], true);
    assert_eq!(pd(&story)["members"].as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(pd(&story)["image"], "pingcap/pd:v8.5.2");
    assert_eq!(story.world.cluster["status"]["clusterID"], "7000000000000000001");
    assert_eq!(story.waiting(), [""; 0]);
    assert_eq!(story.run(), [""; 0]);
}

#[test]
fn members_are_added_one_at_a_time() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["pd"]["replicas"] = 5.into());
    let done = story.run();
    assert_eq!(done, ["replace statefulset replicas=4 partition=5", "replace statefulset replicas=5 partition=5"]);
    assert_eq!(story.world.pd.members.as_ref().map(Vec::len), Ok(5));
}

#[test]
fn a_member_leaves_pd_before_its_pod_goes_and_its_volume_goes_before_the_next_one_comes() {
    let mut story = at_rest(4);
    story.lead("c-pd-3");
    story.edit(|spec| spec["pd"]["replicas"] = 3.into());
    assert_eq!(
        story.run(),
        [
            "transfer-pd-leader pd member/c-pd-0",
            "delete-pd-member pd member/4",
            "merge-patch persistentvolumeclaim/pd-c-pd-3",
            "replace statefulset replicas=3 partition=3",
        ]
    );
    story.edit(|spec| spec["pd"]["replicas"] = 4.into());
    let done = story.run();
    assert_eq!(done, ["delete persistentvolumeclaim/pd-c-pd-3", "replace statefulset replicas=4 partition=4"]);
    assert_eq!(story.world.pd.members.as_ref().map(Vec::len), Ok(4));
}

#[test]
fn no_member_leaves_while_the_others_would_be_no_quorum() {
    let mut story = at_rest(3);
    story.set_health("c-pd-0", false);
    story.lead("c-pd-1");
    story.edit(|spec| spec["pd"]["replicas"] = 2.into());
    assert_eq!(story.round(), [""; 0]);
    assert!(story.waiting().contains(&"QuorumAtRisk".to_owned()));
}

#[test]
fn an_upgrade_moves_the_leader_away_from_each_pod_before_it_restarts() {
    for leader in 0..3 {
        let mut story = at_rest(3);
        story.lead(&format!("c-pd-{leader}"));
        story.edit(|spec| spec["version"] = "v8.5.3".into());
        let done = story.run();
        let rolls: Vec<_> = done.iter().filter(|line| line.starts_with("replace")).cloned().collect();
        assert_eq!(
            rolls,
            [
                "replace statefulset replicas=3 partition=3",
                "replace statefulset replicas=3 partition=2",
                "replace statefulset replicas=3 partition=1",
                "replace statefulset replicas=3 partition=0",
                "replace statefulset replicas=3 partition=3",
            ],
            "leader {leader}"
        );
        assert_eq!(done.iter().filter(|line| line.starts_with("transfer")).count(), usize::from(leader == 2) + 1);
        assert_eq!(pd(&story)["image"], "pingcap/pd:v8.5.3");
        for ordinal in 0..3 {
            let pod = story.world.get("Pod", &format!("c-pd-{ordinal}")).expect("the pod exists");
            assert_eq!(pod["spec"]["containers"][0]["image"], "pingcap/pd:v8.5.3");
        }
    }
}

#[test]
fn an_upgrade_waits_for_a_member_that_is_not_well() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["version"] = "v8.5.3".into());
    story.round();
    story.world.settle();
    assert_eq!(story.round(), ["replace statefulset replicas=3 partition=2"]);
    story.world.settle();
    story.set_health("c-pd-2", false);
    assert_eq!(story.round(), [""; 0]);
    assert!(story.waiting().contains(&"PodsNotReady".to_owned()));
    story.set_health("c-pd-2", true);
    let ready = ("c-pd-2".to_owned(), "/pd/api/v2/ready".to_owned());
    let busy = ProbeAnswer { status: 503, body: String::new() };
    story.world.answers.insert(ready.clone(), Ok(busy));
    assert_eq!(story.round(), [""; 0]);
    assert_eq!(story.waiting(), ["MemberUnhealthy"]);
    story.world.answers.remove(&ready);
    assert_eq!(story.round(), ["replace statefulset replicas=3 partition=1"]);
}

#[test]
fn an_upgrade_is_over_when_the_last_member_is_well() {
    let mut story = at_rest(3);
    story.lead("c-pd-2");
    story.edit(|spec| spec["version"] = "v8.5.3".into());
    while story.set("c-pd")["spec"]["updateStrategy"]["rollingUpdate"]["partition"] != 0 {
        story.round();
        story.world.settle();
    }
    let last = (0..3).map(|n| format!("c-pd-{n}")).find(|pod| *pod != story.leader()).expect("there are three");
    story.set_health(&last, false);
    assert_eq!(story.round(), [""; 0]);
    assert_eq!(pd(&story)["phase"], "Upgrade");
    story.set_health(&last, true);
    assert_eq!(story.run(), ["replace statefulset replicas=3 partition=3"]);
    assert_eq!(pd(&story)["phase"], "Normal");
}

#[test]
fn a_changed_configuration_reaches_the_pods_only_under_rolling_update() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["pd"]["config"] = json!({"lease": 3}));
    assert_eq!(story.run(), ["replace configmap/c-pd"]);
    story.edit(|spec| spec["configUpdateStrategy"] = "RollingUpdate".into());
    assert_eq!(story.run(), [""; 0], "the strategy alone restarts nothing");
    story.edit(|spec| spec["pd"]["config"] = json!({"lease": 5}));
    let done = story.run();
    assert!(done[0].starts_with("create configmap/c-pd-"), "{done:?}");
    assert!(done.contains(&"replace statefulset replicas=3 partition=0".to_owned()), "{done:?}");
}

#[test]
fn a_lost_member_is_replaced_and_the_spare_one_goes_again() {
    let mut story = at_rest(3);
    story.lead("c-pd-0");
    story.set_health("c-pd-2", false);
    assert_eq!(story.round(), [""; 0]);
    assert!(story.waiting().contains(&"Failover".to_owned()));
    story.world.now_ms += 299_000;
    assert_eq!(story.round(), [""; 0]);
    story.world.now_ms += 2_000;
    assert_eq!(story.round(), [""; 0], "it is marked");
    assert!(pd(&story)["failureMembers"]["c-pd-2"].is_object());
    assert_eq!(story.round(), ["delete-pd-member pd member/3"]);
    assert_eq!(story.round(), ["delete persistentvolumeclaim/pd-c-pd-2", "delete pod/c-pd-2"]);
    assert_ne!(pd(&story)["failureMembers"]["c-pd-2"]["memberDeleted"], true, "what was asked for was not seen yet");
    assert_eq!(story.round(), [""; 0]);
    assert_eq!(pd(&story)["failureMembers"]["c-pd-2"]["memberDeleted"], true);
    let done = story.run();
    assert_eq!(
        done,
        [
            "replace statefulset replicas=4 partition=4",
            "delete-pd-member pd member/5",
            "merge-patch persistentvolumeclaim/pd-c-pd-3",
            "replace statefulset replicas=3 partition=3",
        ]
    );
    assert!(pd(&story)["failureMembers"].is_null());
    assert_eq!(pd(&story)["members"].as_object().map(serde_json::Map::len), Some(3));
}

#[test]
fn a_lost_member_whose_pod_still_seems_to_serve_goes_with_its_volumes() {
    let mut story = at_rest(3);
    story.lead("c-pd-0");
    story.set_health("c-pd-2", false);
    story.round();
    story.world.now_ms += 301_000;
    story.round();
    assert_eq!(story.round(), ["delete-pd-member pd member/3"]);
    story.world.set_ready("c-pd-2", true);
    assert_eq!(story.round(), ["merge-patch persistentvolumeclaim/pd-c-pd-2"], "whose it was");
    assert_eq!(story.round(), ["delete persistentvolumeclaim/pd-c-pd-2", "delete pod/c-pd-2"]);
    story.settled_round();
    assert_eq!(pd(&story)["failureMembers"], Value::Null, "the member after it is well");
}

/// A pod that stands still is ready, and so is the one after it; neither keeps the failover from going on.
#[test]
fn the_pod_after_a_lost_member_seems_to_serve_at_once() {
    let mut story = at_rest(3);
    story.lead("c-pd-0");
    story.set_health("c-pd-2", false);
    story.round();
    story.world.now_ms += 301_000;
    story.round();
    story.round();
    let deleted: Vec<Vec<String>> = (0..6).map(|_| story.round()).collect();
    let pods = deleted.iter().flatten().filter(|action| *action == "delete pod/c-pd-2").count();
    assert_eq!(pods, 1, "{deleted:?}");
}

/// No pod runs with TLS, so PD does not, whatever somebody wrote into its template.
#[test]
fn a_template_with_tls_by_hand_is_put_right_and_no_pod_restarts() {
    let mut story = at_rest(3);
    let set = story.world.get_mut("StatefulSet", "c-pd").expect("there");
    set["spec"]["template"]["spec"]["volumes"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"name": "pd-tls", "secret": {"secretName": "c-pd-cluster-secret"}}));
    assert_eq!(story.round(), ["replace statefulset replicas=3 partition=3"]);
    let set = story.world.get("StatefulSet", "c-pd").expect("there");
    assert!(!set["spec"]["template"].to_string().contains("pd-tls"));
    assert!(!story.waiting().contains(&"Manual".to_owned()), "{:?}", story.waiting());
}

#[test]
fn without_a_quorum_nothing_is_done() {
    let mut story = at_rest(3);
    story.set_health("c-pd-1", false);
    story.set_health("c-pd-2", false);
    story.world.now_ms += 3_600_000;
    story.round();
    story.world.now_ms += 3_600_000;
    assert_eq!(story.round(), [""; 0]);
    assert!(story.waiting().contains(&"QuorumAtRisk".to_owned()));
    story.world.pd.members = Err(Unknown::Failed("no answer".into()));
    story.edit(|spec| {
        spec["version"] = "v8.5.3".into();
        spec["pd"]["replicas"] = 1.into();
    });
    assert_eq!(story.round(), [""; 0]);
    assert_eq!(pd(&story)["synced"], false);
    assert!(story.waiting().contains(&"PdUnknown".to_owned()));
}

#[test]
fn a_forced_upgrade_of_a_dead_pd_changes_its_template_and_not_its_size() {
    let mut story = at_rest(3);
    story.world.pd.members = Err(Unknown::Failed("no answer".into()));
    for ordinal in 0..3 {
        story.world.set_ready(&format!("c-pd-{ordinal}"), false);
    }
    story.world.cluster["metadata"]["annotations"] = json!({"tidb.pingcap.com/force-upgrade": "true"});
    story.edit(|spec| {
        spec["version"] = "v8.5.3".into();
        spec["pd"]["replicas"] = 1.into();
    });
    assert_eq!(story.round(), ["replace statefulset replicas=3 partition=0"]);
}

#[test]
fn a_paused_cluster_is_watched_and_not_written() {
    let mut story = at_rest(3);
    story.edit(|spec| {
        spec["paused"] = true.into();
        spec["version"] = "v8.5.3".into();
    });
    story.set_health("c-pd-2", false);
    assert_eq!(story.round(), [""; 0]);
    assert_eq!(pd(&story)["members"]["c-pd-2"]["health"], false);
    assert_eq!(story.waiting(), ["Paused"]);
}

#[test]
fn a_suspended_pd_goes_and_comes_back() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["suspendAction"] = json!({"suspendStatefulSet": true}));
    assert_eq!(story.run(), ["delete statefulset/c-pd"]);
    assert_eq!(pd(&story)["phase"], "Suspend");
    assert!(pd(&story)["statefulSet"].is_null());
    assert!(story.world.get("Service", "c-pd").is_some() && story.world.get("ConfigMap", "c-pd").is_some());
    story.edit(|spec| spec["suspendAction"] = Value::Null);
    assert_eq!(story.run(), ["create statefulset/c-pd"]);
    assert_eq!(pd(&story)["phase"], "Normal");
}

#[test]
fn empty_slots_that_kubernetes_cannot_leave_empty_are_refused() {
    let mut story = at_rest(3);
    story.world.cluster["metadata"]["annotations"] = json!({"pd.tidb.pingcap.com/delete-slots": "[1]"});
    story.edit(|spec| spec["pd"]["replicas"] = 2.into());
    let done = story.run();
    assert!(done.iter().all(|line| !line.starts_with("delete")), "{done:?}");
    assert_eq!(story.set("c-pd")["spec"]["replicas"], 3);
    assert_eq!(story.leader(), "c-pd-0");
    assert!(story.waiting().contains(&"CannotApply".to_owned()));
    story.edit(|spec| spec["pd"]["replicas"] = 3.into());
    assert!(story.waiting().contains(&"CannotApply".to_owned()), "the wrong pods are there");
    story.world.cluster["metadata"]["annotations"] = json!({"pd.tidb.pingcap.com/delete-slots": "[7]"});
    assert_eq!(story.waiting(), [""; 0], "an ordinal that there would not be anyway");
}

/// A cluster that the existing operator left running.
fn taken_over(state: &str) -> Story {
    let path = format!("{}/../../tests/goldens/takeover/{state}/objects.json", env!("CARGO_MANIFEST_DIR"));
    let objects = std::fs::read_to_string(path).expect("it can be read");
    Story::taken_over(&serde_json::from_str::<Vec<Value>>(&objects).expect("JSON"), policies(), line)
}

#[test]
fn a_cluster_that_is_taken_over_is_not_touched() {
    for state in ["basic", "full", "scaled"] {
        let mut story = taken_over(state);
        let before = story.world.clone();
        let first = story.round();
        assert_eq!(first, [""; 0], "{state}");
        let name = format!("{}-pd", story.world.cluster["metadata"]["name"].as_str().expect("a name"));
        assert_eq!(story.world.get("StatefulSet", &name), before.get("StatefulSet", &name), "{state}");
    }
}

#[test]
fn tls_is_not_switched_while_pd_has_several_members() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["tlsCluster"] = json!({"enabled": true}));
    assert_eq!(story.run(), [""; 0]);
    assert_eq!(story.waiting(), ["Manual"]);
    story.edit(|spec| spec["tlsCluster"] = json!({"enabled": false}));
    assert!(story.waiting().is_empty());
}

#[test]
fn tls_is_switched_with_one_member() {
    let mut story = at_rest(1);
    story.edit(|spec| spec["tlsCluster"] = json!({"enabled": true}));
    let done = story.run();
    assert!(done.iter().any(|line| line == "replace statefulset replicas=1 partition=0"), "{done:#?}");
    let volumes = story.set("c-pd")["spec"]["template"]["spec"]["volumes"].as_array().expect("volumes");
    assert!(volumes.iter().any(|volume| volume["name"] == "pd-tls"));
    assert!(story.waiting().is_empty());
}
