//! JSON patch, merge patch and strategic merge patch.

mod strategic;

use serde_json::{Map, Value};

pub(super) use self::strategic::MergeKey;
use super::{
    error::{ApiError, Cause},
    fields::typed::Ty,
};

/// A patch, read from its body.
pub(super) enum Patch {
    Json(json_patch::Patch),
    Merge(Value),
    Strategic(Map<String, Value>),
}

/// The answer to a JSON patch that does not apply, whatever the reason.
fn rejected() -> ApiError {
    let text = "the server rejected our request due to an error in our request";
    ApiError { details: Value::Object(Map::new()), ..ApiError::new(422, "Invalid", text) }
}

fn wrong_shape(value: &Value, wanted: &str) -> ApiError {
    let kind = match value {
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        _ => "number",
    };
    ApiError::bad_request(format!("error decoding patch: json: cannot unmarshal {kind} into Go value of type {wanted}"))
}

/// The real server takes a field that is not there for null where that is tested, as finalizers of clients in Rust do.
fn holds_by_absence(operation: &json_patch::PatchOperation, object: &Value) -> bool {
    matches!(operation, json_patch::PatchOperation::Test(test)
        if test.value.is_null() && object.pointer(&test.path.to_string()).is_none())
}

/// The real server replaces a field that is not there by adding it.
fn lenient(operation: &json_patch::PatchOperation, object: &Value) -> json_patch::PatchOperation {
    let json_patch::PatchOperation::Replace(replace) = operation else { return operation.clone() };
    let path = replace.path.to_string();
    let parent = path.rsplit_once('/').and_then(|(parent, _)| object.pointer(parent));
    match parent {
        Some(Value::Object(_)) if object.pointer(&path).is_none() => {
            json_patch::PatchOperation::Add(json_patch::AddOperation {
                path: replace.path.clone(),
                value: replace.value.clone(),
            })
        }
        _ => operation.clone(),
    }
}

impl Patch {
    pub(super) fn json(body: &[u8]) -> Result<Self, ApiError> {
        let value = super::body::json(body).map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
        if !value.is_array() {
            return Err(wrong_shape(&value, "[]handlers.jsonPatchOp"));
        }
        serde_json::from_value(value).map(Self::Json).map_err(|_| rejected())
    }

    pub(super) fn merge(body: &[u8]) -> Result<Self, ApiError> {
        let value = super::body::json(body).map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
        match value {
            Value::Object(_) => Ok(Self::Merge(value)),
            other => Err(wrong_shape(&other, "map[string]interface {}")),
        }
    }

    pub(super) fn strategic(body: &[u8]) -> Result<Self, ApiError> {
        match super::body::json(body).map_err(ApiError::bad_request)? {
            Value::Object(map) => Ok(Self::Strategic(map)),
            other => Err(wrong_shape(&other, "map[string]interface {}")),
        }
    }

    /// The patched object.
    pub(super) fn apply(&self, object: &Value, ty: Ty<'_>) -> Result<Value, ApiError> {
        match self {
            Self::Json(patch) => {
                let mut out = object.clone();
                for operation in patch.iter() {
                    if holds_by_absence(operation, &out) {
                        continue;
                    }
                    let operation = lenient(operation, &out);
                    json_patch::patch(&mut out, &[operation]).map_err(|_| rejected())?;
                }
                Ok(out)
            }
            Self::Merge(patch) => {
                let mut out = object.clone();
                json_patch::merge(&mut out, patch);
                Ok(out)
            }
            Self::Strategic(patch) => {
                let empty = Map::new();
                let original = object.as_object().unwrap_or(&empty);
                strategic::merge(original, patch, ty)
                    .map(Value::Object)
                    .map_err(|message| ApiError::new(500, "", message))
            }
        }
    }

    /// The error when the patched object cannot be read.
    pub(super) fn unreadable(&self, patched: &Value, message: &str) -> ApiError {
        let (shown, message) = match self {
            Self::Strategic(patch) => {
                let message = message
                    .split_once(" of type ")
                    .filter(|_| message.starts_with("json: "))
                    .map_or_else(|| message.to_owned(), |(_, ty)| format!("unrecognized type: {ty}"));
                (strategic::go_shown(&Value::Object(patch.clone())), message)
            }
            _ => (format!("{patched}\n"), message.to_owned()),
        };
        ApiError::invalid("", "", "", &[Cause::invalid("patch", &shown.trim_end().into(), message)])
    }
}
