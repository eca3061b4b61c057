//! Rules that no scenario can break, because the simulated PD or API server would not let it: on states made by hand,
//! beside the nearest ones that are allowed. The other rules are broken in `tests/scenarios/broken-*`.

use std::sync::Arc;

use serde_json::{Value, json};
use tidepool_sim::{
    audit::Entry,
    data::pd::{MemberView, StoreView},
};

use super::{
    Judge, Step,
    state::{Pd, State, key},
};
use crate::world::{LEASE, OPERATOR, SECOND_OPERATOR};

/// A cluster `n/c` with three PD members and as many stores.
fn state() -> State {
    let mut state = State { ms: 1_000_000, ..State::default() };
    let spec = json!({"pd": {"replicas": 3}, "tikv": {"replicas": 3}});
    put(&mut state, "tidbclusters", json!({"metadata": {"name": "c", "namespace": "n", "uid": "u"}, "spec": spec}));
    let member = |n: u64| MemberView { id: n, name: format!("c-pd-{n}"), healthy: true, leader: n == 0 };
    let store = |n: u64| StoreView {
        id: n + 1,
        address: format!("c-tikv-{n}.c-tikv-peer.n.svc:20160"),
        state_name: "Up",
        running: true,
        leader_count: 0,
        region_count: 1,
        evicting: false,
    };
    let pd = Pd { members: (0..3).map(member).collect(), stores: (0..4).map(store).collect(), answers: true };
    state.pd.insert(7, pd);
    for component in ["pd", "tikv"] {
        put(&mut state, "statefulsets", set(component, 3));
        for n in 0..3 {
            put(&mut state, "pods", pod(component, n));
        }
    }
    for n in 0..3 {
        state.pd_of.insert(format!("n/c-pd-{n}"), 7);
    }
    state
}

fn put(state: &mut State, resource: &str, object: Value) {
    state.objects.entry(resource.to_owned()).or_default().insert(key(&object), Arc::new(object));
}

fn labels(component: &str) -> Value {
    json!({"app.kubernetes.io/instance": "c", "app.kubernetes.io/managed-by": "tidb-operator",
        "app.kubernetes.io/component": component})
}

fn set(component: &str, replicas: u32) -> Value {
    let owner = json!([{"kind": "TidbCluster", "uid": "u", "controller": true}]);
    json!({"metadata": {"name": format!("c-{component}"), "namespace": "n", "uid": format!("set-{component}"),
            "labels": labels(component), "ownerReferences": owner},
        "spec": {"replicas": replicas, "template": {"spec": {"image": "a"}}}})
}

fn pod(component: &str, ordinal: u32) -> Value {
    let owner = json!([{"kind": "StatefulSet", "name": format!("c-{component}"), "uid": format!("set-{component}"),
        "controller": true}]);
    json!({"metadata": {"name": format!("c-{component}-{ordinal}"), "namespace": "n", "labels": labels(component),
            "ownerReferences": owner},
        "spec": {"nodeName": "node"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

fn request(verb: &str, resource: &str, name: &str) -> Entry {
    let body = json!({"metadata": {"uid": "x"}, "preconditions": {"uid": "x"}});
    Entry {
        time: String::new(),
        user_agent: OPERATOR.to_owned(),
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        namespace: "n".to_owned(),
        name: name.to_owned(),
        status: 200,
        body,
    }
}

/// Rules that these steps break, in order, each once.
fn broken(steps: &[(Entry, &State, &State)]) -> Vec<&'static str> {
    let mut judge = Judge::default();
    for (number, (entry, before, after)) in steps.iter().enumerate() {
        judge.step(number, Step { entry, before, after });
    }
    let mut rules: Vec<_> = judge.violations.iter().map(|violation| violation.rule).collect();
    rules.dedup();
    rules
}

fn pd(state: &mut State) -> &mut Pd {
    state.pd.get_mut(&7).expect("a PD")
}

#[test]
fn s2_a_removal_leaves_a_quorum() {
    let mut before = state();
    let removal = || request("DELETE", "pd", "/pd/api/v1/members/id/2");
    assert_eq!(broken(&[(removal(), &before, &before)]), [""; 0]);
    pd(&mut before).members[1].healthy = false;
    assert_eq!(broken(&[(removal(), &before, &before)]), ["S2"]);
    pd(&mut before).members[2].healthy = false;
    pd(&mut before).members[1].healthy = true;
    assert_eq!(broken(&[(removal(), &before, &before)]), [""; 0], "the one that is down may go");
}

#[test]
fn s3_the_leader_is_not_removed() {
    let before = state();
    assert_eq!(broken(&[(request("DELETE", "pd", "/pd/api/v1/members/id/0"), &before, &before)]), ["S3"]);
}

#[test]
fn s4_one_cluster_id_for_the_life_of_the_resource() {
    let (first, mut second) = (state(), state());
    let quiet = || request("create", "events", "e");
    assert_eq!(broken(&[(quiet(), &first, &first), (quiet(), &second, &second)]), [""; 0]);
    second.pd_of.insert("n/c-pd-2".to_owned(), 8);
    assert_eq!(broken(&[(quiet(), &first, &first), (quiet(), &first, &second)]), ["S4"]);
    let mut told = state();
    let cluster = json!({"metadata": {"name": "c", "namespace": "n", "uid": "u"}, "status": {"clusterID": "9"}});
    put(&mut told, "tidbclusters", cluster);
    assert_eq!(broken(&[(quiet(), &first, &told)]), ["S4"], "the status names another one");
}

#[test]
fn s6_no_store_restarts_while_another_is_away() {
    let mut before = state();
    let delete = || request("delete", "pods", "c-tikv-1");
    assert_eq!(broken(&[(delete(), &before, &before)]), [""; 0]);
    pd(&mut before).stores[2].state_name = "Disconnected";
    assert_eq!(broken(&[(delete(), &before, &before)]), ["S6"]);
}

#[test]
fn s8_stores_stay_above_the_replicas() {
    let mut before = state();
    let removal = || request("DELETE", "pd", "/pd/api/v1/store/4");
    assert_eq!(broken(&[(removal(), &before, &before)]), [""; 0]);
    pd(&mut before).stores[0].state_name = "Down";
    assert_eq!(broken(&[(removal(), &before, &before)]), ["S8"]);
}

#[test]
fn s14_volumes_do_not_shrink_and_sets_do_not_come_back_changed() {
    let claim = |size: &str| {
        let mut state = state();
        let claim = json!({"metadata": {"name": "tikv-c-tikv-0", "namespace": "n", "uid": "x", "labels": labels("tikv")},
            "spec": {"resources": {"requests": {"storage": size}}}});
        put(&mut state, "persistentvolumeclaims", claim);
        state
    };
    let patch = || request("patch", "persistentvolumeclaims", "tikv-c-tikv-0");
    assert_eq!(broken(&[(patch(), &claim("10Gi"), &claim("20Gi"))]), [""; 0]);
    assert_eq!(broken(&[(patch(), &claim("20Gi"), &claim("10Gi"))]), ["S14"]);
    let (with, mut without, mut changed) = (state(), state(), state());
    without.objects.get_mut("statefulsets").expect("sets").remove("n/c-tidb");
    let mut tidb = set("tidb", 1);
    let mut with_tidb = with;
    put(&mut with_tidb, "statefulsets", tidb.clone());
    tidb["spec"]["template"]["spec"]["image"] = "b".into();
    put(&mut changed, "statefulsets", tidb);
    let delete = || request("delete", "statefulsets", "c-tidb");
    let create = || request("create", "statefulsets", "c-tidb");
    assert_eq!(broken(&[(delete(), &with_tidb, &without), (create(), &without, &with_tidb)]), [""; 0]);
    assert_eq!(broken(&[(delete(), &with_tidb, &without), (create(), &without, &changed)]), ["S14"]);
}

#[test]
fn s20_only_the_holder_of_the_lease_writes() {
    let held_by = |holder: &str, replicas: u32| {
        let mut state = state();
        let lease = json!({"metadata": {"name": LEASE, "namespace": "n"}, "spec": {"holderIdentity": holder}});
        put(&mut state, "leases", lease);
        put(&mut state, "statefulsets", set("tikv", replicas));
        state
    };
    let write = || request("patch", "statefulsets", "c-tikv");
    let steps = |holder| broken(&[(write(), &held_by(holder, 2), &held_by(holder, 3))]);
    assert_eq!(steps(OPERATOR), [""; 0]);
    assert_eq!(steps(SECOND_OPERATOR), ["S20"]);
}

#[test]
fn what_others_do_is_no_violation() {
    let before = state();
    let mut entry = request("delete", "pods", "c-pd-0");
    entry.user_agent = crate::world::USER.to_owned();
    assert_eq!(broken(&[(entry, &before, &before)]), [""; 0]);
    let mut entry = request("delete", "pods", "c-pd-0");
    assert_eq!(broken(&[(entry.clone(), &before, &before)]), ["S3"], "it leads");
    entry.status = 409;
    assert_eq!(broken(&[(entry, &before, &before)]), [""; 0], "it was refused");
}
