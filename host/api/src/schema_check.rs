//! Checks a value against a structural schema: types, unknown fields, required fields, limits. The schema is the CRD's, so a
//! file is told the same as the API server would tell, and more.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::fault::{Fault, FaultKind, Faults};
use crate::schema::{INT_OR_STRING, PRESERVE_UNKNOWN};

/// Values nested deeper than this are not looked at; no schema of ours is half as deep.
const DEPTH_MAX: usize = 64;
/// Letters that may differ for a name to be proposed instead of an unknown one.
const TYPO_DISTANCE_MAX: usize = 2;

/// Notes every fault, and takes away values of a wrong type, so that what is left can be read.
pub fn check(schema: &Value, value: &mut Value, path: &str, faults: &mut Faults) {
    walk(schema, value, path, 0, faults);
}

fn walk(schema: &Value, value: &mut Value, path: &str, depth: usize, faults: &mut Faults) {
    if value.is_null() || depth > DEPTH_MAX {
        return;
    }
    if !type_fits(schema, value) {
        let mut message = format!("expected {}", expected(schema));
        if expected(schema) == "string" && (value.is_number() || value.is_boolean()) {
            message.push_str("; put it in quotes");
        }
        faults.add(Fault::new(path, FaultKind::TypeInvalid, message).with_value(shown(value)));
        *value = Value::Null;
        return;
    }
    limits(schema, value, path, faults);
    match value {
        Value::Object(map) => object(schema, map, path, depth, faults),
        Value::Array(items) => {
            let Some(item_schema) = schema.get("items") else { return };
            for (at, item) in items.iter_mut().enumerate() {
                walk(item_schema, item, &format!("{path}[{at}]"), depth + 1, faults);
            }
            duplicates(schema, items, path, faults);
        }
        _ => {}
    }
}

fn flag(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// A schema without a type that lets anything pass is that of a configuration.
fn is_config(schema: &Value) -> bool {
    schema.get("type").is_none() && flag(schema, PRESERVE_UNKNOWN)
}

fn expected(schema: &Value) -> &str {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => "an object",
        Some("array") => "a list",
        Some(name) => name,
        None if flag(schema, INT_OR_STRING) => "a number or a string",
        None => "TOML text or an object",
    }
}

fn type_fits(schema: &Value, value: &Value) -> bool {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some(_) => true,
        None if flag(schema, INT_OR_STRING) => value.is_number() || value.is_string(),
        None if is_config(schema) => value.is_string() || value.is_object(),
        None => true,
    }
}

fn limits(schema: &Value, value: &mut Value, path: &str, faults: &mut Faults) {
    if let Some(number) = value.as_f64() {
        if let Some(minimum) = schema.get("minimum").and_then(Value::as_f64).filter(|minimum| number < *minimum) {
            faults.invalid(path, format!("must be at least {minimum}"), shown(value));
        }
        if let Some(maximum) = schema.get("maximum").and_then(Value::as_f64).filter(|maximum| number > *maximum) {
            faults.invalid(path, format!("must be at most {maximum}"), shown(value));
        }
    }
    let small = schema.get("format").and_then(Value::as_str) == Some("int32");
    if small && value.as_i64().is_none_or(|number| i32::try_from(number).is_err()) {
        faults.invalid(path, "too big for this field", shown(value));
        *value = Value::Null;
        return;
    }
    let Some(text) = value.as_str() else { return };
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        let allowed: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
        if !allowed.contains(&text) {
            let names: Vec<_> = allowed.into_iter().filter(|name| !name.is_empty()).collect();
            let message = format!("must be {}", names.join(" or "));
            faults.add(Fault::new(path, FaultKind::NotSupported, message).with_value(text));
        }
    }
    // The only patterns of our schemas are those of quantities.
    if schema.get("pattern").is_some() && crate::quantity::parse(text).is_none() {
        faults.invalid(path, "not a quantity", text);
    }
}

fn object(schema: &Value, map: &mut Map<String, Value>, path: &str, depth: usize, faults: &mut Faults) {
    let empty = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if map.get(name).is_none_or(Value::is_null) {
            faults.required(join(path, name), "required");
        }
    }
    let any = schema.get("additionalProperties");
    let open = flag(schema, PRESERVE_UNKNOWN) || (any.is_none() && known.is_empty());
    for (name, value) in map.iter_mut() {
        let path = join(path, name);
        match known.get(name).or(any) {
            Some(schema) => walk(schema, value, &path, depth + 1, faults),
            None if open => {}
            None => {
                let proposal = similar(name, known.keys()).map(|known| format!(" (did you mean {known}?)"));
                let message = format!("unknown field{}", proposal.unwrap_or_default());
                faults.add(Fault::new(path, FaultKind::Unknown, message));
            }
        }
    }
}

fn duplicates(schema: &Value, items: &[Value], path: &str, faults: &mut Faults) {
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let Some(key) = keys.and_then(|keys| keys.first()).and_then(Value::as_str) else { return };
    let mut seen = BTreeSet::new();
    for (at, value) in items.iter().enumerate() {
        let Some(value) = value.get(key).and_then(Value::as_str) else { continue };
        if !seen.insert(value) {
            let message = format!("{key} is listed already");
            faults.add(Fault::new(format!("{path}[{at}]"), FaultKind::Duplicate, message).with_value(value));
        }
    }
}

/// A path with one more name; names that hold dots are put in brackets, so that the path stays readable.
fn join(path: &str, name: &str) -> String {
    match (path, name.contains('.')) {
        ("", _) => name.to_owned(),
        (path, true) => format!("{path}[{name}]"),
        (path, false) => format!("{path}.{name}"),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

/// The known name that an unknown one was probably meant to be.
pub fn similar<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let measured = known.map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate));
    let (_, best) = measured.filter(|(distance, _)| *distance <= TYPO_DISTANCE_MAX).min()?;
    Some(best)
}

/// Letters to insert, delete, replace or swap to make one text the other.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > TYPO_DISTANCE_MAX {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, to) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX);
            let cost = diagonal + usize::from(from != *to);
            let best = cost.min(left + 1).min(above + 1);
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            diagonal = above;
            left = best;
        }
        if let Some(cell) = row.last_mut() {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognised() {
        let known: Vec<String> = ["replicas", "requests", "baseImage"].map(str::to_owned).into();
        assert_eq!(similar("replica", known.iter()), Some("replicas"));
        assert_eq!(similar("baseimage", known.iter()), Some("baseImage"));
        assert_eq!(similar("reqeusts", known.iter()), Some("requests"));
        assert_eq!(similar("volumes", known.iter()), None);
        assert_eq!(distance("kitten", "sittin"), 2);
    }
}
