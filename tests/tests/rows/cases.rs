//! How a case is written: a cluster of PD alone, and short words for what is looked at.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde_json::{Value, json};
use tidepool_model::{Action, Unknown, pretend::World, render::Deciding, snapshot::PdMember};
use tidepool_sdk::native::story::Story;

/// The policies that decide, anew for each case.
pub type Policies = fn() -> Vec<Deciding<'static>>;

/// What somebody does to a cluster before it is looked at.
pub type Given = fn(&mut Story);

/// The cases that were run.
pub struct Cases {
    policies: Policies,
    run: BTreeSet<&'static str>,
    failed: Vec<String>,
}

impl Cases {
    /// None yet.
    pub fn new(policies: Policies) -> Self {
        Self { policies, run: BTreeSet::new(), failed: Vec::new() }
    }

    /// Runs the case of a row. One that fails does not keep the others from being run.
    pub fn row(&mut self, id: &'static str, case: impl FnOnce(Policies)) {
        let policies = self.policies;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(policies))) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            self.failed.push(format!("{id}: {}", text.unwrap_or_default()));
        }
        assert!(self.run.insert(id), "{id} is run twice");
    }

    /// Numbers of the rows that have a case.
    pub fn finish(self) -> BTreeSet<&'static str> {
        assert!(self.failed.is_empty(), "\n{}\n", self.failed.join("\n"));
        self.run
    }
}

/// A TidbCluster `test` with this many PD members and two claims for each.
pub fn cluster(replicas: i32) -> Value {
    json!({
        "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
        "metadata": {"name": "test", "namespace": "default"},
        "spec": {"pd": {
            "replicas": replicas, "image": "pd-test-image", "requests": {"storage": "100Gi"},
            "storageVolumes": [{"name": "log", "storageSize": "1Gi", "mountPath": "/var/log"}],
            "maxFailoverCount": 3,
        }},
    })
}

/// Nothing of the cluster exists.
pub fn new(policies: Policies, cluster: Value) -> Story {
    Story::new(World::new(cluster), policies(), line)
}

/// The cluster has come to rest.
pub fn at_rest(policies: Policies, replicas: i32) -> Story {
    new(policies, cluster(replicas)).at_rest()
}

fn line(action: &Action) -> String {
    match action {
        Action::Replace { object, .. } if object["kind"] == "StatefulSet" => {
            format!("set {} partition {}", object["spec"]["replicas"], partition_of(object))
        }
        action => format!("{} {}", action.verb(), action.subject()),
    }
}

fn partition_of(set: &Value) -> &Value {
    &set["spec"]["updateStrategy"]["rollingUpdate"]["partition"]
}

/// Name of a member, and of its pod.
pub fn member(ordinal: u32) -> String {
    format!("test-pd-{ordinal}")
}

/// PD's StatefulSet.
pub fn set(story: &Story) -> &Value {
    story.set("test-pd")
}

/// Replicas of the StatefulSet.
pub fn size(story: &Story) -> i64 {
    set(story)["spec"]["replicas"].as_i64().unwrap_or_default()
}

/// Partition of the StatefulSet; -1 without.
pub fn partition(story: &Story) -> i64 {
    partition_of(set(story)).as_i64().unwrap_or(-1)
}

/// Image in the StatefulSet.
pub fn image(story: &Story) -> &str {
    set(story)["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

/// Phase of PD.
pub fn phase(story: &Story) -> &str {
    story.status("pd")["phase"].as_str().unwrap_or_default()
}

/// Whether the next round would wait for this reason.
pub fn waits(story: &Story, reason: &str) -> bool {
    reason.is_empty() || story.waiting().iter().any(|word| word == reason)
}

/// PD does not answer.
pub fn silence(story: &mut Story) {
    let failed = || Unknown::Failed("no answer within 5 s".into());
    story.world.pd.members = Err(failed());
    story.world.pd.documents.values_mut().for_each(|document| *document = Err(failed()));
}

/// Adds a member of another cluster to PD.
pub fn add_peer(story: &mut Story, number: u32, healthy: bool) {
    let name = format!("peer-pd-{number}");
    let client_url = format!("http://{name}.peer-pd-peer.other.svc:2379");
    let peer = PdMember { id: format!("10{number}"), name, client_url, healthy, leader: false };
    story.world.pd.members.as_mut().expect("PD answers").push(peer);
}

/// The value at a path of names and numbers; `-1` is the last of a list, and `*` all of it.
pub fn at(value: &Value, path: &str) -> Value {
    let Some((step, rest)) = path.split_once('/').or((!path.is_empty()).then_some((path, ""))) else {
        return value.clone();
    };
    match (value, step) {
        (Value::Array(items), "*") => items.iter().map(|item| at(item, rest)).collect(),
        (Value::Array(items), "-1") => items.last().map_or(Value::Null, |item| at(item, rest)),
        (Value::Array(items), number) => {
            number.parse::<usize>().ok().and_then(|at| items.get(at)).map_or(Value::Null, |item| at(item, rest))
        }
        (value, key) => at(&value[key], rest),
    }
}

/// Lays `change` over `value`, object by object.
pub fn merge(value: &mut Value, change: &Value) {
    match change {
        Value::Object(change) => {
            if !value.is_object() {
                *value = json!({});
            }
            change.iter().for_each(|(key, change)| merge(&mut value[key], change));
        }
        other => *value = other.clone(),
    }
}
