//! Upgrades (U), and whom leadership goes to (T).

use std::collections::BTreeMap;

use policy_pd::members;
use serde_json::{Value, json};
use tidepool_api::{TidbCluster, status::PdMember};
use tidepool_sdk::native::story::Story;

use crate::cases::{Cases, Given, Policies, at_rest, image, member, partition, phase, set, silence, waits};

/// The last pod has the new template, the other two have the old one, and the last member leads. Row, what is given, the
/// partition after a round, and what is waited for.
const ROWS: [(&str, Given, i64, &str); 10] = [
    ("U1", |_| {}, 1, "Upgrading"),
    ("U2", |story| (0..3).for_each(|n| story.world.set_ready(&member(n), false)), 2, "PodsNotReady"),
    ("U3", |story| strategy(story, &json!({"type": "OnDelete"})), -1, "Manual"),
    ("U4", |story| strategy(story, &json!({"type": "RollingUpdate"})), -1, "Manual"),
    ("U7", |story| ill(story, 2), 2, "MemberUnhealthy"),
    ("U8", |story| story.lead(&member(1)), 2, "LeaderTransfer"),
    ("U9", silence, 2, "PdUnknown"),
    ("U11", not_stable_and_cautious, 2, "QuorumAtRisk"),
    ("U12", |story| story.set_health(&member(1), false), 1, ""),
    ("U13", |story| story.annotate("tidb.pingcap.com/tidb-min-ready-seconds", "300"), 1, "Upgrading"),
];

pub fn run(cases: &mut Cases) {
    for (id, given, wanted, reason) in ROWS {
        cases.row(id, |policies| {
            let mut story = under_way(policies);
            given(&mut story);
            let strategy = set(&story)["spec"]["updateStrategy"].clone();
            assert!(waits(&story, reason), "{:?}", story.waiting());
            let done = story.round();
            assert_eq!((partition(&story), phase(&story)), (wanted, "Upgrade"));
            assert!(reason != "Manual" || set(&story)["spec"]["updateStrategy"] == strategy);
            assert_eq!(id == "U8", done == ["transfer-pd-leader pd member/test-pd-2"], "{done:?}");
            assert!(id != "U8" || story.leader() == member(2));
        });
    }
    others(cases);
    successors(cases);
}

/// The upgrade has replaced the last pod.
fn under_way(policies: Policies) -> Story {
    let mut story = at_rest(policies, 3);
    story.edit(|spec| spec["pd"]["image"] = "pd-test-image:v2".into());
    story.until(|story| partition(story) == 2);
    story.world.settle();
    story.lead(&member(2));
    story
}

fn strategy(story: &mut Story, strategy: &Value) {
    story.world.get_mut("StatefulSet", "test-pd").expect("the set")["spec"]["updateStrategy"] = strategy.clone();
}

/// The member's pod is ready, and PD says that the member is not healthy.
fn ill(story: &mut Story, ordinal: u32) {
    story.set_health(&member(ordinal), false);
    story.world.set_ready(&member(ordinal), true);
}

fn not_stable_and_cautious(story: &mut Story) {
    story.set_health(&member(1), false);
    story.annotate("tidb.pingcap.com/pd-check-quorum-before-upgrade", "true");
}

fn others(cases: &mut Cases) {
    cases.row("U5", |policies| {
        let mut story = at_rest(policies, 3);
        story.edit(|spec| spec["pd"]["image"] = "pd-test-image:v2".into());
        story.round();
        assert_eq!((partition(&story), phase(&story), image(&story)), (3, "Upgrade", "pd-test-image:v2"));
    });
    cases.row("U6", |policies| {
        let mut story = at_rest(policies, 3);
        story.edit(|spec| {
            spec["pd"]["image"] = "pd-test-image:v2".into();
            spec["pd"]["replicas"] = 5.into();
        });
        story.round();
        assert_eq!((phase(&story), image(&story)), ("Scale", "pd-test-image"));
        assert!(partition(&story) >= 3, "no pod restarts");
    });
    cases.row("U10", |policies| {
        let mut story = under_way(policies);
        story.lead(&member(1));
        for _ in 0..2 {
            story.failing_round("transfer-pd-leader");
            assert_eq!((partition(&story), phase(&story), story.leader()), (2, "Upgrade", member(1)));
        }
    });
}

/// Row, members that are down, the ordinal that is to restart, and the one that leads next.
const SUCCESSORS: [(&str, &[i32], i32, Option<i32>); 9] = [
    ("T1", &[], 2, Some(0)),
    ("T2", &[0], 2, Some(1)),
    ("T3", &[0, 1], 2, None),
    ("T4", &[], 1, Some(2)),
    ("T5", &[2], 1, Some(0)),
    ("T6", &[0, 2], 1, None),
    ("T7", &[], 0, Some(2)),
    ("T8", &[2], 0, Some(1)),
    ("T9", &[1, 2], 0, None),
];

fn successors(cases: &mut Cases) {
    let mut cluster = TidbCluster::default();
    cluster.metadata.name = Some("upgrader".into());
    for (id, down, from, expected) in SUCCESSORS {
        let of = |ordinal: i32| {
            let name = format!("upgrader-pd-{ordinal}");
            (name.clone(), PdMember { name, health: !down.contains(&ordinal), ..PdMember::default() })
        };
        let all: BTreeMap<String, PdMember> = (0..3).map(of).collect();
        cases.row(id, |_| {
            let chosen = members::successor(&cluster, &all, 0..3, from);
            assert_eq!(chosen, expected.map(|ordinal| format!("upgrader-pd-{ordinal}")));
        });
    }
}

/// The row U13 is about TiDB's key; PD's own does hold the next pod back.
#[test]
fn a_member_must_be_ready_for_as_long_as_pds_own_annotation_says() {
    let mut story = under_way(crate::natively);
    story.annotate("tidb.pingcap.com/pd-min-ready-seconds", "300");
    assert!(waits(&story, "PodReadyTooShort"));
    story.round();
    assert_eq!(partition(&story), 2);
    story.world.now_ms += 301_000;
    story.round();
    assert_eq!(partition(&story), 1);
}
