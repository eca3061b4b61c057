//! StatefulSets, Deployments and their kin.

use serde_json::{Map, Value, json};

use super::{pod_defaults, pod_validation, storage};
use crate::control::{
    error::Cause,
    path::{at, int, list_mut, object, remove, set, set_default, strings, text},
    strategy::{Strategy, World},
};

const HISTORY: i64 = 10;
const PROGRESS_SECONDS: i64 = 600;
const SHARE: &str = "25%";
const CLAIM_KEEPING: &str = "spec.persistentVolumeClaimRetentionPolicy";
/// The fields of a StatefulSet's spec that may change.
const STATEFULSET_FREE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];
const STATEFULSET_FIXED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
     'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

pub fn statefulset() -> Strategy {
    Strategy {
        default: statefulset_default,
        prepare_create: |set, _| {
            crate::control::path::set(set, "status", json!({"replicas": 0, "availableReplicas": 0}))
        },
        prepare_update: statefulset_update,
        validate: statefulset_validate,
        generation: true,
        ..Strategy::default()
    }
}

pub fn deployment() -> Strategy {
    Strategy {
        default: deployment_default,
        prepare_create: |deployment, _| set(deployment, "status", json!({})),
        validate: deployment_validate,
        generation: true,
        ..Strategy::default()
    }
}

pub fn replicaset() -> Strategy {
    Strategy {
        default: replicaset_default,
        prepare_create: |set, _| crate::control::path::set(set, "status", json!({"replicas": 0})),
        prepare_update: keep_replicas,
        validate: |object, old| workload_faults(object, old),
        generation: true,
        ..Strategy::default()
    }
}

pub fn daemonset() -> Strategy {
    Strategy {
        default: daemonset_default,
        prepare_create: |set, _| {
            let status = json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0});
            crate::control::path::set(set, "status", status);
        },
        validate: |object, old| workload_faults(object, old),
        generation: true,
        ..Strategy::default()
    }
}

pub fn job() -> Strategy {
    Strategy { default: job_default, prepare_create: job_create, generation: true, ..Strategy::default() }
}

pub fn disruption_budget() -> Strategy {
    Strategy {
        prepare_create: |budget, _| {
            set(
                budget,
                "status",
                json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}),
            );
        },
        validate: budget_validate,
        generation: true,
        unconditional_update: false,
        ..Strategy::default()
    }
}

pub fn autoscaler() -> Strategy {
    Strategy {
        default: |scaler| set_default(scaler, "spec.minReplicas", 1),
        prepare_create: |scaler, _| {
            set(scaler, "status", json!({"currentReplicas": 0, "desiredReplicas": 0, "currentMetrics": null}))
        },
        ..Strategy::default()
    }
}

fn template_default(workload: &mut Value) {
    pod_defaults::template(object(workload, "spec").entry("template").or_insert_with(|| json!({})));
}

fn statefulset_default(workload: &mut Value) {
    template_default(workload);
    let spec = &mut workload["spec"];
    set_default(spec, "podManagementPolicy", "OrderedReady");
    set_default(spec, "updateStrategy.type", "RollingUpdate");
    if text(spec, "updateStrategy.type") == "RollingUpdate" {
        set_default(spec, "updateStrategy.rollingUpdate.partition", 0);
    }
    set_default(spec, "replicas", 1);
    set_default(spec, "revisionHistoryLimit", HISTORY);
    set_default(workload, &format!("{CLAIM_KEEPING}.whenDeleted"), "Retain");
    set_default(workload, &format!("{CLAIM_KEEPING}.whenScaled"), "Retain");
    for claim in list_mut(workload, "spec.volumeClaimTemplates").into_iter().flatten() {
        set_default(claim, "apiVersion", "v1");
        set_default(claim, "kind", "PersistentVolumeClaim");
        storage::claim_default(claim);
    }
    if at(workload, "status").is_object() {
        set_default(workload, "status.replicas", 0);
        set_default(workload, "status.availableReplicas", 0);
    }
}

fn statefulset_update(workload: &mut Value, _: &Value, _: &dyn World) {
    set_default(workload, "status.replicas", 0);
    set_default(workload, "status.availableReplicas", 0);
}

fn keep_replicas(workload: &mut Value, _: &Value, _: &dyn World) {
    set_default(workload, "status.replicas", 0);
}

fn deployment_default(workload: &mut Value) {
    template_default(workload);
    let spec = &mut workload["spec"];
    set_default(spec, "replicas", 1);
    set_default(spec, "strategy.type", "RollingUpdate");
    if text(spec, "strategy.type") == "RollingUpdate" {
        set_default(spec, "strategy.rollingUpdate.maxUnavailable", SHARE);
        set_default(spec, "strategy.rollingUpdate.maxSurge", SHARE);
    }
    set_default(spec, "revisionHistoryLimit", HISTORY);
    set_default(spec, "progressDeadlineSeconds", PROGRESS_SECONDS);
    set_default(workload, "status", json!({}));
}

fn replicaset_default(workload: &mut Value) {
    template_default(workload);
    set_default(workload, "spec.replicas", 1);
}

fn daemonset_default(workload: &mut Value) {
    template_default(workload);
    let spec = &mut workload["spec"];
    set_default(spec, "updateStrategy.type", "RollingUpdate");
    if text(spec, "updateStrategy.type") == "RollingUpdate" {
        set_default(spec, "updateStrategy.rollingUpdate.maxSurge", 0);
        set_default(spec, "updateStrategy.rollingUpdate.maxUnavailable", 1);
    }
    set_default(spec, "revisionHistoryLimit", HISTORY);
}

fn job_default(job: &mut Value) {
    template_default(job);
    for (field, value) in [("completions", 1), ("parallelism", 1), ("backoffLimit", 6)] {
        set_default(job, &format!("spec.{field}"), value);
    }
    set_default(job, "spec.completionMode", "NonIndexed");
    set_default(job, "spec.suspend", false);
    set_default(job, "spec.podReplacementPolicy", "TerminatingOrFailed");
}

fn job_create(job: &mut Value, _: &dyn World) {
    set(job, "status", json!({}));
    let (uid, name) = (text(job, "metadata.uid").to_owned(), text(job, "metadata.name").to_owned());
    if at(job, "spec.selector").is_null() {
        let labels = object(job, "spec.template.metadata.labels");
        for (key, value) in [("controller-uid", &uid), ("job-name", &name)] {
            labels.insert(key.to_owned(), value.as_str().into());
            labels.insert(format!("batch.kubernetes.io/{key}"), value.as_str().into());
        }
        set(job, "spec.selector", json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    }
}

/// Whether a label selector chooses something with these labels. A selector without any requirement chooses nothing here.
fn selects(selector: &Value, labels: &Map<String, Value>) -> bool {
    let equal =
        strings(selector, "matchLabels").into_iter().all(|(key, value)| labels.get(&key) == Some(&Value::from(value)));
    let expressions = crate::control::path::list(selector, "matchExpressions");
    equal && expressions.iter().all(|e| requirement(e, labels.get(text(e, "key"))))
}

fn requirement(expression: &Value, label: Option<&Value>) -> bool {
    let listed = label.is_some_and(|label| crate::control::path::list(expression, "values").contains(label));
    match text(expression, "operator") {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => label.is_some(),
        _ => label.is_none(),
    }
}

/// Faults that every workload can have.
fn workload_faults(workload: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    causes.extend(pod_validation::negative(workload, "spec.replicas"));
    causes.extend(pod_validation::negative(workload, "spec.minReadySeconds"));
    let (selector, labels) = (at(workload, "spec.selector"), at(workload, "spec.template.metadata.labels"));
    let missing = selector.is_null();
    if missing {
        causes.push(Cause::required("spec.selector", ""));
    }
    if !missing
        && selector.as_object().is_none_or(|s| {
            s.values().all(|v| v.as_object().is_none_or(Map::is_empty) && v.as_array().is_none_or(Vec::is_empty))
        })
    {
        causes.push(Cause::invalid("spec.selector", selector, "empty selector is invalid for this type"));
    }
    let empty = Map::new();
    if missing || !selects(selector, labels.as_object().unwrap_or(&empty)) {
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            labels,
            "`selector` does not match template `labels`",
        ));
    }
    let mut faults = pod_validation::pod_spec("spec.template.spec", at(workload, "spec.template.spec"));
    if text(workload, "kind") == "StatefulSet" {
        // Mounts may name volumes that come from claims.
        faults.retain(|cause| !cause.field.contains("].volumeMounts["));
    }
    causes.extend(faults);
    let restart = text(workload, "spec.template.spec.restartPolicy");
    if restart != "Always" && ["OnFailure", "Never"].contains(&restart) {
        causes.push(Cause::not_supported("spec.template.spec.restartPolicy", &restart.into(), &["Always"]));
    }
    let changed = old.filter(|old| at(old, "spec.selector") != selector);
    if changed.is_some() && text(workload, "kind") != "StatefulSet" {
        causes.push(Cause::invalid("spec.selector", selector, "field is immutable"));
    }
    causes
}

fn statefulset_validate(workload: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let policy = at(workload, "spec.podManagementPolicy");
    if !["OrderedReady", "Parallel"].contains(&policy.as_str().unwrap_or_default()) {
        causes.push(Cause::invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"));
    }
    causes.extend(update_strategy(workload));
    causes.extend(workload_faults(&without_kind_rule(workload), old));
    causes.extend(statefulset_status(workload));
    if let Some(old) = old {
        let fixed = |object: &Value| {
            let mut spec = at(object, "spec").clone();
            STATEFULSET_FREE.iter().for_each(|field| _ = remove(&mut spec, field));
            spec
        };
        if fixed(workload) != fixed(old) {
            causes.push(Cause::forbidden("spec", STATEFULSET_FIXED));
        }
    }
    causes
}

/// A StatefulSet's selector is covered by its own list of fixed fields, so the shared rule must know the kind.
fn without_kind_rule(workload: &Value) -> Value {
    let mut named = workload.clone();
    set(&mut named, "kind", "StatefulSet");
    named
}

fn update_strategy(workload: &Value) -> Option<Cause> {
    let strategy = at(workload, "spec.updateStrategy");
    let rolling = at(strategy, "rollingUpdate");
    let go = |rolling: &Value| match rolling {
        Value::Null => "null".to_owned(),
        rolling => format!(
            "{{\"Partition\":{},\"MaxUnavailable\":{}}}",
            at(rolling, "partition"),
            at(rolling, "maxUnavailable")
        ),
    };
    let fault = |field: &str, value: String, detail: &str| Cause {
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {value}: {detail}"),
        field: field.to_owned(),
    };
    match text(strategy, "type") {
        "RollingUpdate" => pod_validation::negative(workload, "spec.updateStrategy.rollingUpdate.partition"),
        "OnDelete" if rolling.is_null() => None,
        "OnDelete" => Some(fault(
            "spec.updateStrategy.rollingUpdate",
            go(rolling),
            "only allowed for updateStrategy 'RollingUpdate'",
        )),
        "" => Some(Cause::required("spec.updateStrategy", "")),
        other => {
            let shown = format!("{{\"Type\":{},\"RollingUpdate\":{}}}", Value::from(other), go(rolling));
            Some(fault("spec.updateStrategy", shown, "must be 'RollingUpdate' or 'OnDelete'"))
        }
    }
}

fn statefulset_status(workload: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let replicas = int(workload, "status.replicas").unwrap_or(0);
    causes.extend(pod_validation::negative(workload, "status.replicas"));
    for counter in ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"] {
        let field = format!("status.{counter}");
        let count = int(workload, &field).unwrap_or(0);
        causes.extend(pod_validation::negative(workload, &field));
        if count > replicas {
            causes.push(Cause::invalid(field, &count.into(), "cannot be greater than status.replicas"));
        }
    }
    causes
}

fn deployment_validate(workload: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = workload_faults(workload, old);
    let strategy = at(workload, "spec.strategy");
    match text(strategy, "type") {
        "Recreate" if !at(strategy, "rollingUpdate").is_null() => {
            causes.push(Cause::forbidden(
                "spec.strategy.rollingUpdate",
                "may not be specified when strategy `type` is 'Recreate'",
            ));
        }
        "Recreate" | "RollingUpdate" => {}
        other => causes.push(Cause::not_supported("spec.strategy", &other.into(), &["Recreate", "RollingUpdate"])),
    }
    causes
}

fn budget_validate(budget: &Value, _: Option<&Value>) -> Vec<Cause> {
    let both = !at(budget, "spec.minAvailable").is_null() && !at(budget, "spec.maxUnavailable").is_null();
    let spec = at(budget, "spec");
    both.then(|| Cause::invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Value {
        let mut workload = json!({"spec": {"serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "i"}]}}}});
        statefulset_default(&mut workload);
        workload
    }

    fn lines(workload: &Value, old: Option<&Value>) -> Vec<String> {
        statefulset_validate(workload, old).iter().map(Cause::line).collect()
    }

    #[test]
    fn a_selector_must_choose_the_template() {
        let mut workload = web();
        assert!(lines(&workload, None).is_empty());
        workload["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
        assert_eq!(
            lines(&workload, None),
            [
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`"
            ]
        );
    }

    #[test]
    fn most_of_a_stateful_sets_spec_is_fixed() {
        let (old, mut new) = (web(), web());
        new["spec"]["replicas"] = 5.into();
        assert!(lines(&new, Some(&old)).is_empty());
        new["spec"]["serviceName"] = "other".into();
        assert_eq!(lines(&new, Some(&old)).len(), 1);
    }

    #[test]
    fn a_strategy_is_shown_as_the_server_does() {
        let mut workload = web();
        workload["spec"]["updateStrategy"] = json!({"type": "OnDelete", "rollingUpdate": {"partition": 1}});
        let expected = "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":1,\"MaxUnavailable\":null}: only allowed for updateStrategy 'RollingUpdate'";
        assert_eq!(lines(&workload, None), [expected]);
    }
}
