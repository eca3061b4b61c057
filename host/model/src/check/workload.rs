//! Which pods a write of a StatefulSet takes down.

use serde_json::Value;

use super::{
    Facts,
    facts::{component, value},
    same::same,
};
use crate::{
    known::Known,
    merge::merge,
    plan::{Action, ObjectRef},
    snapshot::Object,
};

/// What one action does to the pods of a component.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disruption {
    /// Component label of the pods.
    pub component: String,
    /// Pods that come back: restarted or deleted under a StatefulSet that recreates them.
    pub restarted: Vec<String>,
    /// Pods that do not come back.
    pub removed: Vec<String>,
}

/// The pods that `action` takes down; none where it takes down nothing.
pub(super) fn disruption(facts: &dyn Facts, action: &Action) -> Known<Option<Disruption>> {
    let Some(target) = action.target() else { return Ok(None) };
    match (target.kind.as_str(), action) {
        ("Pod", Action::Delete { .. }) => pod(facts, &target),
        ("StatefulSet", Action::Create { .. }) => Ok(None),
        ("StatefulSet", _) => stateful_set(facts, &target, action),
        _ => Ok(None),
    }
}

fn pod(facts: &dyn Facts, target: &ObjectRef) -> Known<Option<Disruption>> {
    let Some(pod) = facts.object(target)? else { return Ok(None) };
    let restarted = vec![target.name.clone()];
    Ok(Some(Disruption { component: component(&pod).to_owned(), restarted, removed: Vec::new() }))
}

fn stateful_set(facts: &dyn Facts, target: &ObjectRef, action: &Action) -> Known<Option<Disruption>> {
    let Some(existing) = facts.object(target)? else { return Ok(None) };
    let before = value(&existing);
    let mut disruption = Disruption { component: component(&existing).to_owned(), ..Disruption::default() };
    let pods = facts.objects("v1", "Pod")?;
    let own = pods.iter().filter(|pod| ordinal(&target.name, &pod.head.name).is_some());
    let Some(after) = after(&before, action) else {
        disruption.removed = own.map(|pod| pod.head.name.clone()).collect();
        return Ok(Some(disruption));
    };
    for pod in own {
        let number = ordinal(&target.name, &pod.head.name).unwrap_or(0);
        if removes(&before, &after, number) {
            disruption.removed.push(pod.head.name.clone());
        } else if restarts(&before, &after, pod, number) {
            disruption.restarted.push(pod.head.name.clone());
        }
    }
    Ok(Some(disruption))
}

/// The StatefulSet as the action leaves it; none if it is gone.
fn after(before: &Value, action: &Action) -> Option<Value> {
    match action {
        Action::Replace { object, .. } => Some(object.clone()),
        Action::MergePatch { patch, .. } => {
            let mut after = before.clone();
            merge(&mut after, patch);
            Some(after)
        }
        _ => None,
    }
}

/// Only a shrinking set removes pods. Ordinals in the annotation `delete-slots` are left out by the set's controller.
fn removes(before: &Value, after: &Value, ordinal: i64) -> bool {
    !covers(after, ordinal) && covers(before, ordinal)
}

pub(super) fn covers(set: &Value, ordinal: i64) -> bool {
    let replicas = set["spec"]["replicas"].as_i64().unwrap_or(1);
    let start = set["spec"]["ordinals"]["start"].as_i64().unwrap_or(0);
    let mut slots: Vec<i64> = set["metadata"]["annotations"]["delete-slots"]
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    slots.sort_unstable();
    let end = slots.iter().fold(start + replicas, |end, slot| if *slot < end { end + 1 } else { end });
    (start..end).contains(&ordinal) && !slots.contains(&ordinal)
}

/// Whether the set's controller will restart this pod by itself.
fn restarts(before: &Value, after: &Value, pod: &Object, ordinal: i64) -> bool {
    let strategy = &after["spec"]["updateStrategy"];
    if strategy["type"] == "OnDelete" || ordinal < strategy["rollingUpdate"]["partition"].as_i64().unwrap_or(0) {
        return false;
    }
    let changed = !same(&after["spec"]["template"], &before["spec"]["template"]);
    let revision = pod.labels.get("controller-revision-hash").map(String::as_str);
    changed || revision != before["status"]["updateRevision"].as_str()
}

fn ordinal(set: &str, pod: &str) -> Option<i64> {
    pod.strip_prefix(set)?.strip_prefix('-')?.parse().ok()
}
