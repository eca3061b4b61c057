//! Pods.

use serde_json::{Value, json};

use super::{pod_defaults, pod_validation, quantity};
use crate::control::{
    error::Cause,
    path::{at, list, object, set, set_default, text},
    strategy::{Strategy, World},
};

/// What may change of a running pod, as the server says it.
const UPDATES_TEXT: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` \
(allow it to be set to 1 if it was previously negative)";
/// How long a pod stays on a node that is not ready or not reachable.
const TOLERATION_SECONDS: i64 = 300;
const NODE_TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub fn strategy() -> Strategy {
    Strategy {
        default: pod_defaults::pod,
        prepare_create,
        validate,
        generation: true,
        delete_answers_object: true,
        ..Strategy::default()
    }
}

fn prepare_create(pod: &mut Value, _: &dyn World) {
    let class = qos_class(pod);
    set(pod, "status", json!({"phase": "Pending", "qosClass": class}));
    set_default(pod, "spec.priority", 0);
    set_default(pod, "spec.preemptionPolicy", "PreemptLowerPriority");
    let tolerations = object(pod, "spec").entry("tolerations").or_insert_with(|| json!([]));
    for key in NODE_TAINTS {
        let tolerated = tolerations.as_array().into_iter().flatten().any(|t| tolerates(t, key));
        if let (false, Value::Array(items)) = (tolerated, &mut *tolerations) {
            items.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}));
        }
    }
}

fn tolerates(toleration: &Value, key: &str) -> bool {
    let (given, effect) = (text(toleration, "key"), text(toleration, "effect"));
    (given == key || given.is_empty()) && (effect == "NoExecute" || effect.is_empty())
}

/// How a pod's resources are guaranteed: from requests and limits of CPU and memory.
fn qos_class(pod: &Value) -> &'static str {
    let all = || ["containers", "initContainers"].into_iter().flat_map(|kind| list(at(pod, "spec"), kind));
    let amount =
        |container: &Value, kind: &str, resource: &str| quantity::of(container, kind, resource).filter(|n| *n > 0);
    let any = |c: &Value| {
        ["requests", "limits"]
            .iter()
            .any(|k| ["cpu", "memory"].iter().any(|r| amount(c, &format!("resources.{k}"), r).is_some()))
    };
    if !all().any(any) {
        return "BestEffort";
    }
    let guaranteed = |c: &Value| {
        ["cpu", "memory"].iter().all(|r| {
            let limit = amount(c, "resources.limits", r);
            limit.is_some() && amount(c, "resources.requests", r) == limit
        })
    };
    if all().all(guaranteed) { "Guaranteed" } else { "Burstable" }
}

fn validate(pod: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = pod_validation::pod_spec("spec", at(pod, "spec"));
    if let Some(old) = old.filter(|_| causes.is_empty()) {
        causes.extend(update(pod, old));
    }
    causes
}

/// A pod's spec is fixed but for images, deadline and added tolerations; binding comes through its own subresource.
fn update(new: &Value, old: &Value) -> Option<Cause> {
    let (mut allowed, old_spec) = (at(new, "spec").clone(), at(old, "spec"));
    for kind in ["containers", "initContainers"] {
        let before = list(old_spec, kind);
        let after = allowed.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten();
        after.zip(before).for_each(|(after, before)| set(after, "image", text(before, "image")));
    }
    for field in ["activeDeadlineSeconds", "tolerations", "ephemeralContainers", "schedulingGates"] {
        match old_spec.get(field) {
            Some(before) => set(&mut allowed, field, before.clone()),
            None => _ = allowed.as_object_mut().and_then(|spec| spec.remove(field)),
        }
    }
    if text(old_spec, "nodeName").is_empty() && !text(&allowed, "nodeName").is_empty() && binding(new, old) {
        allowed.as_object_mut()?.remove("nodeName");
    }
    let added = list(old_spec, "tolerations").iter().all(|t| list(at(new, "spec"), "tolerations").contains(t));
    let same = &allowed == old_spec && added;
    (!same).then(|| Cause::forbidden("spec", UPDATES_TEXT))
}

/// Whether the change is what the binding subresource makes: a node, and the condition that says so.
fn binding(new: &Value, old: &Value) -> bool {
    let scheduled = |pod: &Value| {
        list(pod, "status.conditions").iter().any(|c| text(c, "type") == "PodScheduled" && text(c, "status") == "True")
    };
    scheduled(new) && !scheduled(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(resources: Value) -> Value {
        let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}});
        pod_defaults::pod(&mut pod);
        pod
    }

    #[test]
    fn the_quality_of_service_follows_requests_and_limits() {
        assert_eq!(qos_class(&pod(json!({}))), "BestEffort");
        assert_eq!(qos_class(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        assert_eq!(qos_class(&pod(json!({"limits": {"cpu": "1", "memory": "1Gi"}}))), "Guaranteed");
    }

    #[test]
    fn an_image_may_change_and_a_command_may_not() {
        let old = pod(json!({}));
        let mut new = old.clone();
        new["spec"]["containers"][0]["image"] = "i:2".into();
        assert_eq!(validate(&new, Some(&old)), []);
        new["spec"]["containers"][0]["command"] = json!(["x"]);
        assert_eq!(validate(&new, Some(&old)).len(), 1);
    }
}
