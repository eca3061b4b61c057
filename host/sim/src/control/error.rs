//! What a request that fails is answered with: a Kubernetes `Status`.

use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value, json};

/// One fault of an object, by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, `FieldValueNotSupported`, `FieldValueForbidden`, …
    pub reason: &'static str,
    /// The text after the field's path, for example `Required value: name is needed`.
    pub message: String,
    /// The path of the field, for example `spec.ports[0].name`; `<nil>` for the whole object.
    pub field: String,
}

impl Cause {
    /// `Invalid value: VALUE: DETAIL`. Strings are quoted, other values are JSON.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: impl std::fmt::Display) -> Self {
        let message = format!("Invalid value: {}: {detail}", show(value));
        Self { reason: "FieldValueInvalid", message, field: field.into() }
    }

    /// `Required value: DETAIL`, or `Required value` alone.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self { reason: "FieldValueRequired", message: with_detail("Required value", detail), field: field.into() }
    }

    /// `Forbidden: DETAIL`.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self { reason: "FieldValueForbidden", message: with_detail("Forbidden", detail), field: field.into() }
    }

    /// `Duplicate value: VALUE`.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            message: format!("Duplicate value: {}", show(value)),
            field: field.into(),
        }
    }

    /// `Unsupported value: VALUE: supported values: …`, in the order given.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let list = supported.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", ");
        let message = format!("Unsupported value: {}: supported values: {list}", show(value));
        Self { reason: "FieldValueNotSupported", message, field: field.into() }
    }

    /// The line as it stands in a Status message.
    pub fn line(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }
}

fn with_detail(head: &str, detail: &str) -> String {
    if detail.is_empty() { head.to_owned() } else { format!("{head}: {detail}") }
}

/// A value as validation messages print it.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::String(s) => go_quote(s),
        other => other.to_string(),
    }
}

/// A string in quotes, escaped as Go does it.
pub(crate) fn go_quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// An error answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// HTTP status.
    pub code: u16,
    /// `NotFound`, `Conflict`, …; empty for errors without one.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The Status details; null for none.
    pub details: Value,
    /// A `continue` token in the Status metadata (410 of a paged list).
    pub continue_token: Option<String>,
    /// Warning headers that go along.
    pub warnings: Vec<String>,
    /// A plain text answer in place of a Status.
    pub plain: bool,
}

impl ApiError {
    /// An error without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, reason, message, details: Value::Null, continue_token: None, warnings: Vec::new(), plain: false }
    }

    /// 400 BadRequest.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404 for an object; `resource` is `plural` or `plural.group`.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let error = Self::new(404, "NotFound", format!("{} \"{name}\" not found", qualified(group, plural)));
        error.named(group, plural, name)
    }

    /// The plain `404 page not found`.
    pub fn page_not_found() -> Self {
        Self { plain: true, ..Self::new(404, "NotFound", "404 page not found\n") }
    }

    /// 404 for a resource that a known group does not have.
    pub fn no_resource() -> Self {
        let error = Self::new(404, "NotFound", "the server could not find the requested resource");
        Self { details: json!({}), ..error }
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let error =
            Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
        Self { details: json!({}), ..error }
    }

    /// 409 AlreadyExists.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        let error = Self::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", qualified(group, plural)));
        error.named(group, plural, name)
    }

    /// 409 Conflict; `message` is what follows `Operation cannot be fulfilled on …: `.
    pub fn conflict(group: &str, plural: &str, name: &str, message: &str) -> Self {
        let text = format!("Operation cannot be fulfilled on {} \"{name}\": {message}", qualified(group, plural));
        Self::new(409, "Conflict", text).named(group, plural, name)
    }

    /// 403 Forbidden; `message` is what follows `… is forbidden: `.
    pub fn forbidden(group: &str, plural: &str, name: &str, message: &str) -> Self {
        let text = format!("{} \"{name}\" is forbidden: {message}", qualified(group, plural));
        Self::new(403, "Forbidden", text).named(group, plural, name)
    }

    /// 422 Invalid with its causes.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut lines: Vec<String> = Vec::new();
        for line in causes.iter().map(Cause::line) {
            // Causes may repeat, the message says each once.
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let text = match lines.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let subject = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let error = Self::new(422, "Invalid", format!("{subject} \"{name}\" is invalid: {text}"));
        let list: Vec<Value> =
            causes.iter().map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field})).collect();
        let mut error = error.named(group, kind, name);
        if let (Value::Object(details), false) = (&mut error.details, list.is_empty()) {
            details.insert("causes".into(), Value::Array(list));
        }
        error
    }

    fn named(mut self, group: &str, kind: &str, name: &str) -> Self {
        let mut details = Map::new();
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                details.insert(key.into(), value.into());
            }
        }
        self.details = Value::Object(details);
        self
    }

    /// The Status as bytes; causes keep the order of the real server's fields, by which clients may sort them.
    pub(crate) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(&Ordered(&self.status())).unwrap_or_default()
    }

    /// The Status object.
    pub fn status(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".into(), token.as_str().into());
        }
        let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "code": self.code});
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}

/// A Status whose causes are written as reason, message, field.
struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(map) => {
                let first = ["reason", "message", "field"].into_iter().filter(|_| map.contains_key("field"));
                let first = first.filter_map(|key| map.get_key_value(key));
                let rest = map.iter().filter(|(key, _)| {
                    !(map.contains_key("field") && matches!(key.as_str(), "reason" | "message" | "field"))
                });
                serializer.collect_map(first.chain(rest).map(|(key, value)| (key, Ordered(value))))
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Ordered)),
            other => other.serialize(serializer),
        }
    }
}

/// `plural` or `plural.group`.
pub(crate) fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}
