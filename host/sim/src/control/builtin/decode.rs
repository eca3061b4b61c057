//! Reading an object of a built-in type as the server does: fields that the type does not have are dropped and told,
//! values of a wrong type are refused, and what Go leaves out when it writes the object back is left out.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::quantity;
use crate::control::schema::{Definition, Type, builtin};

/// What an object was, once read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// With known fields alone, and without empty ones that are never shown.
    pub object: Value,
    /// The paths of fields that the type does not have, in order of their place in the object.
    pub unknown: Vec<String>,
}

/// Booleans that are left out when they are false; all others say so.
const PLAIN_BOOLS: &[&str] = &[
    "globalDefault",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "paused",
    "publishNotReadyAddresses",
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
    "unschedulable",
];
/// Numbers that are left out when they are zero; all others say so.
const PLAIN_NUMBERS: &[&str] = &[
    "active",
    "count",
    "currentReplicas",
    "deprecatedCount",
    "failed",
    "failureThreshold",
    "fullyLabeledReplicas",
    "generation",
    "healthCheckNodePort",
    "hostPort",
    "initialDelaySeconds",
    "minReadySeconds",
    "nodePort",
    "numberAvailable",
    "numberUnavailable",
    "observedGeneration",
    "periodSeconds",
    "readyReplicas",
    "succeeded",
    "successThreshold",
    "timeoutSeconds",
    "unavailableReplicas",
    "updatedNumberScheduled",
    "updatedReplicas",
];
/// Texts that are shown even if they are empty.
const SHOWN_TEXTS: &[&str] = &[
    "appProtocol",
    "holderIdentity",
    "procMount",
    "reportingComponent",
    "runtimeClassName",
    "service",
    "storageClassName",
    "type",
    "volumeAttributesClassName",
];
const QUANTITY_TEXT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Reads `value` as the type `definition`.
///
/// # Errors
/// The text that follows `… cannot be handled as a KIND: `.
pub fn decode(definition: &Definition, value: Value) -> Result<Decoded, String> {
    let mut reader = Reader { path: Vec::new(), owner: short(&definition.name).to_owned(), unknown: Vec::new() };
    let Value::Object(fields) = value else {
        return Err(reader.wrong(&value, &go_type(&Type::Ref(definition.name.clone()))));
    };
    let object = reader.object(definition, fields, true)?;
    Ok(Decoded { object, unknown: reader.unknown })
}

struct Reader {
    path: Vec<String>,
    /// The innermost type, as Go names it in errors.
    owner: String,
    unknown: Vec<String>,
}

/// The last word of a definition's name.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn go_type(ty: &Type) -> String {
    match ty {
        Type::String => "string".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Int32 => "int32".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Number => "float64".to_owned(),
        Type::Bytes => "[]uint8".to_owned(),
        Type::Time => "v1.Time".to_owned(),
        Type::MicroTime => "v1.MicroTime".to_owned(),
        Type::Quantity => "resource.Quantity".to_owned(),
        Type::IntOrString => "intstr.IntOrString".to_owned(),
        Type::Any => "interface {}".to_owned(),
        Type::List(inner) => format!("[]{}", go_type(inner)),
        Type::Map(inner) => format!("map[string]{}", go_type(inner)),
        Type::Ref(name) => {
            let mut words = name.rsplit('.');
            let (kind, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            format!("{version}.{kind}")
        }
    }
}

impl Reader {
    fn object(&mut self, definition: &Definition, fields: Map<String, Value>, root: bool) -> Result<Value, String> {
        let outer = std::mem::replace(&mut self.owner, short(&definition.name).to_owned());
        let mut kept = Map::new();
        for (name, value) in fields {
            if matches!(name.as_str(), "apiVersion" | "kind") && (root || self.owner == "PersistentVolumeClaim") {
                kept.insert(name, value);
                continue;
            }
            let Some(field) = definition.fields.get(&name) else {
                self.unknown.push(self.place(&name));
                continue;
            };
            self.path.push(format!(".{name}"));
            let value = self.value(&field.ty, value)?;
            self.path.pop();
            if !is_left_out(&name, &field.ty, &value, field.required) {
                kept.insert(name, value);
            }
        }
        self.owner = outer;
        Ok(Value::Object(kept))
    }

    fn value(&mut self, ty: &Type, value: Value) -> Result<Value, String> {
        match (ty, value) {
            (_, Value::Null) => Ok(Value::Null),
            (Type::Any, value) => Ok(value),
            (Type::String | Type::Bytes, value @ Value::String(_)) => Ok(value),
            (Type::Bool, value @ Value::Bool(_)) => Ok(value),
            (Type::Number, value @ Value::Number(_)) => Ok(value),
            (Type::IntOrString, value @ (Value::String(_) | Value::Number(_))) => Ok(value),
            (Type::Int32 | Type::Int64, Value::Number(number)) => self.integer(ty, number),
            (Type::Quantity, value @ (Value::String(_) | Value::Number(_))) => quantity_of(value),
            (Type::Time, Value::String(text)) => time(text, "2006-01-02T15:04:05Z07:00", false),
            (Type::MicroTime, Value::String(text)) => time(text, "2006-01-02T15:04:05.000000Z07:00", true),
            (Type::List(inner), Value::Array(items)) => self.list(inner, items),
            (Type::Map(inner), Value::Object(fields)) => self.map(inner, fields),
            (Type::Ref(name), Value::Object(fields)) => match builtin().get(name) {
                Some(definition) => self.object(definition, fields, false),
                None => Ok(Value::Object(fields)),
            },
            (ty, value) => Err(self.wrong(&value, &go_type(ty))),
        }
    }

    fn integer(&self, ty: &Type, number: serde_json::Number) -> Result<Value, String> {
        let fits = |n: i64| matches!(ty, Type::Int64) || i32::try_from(n).is_ok();
        // Whole numbers may be written with a point.
        let whole = number
            .as_i64()
            .or_else(|| number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64));
        match whole.filter(|n| fits(*n)) {
            Some(n) => Ok(n.into()),
            None => Err(self.wrong_kind(&format!("number {number}"), &go_type(ty))),
        }
    }

    fn list(&mut self, inner: &Type, items: Vec<Value>) -> Result<Value, String> {
        let mut kept = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            self.path.push(format!("[{i}]"));
            kept.push(self.value(inner, item)?);
            self.path.pop();
        }
        Ok(kept.into())
    }

    fn map(&mut self, inner: &Type, fields: Map<String, Value>) -> Result<Value, String> {
        let mut kept = Map::new();
        for (key, value) in fields {
            self.path.push(format!(".{key}"));
            // Go reads null into a map of strings as an empty string.
            let value = match self.value(inner, value)? {
                Value::Null if *inner == Type::String => "".into(),
                value => value,
            };
            self.path.pop();
            kept.insert(key, value);
        }
        Ok(Value::Object(kept))
    }

    /// The path of a field below the present place.
    fn place(&self, name: &str) -> String {
        format!("{}.{name}", self.path.concat()).trim_start_matches('.').to_owned()
    }

    fn wrong(&self, value: &Value, wanted: &str) -> String {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        self.wrong_kind(kind, wanted)
    }

    /// Go names the innermost type, then the way from the root by fields alone.
    fn wrong_kind(&self, kind: &str, wanted: &str) -> String {
        let fields: Vec<&str> = self.path.iter().filter(|step| step.starts_with('.')).map(|step| &step[1..]).collect();
        let known = |depth: usize| fields.get(..depth).map(|fields| fields.join(".")).unwrap_or_default();
        // The key of a map is no field.
        let place = if self.in_map() { known(fields.len().saturating_sub(1)) } else { known(fields.len()) };
        if place.is_empty() {
            return format!("json: cannot unmarshal {kind} into Go value of type {wanted}");
        }
        format!("json: cannot unmarshal {kind} into Go struct field {}.{place} of type {wanted}", self.owner)
    }

    /// Whether the last step of the path is the key of a map.
    fn in_map(&self) -> bool {
        let Some(last) = self.path.last().and_then(|step| step.strip_prefix('.')) else { return false };
        let is_field = builtin().all().iter().any(|d| short(&d.name) == self.owner && d.fields.contains_key(last));
        !is_field
    }
}

fn quantity_of(value: Value) -> Result<Value, String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    quantity::canonical(&text).map(Value::from).ok_or_else(|| QUANTITY_TEXT.to_owned())
}

/// Times lose what their type does not keep; leases and events keep microseconds and insist on them.
fn time(text: String, layout: &str, micros: bool) -> Result<Value, String> {
    let fault =
        |rest: &str, part: &str| Err(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {part:?}"));
    let Ok(parsed) = text.parse::<Timestamp>() else { return fault(&text, "2006") };
    if !micros {
        return Ok(parsed.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
    }
    let fraction = text.split_once('.').map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).count());
    match fraction {
        Some(6) => Ok(parsed.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into()),
        _ => fault(&text[19.min(text.len())..], ".000000"),
    }
}

fn is_left_out(name: &str, ty: &Type, value: &Value, required: bool) -> bool {
    match (ty, value) {
        (_, Value::Null) => true,
        (Type::List(_), Value::Array(items)) => items.is_empty() && !required,
        (Type::Map(_), Value::Object(fields)) => fields.is_empty(),
        (Type::String, Value::String(text)) => text.is_empty() && !required && !SHOWN_TEXTS.contains(&name),
        (Type::Bool, Value::Bool(false)) => PLAIN_BOOLS.contains(&name) && !required,
        (Type::Int32 | Type::Int64, Value::Number(n)) => {
            n.as_i64() == Some(0) && PLAIN_NUMBERS.contains(&name) && !required
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(group: &str, kind: &str, value: Value) -> Result<Decoded, String> {
        decode(builtin().of_kind(group, "v1", kind).unwrap(), value)
    }

    #[test]
    fn unknown_fields_are_dropped_and_told_by_path() {
        let deployment = json!({"apiVersion": "apps/v1", "spec": {"replica": 1, "template": {"spec": {"containers": [{"name": "c", "imagePulPolicy": "Always"}]}}}});
        let decoded = read("apps", "Deployment", deployment).unwrap();
        let mut unknown = decoded.unknown;
        unknown.sort();
        assert_eq!(unknown, ["spec.replica", "spec.template.spec.containers[0].imagePulPolicy"]);
        assert_eq!(
            decoded.object,
            json!({"apiVersion": "apps/v1", "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}})
        );
    }

    #[test]
    fn a_wrong_type_is_refused_in_the_words_of_go() {
        let text = |group: &str, kind: &str, value: Value| read(group, kind, value).unwrap_err();
        assert_eq!(
            text("", "ConfigMap", json!({"data": {"a": 1}})),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
        );
        assert_eq!(
            text("apps", "Deployment", json!({"spec": {"replicas": "two"}})),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        let lots = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "lots"}}}]}});
        assert_eq!(text("", "Pod", lots), QUANTITY_TEXT);
        assert!(
            text("coordination.k8s.io", "Lease", json!({"spec": {"renewTime": "2026-01-01T00:00:00Z"}}))
                .contains("parsing time")
        );
    }

    #[test]
    fn empty_fields_that_are_never_shown_go() {
        let pod = json!({"metadata": {"labels": {}, "creationTimestamp": null}, "spec": {"hostNetwork": false, "automountServiceAccountToken": false,
            "nodeName": "", "containers": [], "volumes": [{"name": "v", "emptyDir": {}}], "minReadySeconds": 0}});
        let decoded = read("", "Pod", pod).unwrap();
        assert_eq!(
            decoded.object,
            json!({"metadata": {}, "spec": {"automountServiceAccountToken": false, "containers": [],
            "volumes": [{"name": "v", "emptyDir": {}}]}})
        );
    }
}
