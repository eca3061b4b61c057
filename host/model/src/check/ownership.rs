//! S18, S19: a plan touches only what belongs to this cluster, and only in the version that was seen.

use super::{ClusterFacts, Facts, Violation, facts::value};
use crate::{
    known::Known,
    plan::{Action, ObjectRef, Plan, Precondition},
    snapshot::Object,
};

/// A chain of owners is at most Pod -> ReplicaSet -> Deployment -> TidbCluster.
const OWNERS_MAX: usize = 3;

const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "tidb-operator");
const INSTANCE: &str = "app.kubernetes.io/instance";

pub(super) fn check(facts: &dyn Facts, cluster: &ClusterFacts, plan: &Plan, violations: &mut Vec<Violation>) {
    for action in &plan.actions {
        let Some(target) = action.target() else { continue };
        match action {
            Action::Create { object } => create(cluster, &target, object, violations),
            Action::Replace { object, expect } => {
                namespace(cluster, &target, object, violations);
                change(facts, cluster, &target, expect, violations);
            }
            Action::MergePatch { patch, expect, .. } => {
                identity(&target, patch, violations);
                change(facts, cluster, &target, expect, violations);
            }
            Action::Delete { expect, .. } => {
                if expect.uid.is_none() {
                    violations.push(Violation::new("S19", format!("delete of {target} without a uid")));
                }
                change(facts, cluster, &target, expect, violations);
            }
            _ => {}
        }
    }
}

fn create(cluster: &ClusterFacts, target: &ObjectRef, object: &serde_json::Value, violations: &mut Vec<Violation>) {
    if target.name.is_empty() {
        violations.push(Violation::new("shape", format!("create of a {} without a name", target.kind)));
    }
    namespace(cluster, target, object, violations);
    let labels = &object["metadata"]["labels"];
    if labels[INSTANCE] != cluster.instance || labels[MANAGED_BY.0] != MANAGED_BY.1 {
        violations.push(Violation::new("S18", format!("create of {target} without the labels of this cluster")));
    }
}

fn namespace(cluster: &ClusterFacts, target: &ObjectRef, object: &serde_json::Value, violations: &mut Vec<Violation>) {
    let namespace = &object["metadata"]["namespace"];
    if !namespace.is_null() && namespace != cluster.namespace.as_str() {
        violations.push(Violation::new("S18", format!("{target} is in namespace {namespace}, not the cluster's")));
    }
}

/// A patch cannot turn the object into another one, nor give it away.
fn identity(target: &ObjectRef, patch: &serde_json::Value, violations: &mut Vec<Violation>) {
    let metadata = &patch["metadata"];
    for field in ["name", "namespace", "uid", "ownerReferences", "finalizers"] {
        if metadata.get(field).is_some() {
            violations.push(Violation::new("S18", format!("patch of {target} changes metadata.{field}")));
        }
    }
}

fn change(
    facts: &dyn Facts,
    cluster: &ClusterFacts,
    target: &ObjectRef,
    expect: &Precondition,
    violations: &mut Vec<Violation>,
) {
    if expect.uid.is_none() && expect.resource_version.is_none() {
        violations.push(Violation::new("S19", format!("a write of {target} without a precondition")));
    }
    let object = match facts.object(target) {
        Ok(Some(object)) => object,
        Ok(None) => {
            violations.push(Violation::new("S18", format!("{target} does not exist")));
            return;
        }
        Err(unknown) => {
            violations.push(Violation::new("S33", format!("whether {target} is this cluster's is unknown: {unknown}")));
            return;
        }
    };
    if expect.uid.as_ref().is_some_and(|uid| *uid != object.head.uid) {
        violations.push(Violation::new("S19", format!("{target} was decided on with another uid")));
    }
    match owned(facts, cluster, target, &object) {
        Ok(true) => {}
        Ok(false) => violations.push(Violation::new("S18", format!("{target} does not belong to this cluster"))),
        Err(unknown) => {
            violations.push(Violation::new("S33", format!("whether {target} is this cluster's is unknown: {unknown}")));
        }
    }
}

/// Whether `object` belongs to the cluster: through its owners, or, for volumes, which have none, through labels.
fn owned(facts: &dyn Facts, cluster: &ClusterFacts, target: &ObjectRef, object: &Object) -> Known<bool> {
    match target.kind.as_str() {
        "PersistentVolumeClaim" => Ok(labelled(cluster, object)),
        "PersistentVolume" => volume(facts, cluster, object),
        _ => Ok(labelled(cluster, object) && owner_chain(facts, cluster, object)?),
    }
}

fn labelled(cluster: &ClusterFacts, object: &Object) -> bool {
    let label = |key: &str| object.labels.get(key).map(String::as_str);
    label(INSTANCE) == Some(&cluster.instance) && label(MANAGED_BY.0) == Some(MANAGED_BY.1)
}

fn volume(facts: &dyn Facts, cluster: &ClusterFacts, object: &Object) -> Known<bool> {
    let claim = value(object)["spec"]["claimRef"].clone();
    if claim["namespace"] != cluster.namespace.as_str() {
        return Ok(false);
    }
    let name = claim["name"].as_str().unwrap_or_default();
    let claims = facts.objects("v1", "PersistentVolumeClaim")?;
    Ok(claims.iter().any(|c| c.head.name == name && claim["uid"] == c.head.uid.as_str()))
}

fn owner_chain(facts: &dyn Facts, cluster: &ClusterFacts, object: &Object) -> Known<bool> {
    let mut owners = value(object)["metadata"]["ownerReferences"].clone();
    for _ in 0..OWNERS_MAX {
        let list = owners.as_array().map(Vec::as_slice).unwrap_or_default();
        if list.iter().any(|owner| owner["kind"] == "TidbCluster" && owner["uid"] == cluster.uid.as_str()) {
            return Ok(true);
        }
        let Some(owner) = list.iter().find(|owner| owner["controller"] == true) else { return Ok(false) };
        let text = |key: &str| owner[key].as_str().unwrap_or_default().to_owned();
        let target = ObjectRef { api_version: text("apiVersion"), kind: text("kind"), name: text("name") };
        let Some(next) = facts.object(&target)? else { return Ok(false) };
        if next.head.uid != text("uid") {
            return Ok(false);
        }
        owners = value(&next)["metadata"]["ownerReferences"].clone();
    }
    Ok(false)
}
