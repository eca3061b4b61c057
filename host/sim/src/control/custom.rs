//! Objects of custom resources by their schema: pruning, defaults, validation.

mod cel_rules;
mod validate;

use serde_json::{Map, Value};

use super::{builtin::decode, error::Cause, resources::CustomVersion, schema, schema::structural::Structural};

pub(super) use self::{cel_rules::compile_fault, validate::value_causes};

/// Drops what the schema does not know; returns the paths of what was dropped.
pub(super) fn prune(object: &mut Value, root: &Structural) -> Vec<String> {
    let mut unknown = Vec::new();
    let Value::Object(map) = object else { return unknown };
    let names: Vec<String> = map.keys().cloned().collect();
    for name in names {
        if matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        prune_entry(map, &name, root, &name, &mut unknown);
    }
    unknown
}

fn prune_entry(map: &mut Map<String, Value>, name: &str, s: &Structural, path: &str, unknown: &mut Vec<String>) {
    let known = s.properties.get(name).or(s.additional.as_deref());
    match (known, map.get_mut(name)) {
        (Some(inner), Some(value)) => prune_value(value, inner, path, unknown),
        (None, _) if s.preserve_unknown => {}
        _ => {
            unknown.push(path.to_owned());
            map.remove(name);
        }
    }
}

fn prune_value(value: &mut Value, s: &Structural, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let names: Vec<String> = map.keys().cloned().collect();
            for name in names {
                if s.embedded && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                prune_entry(map, &name, s, &format!("{path}.{name}"), unknown);
            }
        }
        Value::Array(items) => {
            let Some(inner) = &s.items else { return };
            for (i, item) in items.iter_mut().enumerate() {
                prune_value(item, inner, &format!("{path}[{i}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Fills in defaults; a null where the schema has a default and no `nullable` counts as missing.
pub(super) fn default(value: &mut Value, s: &Structural) {
    match value {
        Value::Object(map) => {
            for (name, inner) in &s.properties {
                if let Some(default) = &inner.default {
                    let missing = map.get(name).is_none_or(|v| v.is_null() && !inner.nullable);
                    if missing {
                        map.insert(name.clone(), default.clone());
                    }
                }
                if let Some(field) = map.get_mut(name) {
                    self::default(field, inner);
                }
            }
            if let Some(values) = &s.additional {
                let others = map.iter_mut().filter(|(name, _)| !s.properties.contains_key(*name));
                others.for_each(|(_, field)| self::default(field, values));
            }
        }
        Value::Array(items) => {
            if let Some(inner) = &s.items {
                items.iter_mut().for_each(|item| self::default(item, inner));
            }
        }
        _ => {}
    }
}

/// Reads `metadata` as its built-in type; returns unknown fields.
///
/// # Errors
/// The message for a field of a wrong type.
pub(super) fn metadata(object: &mut Value) -> Result<Vec<String>, String> {
    let Some(definition) = schema::builtin().get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta") else {
        return Ok(Vec::new());
    };
    let Some(metadata) = object.get_mut("metadata") else { return Ok(Vec::new()) };
    let decoded = decode::decode(definition, metadata.take())?;
    *metadata = decoded.object;
    Ok(decoded.unknown.into_iter().map(|path| format!("metadata.{path}")).collect())
}

/// The stored object as a version shows it.
pub(super) fn view(raw: &Value, api_version: &str, version: &CustomVersion) -> Value {
    let mut out = raw.clone();
    out["apiVersion"] = api_version.into();
    prune(&mut out, &version.schema);
    default(&mut out, &version.schema);
    out
}

/// All faults of an object, with the stored one on update.
pub(super) fn validate(object: &Value, old: Option<&Value>, version: &CustomVersion) -> Vec<Cause> {
    let mut causes = validate::root(object, &version.schema);
    if !cel_rules::has_rules(&version.schema) {
        return causes;
    }
    let blocking = [
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    ];
    if causes.iter().any(|c| blocking.contains(&c.reason)) {
        let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        causes.push(Cause::invalid("<nil>", &Value::Null, detail));
    } else {
        causes.extend(cel_rules::check(object, old, &version.schema));
    }
    causes
}
