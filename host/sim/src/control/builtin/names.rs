//! The forms that names inside objects must have, and what is said about those that do not.

use serde_json::Value;

use crate::control::error::Cause;

pub const LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an \
     alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const CONFIG_KEY_TEXT: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  \
     or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const QUALIFIED_TEXT: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character \
     (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_CHARS_MAX: usize = 63;
const CONFIG_KEY_CHARS_MAX: usize = 253;

/// Faults of an RFC 1123 label.
pub fn label(field: &str, name: &str) -> Vec<Cause> {
    let shown = Value::from(name);
    let mut causes = Vec::new();
    if name.len() > LABEL_CHARS_MAX {
        causes.push(Cause::invalid(field, &shown, format!("must be no more than {LABEL_CHARS_MAX} characters")));
    }
    if !is_label(name) {
        causes.push(Cause::invalid(field, &shown, LABEL_TEXT));
    }
    causes
}

/// Whether the name has the characters of an RFC 1123 label.
pub fn is_label(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|b| inner(*b))
        && bytes.last().is_some_and(|b| inner(*b))
        && bytes.iter().all(|b| inner(*b) || *b == b'-')
}

/// Faults of a key of a ConfigMap or Secret.
pub fn config_key(field: &str, key: &str) -> Vec<Cause> {
    let shown = Value::from(key);
    let mut causes = Vec::new();
    if key.len() > CONFIG_KEY_CHARS_MAX {
        causes.push(Cause::invalid(field, &shown, format!("must be no more than {CONFIG_KEY_CHARS_MAX} characters")));
    }
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        causes.push(Cause::invalid(field, &shown, CONFIG_KEY_TEXT));
    }
    match key {
        "." => causes.push(Cause::invalid(field, &shown, "must not be '.'")),
        ".." => causes.push(Cause::invalid(field, &shown, "must not be '..'")),
        key if key.starts_with("..") => causes.push(Cause::invalid(field, &shown, "must not start with '..'")),
        _ => {}
    }
    causes
}

/// Faults of a qualified name, `name` or `domain/name`.
pub fn qualified(field: &str, name: &str) -> Vec<Cause> {
    let shown = Value::from(name);
    let part = name.rsplit_once('/').map_or(name, |(_, part)| part);
    let mut causes = Vec::new();
    if part.is_empty() {
        causes.push(Cause::invalid(field, &shown, "name part must be non-empty"));
    }
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = part.as_bytes();
    let inside = bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !(ends(bytes.first()) && ends(bytes.last()) && inside) {
        causes.push(Cause::invalid(field, &shown, QUALIFIED_TEXT));
    }
    causes
}

/// Faults of a port number.
pub fn port(field: String, number: i64) -> Option<Cause> {
    let good = (1..=65_535).contains(&number);
    (!good).then(|| Cause::invalid(field, &number.into(), "must be between 1 and 65535, inclusive"))
}
