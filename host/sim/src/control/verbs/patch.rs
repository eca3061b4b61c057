//! Patches of all kinds, and server-side apply.

use http::header;
use serde_json::{Map, Value, json};

use super::{
    Request, Txn,
    create::{self, unknown_fields},
    txn::{decode, reset_fields, ty, view},
    update::{Change, store_change},
};
use crate::control::{
    error::{ApiError, Cause},
    fields::{conflict_error, managed, managed::Writer, typed},
    http::Answer,
    options::{FieldValidation, WriteOptions},
    patch::Patch,
    path::text,
};

/// Where kubectl keeps what it applied last from its own side.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Patches the object.
pub(super) fn patch(request: &Request<'_>) -> Result<Answer, ApiError> {
    match read(request)? {
        Some(patch) => apply_patch(request, &patch),
        None => server_side_apply(request),
    }
}

/// The patch in the body, `None` if it is to be applied.
pub(super) fn read(request: &Request<'_>) -> Result<Option<Patch>, ApiError> {
    let content_type = request.call.header(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let body = &request.call.body;
    match content_type {
        "application/json-patch+json" => Patch::json(body).map(Some),
        "application/merge-patch+json" => Patch::merge(body).map(Some),
        "application/strategic-merge-patch+json" if request.resource.custom.is_none() => {
            Patch::strategic(body).map(Some)
        }
        "application/apply-patch+yaml" => Ok(None),
        "application/strategic-merge-patch+json" => {
            let text = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            Err(ApiError::new(415, "UnsupportedMediaType", text))
        }
        _ => {
            let error = ApiError::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
            Err(ApiError { details: json!({}), ..error })
        }
    }
}

fn apply_patch(request: &Request<'_>, patch: &Patch) -> Result<Answer, ApiError> {
    let options = WriteOptions::read(&request.query, "PatchOptions", &request.call.user_agent, false)?;
    let resource = &request.resource;
    let mut txn = Txn::begin(request.inner);
    let stored = txn.state.get(request.table(), &request.key()).ok_or_else(|| request.not_found())?;
    let old = view(resource, &stored);
    let mut patched = patch.apply(&old.value, ty(resource))?;
    if text(&patched, "kind") != resource.kind || text(&patched, "apiVersion") != resource.api_version() {
        let (kind, version) = (text(&patched, "kind"), text(&patched, "apiVersion"));
        let message = format!("the kind of the patched object ({version}, {kind}) does not match the resource");
        return Err(patch.unreadable(&patched, &message));
    }
    let before = patched.clone();
    let unknown = decode(resource, &mut patched).map_err(|message| patch.unreadable(&before, &message))?;
    if options.field_validation == FieldValidation::Strict && !unknown.is_empty() {
        let texts: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        return Err(patch.unreadable(&before, &format!("strict decoding error: {}", texts.join(", "))));
    }
    let mut warnings = unknown_fields(request, &options, &unknown)?;
    request.check_name(&patched)?;
    request.set_namespace(&mut patched)?;
    let unchanged_version = patched["metadata"]["resourceVersion"] == old.value["metadata"]["resourceVersion"];
    if unchanged_version && let Some(metadata) = patched["metadata"].as_object_mut() {
        // The patch did not ask for a version, so none is checked.
        metadata.remove("resourceVersion");
    }
    let change = Change { new: patched, applied: false, subresource: &request.subresource };
    let (value, more) = store_change(&mut txn, request, &options, &stored, change)?;
    warnings.extend(more);
    let answer = super::read::present_value(request, value, &txn)?;
    Ok(Answer { warnings, ..answer })
}

/// The applied configuration, checked for what needs no schema.
fn configuration(request: &Request<'_>) -> Result<Value, ApiError> {
    let config = crate::control::body::yaml(&request.call.body).map_err(|message| {
        ApiError::bad_request(format!("error decoding YAML: error converting YAML to JSON: {message}"))
    })?;
    let (version, kind) = (text(&config, "apiVersion"), text(&config, "kind"));
    if version != request.resource.api_version() || kind != request.resource.kind {
        let group_version = if version.is_empty() { "/".to_owned() } else { version.to_owned() };
        return Err(ApiError::bad_request(format!("invalid object type: {group_version}, Kind={kind}")));
    }
    if !config["metadata"]["managedFields"].is_null() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    request.check_name(&config)?;
    Ok(config)
}

fn server_side_apply(request: &Request<'_>) -> Result<Answer, ApiError> {
    let options = WriteOptions::read(&request.query, "PatchOptions", &request.call.user_agent, true)?;
    let mut config = configuration(request)?;
    let resource = &request.resource;
    let mut faults = Vec::new();
    typed::check(&config, ty(resource), "", &mut faults);
    if let Some(fault) = faults.first() {
        let (version, kind) = (&resource.version, &resource.kind);
        let (name, namespace) = (text(&config, "metadata.name"), text(&config, "metadata.namespace"));
        let text = format!(
            "failed to create typed patch object ({namespace}/{name}; {}/{version}, Kind={kind}): {fault}",
            resource.group
        );
        return Err(ApiError::new(500, "", text));
    }
    if let (Some(namespace), true) = (&request.namespace, text(&config, "metadata.namespace").is_empty()) {
        config["metadata"]["namespace"] = namespace.as_str().into();
    }
    request.set_namespace(&mut config)?;
    let mut txn = Txn::begin(request.inner);
    let stored = txn.state.get(request.table(), &request.key());
    if stored.is_none() && !request.subresource.is_empty() {
        return Err(request.not_found());
    }
    if let (None, uid) = (&stored, text(&config, "metadata.uid"))
        && !uid.is_empty()
    {
        let message =
            format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
        return Err(ApiError::conflict(&resource.group, &resource.plural, &request.name, &message));
    }
    let live = stored.as_ref().map_or_else(
        || json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {}}),
        |s| (*view(resource, s).value).clone(),
    );
    let merged = merge(&txn, request, &options, &live, stored.is_some(), &config)?;
    finish(&mut txn, request, &options, stored, merged)
}

fn merge(
    txn: &Txn<'_>,
    request: &Request<'_>,
    options: &WriteOptions,
    live: &Value,
    exists: bool,
    config: &Value,
) -> Result<Value, ApiError> {
    let resource = &request.resource;
    let now = txn.now_text();
    let api_version = resource.api_version();
    let writer = Writer {
        manager: &options.field_manager,
        api_version: &api_version,
        subresource: &request.subresource,
        now: &now,
    };
    let reset = reset_fields(resource, &request.subresource);
    let mut plain = config.clone();
    let version = plain["metadata"].as_object_mut().and_then(|m| m.remove("resourceVersion"));
    let apply = |force| managed::apply(live, exists, &plain, ty(resource), &writer, &reset, force);
    let mut merged = match apply(options.force) {
        // What kubectl applied from its own side before is its own to take.
        Err(conflicts) if options.field_manager == "kubectl" && applied_before(live, ty(resource), &conflicts) => {
            apply(true)
        }
        other => other,
    }
    .map_err(|conflicts| conflict_error(&conflicts))?;
    if options.field_manager == "kubectl" {
        remember(&mut merged, &plain);
    }
    if let Some(metadata) = merged["metadata"].as_object_mut() {
        match version.filter(|_| exists) {
            Some(version) => metadata.insert("resourceVersion".into(), version),
            None => metadata.remove("resourceVersion"),
        };
    }
    Ok(merged)
}

/// Keeps the annotation by which kubectl applies from its own side equal to what it applied from here, if there is one.
fn remember(merged: &mut Value, config: &Value) {
    let Some(annotations) = merged["metadata"]["annotations"].as_object_mut() else { return };
    let Some(last) = annotations.get_mut(LAST_APPLIED) else { return };
    let mut config = config.clone();
    if let Some(given) = config["metadata"]["annotations"].as_object_mut() {
        given.remove(LAST_APPLIED);
    }
    if let Some(metadata) = config["metadata"].as_object_mut()
        && metadata.get("annotations").is_some_and(|a| a.as_object().is_none_or(Map::is_empty))
    {
        metadata.remove("annotations");
    }
    *last = format!("{config}\n").into();
}

/// Whether all conflicts are about fields of the configuration that kubectl keeps in an annotation.
fn applied_before(live: &Value, ty: typed::Ty<'_>, conflicts: &managed::Conflicts) -> bool {
    let annotation = &live["metadata"]["annotations"][LAST_APPLIED];
    let last: Option<Value> = annotation.as_str().and_then(|text| serde_json::from_str(text).ok());
    let Some(last) = last else { return false };
    let owned = typed::to_set(&last, ty).paths();
    conflicts.iter().flat_map(|(_, paths)| paths).all(|path| owned.contains(path))
}

fn finish(
    txn: &mut Txn<'_>,
    request: &Request<'_>,
    options: &WriteOptions,
    stored: Option<std::sync::Arc<crate::control::store::Stored>>,
    mut merged: Value,
) -> Result<Answer, ApiError> {
    let fields = merged["metadata"].as_object_mut().and_then(|m| m.remove("managedFields")).unwrap_or_default();
    decode(&request.resource, &mut merged).map_err(|e| request.cannot_handle(&e))?;
    let created = stored.is_none();
    let (value, warnings) = match stored {
        None => create::store_new(txn, request, options, merged, Some(fields))?,
        Some(stored) => {
            if fields.is_array() {
                merged["metadata"]["managedFields"] = fields;
            }
            let change = Change { new: merged, applied: true, subresource: &request.subresource };
            store_change(txn, request, options, &stored, change)?
        }
    };
    let answer = super::read::present_value(request, value, txn)?;
    Ok(Answer { code: if created { 201 } else { 200 }, warnings, ..answer })
}

/// A patched object that is not what its endpoint takes.
pub(super) fn invalid_scale(message: String) -> ApiError {
    ApiError::invalid("", "", "", &[Cause::invalid("patch", &Value::Object(Map::new()), message)])
}
