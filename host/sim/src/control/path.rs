//! Reading and writing inside JSON objects by dotted path. A missing step reads as null, never as an error.

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// What lies at `path` (`"spec.template.spec"`), null when any step is missing.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(value, |value, key| value.get(key)).unwrap_or(&NULL)
}

/// The string at `path`, empty when there is none.
pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// The whole number at `path`.
pub fn int(value: &Value, path: &str) -> Option<i64> {
    at(value, path).as_i64()
}

/// Whether `path` holds `true`.
pub fn flag(value: &Value, path: &str) -> bool {
    at(value, path).as_bool().unwrap_or(false)
}

/// The items at `path`, none when it is no list.
pub fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The string entries of the object at `path`, in order of their keys.
pub fn strings(value: &Value, path: &str) -> std::collections::BTreeMap<String, String> {
    let entries = at(value, path).as_object().into_iter().flatten();
    entries.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
}

/// The value under a label or annotation `key`, which may hold dots. `place` is `metadata.labels` and the like.
pub fn entry<'a>(value: &'a Value, place: &str, key: &str) -> Option<&'a str> {
    at(value, place).get(key).and_then(Value::as_str)
}

/// The object at `path`, made where it is missing or is something else.
pub fn object<'a>(value: &'a mut Value, path: &str) -> &'a mut Map<String, Value> {
    let mut place = value;
    for key in path.split('.').filter(|key| !key.is_empty()) {
        place = as_object(place).entry(key.to_owned()).or_insert(Value::Null);
    }
    as_object(place)
}

/// `value` itself as an object, replaced by an empty one when it is something else.
fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

/// Writes `new` at `path`, making the objects on the way.
pub fn set(value: &mut Value, path: &str, new: impl Into<Value>) {
    let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
    object(value, parent).insert(key.to_owned(), new.into());
}

/// Writes `new` at `path` unless something other than null is there.
pub fn set_default(value: &mut Value, path: &str, new: impl Into<Value>) {
    if at(value, path).is_null() {
        set(value, path, new);
    }
}

/// Takes what lies at `path` away.
pub fn remove(value: &mut Value, path: &str) -> Option<Value> {
    let (parent, key) = path.rsplit_once('.').map_or(("", path), |(parent, key)| (parent, key));
    let mut place = value;
    for step in parent.split('.').filter(|step| !step.is_empty()) {
        place = place.get_mut(step)?;
    }
    place.as_object_mut()?.remove(key)
}

/// The list at `path` for changing, `None` when it is no list.
pub fn list_mut<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Vec<Value>> {
    let mut place = value;
    for step in path.split('.') {
        place = place.get_mut(step)?;
    }
    place.as_array_mut()
}

/// The same value with the keys of every object in order, so that its bytes are always the same.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|k| (k.clone(), sorted(&map[k]))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_step_reads_as_nothing() {
        let object = json!({"a": {"b": 1, "c": ["x"]}});
        assert_eq!(int(&object, "a.b"), Some(1));
        assert!(at(&object, "a.z.y").is_null());
        assert_eq!(list(&object, "a.c"), [json!("x")]);
    }

    #[test]
    fn writing_makes_the_way_and_a_default_keeps_what_is_there() {
        let mut object = json!({"a": 1});
        set(&mut object, "b.c", "x");
        set_default(&mut object, "b.c", "y");
        assert_eq!(object, json!({"a": 1, "b": {"c": "x"}}));
        assert_eq!(remove(&mut object, "b.c"), Some(json!("x")));
    }
}
