//! Request bodies: JSON and YAML, with the messages of the real server for what cannot be read.

use serde_json::Value;

/// Reads JSON.
///
/// # Errors
/// The message of Go's decoder, as far as it can be told.
pub(super) fn json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| go_message(bytes, &error))
}

/// Reads YAML, of which JSON is a part.
///
/// # Errors
/// The message after `error converting YAML to JSON: `.
pub(super) fn yaml(bytes: &[u8]) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| format!("yaml: {e}"))?;
    serde_saphyr::from_str(text).map_err(|_| {
        if text.trim_start().starts_with('{') {
            "yaml: line 1: did not find expected ',' or '}'".to_owned()
        } else {
            "yaml: line 1: could not be read".to_owned()
        }
    })
}

/// The real server says which character stands where it must not.
fn go_message(bytes: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() || bytes.is_empty() {
        return "unexpected end of JSON input".into();
    }
    let start = bytes.split(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(|l| l.len() + 1).sum::<usize>();
    let at = start + error.column().saturating_sub(1);
    let found = String::from_utf8_lossy(bytes.get(at..).unwrap_or_default()).chars().next().unwrap_or(' ');
    let before = bytes.get(..at).unwrap_or_default().iter().rev().find(|b| !b.is_ascii_whitespace()).copied();
    let place = match before {
        Some(b'{') => "looking for beginning of object key string",
        Some(b',' | b'[' | b':') | None => "looking for beginning of value",
        Some(b'"') => "after object key",
        _ => "after object key:value pair",
    };
    format!("invalid character {found:?} {place}")
}
