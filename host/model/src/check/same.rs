//! Whether an object that a policy wrote says the same as the one the API server keeps, which has defaults filled in.

use serde_json::{Map, Value};

/// Fields that the API server adds when they are absent, with the values that it adds. Looked up by name alone: none
/// of these names means something else elsewhere in a workload.
const DEFAULTS: [(&str, &str); 26] = [
    ("terminationMessagePath", r#""/dev/termination-log""#),
    ("terminationMessagePolicy", r#""File""#),
    ("imagePullPolicy", r#""IfNotPresent""#),
    ("imagePullPolicy", r#""Always""#),
    ("restartPolicy", r#""Always""#),
    ("dnsPolicy", r#""ClusterFirst""#),
    ("schedulerName", r#""default-scheduler""#),
    ("terminationGracePeriodSeconds", "30"),
    ("securityContext", "{}"),
    ("resources", "{}"),
    ("protocol", r#""TCP""#),
    ("defaultMode", "420"),
    ("apiVersion", r#""v1""#),
    ("scheme", r#""HTTP""#),
    ("successThreshold", "1"),
    ("failureThreshold", "3"),
    ("periodSeconds", "10"),
    ("timeoutSeconds", "1"),
    ("volumeMode", r#""Filesystem""#),
    ("revisionHistoryLimit", "10"),
    ("progressDeadlineSeconds", "600"),
    ("persistentVolumeClaimRetentionPolicy", r#"{"whenDeleted":"Retain","whenScaled":"Retain"}"#),
    ("sessionAffinity", r#""None""#),
    ("internalTrafficPolicy", r#""Cluster""#),
    ("ipFamilyPolicy", r#""SingleStack""#),
    ("serviceAccount", "\"\""),
];

/// Whether `existing` is `desired` with nothing but defaults, nulls and empty values added.
pub(super) fn same(desired: &Value, existing: &Value) -> bool {
    match (desired, existing) {
        (Value::Object(desired), Value::Object(existing)) => same_maps(desired, existing),
        (Value::Array(desired), Value::Array(existing)) => {
            desired.len() == existing.len() && desired.iter().zip(existing).all(|(d, e)| same(d, e))
        }
        (Value::Number(desired), Value::Number(existing)) => desired.as_f64() == existing.as_f64(),
        _ => desired == existing || (is_empty(desired) && is_empty(existing)),
    }
}

fn same_maps(desired: &Map<String, Value>, existing: &Map<String, Value>) -> bool {
    let kept = desired.iter().all(|(key, value)| match existing.get(key) {
        Some(there) => same(value, there),
        None => is_empty(value),
    });
    let added = existing.iter().filter(|(key, _)| !desired.contains_key(*key));
    kept && added.into_iter().all(|(key, value)| is_empty(value) || is_default(key, value, desired, existing))
}

fn is_default(key: &str, value: &Value, desired: &Map<String, Value>, existing: &Map<String, Value>) -> bool {
    match key {
        // Two spellings of one field; the server keeps both.
        "serviceAccount" => desired.get("serviceAccountName").or(existing.get("serviceAccountName")) == Some(value),
        _ => DEFAULTS.iter().any(|(name, default)| {
            *name == key && serde_json::from_str::<Value>(default).is_ok_and(|default| default == *value)
        }),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_no_difference_and_removals_are() {
        let desired = json!({"containers": [{"name": "pd", "image": "pd:1"}]});
        let existing = json!({"containers": [{"name": "pd", "image": "pd:1", "terminationMessagePath": "/dev/termination-log"}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30});
        assert!(same(&desired, &existing));
        let annotated = json!({"annotations": {"a": "b"}, "containers": [{"name": "pd", "image": "pd:1"}]});
        assert!(!same(&desired, &annotated), "a removed annotation is a change");
        assert!(!same(&annotated, &desired), "an added annotation is a change");
        assert!(!same(&json!({"terminationGracePeriodSeconds": 60}), &existing));
    }
}
