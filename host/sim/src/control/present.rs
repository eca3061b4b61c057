//! In what form an answer is wanted: JSON, YAML, a Table or metadata alone.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    error::ApiError,
    resources::ResourceInfo,
    store::View,
    table::{self, Table},
};

/// What the Accept header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Yaml,
    /// With the version of the meta group.
    Table(&'static str),
    /// Metadata alone.
    Partial(&'static str),
}

/// Chooses the first media type that can be served.
pub(super) fn negotiate(accept: &str) -> Result<Form, ApiError> {
    if accept.trim().is_empty() {
        return Ok(Form::Json);
    }
    let mut transformed = false;
    for media in accept.split(',') {
        let mut parts = media.split(';').map(str::trim);
        let ty = parts.next().unwrap_or_default();
        let parameters: Vec<&str> = parts.collect();
        let parameter = |name: &str| parameters.iter().find_map(|p| p.strip_prefix(name));
        let version = match parameter("v=") {
            Some("v1beta1") => "v1beta1",
            _ => "v1",
        };
        let known = matches!(ty, "application/json" | "*/*" | "application/*" | "application/yaml");
        match (known, parameter("as=")) {
            (true, None) if ty == "application/yaml" => return Ok(Form::Yaml),
            (true, None) => return Ok(Form::Json),
            (true, Some("Table")) => return Ok(Form::Table(version)),
            (true, Some("PartialObjectMetadata" | "PartialObjectMetadataList")) => return Ok(Form::Partial(version)),
            (true, Some(_)) => transformed = true,
            (false, _) => {}
        }
    }
    if transformed {
        let text = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
        return Err(ApiError::new(406, "NotAcceptable", text));
    }
    let text = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    Err(ApiError { details: json!({}), ..ApiError::new(406, "NotAcceptable", text) })
}

/// `includeObject` of a Table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Include {
    None,
    Metadata,
    Object,
}

pub(super) fn include(text: &str) -> Result<Include, ApiError> {
    match text {
        "" | "Metadata" => Ok(Include::Metadata),
        "Object" => Ok(Include::Object),
        "None" => Ok(Include::None),
        other => Err(ApiError::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
        ))),
    }
}

/// An object's metadata as an object of its own.
pub(super) fn partial(object: &Value, version: &str) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": object["metadata"]})
}

/// The Table of `objects` with the list's metadata.
pub(super) fn table(
    resource: &ResourceInfo,
    objects: &[Arc<Value>],
    metadata: Value,
    version: &str,
    include: Include,
    now: Timestamp,
) -> Value {
    let Table { columns, rows } = table::render(resource, objects, now);
    let rows: Vec<Value> = rows
        .into_iter()
        .zip(objects)
        .map(|(row, object)| {
            let mut out = Map::new();
            out.insert("cells".into(), row.cells.into());
            if !row.conditions.is_empty() {
                out.insert("conditions".into(), row.conditions.into());
            }
            let shown = match include {
                Include::None => Value::Null,
                Include::Metadata => partial(object, version),
                Include::Object => (**object).clone(),
            };
            out.insert("object".into(), shown);
            Value::Object(out)
        })
        .collect();
    json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
        "columnDefinitions": columns, "rows": rows})
}

/// One object in the wanted form.
pub(super) fn object(
    resource: &ResourceInfo,
    view: &View,
    form: Form,
    include: Include,
    now: Timestamp,
) -> super::http::Document {
    use super::http::Document;
    match form {
        Form::Json => Document { content_type: "application/json".into(), body: view.full().clone(), etag: None },
        Form::Yaml => yaml_document(&view.value),
        Form::Partial(version) => Document::json(&partial(&view.value, version)),
        Form::Table(version) => {
            let metadata = json!({"resourceVersion": view.value["metadata"]["resourceVersion"]});
            Document::json(&table(resource, std::slice::from_ref(&view.value), metadata, version, include, now))
        }
    }
}

/// A document in YAML.
pub(super) fn yaml_document(value: &Value) -> super::http::Document {
    let mut text = String::new();
    yaml(value, 0, false, &mut text);
    text.push('\n');
    let body = bytes::Bytes::from(text.trim_start_matches('\n').to_owned());
    super::http::Document { content_type: "application/yaml".into(), body, etag: None }
}

/// Writes a value as block YAML, as the real server's library does.
fn yaml(value: &Value, indent: usize, in_list: bool, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (i, (key, inner)) in map.iter().enumerate() {
                if !(in_list && i == 0) {
                    out.push('\n');
                    out.push_str(&pad);
                }
                out.push_str(&yaml_string(key));
                out.push(':');
                let nested = matches!(inner, Value::Object(m) if !m.is_empty());
                let list = matches!(inner, Value::Array(a) if !a.is_empty());
                if !nested && !list {
                    out.push(' ');
                }
                yaml(inner, if nested { indent + 2 } else { indent }, false, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.push('\n');
                out.push_str(&pad);
                out.push_str("- ");
                yaml(item, indent + 2, true, out);
            }
        }
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::String(text) => out.push_str(&yaml_string(text)),
        other => out.push_str(&other.to_string()),
    }
}

/// A string, quoted where it would read as something else.
fn yaml_string(text: &str) -> String {
    let special = text.is_empty()
        || text.parse::<f64>().is_ok()
        || text.parse::<Timestamp>().is_ok()
        || matches!(
            text.to_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "~" | "y" | "n"
        )
        || text.starts_with(|c: char| "-?:,[]{}#&*!|>'\"%@` ".contains(c) && !(text.len() > 1 && ".".contains(c)))
        || text.contains(": ")
        || text.contains(" #")
        || text.ends_with([':', ' '])
        || text.contains(['\n', '\t']);
    if special { serde_json::to_string(text).unwrap_or_default() } else { text.to_owned() }
}
