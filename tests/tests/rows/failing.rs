//! Failover (F, L) and recovery (R, Q).

use serde_json::{Value, json};
use tidepool_sdk::native::story::Story;

use crate::cases::{Cases, Given, Policies, add_peer, at_rest, member, silence, waits};

const MINUTE_MS: u64 = 60_000;
const LOST: &str = "test-pd-1";
const CLAIMS: [&str; 2] = ["pd-test-pd-1", "pd-log-test-pd-1"];

/// Three members: row, what is given, whether the lost member is marked after a round, what is waited for, and how many
/// events there are.
const MARKING: [(&str, Given, bool, &str, usize); 10] = [
    ("F1", |_| {}, false, "", 0),
    ("F2", silence, false, "PdUnknown", 0),
    ("F3", two_down, false, "QuorumAtRisk", 0),
    ("F4", two_down_with_peers, false, "Failover", 0),
    ("F5", one_down_with_peers, false, "Failover", 0),
    ("F7", |story| down_for(story, 2), false, "Failover", 0),
    ("F8", |story| down_for(story, 0), false, "Failover", 0),
    ("F9", lost_without_claims, true, "Failover", 1),
    ("F10", |story| down_for(story, 10), true, "Failover", 1),
    ("F11", unlimited_patience, false, "", 0),
];

pub fn run(cases: &mut Cases) {
    for (id, given, wanted, reason, events) in MARKING {
        cases.row(id, |policies| {
            let mut story = at_rest(policies, 3);
            given(&mut story);
            let unknown_quorum = waits(&story, "QuorumAtRisk") && reason != "QuorumAtRisk";
            assert!(waits(&story, reason) && !unknown_quorum, "{:?}", story.waiting());
            assert_eq!(story.events().len(), events);
            story.round();
            assert_eq!(failed(&story)[LOST].is_object(), wanted);
            assert!(!deleted(&story));
            if id == "F10" {
                let uids = failed(&story)[LOST]["pvcUIDSet"].as_object().map(serde_json::Map::len);
                assert_eq!((uids, &failed(&story)[LOST]["memberID"]), (Some(2), &json!("2")));
            }
        });
    }
    replacing(cases);
    leftovers(cases);
    recovery(cases);
}

fn failed(story: &Story) -> &Value {
    &story.status("pd")["failureMembers"]
}

fn deleted(story: &Story) -> bool {
    failed(story)[LOST]["memberDeleted"] == true
}

fn listed(story: &Story) -> bool {
    story.world.pd.members.iter().flatten().any(|member| member.name == LOST)
}

/// The member has been down for some minutes, and another one leads.
fn down_for(story: &mut Story, minutes: u64) {
    story.lead(&member(2));
    story.set_health(LOST, false);
    story.round();
    story.world.now_ms += minutes * MINUTE_MS;
}

fn two_down(story: &mut Story) {
    story.set_health(&member(0), false);
    down_for(story, 10);
}

fn two_down_with_peers(story: &mut Story) {
    add_peer(story, 1, true);
    add_peer(story, 2, true);
    story.set_health(&member(0), false);
    down_for(story, 0);
}

fn one_down_with_peers(story: &mut Story) {
    add_peer(story, 1, true);
    add_peer(story, 2, false);
    down_for(story, 0);
}

fn lost_without_claims(story: &mut Story) {
    without_claims(story);
    down_for(story, 10);
}

fn without_claims(story: &mut Story) {
    CLAIMS.iter().for_each(|claim| story.world.remove("PersistentVolumeClaim", claim));
}

fn unlimited_patience(story: &mut Story) {
    story.edit(|spec| spec["pd"]["maxFailoverCount"] = 0.into());
    down_for(story, 10);
}

/// The member has been down for ten minutes and was marked.
fn marked(policies: Policies) -> Story {
    let mut story = at_rest(policies, 3);
    down_for(&mut story, 10);
    story.round();
    assert!(failed(&story)[LOST].is_object());
    story
}

/// The marked member was removed from PD, its claims and pod are still there.
fn removed(policies: Policies) -> Story {
    let mut story = marked(policies);
    assert_eq!(story.events(), ["PDMemberDeleted"]);
    assert_eq!(story.round(), ["delete-pd-member pd member/2"]);
    story
}

fn pod(story: &mut Story) -> &mut Value {
    story.world.get_mut("Pod", LOST).expect("the pod")
}

fn terminate(object: &mut Value) {
    object["metadata"]["deletionTimestamp"] = "2023-11-14T22:13:20Z".into();
}

fn terminate_claims(story: &mut Story) {
    for claim in CLAIMS {
        terminate(story.world.get_mut("PersistentVolumeClaim", claim).expect("the claim"));
    }
}

fn replacing(cases: &mut Cases) {
    cases.row("F6", |policies| {
        let mut story = marked(policies);
        story.world.pd.members.as_mut().expect("PD answers").retain(|member| member.name != LOST);
        story.round();
        story.round();
        assert!(deleted(&story));
    });
    cases.row("F12", |policies| {
        let mut story = marked(policies);
        without_claims(&mut story);
        story.round();
        story.round();
        assert!(deleted(&story) && !listed(&story));
    });
    cases.row("F13", |policies| {
        let mut story = marked(policies);
        story.world.cluster["status"]["pd"]["failureMembers"][LOST]["memberID"] = "wrong-id".into();
        assert!(waits(&story, "Manual"));
        assert_eq!(story.round(), [""; 0]);
        assert!(!deleted(&story) && listed(&story));
    });
    cases.row("F14", |policies| {
        let mut story = marked(policies);
        assert_eq!(story.failing_round("delete-pd-member"), [""; 0]);
        assert_eq!(story.failing_round("delete-pd-member"), [""; 0]);
        assert!(!deleted(&story) && story.world.get("Pod", LOST).is_some());
    });
    for (id, fails) in [("F15", "delete pod/"), ("F16", "delete persistentvolumeclaim/")] {
        cases.row(id, |policies| {
            let mut story = removed(policies);
            story.failing_round(fails);
            assert!(!deleted(&story));
            if id == "F15" {
                story.failing_round(fails);
                assert!(!deleted(&story));
            }
            (0..3).for_each(|_| drop(story.round()));
            assert!(deleted(&story) && story.world.get("Pod", LOST).is_none());
        });
    }
    cases.row("F20", |policies| {
        let mut story = removed(policies);
        (0..2).for_each(|_| drop(story.round()));
        assert!(deleted(&story));
        assert_ne!(failed(&story)[LOST]["hostDown"], true);
    });
}

/// What is left of the lost member: row, what is given, and what is deleted.
const LEFT: [(&str, Given, &[&str]); 7] = [
    (
        "L17",
        |_| {},
        &[
            "delete persistentvolumeclaim/pd-test-pd-1",
            "delete persistentvolumeclaim/pd-log-test-pd-1",
            "delete pod/test-pd-1",
        ],
    ),
    ("L18", terminate_claims, &["delete pod/test-pd-1"]),
    (
        "L19",
        |story| terminate(pod(story)),
        &["delete persistentvolumeclaim/pd-test-pd-1", "delete persistentvolumeclaim/pd-log-test-pd-1"],
    ),
    ("L20", all_terminate, &[]),
    ("L21", other_claims, &[]),
    (
        "F17",
        |story| terminate(pod(story)),
        &["delete persistentvolumeclaim/pd-test-pd-1", "delete persistentvolumeclaim/pd-log-test-pd-1"],
    ),
    ("F18", terminate_claims, &["delete pod/test-pd-1"]),
];

fn all_terminate(story: &mut Story) {
    terminate(pod(story));
    terminate_claims(story);
}

fn other_claims(story: &mut Story) {
    for claim in CLAIMS {
        let claim = story.world.get_mut("PersistentVolumeClaim", claim).expect("the claim");
        claim["metadata"]["uid"] = format!("new-{}", claim["metadata"]["name"]).into();
    }
}

fn leftovers(cases: &mut Cases) {
    for (id, given, expected) in LEFT {
        cases.row(id, |policies| {
            let mut story = removed(policies);
            given(&mut story);
            assert_eq!(story.round(), expected);
            if id == "F17" {
                assert!(story.world.get("Pod", LOST).is_some());
                story.world.remove("Pod", LOST);
            }
            if id.starts_with('F') {
                story.round();
                assert!(deleted(&story));
            }
        });
    }
}

/// A cluster in which failover has added pods, which the spec does not ask for.
fn with_spares(policies: Policies, replicas: i32, spares: i32) -> Story {
    let mut story = at_rest(policies, replicas + spares);
    story.edit(|spec| spec["pd"]["replicas"] = replicas.into());
    let spare =
        |n: i32| (format!("lost-{n}"), json!({"podName": "test-pd-0", "memberID": "99", "memberDeleted": true}));
    let all: serde_json::Map<String, Value> = (0..spares).map(spare).collect();
    story.world.cluster["status"]["pd"]["failureMembers"] = all.into();
    story
}

/// Row, replicas, pods that failover added, what is given, and whether everything is well again.
const RECOVERY: [(&str, i32, i32, Given, bool); 14] = [
    ("R1", 3, 2, |_| {}, true),
    ("R2", 4, 2, |_| {}, true),
    ("R3", 7, 2, |_| {}, true),
    ("R4", 1, 2, |_| {}, true),
    ("R5", 3, 1, |_| {}, true),
    ("R6", 5, 1, |_| {}, true),
    ("R7", 1, 1, |_| {}, true),
    ("Q1", 3, 0, |_| {}, false),
    ("Q2", 2, 1, |story| ill(story, 0), false),
    ("Q3", 2, 1, |_| {}, true),
    ("Q4", 2, 1, |story| story.set_health(&member(2), false), true),
    ("Q5", 3, 1, |story| story.world.set_ready(&member(2), false), false),
    ("Q6", 3, 1, |story| gone(story, 2), false),
    ("Q7", 2, 1, misnamed, false),
];

fn ill(story: &mut Story, ordinal: u32) {
    story.lead(&member(1));
    story.set_health(&member(ordinal), false);
    story.world.set_ready(&member(ordinal), true);
}

fn gone(story: &mut Story, ordinal: u32) {
    story.world.remove("Pod", &member(ordinal));
    story.world.pd.members.as_mut().expect("PD answers").retain(|m| m.name != member(ordinal));
}

fn misnamed(story: &mut Story) {
    for one in story.world.pd.members.iter_mut().flatten().filter(|m| m.name == member(0)) {
        one.name = "err-pd-0".into();
    }
    story.world.remove("Pod", &member(1));
}

fn recovery(cases: &mut Cases) {
    for (id, replicas, spares, given, wanted) in RECOVERY {
        cases.row(id, |policies| {
            let mut story = with_spares(policies, replicas, spares);
            given(&mut story);
            let before = failed(&story).as_object().map_or(0, serde_json::Map::len);
            story.round();
            let after = failed(&story).as_object().map_or(0, serde_json::Map::len);
            assert_eq!(before > 0 && after == 0, wanted, "{before} were marked, {after} are");
            assert_eq!(story.world.cluster["spec"]["pd"]["replicas"], replicas);
        });
    }
}
