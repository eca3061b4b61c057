//! Cells that several types share.

use jiff::Timestamp;
use serde_json::Value;

use crate::control::{
    age,
    path::{at, int, list, strings, text},
};

pub fn name(object: &Value) -> Value {
    text(object, "metadata.name").into()
}

pub fn age(object: &Value, now: Timestamp) -> Value {
    age::since(text(object, "metadata.creationTimestamp"), now).into()
}

/// The number at `path`, 0 when it is missing.
pub fn count(object: &Value, path: &str) -> i64 {
    int(object, path).unwrap_or(0)
}

/// The text, or `other` for an empty one.
pub fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

/// `a=1,b=2`, `<none>` without entries.
pub fn labels(object: &Value, path: &str) -> String {
    let pairs: Vec<_> = strings(object, path).into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    or(&pairs.join(","), "<none>").to_owned()
}

/// A label selector in its short form; `<none>` for an empty one.
pub fn selector(object: &Value, path: &str) -> String {
    let selector = at(object, path);
    let mut parts: Vec<String> =
        strings(selector, "matchLabels").into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    for expression in list(selector, "matchExpressions") {
        let (key, mut values) = (text(expression, "key"), words(expression, "values"));
        values.sort();
        parts.push(match text(expression, "operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    or(&parts.join(","), "<none>").to_owned()
}

/// The strings of a list.
pub fn words(object: &Value, path: &str) -> Vec<String> {
    list(object, path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// One field of every container of a pod template, joined by commas.
pub fn containers(template: &Value, field: &str) -> String {
    list(template, "spec.containers").iter().map(|c| text(c, field)).collect::<Vec<_>>().join(",")
}

/// `shown` joined by commas up to `max` entries, then how many more there are.
pub fn some_of(shown: &[String], max: usize, more: &str) -> String {
    match shown.len() {
        0 => String::new(),
        n if n > max => format!("{}{}", shown[..max].join(","), more.replace("{}", &(n - max).to_string())),
        _ => shown.join(","),
    }
}
