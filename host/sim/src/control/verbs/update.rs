//! Update: a new version of a stored object, by PUT, patch or apply.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Request, Txn,
    create::unknown_fields,
    delete::is_released,
    txn::{decode, refuse, reset_fields, to_stored, ty, view},
};
use crate::control::{
    crd, custom,
    error::{ApiError, Cause},
    fields::managed::{self, Writer},
    http::Answer,
    metadata,
    options::WriteOptions,
    path::text,
    store::Stored,
    strategy::{self, Strategy},
};

const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

/// Replaces the object by the one in the body.
pub(super) fn update(request: &Request<'_>) -> Result<Answer, ApiError> {
    let options = WriteOptions::read(&request.query, "UpdateOptions", &request.call.user_agent, false)?;
    let mut object = request.object()?;
    let unknown = decode(&request.resource, &mut object).map_err(|e| request.cannot_handle(&e))?;
    let mut warnings = unknown_fields(request, &options, &unknown)?;
    request.check_name(&object)?;
    request.set_namespace(&mut object)?;
    let mut txn = Txn::begin(request.inner);
    let stored = txn.state.get(request.table(), &request.key()).ok_or_else(|| request.not_found())?;
    let resource = &request.resource;
    let strategy = strategy::of(resource);
    let version = text(&object, "metadata.resourceVersion");
    if version.is_empty() && !strategy.unconditional_update && request.subresource.is_empty() {
        let cause = Cause::invalid("metadata.resourceVersion", &0.into(), "must be specified for an update");
        return Err(ApiError::invalid(&resource.group, &resource.plural, &request.name, &[cause]));
    }
    let (given, has) = (text(&object, "metadata.uid"), text(&stored.raw.value, "metadata.uid"));
    if !given.is_empty() && given != has {
        let key = format!("/registry/{}/{}", resource.plural, request.key());
        let message = format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {given}, UID in object meta: {has}"
        );
        return Err(ApiError::conflict(&resource.group, &resource.plural, &request.name, &message));
    }
    let change = Change { new: object, applied: false, subresource: &request.subresource };
    let (value, more) = store_change(&mut txn, request, &options, &stored, change)?;
    warnings.extend(more);
    let answer = super::read::present_value(request, value, &txn)?;
    Ok(Answer { warnings, ..answer })
}

/// A wanted new version.
pub(super) struct Change<'a> {
    pub(super) new: Value,
    /// Its managed fields are those of an apply.
    pub(super) applied: bool,
    /// The endpoint, for what it drops and for ownership.
    pub(super) subresource: &'a str,
}

/// Prepares, checks and stores a new version; what changes nothing keeps its version and is no event.
pub(super) fn store_change(
    txn: &mut Txn<'_>,
    request: &Request<'_>,
    options: &WriteOptions,
    stored: &Arc<Stored>,
    change: Change<'_>,
) -> Result<(Value, Vec<String>), ApiError> {
    let resource = &request.resource;
    let strategy = strategy::of(resource);
    let old_view = view(resource, stored);
    let old: &Value = &old_view.value;
    let mut new = change.new;
    check_version(request, &new, stored)?;
    keep_system_fields(&mut new, old);
    match &resource.custom {
        Some(version) => custom::default(&mut new, &version.schema),
        None => (strategy.default)(&mut new),
    }
    if !change.applied {
        // Owned is what was sent and its defaults, not what the server makes of it.
        own(txn, request, options, &mut new, old, change.subresource);
    }
    restrict(request, &mut new, old, change.subresource);
    if resource.custom.is_none() && change.subresource.is_empty() {
        (strategy.prepare_update)(&mut new, old, txn);
    }
    if resource.plural == "customresourcedefinitions" && change.subresource.is_empty() {
        crd::default(&mut new);
        crd::establish(&mut new, Some(old), &txn.now_text());
    }
    count_generation(request, &strategy, &mut new, old);
    refuse(resource, &request.name, &faults(request, &strategy, &new, old))?;
    (strategy.admit)(&new, Some(old), txn)?;
    let warnings = (strategy.warnings)(&new, Some(old));
    if is_same(&new, old) {
        return Ok((old.clone(), warnings));
    }
    if options.dry_run {
        return Ok((new, warnings));
    }
    let dying = !new["metadata"]["deletionTimestamp"].is_null();
    if dying && is_released(resource, &new) {
        // Watchers see the object as it was stored last.
        txn.remove(resource, &request.key(), (*stored.raw.value).clone());
        return Ok((new, warnings));
    }
    let stored = txn.put(resource, &request.key(), to_stored(resource, new));
    Ok(((*view(resource, &stored).value).clone(), warnings))
}

fn own(txn: &Txn<'_>, request: &Request<'_>, options: &WriteOptions, new: &mut Value, old: &Value, subresource: &str) {
    let resource = &request.resource;
    let (now, api_version) = (txn.now_text(), resource.api_version());
    let shown = if subresource == "finalize" { "" } else { subresource };
    let writer = Writer { manager: &options.field_manager, api_version: &api_version, subresource: shown, now: &now };
    managed::update(Some(old), new, ty(resource), &writer, &reset_fields(resource, subresource));
}

fn check_version(request: &Request<'_>, new: &Value, stored: &Stored) -> Result<(), ApiError> {
    let version = text(new, "metadata.resourceVersion");
    if version.is_empty() || version == "0" {
        return Ok(());
    }
    let parsed: u64 = version
        .parse()
        .map_err(|_| ApiError::new(500, "", format!("strconv.ParseUint: parsing {version:?}: invalid syntax")))?;
    if parsed == stored.revision {
        return Ok(());
    }
    let resource = &request.resource;
    Err(ApiError::conflict(&resource.group, &resource.plural, &request.name, MODIFIED))
}

/// What only the server sets.
fn keep_system_fields(new: &mut Value, old: &Value) {
    if !new["metadata"].is_object() {
        new["metadata"] = Value::Object(Map::new());
    }
    let Some(metadata) = new["metadata"].as_object_mut() else { return };
    for field in [
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "resourceVersion",
        "namespace",
        "generateName",
    ] {
        match old["metadata"].get(field) {
            Some(value) => metadata.insert(field.into(), value.clone()),
            None => metadata.remove(field),
        };
    }
    if metadata.get("uid").is_none_or(|uid| uid.as_str().is_none_or(str::is_empty)) {
        metadata.insert("uid".into(), old["metadata"]["uid"].clone());
    }
}

fn put_or_remove(object: &mut Value, field: &str, value: Option<&Value>) {
    if object.is_null() && value.is_some() {
        *object = Value::Object(Map::new());
    }
    let Some(map) = object.as_object_mut() else { return };
    match value {
        Some(value) => map.insert(field.into(), value.clone()),
        None => map.remove(field),
    };
}

/// Keeps what this endpoint may not change.
fn restrict(request: &Request<'_>, new: &mut Value, old: &Value, subresource: &str) {
    let resource = &request.resource;
    match subresource {
        "" if resource.has_subresource("status") && resource.plural != "customresourcedefinitions" => {
            put_or_remove(new, "status", old.get("status"));
        }
        "status" => {
            let given = std::mem::replace(new, old.clone());
            put_or_remove(new, "status", given.get("status"));
            let metadata = match &resource.custom {
                Some(_) => &["managedFields"][..],
                None if resource.plural == "deployments" => &["managedFields", "annotations", "finalizers"],
                None => &["managedFields", "annotations", "labels", "finalizers"],
            };
            for field in metadata {
                put_or_remove(&mut new["metadata"], field, given["metadata"].get(*field));
            }
        }
        "finalize" => {
            let given = std::mem::replace(new, old.clone());
            put_or_remove(&mut new["spec"], "finalizers", given["spec"].get("finalizers"));
        }
        _ => {}
    }
    if subresource.is_empty() && resource.group.is_empty() && resource.plural == "namespaces" && !old["spec"].is_null()
    {
        put_or_remove(&mut new["spec"], "finalizers", old["spec"].get("finalizers"));
    }
}

/// Raises the generation when something outside metadata and status has changed.
fn count_generation(request: &Request<'_>, strategy: &Strategy, new: &mut Value, old: &Value) {
    if !strategy.generation {
        return;
    }
    let has_status = request.resource.has_subresource("status");
    let counted = |object: &Value| -> Map<String, Value> {
        let map = object.as_object().into_iter().flatten();
        let skip = |name: &str| matches!(name, "metadata" | "apiVersion" | "kind") || (name == "status" && has_status);
        map.filter(|(name, _)| !skip(name)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    if counted(new) != counted(old) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        new["metadata"]["generation"] = generation.into();
    }
}

fn faults(request: &Request<'_>, strategy: &Strategy, new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = metadata::validate_update(new, old, strategy.name);
    match &request.resource.custom {
        Some(version) => causes.extend(custom::validate(new, Some(old), version)),
        None => {
            // Validation of updates checks the finalizers of a dying object twice, and so do the causes.
            causes.extend(causes.iter().filter(|c| c.field == "metadata.finalizers").cloned().collect::<Vec<_>>());
            causes.extend((strategy.validate)(new, Some(old)));
        }
    }
    if request.resource.plural == "customresourcedefinitions" && request.subresource.is_empty() {
        causes.extend(crd::validate(new));
    }
    causes
}

/// Whether two versions differ in nothing but the times of their managed fields.
fn is_same(new: &Value, old: &Value) -> bool {
    let plain = |object: &Value| {
        let mut out = object.clone();
        if let Some(entries) = out["metadata"]["managedFields"].as_array_mut() {
            entries.iter_mut().filter_map(Value::as_object_mut).for_each(|e| {
                e.remove("time");
            });
        }
        out
    };
    new == old || plain(new) == plain(old)
}
