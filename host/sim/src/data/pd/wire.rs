//! PD's wire formats: Go's JSON, durations and sizes, and the few shapes of errors.

use serde::Serialize;
use serde_json::{Value, json};

use super::{TimeMs, gojson::JsonError, request::Reply};

/// Answered wherever a bootstrapped cluster is needed.
pub(super) const NOT_BOOTSTRAPPED: &str =
    "[PD:cluster:ErrNotBootstrapped]TiKV cluster not bootstrapped, please start TiKV first";

const JSON_V1: &str = "application/json; charset=UTF-8";
const JSON_V2: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

fn reply(status: u16, content_type: &str, body: Vec<u8>) -> Reply {
    let headers = if content_type.is_empty() { Vec::new() } else { vec![("Content-Type".into(), content_type.into())] };
    Reply { status, headers, body, after_ms: 0 }
}

/// API v1: indented JSON and a newline.
pub(super) fn json_v1(status: u16, value: &impl Serialize) -> Reply {
    let mut body = go_json(value, b"  ");
    body.push(b'\n');
    reply(status, JSON_V1, body)
}

/// API v2, success: JSON indented by four.
pub(super) fn json_v2(status: u16, value: &impl Serialize) -> Reply {
    reply(status, JSON_V2, go_json(value, b"    "))
}

/// API v2, failure: compact JSON.
pub(super) fn abort_v2(status: u16, value: &impl Serialize) -> Reply {
    reply(status, JSON_V2, escape_html(serde_json::to_string(value).unwrap_or_default()))
}

/// Plain text and a newline, as the redirector and the router answer.
pub(super) fn text(status: u16, message: &str) -> Reply {
    reply(status, TEXT, format!("{message}\n").into_bytes())
}

/// No body and no content type.
pub(super) fn empty(status: u16) -> Reply {
    reply(status, "", Vec::new())
}

/// An empty body that is declared as text by the handler.
pub(super) fn empty_text(status: u16) -> Reply {
    reply(status, "text/plain; charset=UTF-8", Vec::new())
}

/// Unknown path, API v1.
pub(super) fn not_found() -> Reply {
    text(404, "404 page not found")
}

/// Unknown path or method, API v2.
pub(super) fn not_found_v2() -> Reply {
    reply(404, "text/plain", b"404 page not found".to_vec())
}

/// A redirect to the clean form of a path.
pub(super) fn moved(path: &str) -> Reply {
    let body = format!("<a href=\"{path}\">Temporary Redirect</a>.\n\n");
    let mut reply = reply(307, "text/html; charset=utf-8", body.into_bytes());
    reply.headers.push(("Location".into(), path.into()));
    reply
}

/// An input error with a code.
pub(super) fn input_error(message: &str, data: &Value) -> Reply {
    coded(400, &Coded { code: "input", msg: message, data, stack: None })
}

/// Bad JSON where PD reports it with a code.
pub(super) fn json_error(error: &JsonError) -> Reply {
    input_error(&error.message, &error.data)
}

/// An internal error with a code and a stack.
pub(super) fn internal_error(message: &str) -> Reply {
    let stack = Some("goroutine 1 [running]");
    coded(500, &Coded { code: "internal", msg: message, data: &json!({}), stack })
}

/// The order of the fields is the order on the wire.
#[derive(Serialize)]
struct Coded<'a> {
    code: &'a str,
    msg: &'a str,
    data: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<&'a str>,
}

fn coded(status: u16, error: &Coded) -> Reply {
    let mut reply = json_v1(status, error);
    reply.headers.push(("TiDB-Error-Code".into(), error.code.into()));
    reply
}

/// Go's way to put a failed conversion into words: `strconv.ParseUint: parsing "x": invalid syntax`.
pub(super) fn parse_error(function: &str, text: &str) -> String {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let why = if digits { "value out of range" } else { "invalid syntax" };
    format!("strconv.{function}: parsing {}: {why}", Value::from(text))
}

fn go_json(value: &impl Serialize, indent: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
    let mut serializer = serde_json::Serializer::with_formatter(&mut body, formatter);
    if value.serialize(&mut serializer).is_err() {
        return b"null".to_vec();
    }
    escape_html(String::from_utf8(body).unwrap_or_default())
}

/// `<`, `>` and `&` can only be inside strings, where Go escapes them.
fn escape_html(text: String) -> Vec<u8> {
    if !text.contains(['<', '>', '&']) {
        return text.into_bytes();
    }
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").into_bytes()
}

/// RFC 3339 with nanoseconds as Go prints it: trailing zeros of the fraction are left out.
pub(super) fn rfc3339(ms: TimeMs) -> String {
    let seconds = i64::try_from(ms / 1_000).unwrap_or_default();
    let stamp = jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string();
    let fraction = format!("{:03}", ms % 1_000);
    match fraction.trim_end_matches('0') {
        "" => stamp,
        fraction => format!("{}.{fraction}Z", stamp.trim_end_matches('Z')),
    }
}

/// Go's text for a duration: `1h0m0s`, `30m0.5s`, `500ms`, `0s`.
pub(super) fn duration(ms: u64) -> String {
    if ms == 0 {
        return "0s".into();
    }
    if ms < 1_000 {
        return format!("{ms}ms");
    }
    let (hours, minutes, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    let fraction = format!(".{:03}", rest % 1_000);
    let seconds = format!("{}{}s", rest / 1_000, fraction.trim_end_matches('0').trim_end_matches('.'));
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// Reads Go's text for a duration, to the millisecond.
pub(super) fn parse_duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total_ns = 0.0_f64;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            _ => return None,
        };
        total_ns += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (!text.is_empty()).then_some((total_ns / 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_like_go() {
        for (text, printed) in
            [("30m", "30m0s"), ("1h", "1h0m0s"), ("90s", "1m30s"), ("1.5s", "1.5s"), ("250ms", "250ms"), ("0", "0s")]
        {
            assert_eq!(duration(parse_duration(text).unwrap()), printed, "{text}");
        }
        assert_eq!(parse_duration("x"), None);
        assert_eq!(parse_duration(""), None);
        assert_eq!(parse_duration("5"), None);
    }

    #[test]
    fn json_is_escaped_and_ends_with_a_newline() {
        assert_eq!(json_v1(200, &"a<b&c").text(), "\"a\\u003cb\\u0026c\"\n");
        assert_eq!(json_v1(200, &json!([])).text(), "[]\n");
    }

    #[test]
    fn times_leave_out_zeros() {
        assert_eq!(rfc3339(1_777_603_600_120), "2026-05-01T02:46:40.12Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    }
}
