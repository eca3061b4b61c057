//! S10 to S14: volumes and what is on them.

use serde_json::{Value, json};
use tidepool_sim::audit::Entry;

use super::{
    Case, Story, broken, kept,
    story::{by, by_operator, claim, edit, labels, nothing, pod, put, ready, remove, set},
};
use crate::{
    history::CONTROLLERS,
    world::{OPERATOR, USER},
};

/// The claim that is deleted, and its pod.
const CLAIM: &str = "tikv-c-tikv-3";
const POD: &str = "c-tikv-3";

pub const CASES: &[Case] = &[
    kept("S10", "a claim that was left behind", |story| {
        is_left(story);
        deletes(story, CLAIM);
    }),
    kept("S10", "a claim of a pod that is gone, where the spec allows it", |story| {
        is_left(story);
        story.becomes("persistentvolumeclaims", CLAIM, |claim| claim["metadata"]["annotations"] = json!({}));
        story.spec("enablePVReclaim", true.into());
        deletes(story, CLAIM);
    }),
    broken("S10", "the spec does not allow it", |story| {
        is_left(story);
        story.becomes("persistentvolumeclaims", CLAIM, |claim| claim["metadata"]["annotations"] = json!({}));
        deletes(story, CLAIM);
    }),
    broken("S10", "the mark is empty", |story| {
        is_left(story);
        story.becomes("persistentvolumeclaims", CLAIM, |claim| {
            claim["metadata"]["annotations"] = json!({"tidb.pingcap.com/pvc-defer-deleting": ""});
        });
        deletes(story, CLAIM);
    }),
    broken("S10", "with another uid than it has", |story| {
        is_left(story);
        let mut entry = deletion(CLAIM);
        entry.body["preconditions"]["uid"] = "another".into();
        story.does(entry, |now| remove(now, "persistentvolumeclaims", CLAIM));
    }),
    broken("S10", "a pod uses it", |story| {
        is_left(story);
        let mut user = pod("tikv", 3);
        user["metadata"]["name"] = "other-0".into();
        put(&mut story.now, "pods", user);
        deletes(story, CLAIM);
    }),
    kept("S10", "a pod of another namespace uses one of that name", |story| {
        is_left(story);
        let mut user = pod("tikv", 3);
        user["metadata"]["namespace"] = "m".into();
        put(&mut story.now, "pods", user);
        deletes(story, CLAIM);
    }),
    broken("S10", "its pod is wanted", |story| {
        is_left(story);
        story.becomes("statefulsets", "c-tikv", |set| set["spec"]["replicas"] = 4.into());
        deletes(story, CLAIM);
    }),
    kept("S10", "its pod is wanted by a set of another namespace", |story| {
        is_left(story);
        let mut other = set("tikv", 4);
        other["metadata"]["namespace"] = "a".into();
        put(&mut story.now, "statefulsets", other);
        deletes(story, CLAIM);
    }),
    broken("S10", "a pod uses it beside another one", |story| {
        is_left(story);
        let mut user = pod("tikv", 3);
        user["metadata"]["name"] = "other-0".into();
        let volume = json!({"persistentVolumeClaim": {"claimName": "another"}});
        user["spec"]["volumes"].as_array_mut().expect("volumes").push(volume);
        put(&mut story.now, "pods", user);
        deletes(story, CLAIM);
    }),
    kept("S10", "a pod of that number is wanted by another set", |story| {
        is_left(story);
        put(&mut story.now, "statefulsets", set("other", 9));
        deletes(story, CLAIM);
    }),
    broken("S10", "its store is not a tombstone", |story| {
        is_left(story);
        story.store(3).state_name = "Offline";
        deletes(story, CLAIM);
    }),
    kept("S10", "somebody else deletes it", |story| story.does(by(USER, "delete", PVC, CLAIM), nothing)),
    kept("S10", "it is refused", |story| story.does(Entry { status: 409, ..deletion(CLAIM) }, nothing)),
    kept("S10", "a member that PD does not have, and its pod is not ready", |story| {
        loses_member(story);
        story.becomes("pods", "c-pd-3", |pod| ready(pod, false));
        deletes(story, "pd-c-pd-3");
    }),
    kept("S10", "a member that PD does not have, as its pod's label tells", |story| {
        loses_member(story);
        story.becomes("pods", "c-pd-3", |pod| pod["metadata"]["labels"]["tidb.pingcap.com/member-id"] = "3".into());
        deletes(story, "pd-c-pd-3");
    }),
    kept("S10", "a member that PD does not have, as its own label tells", |story| {
        loses_member(story);
        story.becomes(PVC, "pd-c-pd-3", |claim| {
            claim["metadata"]["labels"]["tidb.pingcap.com/member-id"] = "3".into();
        });
        deletes(story, "pd-c-pd-3");
    }),
    broken("S10", "a pod that serves, of which PD has no member", |story| {
        loses_member(story);
        deletes(story, "pd-c-pd-3");
    }),
    broken("S10", "a pod that serves and was a member that PD has", |story| {
        loses_member(story);
        story.becomes("pods", "c-pd-3", |pod| pod["metadata"]["labels"]["tidb.pingcap.com/member-id"] = "2".into());
        deletes(story, "pd-c-pd-3");
    }),
    broken("S10", "a member that is not ready, and PD has it", |story| {
        story.becomes("pods", "c-pd-3", |pod| ready(pod, false));
        deletes(story, "pd-c-pd-3");
    }),
    broken("S10", "a member that a PD without a leader does not have", |story| {
        loses_member(story);
        story.member(0).leader = false;
        story.becomes("pods", "c-pd-3", |pod| ready(pod, false));
        deletes(story, "pd-c-pd-3");
    }),
    broken("S10", "a store whose pod is not ready, as if it were a member", |story| {
        story.becomes("pods", POD, |pod| ready(pod, false));
        deletes(story, CLAIM);
    }),
    broken("S11", "from Retain to Delete", |story| reclaims(story, "Retain", "Delete")),
    broken("S11", "from Retain to Delete, by an update", |story| {
        has_volume(story, "Retain");
        let entry = by_operator("update", "persistentvolumes", "v");
        story.does(entry, |now| edit(now, "persistentvolumes", "v", |volume| policy(volume, "Delete")));
    }),
    kept("S11", "from Delete to Retain", |story| reclaims(story, "Delete", "Retain")),
    kept("S11", "from Recycle to Delete", |story| reclaims(story, "Recycle", "Delete")),
    kept("S11", "from Retain to Recycle", |story| reclaims(story, "Retain", "Recycle")),
    kept("S11", "from Retain to Delete, as the spec says", |story| {
        story.spec("pvReclaimPolicy", "Delete".into());
        reclaims(story, "Retain", "Delete");
    }),
    kept("S11", "from Retain to Delete, as the spec says of volumes that nobody needs", |story| {
        story.spec("enablePVReclaim", true.into());
        reclaims(story, "Retain", "Delete");
    }),
    kept("S11", "from Retain to Delete, by somebody else", |story| {
        has_volume(story, "Retain");
        story.patches(USER, "persistentvolumes", "v", |volume| policy(volume, "Delete"));
    }),
    broken("S12", "a claim goes with its cluster", |story| {
        let entry = by(CONTROLLERS, "delete", PVC, CLAIM);
        story.does(entry, |now| remove(now, PVC, CLAIM));
    }),
    kept("S12", "a claim goes with its cluster, as the spec says", |story| {
        story.spec("enablePVReclaim", true.into());
        let entry = by(CONTROLLERS, "delete", PVC, CLAIM);
        story.does(entry, |now| remove(now, PVC, CLAIM));
    }),
    broken("S12", "a claim goes when its cluster is gone already", |story| {
        story.vanishes("tidbclusters", "c");
        story.does(by(CONTROLLERS, "delete", PVC, CLAIM), |now| remove(now, PVC, CLAIM));
    }),
    broken("S12", "the operator deletes a claim of a cluster that goes", |story| {
        is_left(story);
        story.becomes("tidbclusters", "c", |c| c["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
        deletes(story, CLAIM);
    }),
    broken("S13", "a pod starts with a claim that was left behind", |story| {
        is_left(story);
        story.does(by(CONTROLLERS, "create", "pods", POD), |now| put(now, "pods", pod("tikv", 3)));
    }),
    kept("S13", "a pod that starts while another has a claim that was left behind", |story| {
        is_left(story);
        put(&mut story.now, "pods", pod("tikv", 3));
        story.vanishes("pods", "c-tikv-1");
        story.does(by(CONTROLLERS, "create", "pods", "c-tikv-1"), |now| put(now, "pods", pod("tikv", 1)));
    }),
    broken("S13", "a pod starts with the claim of a removed member", |story| {
        story.member(3).healthy = false;
        story.does(by_operator("DELETE", "pd", "/pd/api/v1/members/id/3"), nothing);
        story.vanishes("pods", "c-pd-3");
        story.does(by(CONTROLLERS, "create", "pods", "c-pd-3"), |now| put(now, "pods", pod("pd", 3)));
    }),
    kept("S13", "a pod starts with a new claim after its member was removed", |story| {
        story.member(3).healthy = false;
        story.does(by_operator("DELETE", "pd", "/pd/api/v1/members/id/3"), nothing);
        story.vanishes("pods", "c-pd-3");
        story.becomes(PVC, "pd-c-pd-3", |claim| claim["metadata"]["uid"] = "another".into());
        story.does(by(CONTROLLERS, "create", "pods", "c-pd-3"), |now| put(now, "pods", pod("pd", 3)));
    }),
    kept("S13", "a pod starts with its claim after another member was removed", |story| {
        story.member(3).healthy = false;
        story.does(by_operator("DELETE", "pd", "/pd/api/v1/members/id/3"), nothing);
        story.vanishes("pods", "c-pd-2");
        story.does(by(CONTROLLERS, "create", "pods", "c-pd-2"), |now| put(now, "pods", pod("pd", 2)));
    }),
    kept("S13", "a pod starts with the claim of a member that somebody else removed", |story| {
        story.does(by(USER, "DELETE", "pd", "/pd/api/v1/members/id/3"), nothing);
        story.vanishes("pods", "c-pd-3");
        story.does(by(CONTROLLERS, "create", "pods", "c-pd-3"), |now| put(now, "pods", pod("pd", 3)));
    }),
    broken("S14", "a claim shrinks", |story| {
        story.patches(OPERATOR, PVC, CLAIM, |claim| size(claim, "9Gi"));
    }),
    broken("S14", "a claim shrinks, by an update", |story| {
        story.does(by_operator("update", PVC, CLAIM), |now| edit(now, PVC, CLAIM, |claim| size(claim, "9Gi")));
    }),
    kept("S14", "a claim grows", |story| story.patches(OPERATOR, PVC, CLAIM, |claim| size(claim, "11Gi"))),
    kept("S14", "a claim is the same size in other words", |story| {
        story.patches(OPERATOR, PVC, CLAIM, |claim| size(claim, "10240Mi"));
    }),
    kept("S14", "somebody else asks for less", |story| story.patches(USER, PVC, CLAIM, |claim| size(claim, "9Gi"))),
    broken("S14", "a StatefulSet comes back with other pods", |story| comes_back(story, OPERATOR, "b")),
    kept("S14", "a StatefulSet comes back with the same pods", |story| comes_back(story, OPERATOR, "a")),
    kept("S14", "somebody else deletes a StatefulSet", |story| comes_back(story, USER, "b")),
    kept("S14", "a suspended component comes back with other pods", |story| {
        story.spec("tidb.suspendAction", json!({"suspendStatefulSet": true}));
        comes_back(story, OPERATOR, "b");
    }),
    kept("S14", "a suspended cluster comes back with other pods", |story| {
        story.spec("suspendAction", json!({"suspendStatefulSet": true}));
        comes_back(story, OPERATOR, "b");
    }),
];

const PVC: &str = "persistentvolumeclaims";

fn deletion(claim: &str) -> Entry {
    by_operator("delete", PVC, claim)
}

fn deletes(story: &mut Story, claim: &str) {
    story.does(deletion(claim), |now| remove(now, PVC, claim));
}

/// The last store was scaled in; its claim is marked.
fn is_left(story: &mut Story) {
    story.vanishes("pods", POD);
    story.store(3).state_name = "Tombstone";
    story.becomes("statefulsets", "c-tikv", |set| set["spec"]["replicas"] = 3.into());
    story.becomes(PVC, CLAIM, |claim| {
        claim["metadata"]["annotations"] = json!({"tidb.pingcap.com/pvc-defer-deleting": "2026-01-01T00:00:00Z"});
    });
}

fn loses_member(story: &mut Story) {
    story.pd().members.remove(3);
}

fn has_volume(story: &mut Story, reclaim: &str) {
    let claim = claim("tikv", 3);
    let reference = json!({"namespace": "n", "name": CLAIM, "uid": claim["metadata"]["uid"]});
    let mut volume =
        json!({"metadata": {"name": "v", "uid": "v", "labels": labels("tikv")}, "spec": {"claimRef": reference}});
    policy(&mut volume, reclaim);
    put(&mut story.now, "persistentvolumes", volume);
}

fn policy(volume: &mut Value, policy: &str) {
    volume["spec"]["persistentVolumeReclaimPolicy"] = policy.into();
}

fn reclaims(story: &mut Story, from: &str, to: &str) {
    has_volume(story, from);
    story.patches(OPERATOR, "persistentvolumes", "v", |volume| policy(volume, to));
}

fn size(claim: &mut Value, size: &str) {
    claim["spec"]["resources"]["requests"]["storage"] = size.into();
}

/// TiDB's StatefulSet is deleted and created with this image.
fn comes_back(story: &mut Story, who: &str, image: &str) {
    story.does(by(who, "delete", "statefulsets", "c-tidb"), |now| remove(now, "statefulsets", "c-tidb"));
    let mut set = set("tidb", 2);
    set["spec"]["template"]["spec"]["image"] = image.into();
    story.does(by_operator("create", "statefulsets", "c-tidb"), |now| put(now, "statefulsets", set));
}
