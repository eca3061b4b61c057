//! Built-in objects as the real server would read and write them: types checked, unknown fields dropped and named,
//! quantities and times canonical, and empty what its Go types leave out when it is empty.

use serde_json::{Map, Value};

use super::{
    quantity,
    schema::{self, Definition, Field, Type},
};

/// What decoding found.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// Paths of unknown fields, which have been dropped.
    pub(super) unknown: Vec<String>,
}

/// Text fields that are pointers in the Go types: empty is not the same as missing.
const STRING_POINTERS: &[&str] = &[
    "storageClassName", "ingressClassName", "appProtocol", "holderIdentity", "runtimeClassName", "zone", "nodeName",
    "hostname", "volumeAttributesClassName", "ipFamilyPolicy", "loadBalancerClass", "trafficDistribution",
];
/// Flags that are left out when they are false.
const FLAGS: &[&str] = &[
    "hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly", "paused", "publishNotReadyAddresses",
    "unschedulable", "notReady",
];
/// Numbers that are left out when they are zero.
const COUNTS: &[&str] = &[
    "hostPort", "nodePort", "healthCheckNodePort", "initialDelaySeconds", "minReadySeconds", "generation",
    "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "unavailableReplicas",
    "fullyLabeledReplicas", "observedGeneration", "count", "priorityValue", "failed", "succeeded", "active",
];

/// Checks and normalises `value` in place.
///
/// # Errors
/// The message of the first field whose type is wrong.
pub(super) fn decode(definition: &Definition, value: &mut Value) -> Result<Decoded, String> {
    let mut out = Decoded::default();
    structure(definition, value, "", &mut out)?;
    Ok(out)
}

fn go_kind(value: &Value) -> String {
    match value {
        Value::Bool(_) => "bool".into(),
        Value::String(_) => "string".into(),
        Value::Number(n) if n.is_f64() => format!("number {n}"),
        Value::Number(_) => "number".into(),
        Value::Array(_) => "array".into(),
        Value::Object(_) => "object".into(),
        Value::Null => "null".into(),
    }
}

fn short_name(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}

fn go_type(ty: &Type) -> String {
    match ty {
        Type::String => "string".into(),
        Type::Bool => "bool".into(),
        Type::Int32 => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Number => "float64".into(),
        Type::Bytes => "[]uint8".into(),
        Type::Time => "v1.Time".into(),
        Type::MicroTime => "v1.MicroTime".into(),
        Type::Quantity => "resource.Quantity".into(),
        Type::IntOrString => "intstr.IntOrString".into(),
        Type::Any => "interface {}".into(),
        Type::List(items) => format!("[]{}", go_type(items)),
        Type::Map(values) => format!("map[string]{}", go_type(values)),
        Type::Ref(name) => {
            let mut parts = name.rsplit('.');
            let kind = parts.next().unwrap_or_default();
            format!("{}.{kind}", parts.next().unwrap_or_default())
        }
    }
}

/// Where a value stands, for messages.
struct Place<'a> {
    owner: &'a str,
    path: &'a str,
    /// With indices, as unknown fields are named.
    full: &'a str,
}

impl Place<'_> {
    fn mismatch(&self, value: &Value, ty: &Type) -> String {
        let (kind, owner, path) = (go_kind(value), self.owner, self.path);
        format!("json: cannot unmarshal {kind} into Go struct field {owner}.{path} of type {}", go_type(ty))
    }
}

fn plain_path(full: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in full.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

fn structure(definition: &Definition, value: &mut Value, at: &str, out: &mut Decoded) -> Result<(), String> {
    let Value::Object(map) = value else { return Ok(()) };
    let names: Vec<String> = map.keys().cloned().collect();
    for name in names {
        let full = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let Some(field) = definition.fields.get(&name) else {
            if !(at.is_empty() && matches!(name.as_str(), "apiVersion" | "kind")) {
                out.unknown.push(full);
                map.remove(&name);
            }
            continue;
        };
        let Some(inner) = map.get_mut(&name) else { continue };
        if inner.is_null() {
            map.remove(&name);
            continue;
        }
        let path = plain_path(&full);
        let place = Place { owner: short_name(&definition.name), path: &path, full: &full };
        typed(&field.ty, inner, &place, out)?;
        if is_left_out(&name, field, inner) {
            map.remove(&name);
        }
    }
    Ok(())
}

fn is_left_out(name: &str, field: &Field, value: &Value) -> bool {
    match value {
        Value::String(s) => s.is_empty() && !field.required && !STRING_POINTERS.contains(&name),
        Value::Array(items) => items.is_empty() && !field.required,
        Value::Object(map) => map.is_empty() && matches!(field.ty, Type::Map(_)) && !field.required,
        Value::Bool(false) => FLAGS.contains(&name),
        Value::Number(n) => n.as_i64() == Some(0) && COUNTS.contains(&name),
        _ => false,
    }
}

fn typed(ty: &Type, value: &mut Value, place: &Place<'_>, out: &mut Decoded) -> Result<(), String> {
    let fits = match ty {
        Type::Any => true,
        Type::String | Type::Bytes | Type::Time | Type::MicroTime => value.is_string(),
        Type::Bool => value.is_boolean(),
        Type::Int32 => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        Type::Int64 => value.is_i64() || value.is_u64(),
        Type::Number => value.is_number(),
        Type::Quantity | Type::IntOrString => value.is_string() || value.is_number(),
        Type::List(_) => value.is_array(),
        Type::Map(_) | Type::Ref(_) => value.is_object(),
    };
    if !fits {
        return Err(place.mismatch(value, ty));
    }
    match (ty, &mut *value) {
        (Type::Quantity, _) => quantity_value(value),
        (Type::Time, Value::String(text)) => time(text, false),
        (Type::MicroTime, Value::String(text)) => time(text, true),
        (Type::Bytes, Value::String(text)) => bytes(text),
        (Type::List(items), Value::Array(list)) => entries(items, list, place, out),
        (Type::Map(values), Value::Object(map)) => values_of(values, map, place, out),
        (Type::Ref(name), _) => match schema::builtin().get(name) {
            Some(definition) => structure(definition, value, place.full, out),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn entries(ty: &Type, list: &mut Vec<Value>, place: &Place<'_>, out: &mut Decoded) -> Result<(), String> {
    for (i, item) in list.iter_mut().enumerate() {
        let full = format!("{}[{i}]", place.full);
        if item.is_null() {
            // A nil entry of a list of structs is its zero value.
            *item = match ty {
                Type::Ref(_) => Value::Object(Map::new()),
                Type::String => "".into(),
                _ => continue,
            };
        }
        typed(ty, item, &Place { full: &full, ..*place }, out)?;
    }
    Ok(())
}

fn values_of(
    ty: &Type,
    map: &mut Map<String, Value>,
    place: &Place<'_>,
    out: &mut Decoded,
) -> Result<(), String> {
    for (key, item) in map.iter_mut() {
        let full = format!("{}.{key}", place.full);
        if item.is_null() {
            *item = match ty {
                Type::String | Type::Bytes => "".into(),
                _ => continue,
            };
        }
        typed(ty, item, &Place { full: &full, ..*place }, out)?;
    }
    Ok(())
}

fn quantity_value(value: &mut Value) -> Result<(), String> {
    let text = match &*value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    *value = quantity::canonical(&text).ok_or(quantity::MALFORMED)?.into();
    Ok(())
}

fn bytes(text: &str) -> Result<(), String> {
    use base64::Engine as _;
    let compact: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    match base64::engine::general_purpose::STANDARD.decode(&compact) {
        Ok(_) => Ok(()),
        Err(base64::DecodeError::InvalidByte(at, _)) => Err(format!("illegal base64 data at input byte {at}")),
        Err(_) => Err(format!("illegal base64 data at input byte {}", compact.len().saturating_sub(1))),
    }
}

fn time(text: &mut String, micro: bool) -> Result<(), String> {
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    if text.is_empty() {
        return Ok(());
    }
    let fraction = text.contains('.');
    let parsed: jiff::Timestamp = text.parse().map_err(|_| {
        format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\"")
    })?;
    if micro && !fraction {
        return Err(format!("parsing time {text:?} as {layout:?}: cannot parse \"Z\" as \".000000\""));
    }
    let format = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    *text = parsed.strftime(format).to_string();
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config_map(mut value: Value) -> (Value, Result<Decoded, String>) {
        let definition = schema::builtin().of_kind("", "v1", "ConfigMap").unwrap();
        let decoded = decode(definition, &mut value);
        (value, decoded)
    }

    #[test]
    fn unknown_fields_are_dropped_and_named() {
        let (value, decoded) = config_map(json!({"kind": "ConfigMap", "metadata": {"nope": 1, "labels": {}}, "extra": {}}));
        assert_eq!(decoded.unwrap().unknown, vec!["extra", "metadata.nope"]);
        assert_eq!(value, json!({"kind": "ConfigMap", "metadata": {}}));
    }

    #[test]
    fn wrong_types_are_told_as_go_does() {
        let (_, decoded) = config_map(json!({"data": {"a": 1}}));
        let text = "json: cannot unmarshal number into Go struct field ConfigMap.data of type string";
        assert_eq!(decoded.unwrap_err(), text);
    }
}
