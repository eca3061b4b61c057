//! Adding and removing members (SO, SI, SG), and one step of a size with empty ordinals (K).

use serde_json::{Value, json};
use tidepool_sdk::{
    native::story::Story,
    slots::{self, Slots, Step},
};

use crate::cases::{Cases, Given, Policies, at_rest, member, silence, size, waits};

/// Rounds in which a step is made, if it is made at all.
const ROUNDS: usize = 6;

/// 5 -> 7: row, what is given, the size after one step, and what is waited for.
const OUT: [(&str, Given, i64, &str); 7] = [
    ("SO1", |story| claim(story, &Value::Null), 6, ""),
    ("SO2", |story| story.world.cluster["status"]["pd"]["phase"] = "Upgrade".into(), 6, ""),
    ("SO3", |_| {}, 6, ""),
    ("SO4", |story| claim(story, &json!({})), 6, ""),
    ("SO5", |story| claim(story, &deferred()), 5, "ClaimNotReady"),
    ("SO6", failing_member, 6, ""),
    ("SO7", silence, 5, "PdUnknown"),
];

/// 5 -> 3: row, what is given, the action that fails, the size after one step, and what is waited for.
const IN: [(&str, Given, &str, i64, &str); 6] = [
    ("SI1", |_| {}, "", 4, ""),
    ("SI2", |story| story.world.cluster["status"]["pd"]["phase"] = "Upgrade".into(), "", 4, ""),
    ("SI3", |_| {}, "delete-pd-member", 5, "MemberRemoval"),
    ("SI4", without_claims, "", 4, ""),
    ("SI5", |_| {}, "merge-patch persistentvolumeclaim/", 5, ""),
    ("SI6", silence, "", 5, "PdUnknown"),
];

pub fn run(cases: &mut Cases) {
    for (id, given, wanted, reason) in OUT {
        cases.row(id, |policies| scale_out(policies, id, given, wanted, reason));
    }
    for (id, given, fails, wanted, reason) in IN {
        cases.row(id, |policies| scale_in(policies, given, fails, wanted, reason));
    }
    in_use(cases);
    steps(cases);
}

fn scale_out(policies: Policies, id: &str, given: Given, wanted: i64, reason: &str) {
    let mut story = at_rest(policies, 5);
    given(&mut story);
    story.edit(|spec| spec["pd"]["replicas"] = 7.into());
    for _ in 0..ROUNDS {
        if size(&story) != 5 {
            break;
        }
        if id == "SO5" {
            story.failing_round("delete persistentvolumeclaim/");
        } else {
            story.round();
        }
    }
    assert_eq!(size(&story), wanted);
    assert!(waits(&story, reason), "{:?}", story.waiting());
    let kept = story.world.get("PersistentVolumeClaim", "pd-test-pd-5").is_some();
    assert_eq!(kept, ["SO1", "SO4", "SO5"].contains(&id));
}

/// A claim for the pod that is added.
fn claim(story: &mut Story, annotations: &Value) {
    let mut claim = story.world.get("PersistentVolumeClaim", "pd-test-pd-0").expect("a claim").clone();
    claim["metadata"]["name"] = "pd-test-pd-5".into();
    claim["metadata"]["uid"] = Value::Null;
    claim["metadata"]["annotations"] = annotations.clone();
    story.world.put(claim);
}

fn deferred() -> Value {
    json!({"tidb.pingcap.com/pvc-defer-deleting": "2023-11-14T22:00:00Z"})
}

fn failing_member(story: &mut Story) {
    claim(story, &deferred());
    story.lead(&member(1));
    story.set_health(&member(0), false);
    let failed = json!({"podName": member(3), "memberID": "4"});
    story.world.cluster["status"]["pd"]["failureMembers"] = json!({ member(3): failed });
}

fn scale_in(policies: Policies, given: Given, fails: &str, wanted: i64, reason: &str) {
    let mut story = at_rest(policies, 5);
    given(&mut story);
    story.edit(|spec| spec["pd"]["replicas"] = 3.into());
    for _ in 0..ROUNDS {
        let planned = story.plans().into_iter().flat_map(|plan| plan.actions);
        let lines: Vec<String> = planned.map(|action| format!("{} {}", action.verb(), action.subject())).collect();
        if size(&story) != 5 {
            break;
        }
        if !fails.is_empty() && lines.iter().any(|line| line.starts_with(fails)) {
            story.failing_round(fails);
        } else {
            story.round();
        }
    }
    assert_eq!(size(&story), wanted);
    assert!(waits(&story, reason), "{:?}", story.waiting());
    let members = story.world.pd.members.as_ref().map_or(5, Vec::len);
    assert_eq!(members == 5, fails == "delete-pd-member" || reason == "PdUnknown", "a member leaves before its pod");
}

fn without_claims(story: &mut Story) {
    for claim in ["pd-test-pd-4", "pd-log-test-pd-4"] {
        story.world.remove("PersistentVolumeClaim", claim);
    }
}

/// The last member stays while something uses PD.
fn in_use(cases: &mut Cases) {
    let users = [
        ("SG1", json!({"tikv": {"stores": {"1": {"id": "1"}}}})),
        ("SG2", json!({"tidb": {"members": {"test-tidb-0": {"name": "test-tidb-0"}}}})),
        ("SG3", json!({"tiflash": {"stores": {"1": {"id": "1"}}}})),
        ("SG4", json!({"ticdc": {"statefulSet": {"replicas": 1}}})),
        ("SG5", json!({"pump": {"statefulSet": {"replicas": 1}}})),
        ("SG6", json!({})),
    ];
    for (id, users) in users {
        cases.row(id, |policies| {
            let mut story = at_rest(policies, 1);
            crate::cases::merge(&mut story.world.cluster["status"], &users);
            story.edit(|spec| spec["pd"]["replicas"] = 0.into());
            let blocked = waits(&story, "StillInUse");
            (0..ROUNDS).for_each(|_| drop(story.round()));
            assert_eq!((blocked, size(&story)), if id == "SG6" { (false, 0) } else { (true, 1) });
        });
    }
}

/// Replicas and empty ordinals.
type Size = (i32, &'static [i32]);
/// A step, and replicas and empty ordinals after it.
type After = (Step, i32, &'static [i32]);

fn steps(cases: &mut Cases) {
    use Step::{In, Out};
    let rows: [(&str, Size, Size, &[After]); 13] = [
        ("K1", (1, &[]), (1, &[]), &[]),
        ("K2", (1, &[]), (0, &[]), &[(In(0), 0, &[])]),
        ("K3", (8, &[]), (6, &[]), &[(In(7), 7, &[]), (In(6), 6, &[])]),
        ("K4", (2, &[]), (0, &[]), &[(In(1), 1, &[]), (In(0), 0, &[])]),
        ("K5", (0, &[]), (1, &[]), &[(Out(0), 1, &[])]),
        ("K6", (3, &[]), (5, &[]), &[(Out(3), 4, &[]), (Out(4), 5, &[])]),
        ("K7", (5, &[1]), (3, &[1, 2, 3]), &[(In(3), 4, &[1, 3]), (In(2), 3, &[1, 2, 3])]),
        ("K8", (2, &[0]), (0, &[]), &[(In(2), 1, &[0]), (In(1), 0, &[])]),
        ("K9", (2, &[0]), (0, &[0, 1, 3]), &[(In(2), 1, &[0, 3]), (In(1), 0, &[0, 1, 3])]),
        ("K10", (0, &[]), (2, &[0]), &[(Out(1), 1, &[0]), (Out(2), 2, &[0])]),
        ("K11", (3, &[1, 2, 3]), (5, &[1]), &[(Out(2), 4, &[1, 3]), (Out(3), 5, &[1])]),
        ("K12", (0, &[]), (2, &[0, 4, 5]), &[(Out(1), 1, &[0, 4, 5]), (Out(2), 2, &[0, 4, 5])]),
        ("K13", (4, &[1]), (4, &[2]), &[(Out(1), 5, &[]), (In(2), 4, &[2])]),
    ];
    for (id, actual, desired, expected) in rows {
        cases.row(id, |_| {
            let wanted: Slots = desired.1.iter().copied().collect();
            let (mut replicas, mut empty) = (actual.0, actual.1.iter().copied().collect::<Slots>());
            for (step, size, left) in expected {
                let next = slots::next((replicas, &empty), (desired.0, &wanted));
                assert_eq!((&next.step, next.replicas), (step, *size));
                assert_eq!(next.slots.iter().copied().collect::<Vec<_>>(), *left);
                (replicas, empty) = (next.replicas, next.slots);
            }
            assert_eq!(slots::next((replicas, &empty), (desired.0, &wanted)).step, Step::None);
        });
    }
}
