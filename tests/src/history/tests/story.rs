//! What happens to a cluster, step by step, judged as it happens.

use std::sync::Arc;

use serde_json::{Value, json};
use tidepool_sim::{
    audit::Entry,
    data::pd::{MemberView, StoreView},
};

use super::super::{
    CONTROLLERS, Call, Judge, Step, Violation,
    state::{Pd, State, key},
};
use crate::world::OPERATOR;

/// PD's number of the cluster.
pub const PD: u64 = 7;

/// The cluster `n/c` with five members of PD, four stores and two servers, as one finds it at rest, and what becomes of it.
pub struct Story {
    /// What is so.
    pub now: State,
    judge: Judge,
    steps: usize,
}

impl Story {
    pub fn new() -> Self {
        Self { now: at_rest(), judge: Judge::default(), steps: 0 }
    }

    /// Rules that were broken, each once.
    pub fn broken(&self) -> Vec<&'static str> {
        let mut rules: Vec<_> = self.judge.violations.iter().map(|violation| violation.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    pub fn violations(&self) -> &[Violation] {
        &self.judge.violations
    }

    /// A request is handled, and changes this.
    pub fn does(&mut self, entry: Entry, change: impl FnOnce(&mut State)) {
        let before = self.now.clone();
        change(&mut self.now);
        self.judge.step(self.steps, Step { entry: &entry, before: &before, after: &self.now });
        self.steps += 1;
    }

    /// Time passes, looked at before and after.
    pub fn passes(&mut self, seconds: u64) {
        self.judge.look(self.steps, &self.now);
        self.now.ms += seconds * 1_000;
        self.judge.look(self.steps, &self.now);
    }

    /// An operator calls a component.
    pub fn calls(&mut self, authority: &str, tls: bool) {
        self.judge.call(self.steps, Call { authority, tls }, &self.now);
    }

    /// The operator deletes a pod, which then is on its way out.
    pub fn deletes_pod(&mut self, name: &str) {
        self.does(by_operator("delete", "pods", name), |now| goes(now, name));
    }

    /// The StatefulSet controller deletes a pod.
    pub fn set_deletes_pod(&mut self, name: &str) {
        self.does(by(CONTROLLERS, "delete", "pods", name), |now| goes(now, name));
    }

    /// Somebody changes an object.
    pub fn patches(&mut self, who: &str, resource: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let stored = resource.split('/').next().unwrap_or_default().to_owned();
        self.does(by(who, "patch", resource, name), |now| edit(now, &stored, name, change));
    }

    pub fn member(&mut self, ordinal: usize) -> &mut MemberView {
        &mut self.pd().members[ordinal]
    }

    pub fn store(&mut self, ordinal: usize) -> &mut StoreView {
        &mut self.pd().stores[ordinal]
    }

    pub fn pd(&mut self) -> &mut Pd {
        self.now.pd.get_mut(&PD).expect("a PD")
    }

    /// Something of the cluster's spec.
    pub fn spec(&mut self, path: &str, value: Value) {
        edit(&mut self.now, "tidbclusters", "c", |cluster| set_at(&mut cluster["spec"], path, value));
    }

    /// What an object is by itself.
    pub fn becomes(&mut self, resource: &str, name: &str, change: impl FnOnce(&mut Value)) {
        edit(&mut self.now, resource, name, change);
    }

    /// An object is gone by itself.
    pub fn vanishes(&mut self, resource: &str, name: &str) {
        remove(&mut self.now, resource, name);
    }
}

/// A value at `a.b.c`.
pub fn set_at(object: &mut Value, path: &str, value: Value) {
    *path.split('.').fold(object, |object, key| &mut object[key]) = value;
}

/// Changes an object.
pub fn edit(state: &mut State, resource: &str, name: &str, change: impl FnOnce(&mut Value)) {
    let objects = state.objects.get_mut(resource).unwrap_or_else(|| panic!("no {resource}"));
    let namespaced = format!("n/{name}");
    let key = if objects.contains_key(&namespaced) { namespaced } else { name.to_owned() };
    let object = objects.get_mut(&key).unwrap_or_else(|| panic!("no {resource} {name}"));
    change(Arc::make_mut(object));
}

/// Adds an object.
pub fn put(state: &mut State, resource: &str, object: Value) {
    state.objects.entry(resource.to_owned()).or_default().insert(key(&object), Arc::new(object));
}

/// Removes an object.
pub fn remove(state: &mut State, resource: &str, name: &str) {
    let objects = state.objects.get_mut(resource).unwrap_or_else(|| panic!("no {resource}"));
    assert!(objects.remove(&format!("n/{name}")).is_some(), "no {resource} {name}");
}

fn goes(now: &mut State, pod: &str) {
    edit(now, "pods", pod, |pod| pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
}

/// A pod is ready, or not.
pub fn ready(pod: &mut Value, ready: bool) {
    pod["status"]["conditions"] = json!([{"type": "Ready", "status": if ready { "True" } else { "False" }}]);
}

/// The pod is another one, which serves.
pub fn anew(pod: &mut Value) {
    pod["metadata"]["deletionTimestamp"] = Value::Null;
    ready(pod, true);
}

/// A successful request with preconditions.
pub fn by(who: &str, verb: &str, resource: &str, name: &str) -> Entry {
    let body = json!({"metadata": {"uid": "x"}, "preconditions": {"uid": format!("uid-{name}")}});
    Entry {
        time: String::new(),
        user_agent: who.to_owned(),
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        namespace: if resource == "persistentvolumes" { String::new() } else { "n".to_owned() },
        name: name.to_owned(),
        status: 200,
        body,
    }
}

/// The same in the operator's name.
pub fn by_operator(verb: &str, resource: &str, name: &str) -> Entry {
    by(OPERATOR, verb, resource, name)
}

/// Nothing changes by it.
pub fn nothing(_: &mut State) {}

fn at_rest() -> State {
    let mut state = State { ms: 1_767_225_600_000, ..State::default() };
    let spec = json!({"pd": {"replicas": 5}, "tikv": {"replicas": 4}, "tidb": {"replicas": 2}});
    let metadata = json!({"name": "c", "namespace": "n", "uid": "u", "annotations": {}});
    put(&mut state, "tidbclusters", json!({"metadata": metadata, "spec": spec}));
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
    let pd = Pd { members: (0..5).map(member).collect(), stores: (0..4).map(store).collect(), answers: true };
    state.pd.insert(PD, pd);
    for (component, pods) in [("pd", 5), ("tikv", 4), ("tidb", 2)] {
        put(&mut state, "statefulsets", set(component, pods));
        for n in 0..pods {
            put(&mut state, "pods", pod(component, n));
            state.modes.insert(format!("n/c-{component}-{n}"), false);
            if component != "tidb" {
                put(&mut state, "persistentvolumeclaims", claim(component, n));
            }
        }
    }
    for n in 0..5 {
        state.pd_of.insert(format!("n/c-pd-{n}"), PD);
    }
    let spec = json!({"selector": {"app.kubernetes.io/instance": "c", "app.kubernetes.io/component": "pd"}});
    put(
        &mut state,
        "services",
        json!({"metadata": {"name": "c-pd", "namespace": "n", "uid": "uid-c-pd",
        "labels": labels("pd"), "ownerReferences": owned_by_cluster()}, "spec": spec}),
    );
    state
}

/// The labels of what belongs to the cluster.
pub fn labels(component: &str) -> Value {
    json!({"app.kubernetes.io/instance": "c", "app.kubernetes.io/managed-by": "tidb-operator",
        "app.kubernetes.io/component": component})
}

/// The owner of what belongs to the cluster.
pub fn owned_by_cluster() -> Value {
    json!([{"kind": "TidbCluster", "uid": "u", "controller": true}])
}

/// A StatefulSet of the cluster.
pub fn set(component: &str, replicas: u32) -> Value {
    json!({"metadata": {"name": format!("c-{component}"), "namespace": "n", "uid": format!("set-{component}"),
            "labels": labels(component), "ownerReferences": owned_by_cluster()},
        "spec": {"replicas": replicas, "updateStrategy": {"rollingUpdate": {"partition": replicas}},
            "template": {"spec": {"image": "a"}}},
        "status": {"updateRevision": "r1"}})
}

/// A pod of the cluster that serves.
pub fn pod(component: &str, ordinal: u32) -> Value {
    let owner = json!([{"kind": "StatefulSet", "name": format!("c-{component}"), "uid": format!("set-{component}"),
        "controller": true}]);
    let mut labels = labels(component);
    labels["controller-revision-hash"] = "r1".into();
    let claim = json!({"claimName": format!("{component}-c-{component}-{ordinal}")});
    json!({"metadata": {"name": format!("c-{component}-{ordinal}"), "namespace": "n", "labels": labels,
            "uid": format!("uid-c-{component}-{ordinal}"), "ownerReferences": owner},
        "spec": {"nodeName": "node", "volumes": [{"persistentVolumeClaim": claim}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

/// A claim of a pod.
pub fn claim(component: &str, ordinal: u32) -> Value {
    let name = format!("{component}-c-{component}-{ordinal}");
    json!({"metadata": {"name": name, "namespace": "n", "uid": format!("uid-{name}"), "labels": labels(component)},
        "spec": {"resources": {"requests": {"storage": "10Gi"}}}})
}
