//! Creating and updating PD's objects (C, P, W), forced upgrades (X), what the status says (G, J).

use serde_json::{Value, json};
use tidepool_sdk::{
    live::{Live, LiveSet},
    native::story::Story,
};

use crate::cases::{
    Cases, Policies, add_peer, at, at_rest, cluster, image, member, merge, new, partition, phase, set, silence, size,
    waits,
};

const SERVICES: [&str; 2] = ["create service/test-pd", "create service/test-pd-peer"];

pub fn run(cases: &mut Cases) {
    creating(cases);
    updating(cases);
    forcing(cases);
    telling(cases);
}

/// The cluster with a change of its spec; nothing of it exists.
fn changed(policies: Policies, change: &Value) -> Story {
    let mut cluster = cluster(3);
    merge(&mut cluster["spec"], change);
    new(policies, cluster)
}

fn pre_stop() -> Value {
    json!({"name": "pd", "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo 'test'"]}}}})
}

fn creating(cases: &mut Cases) {
    let all = [SERVICES[0], SERVICES[1], "create statefulset/test-pd"];
    for (id, change) in [
        ("C1", json!({})),
        ("C2", json!({"tlsCluster": {"enabled": true}})),
        ("C7", json!({"pd": {"additionalContainers": [pre_stop()]}})),
    ] {
        cases.row(id, |policies| {
            let mut story = changed(policies, &change);
            let spec = story.world.cluster["spec"].clone();
            assert!(waits(&story, "JustCreated") && story.plans().iter().all(|plan| plan.hold_later));
            assert_eq!(story.round(), all);
            assert_eq!(story.world.cluster["spec"], spec);
            let hook = at(set(&story), "spec/template/spec/containers/0/lifecycle/preStop");
            assert_eq!(hook.is_object(), id == "C7");
        });
    }
    for (id, fails, done) in
        [("C3", all[2], &SERVICES[..]), ("C4", all[0], &SERVICES[..0]), ("C5", all[1], &SERVICES[..1])]
    {
        cases.row(id, |policies| {
            let mut story = changed(policies, &json!({}));
            assert_eq!(story.failing_round(fails), done);
            assert!(story.world.get("StatefulSet", "test-pd").is_none());
        });
    }
    cases.row("C6", |policies| {
        let mut story = changed(policies, &json!({"suspendAction": {"suspendStatefulSet": true}}));
        story.world.cluster["status"]["pd"]["phase"] = "Suspend".into();
        assert_eq!(story.round(), [""; 0]);
    });
}

/// Created, and the pods are there; the third member is not healthy.
fn second_round(policies: Policies) -> Story {
    let mut story = changed(policies, &json!({}));
    story.settled_round();
    story.world.settle();
    story
}

fn healths(story: &Story) -> Vec<Value> {
    let members = story.status("pd")["members"].as_object();
    members.into_iter().flatten().map(|(_, member)| member["health"].clone()).collect()
}

fn updating(cases: &mut Cases) {
    cases.row("P1", |policies| {
        let mut story = second_round(policies);
        story.set_health(&member(2), false);
        story.edit(|spec| {
            merge(spec, &json!({"pd": {"replicas": 5}, "services": [{"name": "pd", "type": "NodePort"}]}))
        });
        story.round();
        let service = story.world.get("Service", "test-pd").expect("the Service");
        assert_eq!(service["spec"]["type"], "NodePort");
        assert_eq!(story.world.cluster["status"]["clusterID"], "7000000000000000001");
        assert_eq!((phase(&story), healths(&story)), ("Scale", vec![json!(true), json!(true), json!(false)]));
        assert_eq!(story.status("pd")["statefulSet"]["observedGeneration"], 1);
    });
    cases.row("P2", |policies| {
        let mut story = second_round(policies);
        story.edit(|spec| spec["services"] = json!([{"name": "pd", "type": "NodePort"}]));
        assert_eq!(story.failing_round("replace service/test-pd"), [""; 0]);
        assert_eq!(story.world.get("Service", "test-pd").expect("the Service")["spec"]["type"], "ClusterIP");
    });
    cases.row("P3", |policies| {
        let mut story = second_round(policies);
        story.edit(|spec| spec["pd"]["replicas"] = 5.into());
        assert_eq!(story.failing_round("set 4"), [""; 0]);
        assert_eq!(size(&story), 3);
    });
    for id in ["P4", "P5"] {
        cases.row(id, |policies| {
            let mut story = second_round(policies);
            let members = story.world.pd.members.clone();
            silence(&mut story);
            if id == "P5" {
                story.world.pd.members = members;
            }
            story.edit(|spec| spec["pd"]["replicas"] = 5.into());
            assert!(waits(&story, "PdUnknown"));
            story.round();
            assert_eq!((&story.status("pd")["synced"], healths(&story)), (&json!(false), vec![]));
        });
    }
    let additional = json!({"name": "additional", "image": "test"});
    for (id, container, path, expected) in [
        ("P6", pre_stop(), "spec/template/spec/containers/0/lifecycle", pre_stop()["lifecycle"].clone()),
        ("P7", additional.clone(), "spec/template/spec/containers/1", additional),
    ] {
        cases.row(id, |policies| {
            let mut story = second_round(policies);
            story.edit(|spec| merge(spec, &json!({"pd": {"replicas": 5, "additionalContainers": [container]}})));
            story.run();
            assert_eq!(at(set(&story), path), expected);
            assert_eq!(size(&story), 5);
        });
    }
    cases.row("W1", |policies| {
        let mut story = second_round(policies);
        story.set_health(&member(2), false);
        story.edit(|spec| spec["pd"]["image"] = "pd-test-image:v2".into());
        story.round();
        assert_eq!((image(&story), phase(&story)), ("pd-test-image:v2", "Upgrade"));
        assert_eq!(healths(&story), [true, true, false]);
    });
}

/// PD has not answered since a while, and its pods are not ready.
fn dead(story: &mut Story) {
    silence(story);
    (0..3).for_each(|ordinal| story.world.set_ready(&member(ordinal), false));
}

fn forcing(cases: &mut Cases) {
    cases.row("X1", |policies| {
        let mut story = at_rest(policies, 3);
        dead(&mut story);
        story.annotate("tidb.pingcap.com/force-upgrade", "true");
        story.edit(|spec| merge(spec, &json!({"pd": {"image": "pd-test-image:v2", "replicas": 1}})));
        story.round();
        assert_eq!((image(&story), partition(&story), phase(&story)), ("pd-test-image:v2", 0, "Upgrade"));
        assert_eq!(size(&story), 3, "a member that is not removed costs the quorum");
    });
    cases.row("X2", |policies| {
        let mut story = at_rest(policies, 1);
        dead(&mut story);
        story.edit(|spec| spec["pd"]["image"] = "pd-test-image:v2".into());
        story.round();
        assert_eq!((image(&story), partition(&story), phase(&story)), ("pd-test-image:v2", 0, "Upgrade"));
        assert_eq!(size(&story), 1);
    });
    cases.row("X3", |policies| {
        let mut story = at_rest(policies, 1);
        add_peer(&mut story, 1, true);
        story.round();
        dead(&mut story);
        story.edit(|spec| spec["pd"]["image"] = "pd-test-image:v2".into());
        assert!(waits(&story, "PdUnknown"));
        story.round();
        assert_eq!((image(&story), partition(&story), phase(&story)), ("pd-test-image", 1, "Normal"));
    });
    cases.row("X4", |policies| {
        let mut story = at_rest(policies, 3);
        dead(&mut story);
        story.edit(|spec| merge(spec, &json!({"pd": {"image": "pd-test-image:v2", "replicas": 1}})));
        assert!(waits(&story, "PdUnknown"));
        story.round();
        assert_eq!((image(&story), partition(&story), phase(&story)), ("pd-test-image", 3, "Scale"));
        assert_eq!(size(&story), 3);
    });
}

/// Revisions of a StatefulSet: the current one and the next.
type Revisions = (&'static str, &'static str);
/// Revisions of its pods.
type Pods = &'static [Option<&'static str>];

fn telling(cases: &mut Cases) {
    let revisions: [(&str, Revisions, Pods, bool); 4] = [
        ("G1", ("v1", "v2"), &[], true),
        ("G2", ("v1", "v1"), &[None], false),
        ("G3", ("v3", "v3"), &[Some("v2")], true),
        ("G4", ("v3", "v3"), &[Some("v3")], false),
    ];
    for (id, (current, update), pods, expected) in revisions {
        cases.row(id, |_| {
            let status = json!({"currentRevision": current, "updateRevision": update});
            let set = LiveSet(Live::from_value(json!({ "status": status })));
            assert_eq!(set.upgrading(pods.iter().copied()), expected);
        });
    }
    cases.row("J1", |policies| {
        let mut story = at_rest(policies, 3);
        story.world.pd.members.as_mut().expect("PD answers").retain(|one| one.name != member(2));
        story.round();
        let unjoined = &story.status("pd")["unjoinedMembers"];
        assert_eq!(unjoined.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>()), Some(vec![member(2)]));
        assert_eq!(unjoined[member(2)]["pvcUIDSet"].as_object().map(serde_json::Map::len), Some(2));
        assert_eq!(story.status("pd")["synced"], true);
    });
    cases.row("J2", |policies| {
        let mut story = at_rest(policies, 3);
        let stale = json!({"podName": member(0), "createdAt": "2023-11-14T22:00:00Z"});
        story.world.cluster["status"]["pd"]["unjoinedMembers"] = json!({ member(0): stale });
        story.round();
        assert!(story.status("pd")["unjoinedMembers"].as_object().is_none_or(serde_json::Map::is_empty));
        assert_eq!(healths(&story), [true, true, true]);
    });
}
