//! Value validations of a schema, with the messages of the real server.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use regex::Regex;
use serde_json::Value;

use crate::control::{
    error::{Cause, show},
    schema::{ListKind, structural::Structural},
};

/// Faults of an object against the schema of its version.
pub(super) fn root(object: &Value, s: &Structural) -> Vec<Cause> {
    let mut out = Vec::new();
    fields(object, s, "", &mut out);
    others(object, s, "", &mut out);
    out
}

/// Faults of one value; `path` is where it stands.
pub(in crate::control) fn value_causes(value: &Value, s: &Structural, path: &str) -> Vec<Cause> {
    let mut out = Vec::new();
    check(value, s, path, &mut out);
    out
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn fits(value: &Value, ty: &str) -> bool {
    match ty {
        "" => true,
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0),
        ty => json_type(value) == ty,
    }
}

fn check(value: &Value, s: &Structural, path: &str, out: &mut Vec<Cause>) {
    if value.is_null() && s.nullable {
        return;
    }
    if s.int_or_string {
        if !value.is_string() && !fits(value, "integer") {
            out.push(wrong_type(value, path, "integer,string"));
            return;
        }
    } else if !fits(value, &s.ty) {
        out.push(wrong_type(value, path, &s.ty));
        return;
    }
    match value {
        Value::Object(_) => fields(value, s, path, out),
        Value::Array(items) => entries(items, s, path, out),
        _ => {}
    }
    others(value, s, path, out);
}

fn wrong_type(value: &Value, path: &str, ty: &str) -> Cause {
    let actual = json_type(value);
    let message = format!("Invalid value: {actual:?}: {path} in body must be of type {ty}: {actual:?}");
    Cause { reason: "FieldValueTypeInvalid", message, field: path.into() }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn fields(value: &Value, s: &Structural, path: &str, out: &mut Vec<Cause>) {
    let Value::Object(map) = value else { return };
    for name in &s.required {
        if !map.contains_key(name) {
            out.push(Cause::required(join(path, name), ""));
        }
    }
    for (name, inner) in map {
        if path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        if let Some(schema) = s.properties.get(name).or(s.additional.as_deref()) {
            check(inner, schema, &join(path, name), out);
        }
    }
}

fn entries(items: &[Value], s: &Structural, path: &str, out: &mut Vec<Cause>) {
    if let Some(inner) = &s.items {
        for (i, item) in items.iter().enumerate() {
            check(item, inner, &format!("{path}[{i}]"), out);
        }
    }
    let identity = |item: &Value| match &s.list.0 {
        ListKind::Map(keys) => {
            let default = |key: &String| s.items.as_deref()?.properties.get(key)?.default.clone();
            let pairs = keys.iter().filter_map(|k| item.get(k).cloned().or_else(|| default(k)).map(|v| (k.clone(), v)));
            Value::Object(pairs.collect())
        }
        _ => item.clone(),
    };
    if s.list.0 == ListKind::Atomic {
        return;
    }
    let ids: Vec<Value> = items.iter().map(identity).collect();
    for (i, id) in ids.iter().enumerate() {
        if ids.iter().take(i).any(|before| before == id) {
            out.push(Cause::duplicate(format!("{path}[{i}]"), id));
        }
    }
}

fn regex(pattern: &str) -> Option<Regex> {
    static CACHE: OnceLock<Mutex<HashMap<String, Option<Regex>>>> = OnceLock::new();
    let mut cache = CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = cache.get(pattern) {
        return found.clone();
    }
    let compiled = Regex::new(pattern).ok();
    cache.insert(pattern.to_owned(), compiled.clone());
    compiled
}

/// Everything that is not structure.
fn others(value: &Value, s: &Structural, path: &str, out: &mut Vec<Cause>) {
    for (keyword, limit) in &s.validations {
        keyword_causes(value, keyword, limit, s, path, out);
    }
    let format_fits = match (s.format.as_str(), value.as_str()) {
        ("date-time", Some(text)) => text.parse::<jiff::Timestamp>().is_ok(),
        ("date", Some(text)) => text.parse::<jiff::civil::Date>().is_ok(),
        _ => true,
    };
    if !format_fits {
        out.push(Cause::invalid(path, value, format!("{path} in body must be of type {}: {}", s.format, show(value))));
    }
}

fn keyword_causes(value: &Value, keyword: &str, limit: &Value, s: &Structural, path: &str, out: &mut Vec<Cause>) {
    let number = value.as_f64().zip(limit.as_f64());
    let length = value.as_str().map(|t| t.chars().count()).zip(limit.as_u64().and_then(|n| usize::try_from(n).ok()));
    let items = value.as_array().map(Vec::len).zip(limit.as_u64().and_then(|n| usize::try_from(n).ok()));
    let size = value.as_object().map(serde_json::Map::len).zip(limit.as_u64().and_then(|n| usize::try_from(n).ok()));
    let exclusive = |key: &str| s.validations.get(key).and_then(Value::as_bool).unwrap_or(false);
    let body = |text: String| Cause::invalid(path, value, format!("{path} in body {text}"));
    let too_many = |n: usize, max: usize| Cause {
        reason: "FieldValueTooMany",
        message: format!("Too many: {n}: must have at most {max} items"),
        field: path.into(),
    };
    match keyword {
        "maximum" if number.is_some_and(|(v, m)| v > m || (exclusive("exclusiveMaximum") && v >= m)) => {
            let or = if exclusive("exclusiveMaximum") { "" } else { " or equal to" };
            out.push(body(format!("should be less than{or} {limit}")));
        }
        "minimum" if number.is_some_and(|(v, m)| v < m || (exclusive("exclusiveMinimum") && v <= m)) => {
            let or = if exclusive("exclusiveMinimum") { "" } else { " or equal to" };
            out.push(body(format!("should be greater than{or} {limit}")));
        }
        "multipleOf" if number.is_some_and(|(v, m)| m != 0.0 && (v / m).fract() != 0.0) => {
            out.push(body(format!("should be a multiple of {limit}")));
        }
        "maxLength" if length.is_some_and(|(n, max)| n > max) => {
            let message = format!("Too long: may not be more than {limit} bytes");
            out.push(Cause { reason: "FieldValueTooLong", message, field: path.into() });
        }
        "minLength" if length.is_some_and(|(n, min)| n < min) => {
            out.push(body(format!("should be at least {limit} chars long")));
        }
        "pattern" => {
            let fits = value.as_str().zip(limit.as_str()).is_none_or(|(t, p)| regex(p).is_none_or(|r| r.is_match(t)));
            if !fits {
                out.push(body(format!("should match '{}'", limit.as_str().unwrap_or_default())));
            }
        }
        "maxItems" => out.extend(items.filter(|(n, max)| n > max).map(|(n, max)| too_many(n, max))),
        "minItems" if items.is_some_and(|(n, min)| n < min) => {
            out.push(body(format!("should have at least {limit} items")));
        }
        "maxProperties" => out.extend(size.filter(|(n, max)| n > max).map(|(n, max)| too_many(n, max))),
        "minProperties" if size.is_some_and(|(n, min)| n < min) => {
            out.push(body(format!("should have at least {limit} properties")));
        }
        "uniqueItems" if limit == true => {
            let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if list.iter().enumerate().any(|(i, v)| list.iter().take(i).any(|w| v == w)) {
                out.push(body("shouldn't contain duplicates".into()));
            }
        }
        "enum" => {
            let values = limit.as_array().map(Vec::as_slice).unwrap_or_default();
            if !values.contains(value) {
                let list = values.iter().map(show).collect::<Vec<_>>().join(", ");
                let message = format!("Unsupported value: {}: supported values: {list}", show(value));
                out.push(Cause { reason: "FieldValueNotSupported", message, field: path.into() });
            }
        }
        "anyOf" | "oneOf" | "allOf" | "not" => logic(value, keyword, limit, path, out),
        _ => {}
    }
}

fn logic(value: &Value, keyword: &str, limit: &Value, path: &str, out: &mut Vec<Cause>) {
    let causes = |schema: &Value| {
        let mut found = Vec::new();
        check(value, &Structural::compile(schema), path, &mut found);
        found
    };
    let branches: Vec<Vec<Cause>> = limit.as_array().into_iter().flatten().map(causes).collect();
    let valid = branches.iter().filter(|b| b.is_empty()).count();
    let mut say = |text: &str| out.push(Cause::invalid(path, value, format!("{path} in body {text}")));
    match keyword {
        "anyOf" if valid == 0 => {
            say("must validate at least one schema (anyOf)");
            out.extend(branches.into_iter().min_by_key(Vec::len).unwrap_or_default());
        }
        "oneOf" if valid == 0 => {
            say("must validate one and only one schema (oneOf). Found none valid");
            out.extend(branches.into_iter().min_by_key(Vec::len).unwrap_or_default());
        }
        "oneOf" if valid > 1 => {
            say(&format!("must validate one and only one schema (oneOf). Found {valid} valid alternatives"))
        }
        "allOf" => out.extend(branches.into_iter().flatten()),
        "not" if causes(limit).is_empty() => say("must not validate the schema (not)"),
        _ => {}
    }
}
