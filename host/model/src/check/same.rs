//! Whether an object that a policy wrote says the same as the one the API server keeps, which has defaults filled in.

use serde_json::{Map, Value};

/// Fields that the API server adds when they are absent, with the values that it adds. Looked up by name alone: none
/// of these names means something else elsewhere in a workload.
const DEFAULTS: [(&str, &str); 23] = [
    ("terminationMessagePath", r#""/dev/termination-log""#),
    ("terminationMessagePolicy", r#""File""#),
    ("imagePullPolicy", r#""IfNotPresent""#),
    ("imagePullPolicy", r#""Always""#),
    ("restartPolicy", r#""Always""#),
    ("dnsPolicy", r#""ClusterFirst""#),
    ("schedulerName", r#""default-scheduler""#),
    ("terminationGracePeriodSeconds", "30"),
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
    kept && added.into_iter().all(|(key, value)| is_empty(value) || is_default(key, value, desired))
}

fn is_default(key: &str, value: &Value, desired: &Map<String, Value>) -> bool {
    match key {
        // Two spellings of one field; the server keeps both.
        "serviceAccount" => desired.get("serviceAccountName") == Some(value),
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

    /// What a policy writes, and the same as the API server keeps it.
    fn kept() -> (Value, Value) {
        let desired = json!({
            "workload": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "pd", "ports": [{"containerPort": 1}],
                "env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "readinessProbe": {"httpGet": {"path": "/"}}}],
                "serviceAccountName": "pd", "volumes": [{"name": "v", "configMap": {"name": "m"}}]}},
                "volumeClaimTemplates": [{"spec": {}}]},
            "service": {"ports": [{"port": 1}]},
        });
        let existing = json!({
            "workload": {"template": {"metadata": {"labels": {"a": "b"}, "creationTimestamp": null}, "spec": {"containers": [{"name": "pd",
                "ports": [{"containerPort": 1, "protocol": "TCP"}], "resources": {}, "imagePullPolicy": "IfNotPresent",
                "env": [{"name": "a", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                "readinessProbe": {"httpGet": {"path": "/", "scheme": "HTTP"}, "successThreshold": 1,
                    "failureThreshold": 3, "periodSeconds": 10, "timeoutSeconds": 1},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
                "serviceAccountName": "pd", "serviceAccount": "pd", "securityContext": {}, "restartPolicy": "Always",
                "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30,
                "volumes": [{"name": "v", "configMap": {"name": "m", "defaultMode": 420}}]}},
                "volumeClaimTemplates": [{"spec": {"volumeMode": "Filesystem"}}], "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"}},
            "service": {"ports": [{"port": 1, "protocol": "TCP"}], "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack"},
        });
        (desired, existing)
    }

    #[test]
    fn what_the_server_fills_in_is_no_difference() {
        let (desired, mut existing) = kept();
        assert!(same(&desired, &existing));
        existing["workload"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always".into();
        assert!(same(&desired, &existing), "the default for the tag `latest`");
    }

    #[test]
    fn what_somebody_else_writes_in_its_place_is_one() {
        let paths = [
            ("/workload/template/spec/containers/0/imagePullPolicy", json!("Never")),
            ("/workload/template/spec/containers/0/readinessProbe/periodSeconds", json!(11)),
            ("/workload/template/spec/containers/0/name", json!("tikv")),
            ("/workload/template/spec/serviceAccount", json!("tikv")),
            ("/workload/template/spec/serviceAccountName", json!("tikv")),
            ("/workload/template/spec/terminationGracePeriodSeconds", json!(31)),
            ("/workload/template/spec/volumes/0/configMap/defaultMode", json!(256)),
            ("/workload/template/spec/volumes", json!([])),
            ("/workload/persistentVolumeClaimRetentionPolicy/whenScaled", json!("Delete")),
            ("/service/sessionAffinity", json!("ClientIP")),
        ];
        for (path, value) in paths {
            let (desired, mut existing) = kept();
            *existing.pointer_mut(path).expect(path) = value;
            assert!(!same(&desired, &existing), "{path}");
        }
        assert!(!same(
            &json!({"serviceAccountName": "pd"}),
            &json!({"serviceAccountName": "pd", "serviceAccount": "x"})
        ));
        assert!(same(&json!({}), &json!({"serviceAccountName": "", "serviceAccount": ""})));
        assert!(!same(&json!({}), &json!({"failureThreshold": 1})), "the default of another field");
    }

    #[test]
    fn what_is_empty_is_not_there() {
        let empty = json!({"a": null, "b": [], "c": {}, "d": "", "e": false, "f": 0});
        assert!(same(&json!({}), &empty) && same(&empty, &json!({})));
        assert!(same(&json!({"a": []}), &json!({"a": null})) && same(&json!({"a": 1}), &json!({"a": 1.0})));
        for full in [json!([0]), json!({"x": 1}), json!("x"), json!(true), json!(1)] {
            assert!(!same(&json!({}), &json!({"a": full})) && !same(&json!({"a": full}), &json!({})), "{full}");
            assert!(!same(&Value::Null, &full) && !same(&full, &Value::Null), "{full}");
        }
        assert!(!same(&json!([1]), &json!([1, 2])) && !same(&json!([1, 2]), &json!([1, 3])));
    }

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
