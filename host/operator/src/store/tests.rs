//! What the store answers, and whom a change concerns.

use serde_json::json;

use super::*;

const POD: (&str, &str) = ("v1", "Pod");

fn key(kind: (&str, &str), selection: Selection) -> WatchKey {
    WatchKey { kind: kinds::kind(kind.0, kind.1), selection }
}

fn clusters() -> WatchKey {
    WatchKey { kind: kinds::tidb_cluster(), selection: Selection::All }
}

fn object(name: &str, version: u64, more: Value) -> Value {
    let mut object = json!({"metadata": {"name": name, "namespace": "tidb", "uid": format!("uid-{name}"),
        "resourceVersion": version.to_string(), "managedFields": [{}],
        "labels": {"app.kubernetes.io/instance": "basic", "app.kubernetes.io/component": "pd",
                   "app.kubernetes.io/managed-by": "tidb-operator"}}});
    for (key, value) in more.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object
}

fn entry(kind: (&str, &str), value: Value) -> Entry {
    Entry::read(&kinds::kind(kind.0, kind.1), value).expect("an object")
}

fn store() -> (Arc<Store>, Arc<Cluster>, Arc<Mutex<Vec<String>>>) {
    let store = Arc::new(Store::default());
    let cluster = json!({"metadata": {"name": "basic", "namespace": "tidb", "uid": "u", "resourceVersion": "1"},
                         "spec": {"tidb": {"configMap": "mine"}}});
    store.replace(&clusters(), vec![Entry::read(&kinds::tidb_cluster(), cluster).expect("a cluster")]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    store.on_change(move |key| notes.lock().expect("not poisoned").push(key.to_string()));
    let cluster = store.cluster(&ClusterKey { namespace: "tidb".into(), name: "basic".into() }).expect("it is there");
    (store, cluster, seen)
}

fn names(objects: &Known<Arc<Objects>>) -> Vec<&str> {
    objects.as_ref().expect("known").iter().map(|object| object.head.name.as_str()).collect()
}

fn watch(kind: (&str, &str), of: Scope) -> Watch {
    Watch { api_version: kind.0.into(), kind: kind.1.into(), of }
}

#[test]
fn before_the_list_is_complete_nothing_is_known() {
    let (store, cluster, _) = store();
    let pods = watch(POD, Scope::Component);
    assert_eq!(store.watched(&cluster, "pd", &pods).expect_err("unknown"), Unknown::NotRequested);
    store.open(&key(POD, Selection::Managed));
    assert_eq!(store.watched(&cluster, "pd", &pods).expect_err("unknown"), Unknown::NotSynced);
    assert!(!store.synced());
    store.replace(&key(POD, Selection::Managed), vec![]);
    assert!(names(&store.watched(&cluster, "pd", &pods)).is_empty());
}

#[test]
fn a_list_that_did_not_change_is_the_same_list() {
    let (store, cluster, _) = store();
    let pods = watch(POD, Scope::Component);
    store.replace(&key(POD, Selection::Managed), vec![entry(POD, object("basic-pd-0", 5, json!({})))]);
    let first = store.watched(&cluster, "pd", &pods).expect("known");
    assert!(Arc::ptr_eq(&first, &store.watched(&cluster, "pd", &pods).expect("known")));
    assert!(!first[0].json.get().contains("managedFields"));
    assert!(names(&store.watched(&cluster, "tikv", &pods)).is_empty());
}

#[test]
fn an_older_state_does_not_come_back_and_our_own_writes_tell_nobody() {
    let (store, cluster, seen) = store();
    let table = key(POD, Selection::Managed);
    store.replace(&table, vec![]);
    store.wrote(&table.kind, object("basic-pd-0", 7, json!({})));
    store.change(&table, Change::Apply(Box::new(entry(POD, object("basic-pd-0", 6, json!({}))))));
    store.change(&table, Change::Apply(Box::new(entry(POD, object("basic-pd-0", 7, json!({}))))));
    assert!(seen.lock().expect("not poisoned").is_empty());
    let kept = store.object(&cluster, &table.kind, "basic-pd-0").expect("known").expect("there");
    assert_eq!(kept.head.resource_version, "7");
    store.change(&table, Change::Apply(Box::new(entry(POD, object("basic-pd-0", 8, json!({}))))));
    assert_eq!(*seen.lock().expect("not poisoned"), ["tidb/basic"]);
}

#[test]
fn another_object_of_the_same_name_is_not_deleted_by_the_first_ones_end() {
    let (store, cluster, _) = store();
    let table = key(POD, Selection::Managed);
    store.replace(&table, vec![entry(POD, object("basic-pd-0", 5, json!({})))]);
    let mut successor = object("basic-pd-0", 9, json!({}));
    successor["metadata"]["uid"] = json!("uid-2");
    store.change(&table, Change::Apply(Box::new(entry(POD, successor))));
    store.change(&table, Change::Delete(Box::new(entry(POD, object("basic-pd-0", 8, json!({}))))));
    assert!(store.object(&cluster, &table.kind, "basic-pd-0").expect("known").is_some());
}

#[test]
fn a_pod_is_updated_when_it_has_its_sets_update_revision() {
    let (store, cluster, _) = store();
    let set = object("basic-pd", 3, json!({"spec": {"replicas": 2}, "status": {"updateRevision": "r2"}}));
    store.replace(&key(("apps/v1", "StatefulSet"), Selection::Managed), vec![entry(("apps/v1", "StatefulSet"), set)]);
    let pod = |name: &str, revision: &str| {
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:02Z"});
        let mut pod = object(name, 4, json!({"status": {"phase": "Running", "conditions": [ready]}}));
        pod["metadata"]["labels"]["controller-revision-hash"] = json!(revision);
        pod["metadata"]["ownerReferences"] = json!([{"kind": "StatefulSet", "name": "basic-pd"}]);
        entry(POD, pod)
    };
    store.replace(&key(POD, Selection::Managed), vec![pod("basic-pd-10", "r1"), pod("basic-pd-9", "r2")]);
    let rows = store.pods(&cluster, "pd").expect("known");
    let seen: Vec<_> = rows.iter().map(|row| (row.ordinal, row.updated, row.ready_since_ms)).collect();
    assert_eq!(seen, [(9, true, 2000), (10, false, 2000)]);
    assert_eq!(store.pods(&cluster, "*").expect("known").len(), 2);
    assert!(store.pods(&cluster, "tikv").expect("known").is_empty());
    assert_eq!(store.desired(&cluster, "pd"), 2);
}

#[test]
fn of_a_secret_nothing_but_the_head_is_kept() {
    let secret = object("password", 3, json!({"data": {"root": "canary"}, "stringData": {"root": "canary"}}));
    let mut secret = secret;
    secret["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": "canary"});
    let entry = entry(("v1", "Secret"), secret);
    assert!(!entry.object.json.get().contains("canary"));
    assert!(entry.object.annotations.is_empty());
    assert_eq!(entry.object.head.resource_version, "3");
}

#[test]
fn heads_are_those_that_the_spec_refers_to() {
    let (store, cluster, seen) = store();
    let maps = key(("v1", "ConfigMap"), Selection::Heads);
    let head = |name: &str| Entry::head(&maps.kind, &object(name, 3, json!({}))["metadata"]).expect("a head");
    store.replace(&maps, vec![head("mine"), head("other")]);
    let referenced = store.watched(&cluster, "tidb", &watch(("v1", "ConfigMap"), Scope::Referenced));
    assert_eq!(names(&referenced), ["mine"]);
    assert_eq!(*seen.lock().expect("not poisoned"), ["tidb/basic"]);
}

#[test]
fn volumes_are_those_of_the_clusters_claims() {
    let (store, cluster, _) = store();
    let claim = ("v1", "PersistentVolumeClaim");
    let bound = entry(claim, object("pd-basic-pd-0", 3, json!({"spec": {"volumeName": "pv-1"}})));
    store.replace(&key(claim, Selection::Managed), vec![bound]);
    let volume = |name: &str| entry(("v1", "PersistentVolume"), json!({"metadata": {"name": name}}));
    store.replace(&key(("v1", "PersistentVolume"), Selection::All), vec![volume("pv-1"), volume("pv-2")]);
    let used = store.watched(&cluster, "pd", &watch(("v1", "PersistentVolume"), Scope::Used));
    assert_eq!(names(&used), ["pv-1"]);
}

#[test]
fn a_relist_tells_of_what_is_gone() {
    let (store, _, seen) = store();
    let table = key(POD, Selection::Managed);
    store.replace(&table, vec![entry(POD, object("basic-pd-0", 5, json!({})))]);
    seen.lock().expect("not poisoned").clear();
    store.replace(&table, vec![entry(POD, object("basic-pd-0", 5, json!({})))]);
    assert!(seen.lock().expect("not poisoned").is_empty(), "nothing changed");
    store.replace(&table, vec![]);
    assert_eq!(*seen.lock().expect("not poisoned"), ["tidb/basic"]);
}
