//! Create: from the body to a stored object.

use serde_json::{Map, Value};

use super::{
    Request, Txn,
    txn::{self, decode, refuse, reset_fields, to_stored, ty, view},
};
use crate::control::{
    crd, custom,
    error::ApiError,
    fields::managed::{self, Writer},
    http::Answer,
    metadata,
    options::{FieldValidation, WriteOptions},
    path::text,
    reviews,
    store::object_key,
    strategy,
};

/// Answers a review, which is stored nowhere.
pub(super) fn review(request: &Request<'_>) -> Result<Answer, ApiError> {
    let mut review = request.object()?;
    decode(&request.resource, &mut review).map_err(|e| request.cannot_handle(&e))?;
    if let Some(metadata) = review["metadata"].as_object_mut() {
        metadata.entry("creationTimestamp").or_insert(Value::Null);
    }
    let txn = Txn::begin(request.inner);
    if request.resource.plural == "bindings" {
        return Err(ApiError::method_not_allowed());
    }
    let answer = reviews::create(&request.resource, request.namespace.as_deref(), review, &request.user, &txn)?;
    Ok(Answer::json(201, &answer))
}

/// Creates the object in the body.
pub(super) fn create(request: &Request<'_>) -> Result<Answer, ApiError> {
    let options = WriteOptions::read(&request.query, "CreateOptions", &request.call.user_agent, false)?;
    let mut object = request.object()?;
    let unknown = decode(&request.resource, &mut object).map_err(|e| request.cannot_handle(&e))?;
    let mut warnings = unknown_fields(request, &options, &unknown)?;
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(Map::new());
    }
    request.set_namespace(&mut object)?;
    let mut txn = Txn::begin(request.inner);
    let (value, more) = store_new(&mut txn, request, &options, object, None)?;
    warnings.extend(more);
    let answer = super::read::present_value(request, value, &txn)?;
    Ok(Answer { code: 201, warnings, ..answer })
}

/// Warnings for unknown fields, or the error that strict validation makes of them.
pub(super) fn unknown_fields(
    request: &Request<'_>,
    options: &WriteOptions,
    unknown: &[String],
) -> Result<Vec<String>, ApiError> {
    let texts: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    match options.field_validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(texts),
        FieldValidation::Strict if texts.is_empty() => Ok(texts),
        FieldValidation::Strict => Err(request.cannot_handle(&format!("strict decoding error: {}", texts.join(", ")))),
    }
}

/// Prepares, checks and stores a new object. `applied` holds its managed fields if it was applied.
pub(super) fn store_new(
    txn: &mut Txn<'_>,
    request: &Request<'_>,
    options: &WriteOptions,
    mut object: Value,
    applied: Option<Value>,
) -> Result<(Value, Vec<String>), ApiError> {
    let resource = &request.resource;
    if !text(&object, "metadata.resourceVersion").is_empty() && applied.is_none() {
        return Err(ApiError::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    let generate = text(&object, "metadata.generateName").to_owned();
    if text(&object, "metadata.name").is_empty() && !generate.is_empty() {
        object["metadata"]["name"] = txn.generate_name(&generate).into();
    }
    let name = text(&object, "metadata.name").to_owned();
    check_namespace(txn, request, &name)?;
    identify(txn, request, &mut object);
    let strategy = strategy::of(resource);
    // Owned is what was sent and its defaults, not what the server decides.
    own(txn, request, options, &mut object, applied);
    decide(txn, request, &mut object);
    refuse(resource, &name, &faults(request, &object))?;
    (strategy.admit)(&object, None, txn)?;
    let key = object_key(request.namespace.as_deref(), &name);
    if let Some(found) = txn.state.get(request.table(), &key) {
        return Err(exists(request, &name, &found.raw.value));
    }
    let warnings = (strategy.warnings)(&object, None);
    if options.dry_run {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        return Ok((object, warnings));
    }
    let stored = txn.put(resource, &key, to_stored(resource, object));
    Ok(((*view(resource, &stored).value).clone(), warnings))
}

fn exists(request: &Request<'_>, name: &str, found: &Value) -> ApiError {
    let mut error = ApiError::already_exists(&request.resource.group, &request.resource.plural, name);
    if !found["metadata"]["deletionTimestamp"].is_null() {
        error.message = format!("object is being deleted: {}", error.message);
    }
    error
}

fn check_namespace(txn: &Txn<'_>, request: &Request<'_>, name: &str) -> Result<(), ApiError> {
    let Some(namespace) = &request.namespace else { return Ok(()) };
    let Some(found) = txn.state.get(("", "namespaces"), namespace) else {
        return Err(ApiError::not_found("", "namespaces", namespace));
    };
    if text(&found.raw.value, "status.phase") != "Terminating" {
        return Ok(());
    }
    let resource = &request.resource;
    let message = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut error = ApiError::forbidden(&resource.group, &resource.plural, name, &message);
    let text = format!("namespace {namespace} is being terminated");
    error.details["causes"] =
        serde_json::json!([{"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}]);
    Err(error)
}

/// Sets or takes over the managed fields.
fn own(txn: &Txn<'_>, request: &Request<'_>, options: &WriteOptions, object: &mut Value, applied: Option<Value>) {
    let resource = &request.resource;
    let (now, api_version) = (txn.now_text(), resource.api_version());
    if let Some(fields) = applied {
        object["metadata"]["managedFields"] = fields;
        return;
    }
    let writer = Writer { manager: &options.field_manager, api_version: &api_version, subresource: "", now: &now };
    managed::update(None, object, ty(resource), &writer, &reset_fields(resource, ""));
}

/// Gives a new object its identity and defaults, and drops what it may not bring along.
fn identify(txn: &Txn<'_>, request: &Request<'_>, object: &mut Value) {
    let resource = &request.resource;
    let strategy = strategy::of(resource);
    if resource.has_subresource("status")
        // A kubelet registers its node together with what it found on it.
        && !matches!(resource.plural.as_str(), "customresourcedefinitions" | "nodes")
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
            metadata.remove(field);
        }
        metadata.insert("uid".into(), txn.uid().into());
        metadata.insert("creationTimestamp".into(), txn.now_text().into());
        if strategy.generation {
            metadata.insert("generation".into(), 1.into());
        }
    }
    match &resource.custom {
        Some(version) => custom::default(object, &version.schema),
        None => (strategy.default)(object),
    }
}

/// What the server decides about a new object.
fn decide(txn: &Txn<'_>, request: &Request<'_>, object: &mut Value) {
    let resource = &request.resource;
    if resource.custom.is_none() {
        (strategy::of(resource).prepare_create)(object, txn);
    }
    if resource.plural == "customresourcedefinitions" {
        crd::default(object);
        crd::establish(object, None, &txn.now_text());
    }
}

fn faults(request: &Request<'_>, object: &Value) -> Vec<crate::control::error::Cause> {
    let resource = &request.resource;
    let strategy = strategy::of(resource);
    let mut causes = metadata::validate(object, strategy.name);
    match &resource.custom {
        Some(version) => causes.extend(custom::validate(object, None, version)),
        None => causes.extend((strategy.validate)(object, None)),
    }
    if resource.plural == "customresourcedefinitions" {
        causes.extend(crd::validate(object));
    }
    causes
}

/// The namespaces that every cluster has.
pub(in crate::control) fn system_namespaces(txn: &mut Txn<'_>, resource: &crate::control::resources::ResourceInfo) {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        if txn.state.get(("", "namespaces"), name).is_some() {
            continue;
        }
        let mut object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "uid": txn.uid(), "creationTimestamp": txn.now_text()}});
        let strategy = strategy::of(resource);
        (strategy.default)(&mut object);
        (strategy.prepare_create)(&mut object, txn);
        let now = txn.now_text();
        let writer = Writer { manager: "kube-apiserver", api_version: "v1", subresource: "", now: &now };
        managed::update(None, &mut object, txn::ty(resource), &writer, &reset_fields(resource, ""));
        txn.put(resource, name, object);
    }
}
