//! What only pods have: binding, eviction, logs.

use serde_json::{Value, json};

use super::{
    Request, Txn, delete, success,
    update::{Change, store_change},
};
use crate::control::{
    error::ApiError,
    http::{Answer, Document},
    options::WriteOptions,
    path::text,
};

/// Binds a pod to a node.
pub(super) fn bind(request: &Request<'_>) -> Result<Answer, ApiError> {
    let options = WriteOptions::read(&request.query, "CreateOptions", &request.call.user_agent, false)?;
    let binding = crate::control::body::json(&request.call.body).map_err(ApiError::bad_request)?;
    let node = text(&binding, "target.name");
    if node.is_empty() {
        let cause = crate::control::Cause::required("target.name", "");
        return Err(ApiError::invalid("", "Binding", &request.name, &[cause]));
    }
    let mut txn = Txn::begin(request.inner);
    let stored = txn.state.get(request.table(), &request.key()).ok_or_else(|| request.not_found())?;
    let mut pod = (*stored.raw.value).clone();
    let conflict = |message: String| ApiError::conflict("", "pods/binding", &request.name, &message);
    let bound = text(&pod, "spec.nodeName");
    if !bound.is_empty() {
        return Err(conflict(format!("pod {} is already assigned to node {bound:?}", request.name)));
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return Err(conflict(format!("pod {} is being deleted, cannot be assigned to a host", request.name)));
    }
    pod["spec"]["nodeName"] = node.into();
    set_scheduled(&mut pod, &txn.now_text());
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    let change = Change { new: pod, applied: false, subresource: "binding" };
    store_change(&mut txn, request, &options, &stored, change)?;
    Ok(Answer::json(201, &success(201)))
}

fn set_scheduled(pod: &mut Value, now: &str) {
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = pod["status"]["conditions"].as_array_mut() {
        conditions.retain(|c| c["type"] != "PodScheduled");
        conditions.push(condition);
    }
}

/// Evicts a pod; budgets are the data plane's business, so this is a delete.
pub(super) fn evict(request: &Request<'_>) -> Result<Answer, ApiError> {
    delete::evict(request)?;
    Ok(Answer::json(201, &success(201)))
}

/// A pod's log: the processes of the data plane write none.
pub(super) fn log(request: &Request<'_>) -> Result<Answer, ApiError> {
    let txn = Txn::begin(request.inner);
    txn.state.get(request.table(), &request.key()).ok_or_else(|| request.not_found())?;
    Ok(Document { content_type: "text/plain".into(), ..Document::text("") }.into())
}
