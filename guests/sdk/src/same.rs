//! Equality as Kubernetes means it: what two texts say, not how they say it.
//!
//! An object that the API server or another operator wrote leaves out what is empty, spells quantities its own way and
//! keeps fields in another order. None of that is a difference, and a difference that is none would restart pods.

use serde::Serialize;
use serde_json::{Map, Value};
use tidepool_api::quantity::Amount;

/// Objects that say nothing when they are empty; elsewhere, as in `emptyDir`, an empty object means something.
const EMPTY_OBJECTS: [&str; 8] =
    ["annotations", "labels", "limits", "metadata", "nodeSelector", "requests", "resources", "status"];

/// Fields that are left out when false or zero. For other fields false is not the same as nothing.
const ZERO_FIELDS: [&str; 11] = [
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "initialDelaySeconds",
    "periodSeconds",
    "publishNotReadyAddresses",
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
];

/// Texts for which empty is not the same as nothing.
const EMPTY_TEXTS: [&str; 1] = ["storageClassName"];

/// Maps whose keys are the user's: a key with an empty value is there.
const USER_MAPS: [&str; 5] = ["annotations", "data", "labels", "matchLabels", "nodeSelector"];

/// Maps whose values are quantities, and a field that is one.
const QUANTITIES: [&str; 4] = ["capacity", "limits", "requests", "sizeLimit"];

/// Whether two values say the same. What cannot be turned into JSON is never the same.
pub fn same<A: Serialize + ?Sized, B: Serialize + ?Sized>(a: &A, b: &B) -> bool {
    match (serde_json::to_value(a), serde_json::to_value(b)) {
        (Ok(a), Ok(b)) => normal("", a) == normal("", b),
        _ => false,
    }
}

/// The value without what says nothing.
fn normal(key: &str, value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(normal_object(key, map)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| normal("", item)).collect()),
        Value::String(text) if QUANTITIES.contains(&key) => normal_quantity(text),
        other => other,
    }
}

fn normal_object(key: &str, map: Map<String, Value>) -> Map<String, Value> {
    let inner = |field: &str| if QUANTITIES.contains(&key) { key.to_owned() } else { field.to_owned() };
    map.into_iter()
        .map(|(field, value)| {
            let value = normal(&inner(&field), value);
            (field, value)
        })
        .filter(|(field, value)| USER_MAPS.contains(&key) || !says_nothing(field, value))
        .collect()
}

fn says_nothing(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() && !EMPTY_TEXTS.contains(&field),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && EMPTY_OBJECTS.contains(&field),
        Value::Bool(value) => !value && ZERO_FIELDS.contains(&field),
        Value::Number(number) => number.as_i64() == Some(0) && ZERO_FIELDS.contains(&field),
    }
}

fn normal_quantity(text: String) -> Value {
    match quantity(&text) {
        Some(amount) => Value::String(format!("{amount:?}")),
        None => Value::String(text),
    }
}

/// Whether the text is a Kubernetes quantity.
pub fn is_quantity(text: &str) -> bool {
    quantity(text).is_some()
}

/// A quantity as a number; none if the text is none.
pub fn quantity(text: &str) -> Option<Amount> {
    tidepool_api::quantity::parse(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_no_difference() {
        let go = json!({"metadata": {"creationTimestamp": null}, "spec": {"resources": {}, "env": [{"name": "TZ"}]}});
        let ours = json!({"spec": {"env": [{"name": "TZ", "value": ""}], "volumes": [], "hostNetwork": false}});
        assert!(same(&go, &ours));
    }

    #[test]
    fn false_and_empty_can_mean_something() {
        assert!(!same(&json!({"emptyDir": {}}), &json!({})));
        assert!(!same(&json!({"runAsNonRoot": false}), &json!({})));
        assert!(!same(&json!({"storageClassName": ""}), &json!({})));
        assert!(!same(&json!([1, 2]), &json!([2, 1])));
    }

    #[test]
    fn quantities_are_compared_by_value() {
        assert!(same(&json!({"requests": {"memory": "1024Mi"}}), &json!({"requests": {"memory": "1Gi"}})));
        assert!(same(&json!({"limits": {"cpu": "0.5"}}), &json!({"limits": {"cpu": "500m"}})));
        assert!(same(&json!({"limits": {"cpu": "1e3"}}), &json!({"limits": {"cpu": "1k"}})));
        assert!(!same(&json!({"requests": {"memory": "1G"}}), &json!({"requests": {"memory": "1Gi"}})));
        assert!(!is_quantity("10Gi.") && !is_quantity("") && !is_quantity("x") && !is_quantity("Gi"));
    }
}
