//! What somebody asks of single pods and volumes, action by action, on a pretended cluster.

use serde_json::{Value, json};
use tidepool_sdk::native::{
    deciding,
    model::{plan::Action, pretend::World},
    story::Story,
};

const TRANSFER_LEADER: &str = "tidb.pingcap.com/pd-transfer-leader";
const EXPIRATION: &str = "tidb.pingcap.com/pd-evict-leader-expiration-time";
const REPLACE_VOLUME: &str = "tidb.pingcap.com/replace-volume";

fn at_rest() -> Story {
    let cluster = json!({
        "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
        "metadata": {"name": "c", "namespace": "n"},
        "spec": {
            "version": "v8.5.2",
            "pd": {"replicas": 3, "config": {}, "requests": {"storage": "1Gi"}},
        },
    });
    Story::new(World::new(cluster), vec![deciding::<policy_pd::Pd>(&json!({}))], line).at_rest()
}

fn line(action: &Action) -> String {
    format!("{} {}", action.verb(), action.subject())
}

fn ask(story: &mut Story, pod: &str, annotations: &Value) {
    story.world.get_mut("Pod", pod).expect("the pod")["metadata"]["annotations"] = annotations.clone();
}

fn ids(story: &Story) -> Vec<String> {
    story.world.pd.members.iter().flatten().map(|member| member.id.clone()).collect()
}

#[test]
fn a_pod_that_must_not_lead_gives_leadership_away_and_stays() {
    let mut story = at_rest();
    ask(&mut story, "c-pd-0", &json!({TRANSFER_LEADER: "none"}));
    assert_eq!(story.run(), ["transfer-pd-leader pd member/c-pd-1"]);
    assert_eq!(story.waiting(), [""; 0]);
    story.lead("c-pd-0");
    assert_eq!(story.run(), ["transfer-pd-leader pd member/c-pd-1"], "as long as it is asked for");
}

#[test]
fn a_pod_is_made_anew_only_once_another_member_leads() {
    let mut story = at_rest();
    ask(&mut story, "c-pd-0", &json!({TRANSFER_LEADER: "delete-pod"}));
    assert_eq!(story.failing_round("transfer-pd-leader"), [""; 0]);
    assert_eq!(story.run(), ["transfer-pd-leader pd member/c-pd-1", "delete pod/c-pd-0"]);
    assert_eq!(ids(&story), ["1", "2", "3"]);
    ask(&mut story, "c-pd-2", &json!({TRANSFER_LEADER: "delete-pod"}));
    story.set_health("c-pd-0", false);
    assert_eq!(story.round(), [""; 0]);
    assert!(story.waiting().contains(&"QuorumAtRisk".to_owned()));
}

#[test]
fn a_request_that_has_expired_or_whose_end_cannot_be_read_is_taken_off() {
    for end in ["2023-11-14T22:00:00Z", "tomorrow"] {
        let mut story = at_rest();
        ask(&mut story, "c-pd-0", &json!({TRANSFER_LEADER: "none", EXPIRATION: end, "other": "x"}));
        assert_eq!(story.run(), ["merge-patch pod/c-pd-0"]);
        let pod = story.world.get("Pod", "c-pd-0").expect("the pod");
        assert_eq!(pod["metadata"]["annotations"], json!({"other": "x"}));
    }
    let mut story = at_rest();
    ask(&mut story, "c-pd-0", &json!({TRANSFER_LEADER: "none", EXPIRATION: "2023-11-15T00:00:00Z"}));
    assert_eq!(story.round(), ["transfer-pd-leader pd member/c-pd-1"]);
}

#[test]
fn volumes_are_replaced_by_a_new_member() {
    let mut story = at_rest();
    ask(&mut story, "c-pd-0", &json!({REPLACE_VOLUME: "true"}));
    assert_eq!(
        story.run(),
        [
            "transfer-pd-leader pd member/c-pd-1",
            "delete-pd-member pd member/1",
            "delete persistentvolumeclaim/pd-c-pd-0",
            "delete pod/c-pd-0",
        ]
    );
    assert_eq!(ids(&story), ["2", "3", "4"]);
    assert_eq!(story.status("pd")["phase"], "Normal");
    assert!(story.status("pd")["failureMembers"].is_null());
}

#[test]
fn volumes_of_a_pod_stay_while_another_member_is_down_or_the_pod_still_runs() {
    let mut story = at_rest();
    story.set_health("c-pd-2", false);
    ask(&mut story, "c-pd-1", &json!({REPLACE_VOLUME: "true"}));
    assert_eq!(story.round(), [""; 0]);
    assert!(story.waiting().contains(&"MemberUnhealthy".to_owned()));
    story.set_health("c-pd-2", true);
    assert_eq!(story.round(), ["delete-pd-member pd member/2"]);
    story.world.set_ready("c-pd-1", true);
    assert_eq!(story.round(), [""; 0]);
    assert!(story.waiting().contains(&"MemberRemoval".to_owned()));
}

#[test]
fn requests_wait_for_an_upgrade_or_a_new_size_and_do_not_hold_it_up() {
    let mut story = at_rest();
    story.edit(|spec| spec["version"] = "v8.5.3".into());
    story.until(|story| story.set("c-pd")["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == 2);
    ask(&mut story, "c-pd-0", &json!({REPLACE_VOLUME: "true"}));
    assert!(story.waiting().contains(&"Upgrading".to_owned()));
    let done = story.run();
    assert!(
        done.iter().all(|line| !line.starts_with("delete")),
        "the pod was replaced, and the request with it: {done:?}"
    );
    assert_eq!((ids(&story).len(), story.status("pd")["image"].as_str()), (3, Some("pingcap/pd:v8.5.3")));
    story.edit(|spec| spec["pd"]["replicas"] = 4.into());
    ask(&mut story, "c-pd-1", &json!({REPLACE_VOLUME: "true"}));
    let done = story.run();
    assert_eq!(done.first().map(String::as_str), Some("replace statefulset/c-pd"), "{done:?}");
    assert_eq!(ids(&story).len(), 4);
    assert!(done.contains(&"delete persistentvolumeclaim/pd-c-pd-1".to_owned()), "{done:?}");
}

#[test]
fn volumes_grow_pod_by_pod_and_never_shrink() {
    let mut story = at_rest();
    let before = story.set("c-pd").clone();
    story.edit(|spec| spec["pd"]["requests"]["storage"] = "2Gi".into());
    assert_eq!(story.round(), ["merge-patch persistentvolumeclaim/pd-c-pd-0"]);
    assert_eq!(story.round(), [""; 0], "the next one waits for the first");
    assert!(story.waiting().contains(&"ClaimNotReady".to_owned()));
    let rest = ["merge-patch persistentvolumeclaim/pd-c-pd-1", "merge-patch persistentvolumeclaim/pd-c-pd-2"];
    assert_eq!(story.run(), rest);
    assert_eq!(story.status("pd")["volumes"]["pd"]["modifiedCount"], 3);
    assert_eq!(story.set("c-pd")["spec"]["volumeClaimTemplates"], before["spec"]["volumeClaimTemplates"]);
    story.edit(|spec| spec["pd"]["requests"]["storage"] = "1536Mi".into());
    assert_eq!(story.run(), [""; 0]);
    assert!(story.waiting().contains(&"CannotApply".to_owned()));
}

#[test]
fn the_volume_of_a_new_pod_grows_after_it_is_made() {
    let mut story = at_rest();
    story.edit(|spec| spec["pd"]["requests"]["storage"] = "2Gi".into());
    story.run();
    story.edit(|spec| spec["pd"]["replicas"] = 4.into());
    assert_eq!(story.run(), ["replace statefulset/c-pd", "merge-patch persistentvolumeclaim/pd-c-pd-3"]);
}
