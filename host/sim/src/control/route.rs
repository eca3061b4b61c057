//! From a path to what answers it.

use std::sync::{Arc, PoisonError};

use http::header;
use serde_json::json;

use super::{
    Inner, discovery,
    error::ApiError,
    http::{Answer, Call, Document},
    openapi,
};

/// Answers one request.
pub(super) async fn handle(inner: &Arc<Inner>, call: Call) -> Result<Answer, ApiError> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["readyz" | "livez" | "healthz", ..] => return Ok(Document::text("ok").into()),
        ["version"] => return Ok(Document::json(&json!({"major": "1", "minor": "36"})).into()),
        _ => {}
    }
    let registry = inner.registry.read().unwrap_or_else(PoisonError::into_inner).clone();
    let accept = call.header(header::ACCEPT);
    discovery::respond(&registry, &path, accept)
        .or_else(|| openapi::respond(&registry, &path, &call.query, accept))
        .map(Answer::from)
        .ok_or_else(ApiError::page_not_found)
}
