//! S15, S16, S18, S19, S20, S27, S28, S33: how the operator writes.

use serde_json::{Value, json};
use tidepool_sim::audit::Entry;

use super::{
    Case, Story, broken, kept,
    story::{by, by_operator, claim, edit, labels, nothing, owned_by_cluster, pod, put, ready, remove, set},
};
use crate::{
    certs::CANARY,
    world::{LEASE, OPERATOR, SECOND_OPERATOR, USER},
};

pub const CASES: &[Case] = &[
    broken("S15", "two templates for one spec", |story| {
        renders(story, "b");
        renders(story, "c");
    }),
    kept("S15", "one template", |story| {
        renders(story, "b");
        story.patches(USER, "statefulsets", "c-tidb", |set| image(set, "a"));
        renders(story, "b");
    }),
    kept("S15", "two templates for two specs", |story| {
        renders(story, "b");
        story.spec("tidb.image", "c".into());
        renders(story, "c");
    }),
    kept("S15", "two templates for two annotations", |story| {
        renders(story, "b");
        story.becomes("tidbclusters", "c", |cluster| cluster["metadata"]["annotations"]["x"] = "y".into());
        renders(story, "c");
    }),
    kept("S15", "the same spec of a cluster that was made anew", |story| {
        renders(story, "b");
        story.becomes("tidbclusters", "c", |cluster| cluster["metadata"]["uid"] = "v".into());
        story.becomes("statefulsets", "c-tidb", |set| set["metadata"]["ownerReferences"][0]["uid"] = "v".into());
        renders(story, "c");
    }),
    kept("S15", "two StatefulSets", |story| {
        renders(story, "b");
        story.patches(OPERATOR, "statefulsets", "c-tikv", |set| image(set, "c"));
    }),
    kept("S15", "a template that somebody else wrote is written over again", |story| {
        story.patches(USER, "statefulsets", "c-tidb", |set| image(set, "x"));
        renders(story, "b");
    }),
    kept("S15", "a write that leaves the template", |story| {
        renders(story, "b");
        story.patches(USER, "statefulsets", "c-tidb", |set| image(set, "x"));
        story.patches(OPERATOR, "statefulsets", "c-tidb", |set| set["metadata"]["labels"]["y"] = "z".into());
    }),
    broken("S16", "a patch that changes nothing", |story| story.patches(OPERATOR, "services", "c-pd", |_| {})),
    broken("S16", "an update that changes nothing", |story| {
        story.does(by_operator("update", "services", "c-pd"), nothing);
    }),
    broken("S16", "a status that changes nothing", |story| {
        story.does(by_operator("patch", "tidbclusters/status", "c"), nothing);
    }),
    broken("S16", "a patch after which only the server's own fields differ", |story| {
        story.patches(OPERATOR, "services", "c-pd", |service| {
            service["metadata"]["resourceVersion"] = "2".into();
            service["metadata"]["generation"] = 2.into();
            service["metadata"]["managedFields"] = json!([{}]);
        });
    }),
    kept("S16", "a patch that changes something", |story| {
        story.patches(OPERATOR, "services", "c-pd", |service| service["spec"]["x"] = "y".into());
    }),
    kept("S16", "a patch that was refused", |story| {
        story.does(Entry { status: 409, ..by_operator("patch", "services", "c-pd") }, nothing);
    }),
    kept("S16", "a patch by somebody else", |story| story.patches(USER, "services", "c-pd", |_| {})),
    kept("S16", "a call of PD", |story| story.does(by_operator("POST", "pd", "/pd/api/v1/leader/transfer/x"), nothing)),
    kept("S18", "an object of the cluster", |story| creates(story, "c", |_| {})),
    broken("S18", "an object without labels", |story| {
        creates(story, "c", |object| {
            object["metadata"]["labels"] = json!({});
        })
    }),
    broken("S18", "an object of another manager", |story| {
        creates(story, "c", |object| {
            object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "helm".into();
        })
    }),
    broken("S18", "an object of a cluster that is not there", |story| creates(story, "d", |_| {})),
    broken("S18", "an object without an owner", |story| {
        creates(story, "c", |object| {
            object["metadata"]["ownerReferences"] = json!([]);
        })
    }),
    broken("S18", "an object that another life of the cluster owns", |story| {
        creates(story, "c", |object| {
            object["metadata"]["ownerReferences"][0]["uid"] = "v".into();
        })
    }),
    broken("S18", "an object of a kind that no policy writes", |story| {
        story.does(by_operator("create", "secrets", "x"), nothing);
    }),
    kept("S18", "a pod, through its StatefulSet", |story| {
        story.patches(OPERATOR, "pods", "c-pd-1", |pod| pod["metadata"]["labels"]["x"] = "y".into());
    }),
    broken("S18", "a pod whose StatefulSet was another one", |story| {
        story.becomes("pods", "c-pd-1", |pod| pod["metadata"]["ownerReferences"][0]["uid"] = "another".into());
        story.patches(OPERATOR, "pods", "c-pd-1", |pod| pod["metadata"]["labels"]["x"] = "y".into());
    }),
    broken("S18", "a pod that its StatefulSet does not control", |story| {
        story.becomes("pods", "c-pd-1", |pod| pod["metadata"]["ownerReferences"][0]["controller"] = false.into());
        story.patches(OPERATOR, "pods", "c-pd-1", |pod| pod["metadata"]["labels"]["x"] = "y".into());
    }),
    broken("S18", "a pod of a StatefulSet that is gone", |story| {
        story.vanishes("statefulsets", "c-pd");
        story.patches(OPERATOR, "pods", "c-pd-1", |pod| pod["metadata"]["labels"]["x"] = "y".into());
    }),
    kept("S18", "a claim, through its labels", |story| {
        story.patches(OPERATOR, PVC, CLAIM, |claim| claim["metadata"]["labels"]["x"] = "y".into());
    }),
    broken("S18", "a claim without labels", |story| {
        story.becomes(PVC, CLAIM, |claim| claim["metadata"]["labels"] = json!({}));
        story.patches(OPERATOR, PVC, CLAIM, |claim| claim["metadata"]["annotations"] = json!({"x": "y"}));
    }),
    kept("S18", "a volume, through its claim", |story| marks_volume(story, "uid-tikv-c-tikv-3")),
    broken("S18", "the volume of a claim of the same name", |story| marks_volume(story, "another")),
    broken("S18", "a volume of a claim that is nobody's", |story| {
        story.becomes(PVC, CLAIM, |claim| claim["metadata"]["labels"] = json!({}));
        marks_volume(story, "uid-tikv-c-tikv-3");
    }),
    kept("S19", "a write that names a version", |story| {
        guarded(story, "patch", json!({"metadata": {"resourceVersion": "1"}}));
    }),
    kept("S19", "a write that names a uid", |story| guarded(story, "update", json!({"metadata": {"uid": "x"}}))),
    kept("S19", "a deletion that names a version", |story| {
        guarded(story, "delete", json!({"preconditions": {"resourceVersion": "1"}}));
    }),
    kept("S19", "a creation, which is its own precondition", |story| {
        let object = object("c");
        let entry = Entry { body: json!({}), ..by_operator("create", "configmaps", "x") };
        story.does(entry, |now| put(now, "configmaps", object));
    }),
    broken("S19", "a patch without a precondition", |story| guarded(story, "patch", json!({}))),
    broken("S19", "an update without a precondition", |story| guarded(story, "update", json!({"metadata": {}}))),
    broken("S19", "a deletion without a precondition", |story| guarded(story, "delete", json!({"preconditions": {}}))),
    kept("S19", "a lease, which is the operator's own", |story| {
        let entry = Entry { body: json!({}), ..by_operator("update", "leases", "tidepool") };
        story.does(entry, nothing);
    }),
    kept("S20", "the holder of the lease writes", |story| {
        holds(story, OPERATOR);
        story.patches(OPERATOR, "services", "c-pd", |service| service["x"] = "y".into());
    }),
    broken("S20", "somebody else than the holder of the lease writes", |story| {
        holds(story, OPERATOR);
        story.patches(SECOND_OPERATOR, "services", "c-pd", |service| service["x"] = "y".into());
    }),
    broken("S20", "somebody else than the holder of the lease calls PD", |story| {
        holds(story, SECOND_OPERATOR);
        story.does(by_operator("POST", "pd", "/pd/api/v1/leader/transfer/x"), nothing);
    }),
    kept("S20", "nobody holds the lease", |story| {
        holds(story, "");
        story.patches(OPERATOR, "services", "c-pd", |service| service["x"] = "y".into());
    }),
    kept("S20", "somebody holds another lease", |story| {
        holds(story, SECOND_OPERATOR);
        story.becomes("leases", LEASE, |lease| lease["metadata"]["name"] = "another".into());
        story.patches(OPERATOR, "services", "c-pd", |service| service["x"] = "y".into());
    }),
    kept("S20", "somebody else takes the lease", |story| {
        holds(story, SECOND_OPERATOR);
        story.patches(OPERATOR, "leases", LEASE, |lease| lease["spec"]["holderIdentity"] = OPERATOR.into());
    }),
    kept("S20", "somebody else than the holder is refused", |story| {
        holds(story, OPERATOR);
        story.does(Entry { status: 409, ..by(SECOND_OPERATOR, "patch", "services", "c-pd") }, nothing);
    }),
    broken("S27", "a StatefulSet of a paused cluster", |story| {
        pauses(story, 11);
        renders(story, "b");
    }),
    broken("S27", "a StatefulSet is created in a paused cluster", |story| {
        pauses(story, 11);
        let set = set("ticdc", 1);
        story.does(by_operator("create", "statefulsets", "c-ticdc"), |now| put(now, "statefulsets", set));
    }),
    kept("S27", "in the round in which it is paused", |story| {
        pauses(story, 10);
        renders(story, "b");
    }),
    kept("S27", "when it goes on", |story| {
        pauses(story, 60);
        story.spec("paused", false.into());
        renders(story, "b");
    }),
    kept("S27", "what is no workload", |story| {
        pauses(story, 11);
        story.patches(OPERATOR, "services", "c-pd", |service| service["x"] = "y".into());
    }),
    kept("S27", "a cluster that is to be suspended", |story| {
        story.spec("suspendAction", json!({"suspendStatefulSet": true}));
        pauses(story, 11);
        renders(story, "b");
    }),
    broken("S27", "a component that is not to be suspended with the rest", |story| {
        story.spec("suspendAction", json!({"suspendStatefulSet": true}));
        story.spec("tidb.suspendAction", json!({"suspendStatefulSet": false}));
        pauses(story, 11);
        renders(story, "b");
    }),
    kept("S27", "a component of the cluster that is to be suspended is created", |story| {
        story.spec("ticdc", json!({"suspendAction": {"suspendStatefulSet": true}}));
        pauses(story, 11);
        let set = set("ticdc", 1);
        story.does(by_operator("create", "statefulsets", "c-ticdc"), |now| put(now, "statefulsets", set));
    }),
    broken("S27", "PD of a paused cluster", |story| {
        pauses(story, 11);
        story.does(by_operator("POST", "pd", "/pd/api/v1/store/1/label"), nothing);
    }),
    broken("S27", "leaders are made to leave a store of a paused cluster", |story| {
        pauses(story, 11);
        story.does(by_operator("POST", "pd", "/pd/api/v1/schedulers"), nothing);
    }),
    broken("S27", "a member of a paused cluster is removed", |story| {
        pauses(story, 11);
        story.does(by_operator("DELETE", "pd", "/pd/api/v1/members/id/3"), nothing);
    }),
    broken("S27", "a StatefulSet of a paused cluster beside one that goes on", |story| {
        has_neighbour(story, "n");
        pauses(story, 11);
        renders(story, "b");
    }),
    broken("S27", "a StatefulSet is created in a paused cluster beside one that goes on", |story| {
        has_neighbour(story, "n");
        pauses(story, 11);
        let set = set("ticdc", 1);
        story.does(by_operator("create", "statefulsets", "c-ticdc"), |now| put(now, "statefulsets", set));
    }),
    kept("S27", "leaders are let back to a store of a paused cluster", |story| {
        pauses(story, 11);
        story.does(by_operator("DELETE", "pd", "/pd/api/v1/schedulers/evict-leader-scheduler-1"), nothing);
    }),
    kept("S27", "PD of a namespace in which one cluster goes on", |story| {
        has_neighbour(story, "n");
        pauses(story, 11);
        story.does(by_operator("POST", "pd", "/pd/api/v1/store/1/label"), nothing);
    }),
    broken("S27", "PD of a namespace beside one in which a cluster goes on", |story| {
        has_neighbour(story, "m");
        pauses(story, 11);
        story.does(by_operator("POST", "pd", "/pd/api/v1/store/1/label"), nothing);
    }),
    kept("S27", "PD of a namespace without a cluster", |story| {
        pauses(story, 11);
        let entry = by_operator("POST", "pd", "/pd/api/v1/store/1/label");
        story.does(Entry { namespace: "m".to_owned(), ..entry }, nothing);
    }),
    kept("S28", "a Secret's name", |story| writes_text(story, 200, "c-pd-cluster-secret")),
    broken("S28", "what is in a Secret", |story| writes_text(story, 200, CANARY)),
    broken("S28", "what is in a Secret, in a write that is refused", |story| writes_text(story, 409, CANARY)),
    broken("S28", "what is in a Secret, in an event", |story| {
        story.does(Entry { body: json!({"message": CANARY}), ..by_operator("create", "events", "e") }, nothing);
    }),
    kept("S28", "what is in a Secret, by somebody else", |story| {
        story.does(Entry { body: json!({"data": CANARY}), ..by(USER, "create", "secrets", "s") }, nothing);
    }),
    kept("S33", "a pod while PD answers", |story| story.deletes_pod("c-tikv-1")),
    broken("S33", "a pod while no PD answers", |story| {
        silence(story, 11);
        story.deletes_pod("c-tikv-1");
    }),
    kept("S33", "a pod in the round in which PD falls silent", |story| {
        silence(story, 10);
        story.deletes_pod("c-tikv-1");
    }),
    kept("S33", "a pod when PD answers again", |story| {
        silence(story, 60);
        story.pd().answers = true;
        story.deletes_pod("c-tikv-1");
    }),
    broken("S33", "a ready pod of PD while no PD answers", |story| {
        silence(story, 11);
        story.deletes_pod("c-pd-1");
    }),
    kept("S33", "a pod of PD that is not ready while no PD answers", |story| {
        silence(story, 11);
        story.becomes("pods", "c-pd-1", |pod| ready(pod, false));
        story.deletes_pod("c-pd-1");
    }),
    broken("S33", "a pod of TiKV that is not ready while no PD answers", |story| {
        silence(story, 11);
        story.becomes("pods", "c-tikv-1", |pod| ready(pod, false));
        story.deletes_pod("c-tikv-1");
    }),
    kept("S33", "a server while no PD answers", |story| {
        silence(story, 11);
        story.deletes_pod("c-tidb-1");
    }),
    broken("S33", "a pod of TiFlash while no PD answers", |story| {
        put(&mut story.now, "statefulsets", set("tiflash", 1));
        put(&mut story.now, "pods", pod("tiflash", 0));
        silence(story, 11);
        story.deletes_pod("c-tiflash-0");
    }),
    kept("S33", "a pod of a component that is to be suspended while no PD answers", |story| {
        story.spec("tikv.suspendAction", json!({"suspendStatefulSet": true}));
        silence(story, 11);
        story.deletes_pod("c-tikv-1");
    }),
    broken("S33", "a claim that was left behind while no PD answers", |story| {
        story.vanishes("pods", "c-tikv-3");
        story.store(3).state_name = "Tombstone";
        story.becomes("statefulsets", "c-tikv", |set| set["spec"]["replicas"] = 3.into());
        let marks = json!({"tidb.pingcap.com/pvc-defer-deleting": "2026-01-01T00:00:00Z"});
        story.becomes(PVC, CLAIM, |claim| claim["metadata"]["annotations"] = marks);
        silence(story, 11);
        story.does(by_operator("delete", PVC, CLAIM), |now| remove(now, PVC, CLAIM));
    }),
    broken("S33", "a smaller StatefulSet while no PD answers", |story| {
        silence(story, 11);
        writes_set(story, |set| set["spec"]["replicas"] = 3.into());
    }),
    broken("S33", "a smaller StatefulSet, by an update, while no PD answers", |story| {
        silence(story, 11);
        let entry = by_operator("update", "statefulsets", "c-tikv");
        story.does(entry, |now| edit(now, "statefulsets", "c-tikv", |set| set["spec"]["replicas"] = 3.into()));
    }),
    broken("S33", "a template that reaches a ready pod, by an update, while no PD answers", |story| {
        silence(story, 11);
        let entry = by_operator("update", "statefulsets", "c-tikv");
        story.does(entry, |now| {
            edit(now, "statefulsets", "c-tikv", |set| {
                image(set, "b");
                partition(set, 3);
            });
        });
    }),
    kept("S33", "a StatefulSet with other labels while no PD answers", |story| {
        silence(story, 11);
        writes_set(story, |set| set["metadata"]["labels"]["x"] = "y".into());
    }),
    kept("S33", "a StatefulSet of servers with a new template while no PD answers", |story| {
        silence(story, 11);
        renders(story, "b");
    }),
    broken("S33", "a template that reaches a ready pod while no PD answers", |story| {
        silence(story, 11);
        writes_set(story, |set| {
            image(set, "b");
            partition(set, 3);
        });
    }),
    kept("S33", "a template that reaches no pod while no PD answers", |story| {
        silence(story, 11);
        writes_set(story, |set| image(set, "b"));
    }),
    kept("S33", "a template that reaches a pod that is not ready while no PD answers", |story| {
        story.becomes("pods", "c-tikv-3", |pod| ready(pod, false));
        silence(story, 11);
        writes_set(story, |set| {
            image(set, "b");
            partition(set, 3);
        });
    }),
    kept("S33", "a lower partition for pods that are new already while no PD answers", |story| {
        silence(story, 11);
        writes_set(story, |set| partition(set, 0));
    }),
    broken("S33", "a lower partition for an old pod while no PD answers", |story| {
        story.becomes("statefulsets", "c-tikv", |set| set["status"]["updateRevision"] = "r2".into());
        silence(story, 11);
        writes_set(story, |set| partition(set, 3));
    }),
];

const PVC: &str = "persistentvolumeclaims";
const CLAIM: &str = "tikv-c-tikv-3";

fn image(set: &mut Value, image: &str) {
    set["spec"]["template"]["spec"]["image"] = image.into();
}

fn partition(set: &mut Value, partition: i64) {
    set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = partition.into();
}

/// The operator writes TiDB's template.
fn renders(story: &mut Story, with: &str) {
    story.patches(OPERATOR, "statefulsets", "c-tidb", |set| image(set, with));
}

/// The operator writes TiKV's StatefulSet.
fn writes_set(story: &mut Story, change: impl FnOnce(&mut Value)) {
    story.patches(OPERATOR, "statefulsets", "c-tikv", change);
}

/// A ConfigMap of a cluster of this name.
fn object(instance: &str) -> Value {
    let mut labels = labels("pd");
    labels["app.kubernetes.io/instance"] = instance.into();
    json!({"metadata": {"name": "x", "namespace": "n", "labels": labels, "ownerReferences": owned_by_cluster()}})
}

fn creates(story: &mut Story, instance: &str, change: fn(&mut Value)) {
    let mut object = object(instance);
    change(&mut object);
    story.does(by_operator("create", "configmaps", "x"), |now| put(now, "configmaps", object));
}

/// The operator marks a volume, whose claim is one with this uid.
fn marks_volume(story: &mut Story, uid: &str) {
    let name = claim("tikv", 3)["metadata"]["name"].clone();
    let reference = json!({"namespace": "n", "name": name, "uid": uid});
    let volume = json!({"metadata": {"name": "v", "uid": "v"}, "spec": {"claimRef": reference}});
    put(&mut story.now, "persistentvolumes", volume);
    story.patches(OPERATOR, "persistentvolumes", "v", |volume| volume["metadata"]["labels"] = json!({"x": "y"}));
}

/// A write of a Service with this body.
fn guarded(story: &mut Story, verb: &str, body: Value) {
    let entry = Entry { body, ..by_operator(verb, "services", "c-pd") };
    story.does(entry, |now| edit(now, "services", "c-pd", |service| service["x"] = "y".into()));
}

fn holds(story: &mut Story, holder: &str) {
    let lease = json!({"metadata": {"name": LEASE, "namespace": "n"}, "spec": {"holderIdentity": holder}});
    put(&mut story.now, "leases", lease);
}

/// The cluster is paused, and so much time passes.
fn pauses(story: &mut Story, seconds: u64) {
    story.spec("paused", true.into());
    story.passes(seconds);
}

/// There is one more cluster.
fn has_neighbour(story: &mut Story, namespace: &str) {
    put(&mut story.now, "tidbclusters", json!({"metadata": {"name": "d", "namespace": namespace}, "spec": {}}));
}

fn writes_text(story: &mut Story, status: u16, text: &str) {
    let body = json!({"metadata": {"uid": "x", "annotations": {"text": text}}});
    let entry = Entry { body, status, ..by_operator("patch", "services", "c-pd") };
    story.does(entry, |now| edit(now, "services", "c-pd", |service| service["x"] = "y".into()));
}

/// No PD answers any more, and so much time passes.
fn silence(story: &mut Story, seconds: u64) {
    story.pd().answers = false;
    story.passes(seconds);
}
