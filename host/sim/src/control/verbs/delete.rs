//! Delete: at once, after a grace period, or when the last finalizer has gone.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Request, Txn, txn::view};
use crate::control::{
    crd,
    error::{ApiError, Cause},
    http::Answer,
    options::{dry_run, dry_run_cause, invalid_options},
    path::text,
    resources::ResourceInfo,
    selectors::Selectors,
    store::Stored,
    strategy,
};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// How to delete.
#[derive(Clone, Debug, Default)]
struct DeleteOptions {
    grace: Option<i64>,
    propagation: Option<String>,
    uid: Option<String>,
    version: Option<String>,
    dry_run: bool,
}

fn options(request: &Request<'_>) -> Result<DeleteOptions, ApiError> {
    let body = match request.call.body.is_empty() {
        true => Value::Null,
        false => crate::control::body::yaml(&request.call.body).map_err(|_| {
            let message = crate::control::body::json(&request.call.body).err().unwrap_or_default();
            ApiError::bad_request(format!("couldn't get version/kind; json parse error: {message}"))
        })?,
    };
    let query = &request.query;
    let string =
        |name: &str| body[name].as_str().or_else(|| query.find(name).filter(|v| !v.is_empty())).map(str::to_owned);
    let mut causes = Vec::new();
    let mut dry = dry_run(query).unwrap_or_else(|cause| {
        causes.push(cause);
        false
    });
    let in_body: Vec<&str> = body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if in_body.iter().any(|v| *v != "All") {
        causes.push(dry_run_cause(&in_body));
    }
    dry |= !in_body.is_empty();
    let mut propagation = string("propagationPolicy");
    let orphan = body["orphanDependents"].as_bool().or_else(|| query.find("orphanDependents").map(|v| v == "true"));
    if let Some(policy) = &propagation {
        if orphan.is_some() {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            causes.push(Cause::invalid("propagationPolicy", &policy.as_str().into(), detail));
        } else if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
            let supported = &["Foreground", "Background", "Orphan", "nil"];
            causes.push(Cause::not_supported("propagationPolicy", &policy.as_str().into(), supported));
        }
    }
    if !causes.is_empty() {
        return Err(invalid_options("DeleteOptions", &causes));
    }
    if let Some(orphan) = orphan {
        propagation = Some(if orphan { "Orphan" } else { "Background" }.into());
    }
    let precondition = |name: &str| body["preconditions"][name].as_str().map(str::to_owned);
    Ok(DeleteOptions {
        grace: body["gracePeriodSeconds"].as_i64().or(query.number("gracePeriodSeconds")?),
        propagation,
        uid: precondition("uid"),
        version: precondition("resourceVersion"),
        dry_run: dry,
    })
}

/// Deletes one object.
pub(super) fn delete(request: &Request<'_>) -> Result<Answer, ApiError> {
    let options = options(request)?;
    let mut txn = Txn::begin(request.inner);
    let stored = txn.state.get(request.table(), &request.key()).ok_or_else(|| request.not_found())?;
    check_preconditions(request, &options, &stored)?;
    let outcome = remove(&mut txn, request, &request.key(), &stored, &options);
    let answers_object = strategy::of(&request.resource).delete_answers_object;
    match outcome {
        Outcome::Stays(value) => super::read::present_value(request, value, &txn),
        Outcome::Gone(value) if answers_object => super::read::present_value(request, value, &txn),
        Outcome::Gone(value) => Ok(Answer::json(200, &gone(&request.resource, &value))),
    }
}

/// Deletes a pod with the options of its eviction.
pub(super) fn evict(request: &Request<'_>) -> Result<(), ApiError> {
    let eviction = crate::control::body::json(&request.call.body).map_err(ApiError::bad_request)?;
    let asked = &eviction["deleteOptions"];
    let options = DeleteOptions {
        grace: asked["gracePeriodSeconds"].as_i64(),
        dry_run: asked["dryRun"].as_array().is_some_and(|list| !list.is_empty())
            || request.query.get("dryRun") == "All",
        ..DeleteOptions::default()
    };
    let mut txn = Txn::begin(request.inner);
    let stored = txn.state.get(request.table(), &request.key()).ok_or_else(|| request.not_found())?;
    remove(&mut txn, request, &request.key(), &stored, &options);
    Ok(())
}

fn gone(resource: &ResourceInfo, object: &Value) -> Value {
    let mut details = json!({"name": object["metadata"]["name"], "kind": resource.plural,
        "uid": object["metadata"]["uid"]});
    if !resource.group.is_empty() {
        details["group"] = resource.group.as_str().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

fn check_preconditions(request: &Request<'_>, options: &DeleteOptions, stored: &Stored) -> Result<(), ApiError> {
    let object = &stored.raw.value;
    let conflict = |message: String| Err(ApiError::conflict("", &request.resource.kind, &request.name, &message));
    let has = text(object, "metadata.uid");
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != has) {
        return conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({has}). The object might have been deleted and then recreated"
        ));
    }
    let has = stored.revision.to_string();
    if let Some(version) = options.version.as_deref().filter(|v| *v != has) {
        return conflict(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({has}). The object might have been modified"
        ));
    }
    Ok(())
}

enum Outcome {
    Stays(Value),
    Gone(Value),
}

/// Begins or completes a deletion.
fn remove(
    txn: &mut Txn<'_>,
    request: &Request<'_>,
    key: &str,
    stored: &Arc<Stored>,
    options: &DeleteOptions,
) -> Outcome {
    let resource = &request.resource;
    let old = (*stored.raw.value).clone();
    let shown = |value: &Value| match resource.custom.is_some() || resource.group == "events.k8s.io" {
        true => shown_now(resource, value.clone()),
        false => value.clone(),
    };
    let mut new = old.clone();
    let propagated = propagate(&mut new, options);
    let is_pod = resource.group.is_empty() && resource.plural == "pods";
    let is_namespace = resource.group.is_empty() && resource.plural == "namespaces";
    if is_namespace {
        mark_namespace(txn, &mut new);
    } else if is_pod {
        mark_pod(txn, &mut new, options.grace);
    } else if resource.plural == "customresourcedefinitions" && has_objects(txn, &new) {
        add_finalizer(&mut new, crd::CLEANUP);
    }
    let held = !is_released(resource, &new);
    if held && !is_pod && !is_namespace {
        mark(txn, &mut new, 0);
    }
    if !held && !is_pod {
        if options.dry_run {
            return Outcome::Gone(shown(&old));
        }
        let last = if propagated { new } else { old };
        let stored = txn.remove(resource, key, last);
        return Outcome::Gone((*view(resource, &stored).value).clone());
    }
    if options.dry_run {
        return if held { Outcome::Stays(shown(&new)) } else { Outcome::Gone(shown(&new)) };
    }
    let current = if new == old { stored.clone() } else { txn.put(resource, key, new) };
    if resource.plural == "customresourcedefinitions" {
        purge(txn, &current.raw.value);
    }
    let value = (*view(resource, &current).value).clone();
    if held {
        return Outcome::Stays(value);
    }
    txn.remove(resource, key, (*current.raw.value).clone());
    Outcome::Gone(value)
}

/// A value that is not stored, as a custom version or the newer events show it.
fn shown_now(resource: &ResourceInfo, value: Value) -> Value {
    match &resource.custom {
        Some(version) => crate::control::custom::view(&value, &resource.api_version(), version),
        None => crate::control::builtin::event::from_core(&value),
    }
}

fn finalizers(object: &Value) -> Vec<String> {
    let list = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    list.filter_map(|f| f.as_str().map(str::to_owned)).collect()
}

fn set_finalizers(object: &mut Value, list: Vec<String>) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    if list.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), list.into());
    }
}

fn add_finalizer(object: &mut Value, name: &str) {
    let mut list = finalizers(object);
    if !list.iter().any(|f| f == name) {
        list.push(name.to_owned());
    }
    set_finalizers(object, list);
}

/// Takes a finalizer off.
pub(super) fn drop_finalizer(object: &mut Value, name: &str) {
    let list = finalizers(object).into_iter().filter(|f| f != name).collect();
    set_finalizers(object, list);
}

/// The finalizers by which the garbage collector knows what to do; whether any changed.
fn propagate(object: &mut Value, options: &DeleteOptions) -> bool {
    let before = finalizers(object);
    let (add, drop): (Option<&str>, &[&str]) = match options.propagation.as_deref() {
        Some("Foreground") => (Some(FOREGROUND), &[ORPHAN]),
        Some("Orphan") => (Some(ORPHAN), &[FOREGROUND]),
        Some(_) => (None, &[ORPHAN, FOREGROUND]),
        None => return false,
    };
    drop.iter().for_each(|name| drop_finalizer(object, name));
    add.into_iter().for_each(|name| add_finalizer(object, name));
    finalizers(object) != before
}

/// Whether nothing holds a dying object back: no finalizer, no grace period.
pub(super) fn is_released(resource: &ResourceInfo, object: &Value) -> bool {
    if !finalizers(object).is_empty() {
        return false;
    }
    if resource.group.is_empty() && resource.plural == "namespaces" {
        return object["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty);
    }
    object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
}

fn mark(txn: &Txn<'_>, object: &mut Value, grace: i64) {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let seconds = i64::try_from(txn.now_ms() / 1000).unwrap_or(0).saturating_add(grace.max(0));
    object["metadata"]["deletionTimestamp"] = time(seconds).into();
    object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    if let Some(generation) = object["metadata"]["generation"].as_i64().filter(|g| *g > 0) {
        object["metadata"]["generation"] = (generation + 1).into();
    }
}

fn time(seconds: i64) -> String {
    let stamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn mark_namespace(txn: &Txn<'_>, namespace: &mut Value) {
    if namespace["metadata"]["deletionTimestamp"].is_null() {
        namespace["metadata"]["deletionTimestamp"] = txn.now_text().into();
    }
    namespace["status"]["phase"] = "Terminating".into();
}

/// A pod's grace period: asked for, its own, or none where no kubelet has it. It can only shrink.
fn mark_pod(txn: &Txn<'_>, pod: &mut Value, asked: Option<i64>) {
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(0);
    let ended = matches!(text(pod, "status.phase"), "Succeeded" | "Failed");
    let mut grace = asked.unwrap_or(own).max(0);
    if asked.is_some_and(|g| g < 0) {
        grace = 1;
    }
    if text(pod, "spec.nodeName").is_empty() || ended {
        grace = 0;
    }
    let Some(before) = pod["metadata"]["deletionGracePeriodSeconds"].as_i64() else {
        return mark(txn, pod, grace);
    };
    let unbound = text(pod, "spec.nodeName").is_empty() || ended;
    if (asked.is_some() || unbound) && grace < before {
        let at = text(pod, "metadata.deletionTimestamp").parse::<jiff::Timestamp>().map_or(0, |t| t.as_second());
        pod["metadata"]["deletionTimestamp"] = time(at - before + grace).into();
        pod["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    }
}

fn objects_of(definition: &Value) -> (String, String) {
    (text(definition, "spec.group").to_owned(), text(definition, "spec.names.plural").to_owned())
}

fn has_objects(txn: &Txn<'_>, definition: &Value) -> bool {
    let (group, plural) = objects_of(definition);
    txn.state.list((&group, &plural), None).next().is_some()
}

/// Deletes all objects of a dying definition.
fn purge(txn: &mut Txn<'_>, definition: &Value) {
    let (group, plural) = objects_of(definition);
    let registry = txn.inner.registry();
    let Some(resource) = registry.all().find(|r| r.group == group && r.plural == plural).cloned() else { return };
    let all: Vec<(String, Arc<Stored>)> =
        txn.state.list((&group, &plural), None).map(|(k, o)| (k.clone(), o.clone())).collect();
    for (key, stored) in all {
        let mut object = (*stored.raw.value).clone();
        if is_released(&resource, &object) {
            txn.remove(&resource, &key, object);
        } else {
            mark(txn, &mut object, 0);
            txn.put(&resource, &key, object);
        }
    }
}

/// Deletes what the selectors select.
pub(super) fn collection(request: &Request<'_>) -> Result<Answer, ApiError> {
    let options = options(request)?;
    let resource = &request.resource;
    let (labels, fields) = (request.query.get("labelSelector"), request.query.get("fieldSelector"));
    let selectors = Selectors::parse(resource, labels, fields)?;
    let mut txn = Txn::begin(request.inner);
    let found: Vec<(String, Arc<Stored>)> = txn
        .state
        .list(request.table(), request.namespace.as_deref())
        .filter(|(_, o)| selectors.matches(&view(resource, o).value))
        .map(|(k, o)| (k.clone(), o.clone()))
        .collect();
    let mut items = Vec::with_capacity(found.len());
    for (key, stored) in found {
        let (Outcome::Stays(value) | Outcome::Gone(value)) = remove(&mut txn, request, &key, &stored, &options);
        items.push(value);
    }
    let list = json!({"kind": resource.list_kind, "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": txn.state.revision().to_string()}, "items": items});
    Ok(Answer::json(200, &list))
}
