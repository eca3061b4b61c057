//! Merge patches of JSON, as the API server applies them.

use serde_json::{Map, Value};

/// Applies `patch` to `target` as RFC 7396 says: what is null goes, objects are merged, all else is replaced.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_merged_nulls_go_and_all_else_is_replaced() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "text"});
        let patch = json!({"a": {"b": null, "x": {"y": null, "z": 1}}, "d": [3], "e": {"f": 1}, "g": null});
        merge(&mut target, &patch);
        assert_eq!(target, json!({"a": {"c": 2, "x": {"z": 1}}, "d": [3], "e": {"f": 1}}));
        merge(&mut target, &json!(7));
        assert_eq!(target, json!(7));
    }
}
