//! Strategic merge: maps merge, lists merge by key where their type has one, directives say the rest.

use serde_json::{Map, Value};

use crate::control::fields::typed::Ty;

const ORDER: &str = "$setElementOrder/";
const DELETE_SCALARS: &str = "$deleteFromPrimitiveList/";

/// `patch` laid over `original`.
pub(super) fn merge(
    original: &Map<String, Value>,
    patch: &Map<String, Value>,
    ty: Ty<'_>,
) -> Result<Map<String, Value>, String> {
    let mut out = original.clone();
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let rest = patch.iter().filter(|(k, _)| *k != "$patch").map(|(k, v)| (k.clone(), v.clone()));
            return Ok(rest.collect());
        }
        Some("delete") => return Ok(Map::new()),
        Some("merge") | None => {}
        Some(other) => return Err(format!("unknown patch type found: {other}")),
    }
    if let Some(keys) = patch.get("$retainKeys").and_then(Value::as_array) {
        out.retain(|name, _| keys.iter().any(|k| k == name.as_str()));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE_SCALARS) {
            delete_scalars(&mut out, list, value);
        }
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let inner_ty = ty.entry(name).map_or(Ty::Any, |(t, _)| t);
        let order = patch.get(&format!("{ORDER}{name}")).and_then(Value::as_array);
        let merged = match (out.get(name), value) {
            (_, Value::Null) => {
                out.remove(name);
                continue;
            }
            (Some(Value::Object(a)), Value::Object(b)) => Value::Object(merge(a, b, inner_ty)?),
            (_, Value::Object(b)) => Value::Object(merge(&Map::new(), b, inner_ty)?),
            (Some(Value::Array(a)), Value::Array(b)) => merge_list(a, b, order, ty.merge_key(name), inner_ty)?,
            (_, Value::Array(b)) => merge_list(&[], b, order, ty.merge_key(name), inner_ty)?,
            (_, scalar) => scalar.clone(),
        };
        out.insert(name.clone(), merged);
    }
    reorder_untouched(&mut out, patch, ty)?;
    Ok(out)
}

/// Lists that the patch only orders.
fn reorder_untouched(out: &mut Map<String, Value>, patch: &Map<String, Value>, ty: Ty<'_>) -> Result<(), String> {
    for (key, order) in patch {
        let Some(name) = key.strip_prefix(ORDER).filter(|name| !patch.contains_key(*name)) else { continue };
        let (Some(Value::Array(items)), Some(order)) = (out.get(name), order.as_array()) else { continue };
        let inner_ty = ty.entry(name).map_or(Ty::Any, |(t, _)| t);
        let merged = merge_list(items, &[], Some(order), ty.merge_key(name), inner_ty)?;
        out.insert(name.to_owned(), merged);
    }
    Ok(())
}

fn delete_scalars(out: &mut Map<String, Value>, list: &str, gone: &Value) {
    if let (Some(Value::Array(items)), Some(gone)) = (out.get_mut(list), gone.as_array()) {
        items.retain(|item| !gone.contains(item));
    }
}

/// How a list is merged.
#[derive(Clone, Copy)]
pub(in crate::control) enum MergeKey<'a> {
    /// Replaced whole.
    None,
    /// A set of scalars.
    Scalars,
    /// Objects by this key.
    Key(&'a str),
}

fn merge_list(
    original: &[Value],
    patch: &[Value],
    order: Option<&Vec<Value>>,
    key: MergeKey<'_>,
    ty: Ty<'_>,
) -> Result<Value, String> {
    match key {
        MergeKey::None => Ok(Value::Array(patch.to_vec())),
        MergeKey::Scalars => {
            let mut all: Vec<Value> = patch.to_vec();
            all.extend(original.iter().filter(|v| !patch.contains(v)).cloned());
            Ok(ordered(original, all, order.map_or(patch, Vec::as_slice), Clone::clone))
        }
        MergeKey::Key(key) => merge_objects(original, patch, order, key, ty),
    }
}

fn merge_objects(
    original: &[Value],
    patch: &[Value],
    order: Option<&Vec<Value>>,
    key: &str,
    ty: Ty<'_>,
) -> Result<Value, String> {
    let id = |item: &Value| item.get(key).cloned().unwrap_or(Value::Null);
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).unwrap_or_default().to_owned();
    if patch.iter().any(|item| directive(item) == "replace") {
        let kept = patch.iter().filter(|item| directive(item) != "replace").cloned();
        return Ok(Value::Array(kept.collect()));
    }
    let mut merged = original.to_vec();
    let mut touched = Vec::new();
    for item in patch {
        let Some(object) = item.as_object() else {
            return Err("expected an object in a list that is merged by key".into());
        };
        if !object.contains_key(key) {
            return Err(format!("map: {} does not contain declared merge key: {key}", go_shown(item)));
        }
        let name = id(item);
        if directive(item) == "delete" {
            merged.retain(|m| id(m) != name);
            continue;
        }
        touched.push(name.clone());
        match merged.iter().position(|m| id(m) == name) {
            Some(at) => {
                if let Some(slot) = merged.get_mut(at) {
                    let empty = Map::new();
                    *slot = Value::Object(merge(slot.as_object().unwrap_or(&empty), object, ty.items())?);
                }
            }
            None => merged.push(Value::Object(merge(&Map::new(), object, ty.items())?)),
        }
    }
    let order: Vec<Value> = order.map_or(touched, |list| list.iter().map(id).collect());
    Ok(ordered(original, merged, &order, id))
}

/// The entries named by `order` in that order, and between them the others where the original had them.
fn ordered(original: &[Value], merged: Vec<Value>, order: &[Value], id: impl Fn(&Value) -> Value) -> Value {
    let rank = |item: &Value| order.iter().position(|o| *o == id(item));
    let place = |item: &Value| original.iter().position(|o| id(o) == id(item));
    let (mut left, right): (Vec<Value>, Vec<Value>) = merged.into_iter().partition(|m| rank(m).is_some());
    left.sort_by_key(|item| rank(item));
    let mut out = Vec::with_capacity(left.len() + right.len());
    let mut right = right.into_iter().peekable();
    for item in left {
        while let Some(next) = right.peek() {
            let before = place(&item).zip(place(next)).is_some_and(|(l, r)| r < l);
            if !before {
                break;
            }
            out.extend(right.next());
        }
        out.push(item);
    }
    out.extend(right);
    Value::Array(out)
}

/// A value as Go prints it.
pub(super) fn go_shown(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(s) => s.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_shown).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let fields: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", go_shown(v))).collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::schema;

    fn patched(original: Value, patch: Value) -> Value {
        let definition = schema::builtin().of_kind("", "v1", "Pod").unwrap();
        let (original, patch) = (original.as_object().unwrap(), patch.as_object().unwrap());
        Value::Object(merge(original, patch, Ty::Struct(definition)).unwrap())
    }

    fn pod(containers: Value) -> Value {
        json!({"spec": {"containers": containers}})
    }

    #[test]
    fn lists_merge_by_key_and_new_entries_come_first() {
        let original = pod(json!([{"name": "m", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]));
        let patch =
            pod(json!([{"name": "m", "env": [{"name": "C", "value": "3"}, {"name": "A", "$patch": "delete"}]}]));
        let want = pod(json!([{"name": "m", "env": [{"name": "C", "value": "3"}, {"name": "B", "value": "2"}]}]));
        assert_eq!(patched(original, patch), want);
    }

    #[test]
    fn an_order_is_kept_and_directives_do_not_stay() {
        let original = pod(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]));
        let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "n"}, {"name": "b"}, {"name": "a"}],
            "containers": [{"name": "n", "image": "2"}]}});
        let want = pod(json!([{"name": "n", "image": "2"}, {"name": "b", "image": "1"}, {"name": "a", "image": "1"}]));
        assert_eq!(patched(original, patch), want);
    }

    #[test]
    fn retained_keys_drop_the_others() {
        let original = json!({"spec": {"volumes": [{"name": "t", "emptyDir": {}}]}});
        let patch = json!({"spec": {"volumes": [{"name": "t", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}});
        assert_eq!(patched(original, patch), json!({"spec": {"volumes": [{"name": "t", "hostPath": {"path": "/x"}}]}}));
    }

    #[test]
    fn finalizers_are_a_set() {
        let original = json!({"metadata": {"finalizers": ["a/b"]}});
        let patch = json!({"metadata": {"finalizers": ["c/d"], "$deleteFromPrimitiveList/finalizers": ["a/b"]}});
        assert_eq!(patched(original, patch), json!({"metadata": {"finalizers": ["c/d"]}}));
    }

    #[test]
    fn an_entry_without_its_key_is_refused() {
        let definition = schema::builtin().of_kind("", "v1", "Pod").unwrap();
        let patch = pod(json!([{"image": "x"}]));
        let fault = merge(&Map::new(), patch.as_object().unwrap(), Ty::Struct(definition)).unwrap_err();
        assert_eq!(fault, "map: map[image:x] does not contain declared merge key: name");
    }
}
