//! JSON as Go's `encoding/json` reads it, for the sake of its error messages.

use serde_json::{Value, json};

/// Nesting beyond this is refused, as a body comes from outside.
const DEPTH_MAX: usize = 100;

/// Why a body is not what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonError {
    pub message: String,
    /// What PD prints beside the message.
    pub data: Value,
}

/// Reads any JSON value.
pub(super) fn parse(body: &[u8]) -> Result<Value, JsonError> {
    let mut scanner = Scanner { body, at: 0 };
    scanner.value(0)?;
    scanner.space();
    if let Some(byte) = scanner.peek() {
        return Err(scanner.invalid(byte, "after top-level value"));
    }
    serde_json::from_slice(body).map_err(|error| syntax(error.to_string(), body.len()))
}

/// Reads an object; `null` is an empty one.
pub(super) fn parse_object(body: &[u8]) -> Result<serde_json::Map<String, Value>, JsonError> {
    match parse(body)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(serde_json::Map::new()),
        other => Err(type_error(&other, "map[string]interface {}", body)),
    }
}

/// Reads an object whose values are strings.
pub(super) fn parse_strings(body: &[u8]) -> Result<Vec<(String, String)>, JsonError> {
    let map = parse_object(body)?;
    let mut strings = Vec::new();
    for (key, value) in map {
        match value {
            Value::String(text) => strings.push((key, text)),
            other => return Err(type_error(&other, "string", body)),
        }
    }
    Ok(strings)
}

fn type_error(value: &Value, wanted: &str, body: &[u8]) -> JsonError {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    // Go tells where the value ends. Objects that PD reads are flat, so that is before the closing brace.
    let offset = if matches!(value, Value::Array(_)) { 1 } else { body.len().saturating_sub(1) };
    JsonError {
        message: format!("json: cannot unmarshal {kind} into Go value of type {wanted}"),
        data: json!({"Value": kind, "Type": {}, "Offset": offset, "Struct": "", "Field": ""}),
    }
}

fn syntax(message: String, offset: usize) -> JsonError {
    JsonError { message, data: json!({"Offset": offset}) }
}

struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn invalid(&self, byte: u8, context: &str) -> JsonError {
        let shown = match byte {
            b'\'' => r"'\''".to_owned(),
            b'"' => "'\"'".to_owned(),
            _ => format!("{:?}", char::from(byte)),
        };
        syntax(format!("invalid character {shown} {context}"), self.at + 1)
    }

    fn next_or_end(&mut self) -> Result<u8, JsonError> {
        self.space();
        self.peek().ok_or_else(|| syntax("unexpected end of JSON input".into(), self.body.len()))
    }

    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > DEPTH_MAX {
            return Err(syntax("exceeded max depth".into(), self.at));
        }
        match self.next_or_end()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => {
                while self.peek().is_some_and(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
                    self.at += 1;
                }
                Ok(())
            }
            byte => Err(self.invalid(byte, "looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        if self.next_or_end()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            match self.next_or_end()? {
                b'"' => self.string()?,
                byte => return Err(self.invalid(byte, "looking for beginning of object key string")),
            }
            match self.next_or_end()? {
                b':' => self.at += 1,
                byte => return Err(self.invalid(byte, "after object key")),
            }
            self.value(depth + 1)?;
            match self.next_or_end()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                byte => return Err(self.invalid(byte, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        if self.next_or_end()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            match self.next_or_end()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                byte => return Err(self.invalid(byte, "after array element")),
            }
        }
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.at += 1,
                0..0x20 => {
                    self.at -= 1;
                    return Err(self.invalid(byte, "in string literal"));
                }
                _ => {}
            }
        }
        Err(syntax("unexpected end of JSON input".into(), self.body.len()))
    }

    fn literal(&mut self, word: &str) -> Result<(), JsonError> {
        for wanted in word.bytes() {
            match self.peek() {
                Some(byte) if byte == wanted => self.at += 1,
                Some(byte) => {
                    let expecting = char::from(wanted);
                    return Err(self.invalid(byte, &format!("in literal {word} (expecting '{expecting}')")));
                }
                None => return Err(syntax("unexpected end of JSON input".into(), self.body.len())),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_worded_like_go() {
        for (body, message, offset) in [
            ("{bad", "invalid character 'b' looking for beginning of object key string", 2),
            ("", "unexpected end of JSON input", 0),
            ("{\"a\" 1}", "invalid character '1' after object key", 6),
            ("[1 2]", "invalid character '2' after array element", 4),
            ("nul1", "invalid character '1' in literal null (expecting 'l')", 4),
            ("{} x", "invalid character 'x' after top-level value", 4),
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert_eq!((error.message.as_str(), &error.data["Offset"]), (message, &json!(offset)), "{body}");
        }
    }

    #[test]
    fn null_is_an_empty_object() {
        assert!(parse_object(b"null").unwrap().is_empty());
        assert_eq!(
            parse_object(b"[]").unwrap_err().message,
            "json: cannot unmarshal array into Go value of type map[string]interface {}"
        );
    }
}
