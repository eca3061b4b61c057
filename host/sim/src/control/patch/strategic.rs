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
