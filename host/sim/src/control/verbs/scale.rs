//! The scale subresource: replicas of a workload under one type for all.

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Request, Txn, patch,
    txn::view,
    update::{Change, store_change},
};
use crate::control::{
    error::ApiError,
    fields::typed::Ty,
    http::Answer,
    options::WriteOptions,
    path::{at, text},
    resources::{ResourceInfo, ScalePaths},
    schema,
};

/// Answers a request for a scale.
pub(super) fn handle(request: &Request<'_>) -> Result<Answer, ApiError> {
    let mut txn = Txn::begin(request.inner);
    let stored = txn.state.get(request.table(), &request.key()).ok_or_else(|| request.not_found())?;
    let object = view(&request.resource, &stored).value.clone();
    let paths = paths(&request.resource);
    if request.call.method == Method::GET {
        return Ok(Answer::json(200, &show(request, &paths, &object, true)?));
    }
    let kind = if request.call.method == Method::PUT { "UpdateOptions" } else { "PatchOptions" };
    let options = WriteOptions::read(&request.query, kind, &request.call.user_agent, false)?;
    let before = show(request, &paths, &object, false)?;
    let wanted = match request.call.method {
        Method::PUT => crate::control::body::json(&request.call.body).map_err(ApiError::bad_request)?,
        Method::PATCH => patched(request, &before)?,
        _ => return Err(ApiError::method_not_allowed()),
    };
    let replicas = at(&wanted, "spec.replicas");
    let replicas = match replicas {
        Value::Null => 0,
        other => other.as_i64().ok_or_else(|| patch::invalid_scale("spec.replicas must be a number".into()))?,
    };
    check_scale(request, &wanted, replicas)?;
    let mut new = (*object).clone();
    set(&mut new, &paths.spec, replicas.into());
    let version = text(&wanted, "metadata.resourceVersion");
    let asked = !version.is_empty() && version != text(&before, "metadata.resourceVersion");
    if let Some(metadata) = new["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        if asked || (request.call.method == Method::PUT && !version.is_empty()) {
            metadata.insert("resourceVersion".into(), version.into());
        }
    }
    let change = Change { new, applied: false, subresource: "scale" };
    let (value, warnings) = store_change(&mut txn, request, &options, &stored, change)?;
    let answer = Answer::json(200, &show(request, &paths, &value, true)?);
    Ok(Answer { warnings, ..answer })
}

fn check_scale(request: &Request<'_>, scale: &Value, replicas: i64) -> Result<(), ApiError> {
    let name = text(scale, "metadata.name");
    if !name.is_empty() && name != request.name {
        let text = format!("the name of the object ({name}) does not match the name on the URL ({})", request.name);
        return Err(ApiError::bad_request(text));
    }
    if replicas < 0 {
        let detail = "must be greater than or equal to 0";
        let cause = crate::control::Cause::invalid("spec.replicas", &replicas.into(), detail);
        return Err(ApiError::invalid("autoscaling", "Scale", &request.name, &[cause]));
    }
    Ok(())
}

fn patched(request: &Request<'_>, scale: &Value) -> Result<Value, ApiError> {
    let Some(patch) = patch::read(request)? else {
        let config = crate::control::body::yaml(&request.call.body).map_err(ApiError::bad_request)?;
        let mut out = scale.clone();
        json_patch::merge(&mut out, &config);
        return Ok(out);
    };
    let definition = schema::builtin().of_kind("autoscaling", "v1", "Scale");
    let patched = patch.apply(scale, definition.map_or(Ty::Any, Ty::Struct))?;
    let Some(definition) = definition else { return Ok(patched) };
    let before = patched.clone();
    let decoded = crate::control::builtin::decode::decode(definition, patched);
    decoded.map(|d| d.object).map_err(|message| patch.unreadable(&before, &message))
}

fn paths(resource: &ResourceInfo) -> ScalePaths {
    let builtin = || ScalePaths { spec: "spec.replicas".into(), status: "status.replicas".into(), selector: None };
    resource.custom.as_ref().map_or_else(builtin, |c| c.scale.clone().unwrap_or_else(builtin))
}

fn set(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for step in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[step];
    }
    *place = value;
}

fn show(request: &Request<'_>, paths: &ScalePaths, object: &Value, strict: bool) -> Result<Value, ApiError> {
    let replicas = at(object, &paths.spec).as_i64();
    if replicas.is_none() && strict && request.resource.custom.is_some() {
        let message = format!("the spec replicas field \".{}\" does not exist", paths.spec);
        let details = json!({"causes": [{"message": message}]});
        return Err(ApiError {
            details,
            ..ApiError::new(500, "InternalError", format!("Internal error occurred: {message}"))
        });
    }
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.into(), value.clone());
        }
    }
    let mut spec = Map::new();
    if let Some(n) = replicas.filter(|n| *n != 0) {
        spec.insert("replicas".into(), n.into());
    }
    let mut status = json!({"replicas": at(object, &paths.status).as_i64().unwrap_or(0)});
    let selector = match &paths.selector {
        Some(path) => text(object, path).to_owned(),
        None if request.resource.custom.is_none() => selector_text(at(object, "spec.selector")),
        None => String::new(),
    };
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    Ok(json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}))
}

/// A label selector in its string form.
fn selector_text(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().or_else(|| {
        // Replication controllers have plain labels.
        selector.as_object().filter(|map| map.values().all(Value::is_string))
    });
    let mut terms: Vec<String> =
        labels.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let (key, values) = (text(expression, "key"), expression["values"].as_array().cloned().unwrap_or_default());
        let list = values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        terms.push(match text(expression, "operator") {
            "In" => format!("{key} in ({list})"),
            "NotIn" => format!("{key} notin ({list})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.sort();
    terms.join(",")
}
