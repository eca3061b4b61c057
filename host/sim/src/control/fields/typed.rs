//! Walks over values along their types: field sets, comparison, merge, removal.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::set::{FieldSet, Step, quoted};
use crate::control::{
    patch::MergeKey,
    schema::{self, Definition, Field, ListKind, Type, structural::Structural},
};

/// The type of a value, as far as ownership cares.
#[derive(Clone, Copy)]
pub(in crate::control) enum Ty<'a> {
    /// Not declared: maps are granular, lists atomic.
    Any,
    /// A scalar; what is expected, in the words of the error message.
    Scalar(&'static str),
    /// A built-in struct.
    Struct(&'a Definition),
    /// A built-in map.
    Map(&'a Type, bool),
    /// A built-in list.
    List(&'a Type, &'a ListKind),
    /// A custom resource's field.
    Custom(&'a Structural),
    /// A custom resource itself: with apiVersion, kind and metadata.
    Root(&'a Structural),
}

/// How a value of a type is walked.
#[derive(Clone, Copy, PartialEq)]
enum Shape<'a> {
    Leaf,
    Map,
    Set,
    Keyed(&'a [String]),
}

const NUMERIC: &str = "numeric (int or float)";

fn object_meta() -> Option<&'static Definition> {
    static NAME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    schema::builtin().get(NAME)
}

impl<'a> Ty<'a> {
    /// The type of a built-in field.
    fn of_field(field: &'a Field) -> Self {
        match &field.ty {
            Type::List(items) => Self::List(items, &field.list),
            Type::Map(values) => Self::Map(values, field.atomic_map),
            other => Self::of_type(other),
        }
    }

    fn of_type(ty: &'a Type) -> Self {
        static ATOMIC: ListKind = ListKind::Atomic;
        match ty {
            Type::Ref(name) => schema::builtin().get(name).map_or(Self::Any, Self::Struct),
            Type::List(items) => Self::List(items, &ATOMIC),
            Type::Map(values) => Self::Map(values, false),
            Type::Any => Self::Any,
            Type::Bool => Self::Scalar("boolean"),
            Type::Int32 | Type::Int64 | Type::Number => Self::Scalar(NUMERIC),
            Type::String | Type::Bytes | Type::Time | Type::MicroTime => Self::Scalar("string"),
            Type::Quantity | Type::IntOrString => Self::Scalar(""),
        }
    }

    fn shape(self, value: &Value) -> Shape<'a> {
        match self {
            Self::Any if value.is_object() => Shape::Map,
            Self::Any | Self::Scalar(_) => Shape::Leaf,
            Self::Struct(definition) if definition.atomic => Shape::Leaf,
            Self::Struct(_) => Shape::Map,
            Self::Map(_, atomic) => {
                if atomic {
                    Shape::Leaf
                } else {
                    Shape::Map
                }
            }
            Self::List(_, kind) => list_shape(kind),
            Self::Root(_) => Shape::Map,
            Self::Custom(s) if s.atomic || s.int_or_string => Shape::Leaf,
            Self::Custom(s) => match s.ty.as_str() {
                "object" => Shape::Map,
                "array" => list_shape(&s.list.0),
                "" => Self::Any.shape(value),
                _ => Shape::Leaf,
            },
        }
    }

    /// The type of a map's entry, and whether it is a declared field; `None` if it may not exist.
    pub(in crate::control) fn entry(self, name: &str) -> Option<(Self, bool)> {
        match self {
            Self::Any => Some((Self::Any, false)),
            Self::Struct(definition) => match definition.fields.get(name) {
                Some(field) => Some((Self::of_field(field), true)),
                None if matches!(name, "apiVersion" | "kind") && has_identity(definition) => {
                    Some((Self::Scalar("string"), true))
                }
                None => None,
            },
            Self::Map(values, _) => Some((Self::of_type(values), false)),
            Self::Root(_) if matches!(name, "apiVersion" | "kind") => Some((Self::Scalar("string"), true)),
            Self::Root(_) if name == "metadata" => object_meta().map(|m| (Self::Struct(m), true)),
            Self::Custom(s) | Self::Root(s) => {
                if let Some(property) = s.properties.get(name) {
                    return Some((Self::Custom(property), true));
                }
                if s.embedded && matches!(name, "apiVersion" | "kind") {
                    return Some((Self::Scalar("string"), true));
                }
                if s.embedded && name == "metadata" {
                    return object_meta().map(|m| (Self::Struct(m), true));
                }
                match &s.additional {
                    Some(values) if values.preserve_unknown && values.ty.is_empty() => Some((Self::Any, false)),
                    Some(values) => Some((Self::Custom(values), false)),
                    None => s.preserve_unknown.then_some((Self::Any, false)),
                }
            }
            Self::Scalar(_) | Self::List(..) => None,
        }
    }

    pub(in crate::control) fn items(self) -> Self {
        match self {
            Self::List(items, _) => Self::of_type(items),
            Self::Custom(s) => s.items.as_deref().map_or(Self::Any, Self::Custom),
            _ => Self::Any,
        }
    }

    /// How strategic merge treats the list in a field.
    pub(in crate::control) fn merge_key(self, name: &str) -> MergeKey<'a> {
        let Self::Struct(definition) = self else { return MergeKey::None };
        match definition.fields.get(name) {
            Some(Field { list: ListKind::Set, .. }) => MergeKey::Scalars,
            Some(Field { merge_key: Some(key), .. }) => MergeKey::Key(key),
            _ => MergeKey::None,
        }
    }

    /// The type below a step of a path.
    fn below(self, step: &Step) -> Self {
        match step {
            Step::Field(name) => self.entry(name).map_or(Self::Any, |(ty, _)| ty),
            _ => self.items(),
        }
    }

    /// The default of a list's key, where a key may be left out.
    fn key_default(self, key: &str) -> Option<Value> {
        match self {
            Self::Struct(_) if key == "protocol" => Some("TCP".into()),
            Self::Custom(s) => s.properties.get(key)?.default.clone(),
            _ => None,
        }
    }

    /// Whether a field is a struct by value in the real server's types: never absent there, so never "added".
    fn by_value(self, name: &str) -> bool {
        let Self::Struct(definition) = self else { return false };
        let Some(Field { ty: Type::Ref(_), .. }) = definition.fields.get(name) else { return false };
        match name {
            "metadata" | "spec" | "status" | "template" | "strategy" | "updateStrategy" | "jobTemplate" | "source"
            | "loadBalancer" | "daemonEndpoints" | "kubeletEndpoint" | "nodeInfo" | "involvedObject" | "names"
            | "acceptedNames" => true,
            "resources" => definition.name.ends_with(".PersistentVolumeClaimSpec"),
            _ => false,
        }
    }
}

/// Whether a type is an object of its own, with apiVersion and kind.
fn has_identity(definition: &Definition) -> bool {
    let is_meta = |f: &Field| matches!(&f.ty, Type::Ref(name) if name.ends_with(".ObjectMeta"));
    let is_template = definition.name.ends_with("TemplateSpec") || definition.name.ends_with("ClaimTemplate");
    definition.fields.get("metadata").is_some_and(is_meta) && !is_template
}

fn list_shape(kind: &ListKind) -> Shape<'_> {
    match kind {
        ListKind::Atomic => Shape::Leaf,
        ListKind::Set => Shape::Set,
        ListKind::Map(keys) => Shape::Keyed(keys),
    }
}

fn empty() -> &'static Value {
    static EMPTY: OnceLock<Value> = OnceLock::new();
    EMPTY.get_or_init(|| Value::Object(Map::new()))
}

/// The step that leads to an entry of a list; the error names what is missing.
fn item_step(ty: Ty<'_>, shape: Shape<'_>, item: &Value) -> Result<Step, String> {
    let Shape::Keyed(keys) = shape else { return Ok(Step::Item(item.to_string())) };
    let mut found: Vec<(String, String)> = keys
        .iter()
        .filter_map(|k| item.get(k).cloned().or_else(|| ty.items().key_default(k)).map(|v| (k.clone(), v.to_string())))
        .collect();
    if found.is_empty() {
        let list = keys.iter().map(|k| format!("{k:?}")).collect::<Vec<_>>().join(" ");
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{list}] (and doesn't have default values for any key fields)"
        ));
    }
    found.sort();
    Ok(Step::Key(found))
}

/// Faults of a value against its type, in the words of the real server.
pub(in crate::control) fn check(value: &Value, ty: Ty<'_>, path: &str, faults: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    match ty {
        Ty::Scalar(expected) => {
            let fits = match expected {
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "" => !value.is_object() && !value.is_array(),
                _ => value.is_number(),
            };
            if !fits {
                faults.push(format!("{path}: expected {expected}, got {}", go_type(value)));
            }
        }
        Ty::Custom(s) if !s.int_or_string && matches!(s.ty.as_str(), "string" | "boolean" | "integer" | "number") => {
            let expected = match s.ty.as_str() {
                "string" => "string",
                "boolean" => "boolean",
                _ => NUMERIC,
            };
            check(value, Ty::Scalar(expected), path, faults);
        }
        Ty::List(..) => check_list(value, ty, path, faults),
        Ty::Custom(s) if s.ty == "array" => check_list(value, ty, path, faults),
        Ty::Struct(_) | Ty::Map(..) | Ty::Root(_) => check_map(value, ty, path, faults),
        Ty::Custom(s) if s.ty == "object" => check_map(value, ty, path, faults),
        Ty::Any | Ty::Custom(_) => {}
    }
}

fn check_map(value: &Value, ty: Ty<'_>, path: &str, faults: &mut Vec<String>) {
    let Value::Object(map) = value else {
        faults.push(format!("{path}: expected map, got {}", go_shown(value)));
        return;
    };
    for (name, inner) in map {
        match ty.entry(name) {
            Some((inner_ty, _)) => check(inner, inner_ty, &format!("{path}.{name}"), faults),
            None => faults.push(format!("{path}.{name}: field not declared in schema")),
        }
    }
}

fn check_list(value: &Value, ty: Ty<'_>, path: &str, faults: &mut Vec<String>) {
    let Value::Array(items) = value else {
        faults.push(format!("{path}: expected list, got {}", go_shown(value)));
        return;
    };
    let shape = ty.shape(value);
    let mut seen = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let mut inner = format!("{path}[{i}]");
        if shape != Shape::Leaf {
            match item_step(ty, shape, item) {
                Ok(step) => {
                    inner = format!("{path}{}", step.show());
                    if seen.contains(&step) {
                        faults.push(format!("{path}: duplicate entries for key {}", step.show()));
                    }
                    seen.push(step);
                }
                Err(fault) => faults.push(format!("{path}: element {i}: {fault}")),
            }
        }
        check(item, ty.items(), &inner, faults);
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::Null => "nil",
    }
}

fn go_shown(value: &Value) -> String {
    format!("&{{{}}}", quoted(value))
}

/// All paths of a value.
pub(in crate::control) fn to_set(value: &Value, ty: Ty<'_>) -> FieldSet {
    let mut out = FieldSet::default();
    collect(value, ty, &mut Vec::new(), &mut out);
    out
}

fn collect(value: &Value, ty: Ty<'_>, path: &mut Vec<Step>, out: &mut FieldSet) {
    let shape = ty.shape(value);
    match (shape, value) {
        (Shape::Map, Value::Object(map)) => {
            for (name, inner) in map {
                let (inner_ty, named) = ty.entry(name).unwrap_or((Ty::Any, false));
                path.push(Step::field(name));
                collect(inner, inner_ty, path, out);
                if !named || inner.is_null() || inner.as_object().is_some_and(Map::is_empty) {
                    out.insert(path);
                }
                path.pop();
            }
        }
        (Shape::Set | Shape::Keyed(_), Value::Array(items)) => {
            for item in items {
                let Ok(step) = item_step(ty, shape, item) else { continue };
                path.push(step);
                collect(item, ty.items(), path, out);
                out.insert(path);
                path.pop();
            }
        }
        _ => out.insert(path),
    }
}

/// What differs between two values.
#[derive(Default)]
pub(in crate::control) struct Comparison {
    pub(in crate::control) added: FieldSet,
    pub(in crate::control) modified: FieldSet,
    pub(in crate::control) removed: FieldSet,
}

/// Compares two values of one type.
pub(in crate::control) fn compare(old: &Value, new: &Value, ty: Ty<'_>) -> Comparison {
    let mut out = Comparison::default();
    walk(Some(old), Some(new), ty, &mut Vec::new(), &mut out);
    out
}

fn leaf(old: Option<&Value>, new: Option<&Value>, path: &[Step], out: &mut Comparison) {
    match (old, new) {
        (None, Some(_)) => out.added.insert(path),
        (Some(_), None) => out.removed.insert(path),
        (Some(a), Some(b)) if a != b => out.modified.insert(path),
        _ => {}
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

fn walk(old: Option<&Value>, new: Option<&Value>, ty: Ty<'_>, path: &mut Vec<Step>, out: &mut Comparison) {
    let Some(sample) = new.or(old) else { return };
    let shape = ty.shape(sample);
    let mismatch = match (old, new) {
        (Some(a), Some(b)) => a.is_object() != b.is_object() || a.is_array() != b.is_array(),
        _ => false,
    };
    if shape == Shape::Leaf || mismatch || (is_empty(old) && is_empty(new)) {
        return leaf(old, new, path, out);
    }
    match shape {
        Shape::Map => walk_map(old, new, ty, path, out),
        _ => walk_list(old, new, ty, shape, path, out),
    }
    match (old, new) {
        (None, Some(_)) => out.added.insert(path),
        (Some(_), None) => out.removed.insert(path),
        _ => {}
    }
}

fn walk_map(old: Option<&Value>, new: Option<&Value>, ty: Ty<'_>, path: &mut Vec<Step>, out: &mut Comparison) {
    let (a, b) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
    let names = a
        .into_iter()
        .flat_map(Map::keys)
        .chain(b.into_iter().flat_map(Map::keys).filter(|name| a.is_none_or(|a| !a.contains_key(*name))));
    for name in names {
        let inner_ty = ty.entry(name).map_or(Ty::Any, |(t, _)| t);
        let stand_in = |side: Option<&Map<String, Value>>| side.filter(|_| ty.by_value(name)).map(|_| empty());
        let left = a.and_then(|m| m.get(name)).or_else(|| stand_in(a));
        let right = b.and_then(|m| m.get(name)).or_else(|| stand_in(b));
        path.push(Step::field(name));
        walk(left, right, inner_ty, path, out);
        path.pop();
    }
}

fn steps<'v>(value: Option<&'v Value>, ty: Ty<'_>, shape: Shape<'_>) -> Vec<(Step, &'v Value)> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item_step(ty, shape, item).ok().map(|step| (step, item))).collect()
}

fn walk_list(
    old: Option<&Value>,
    new: Option<&Value>,
    ty: Ty<'_>,
    shape: Shape<'_>,
    path: &mut Vec<Step>,
    out: &mut Comparison,
) {
    let (a, b) = (steps(old, ty, shape), steps(new, ty, shape));
    let find = |side: &[(Step, &Value)], step: &Step| side.iter().position(|(s, _)| s == step);
    for (i, (step, item)) in a.iter().enumerate() {
        if find(&a, step) != Some(i) {
            continue;
        }
        let other = find(&b, step).and_then(|at| b.get(at)).map(|(_, v)| *v);
        path.push(step.clone());
        walk(Some(item), other, ty.items(), path, out);
        path.pop();
    }
    for (i, (step, item)) in b.iter().enumerate() {
        if find(&a, step).is_none() && find(&b, step) == Some(i) {
            path.push(step.clone());
            walk(None, Some(item), ty.items(), path, out);
            path.pop();
        }
    }
}

/// `config` laid over `live`.
pub(in crate::control) fn merge(live: &Value, config: &Value, ty: Ty<'_>) -> Value {
    match (ty.shape(config), live, config) {
        (Shape::Map, Value::Object(a), Value::Object(b)) => {
            let mut out = a.clone();
            for (name, inner) in b {
                let inner_ty = ty.entry(name).map_or(Ty::Any, |(t, _)| t);
                let merged = a.get(name).map_or_else(|| inner.clone(), |l| merge(l, inner, inner_ty));
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        (shape @ (Shape::Set | Shape::Keyed(_)), Value::Array(_), Value::Array(_)) => {
            Value::Array(merge_list(live, config, ty, shape))
        }
        _ => config.clone(),
    }
}

/// The entries of `config` in their order, with those only in `live` where they stood between shared ones.
fn merge_list(live: &Value, config: &Value, ty: Ty<'_>, shape: Shape<'_>) -> Vec<Value> {
    let (a, b) = (steps(Some(live), ty, shape), steps(Some(config), ty, shape));
    let at = |side: &[(Step, &Value)], step: &Step| side.iter().position(|(s, _)| s == step);
    let mut shared = b.iter().filter(|(s, _)| at(&a, s).is_some()).map(|(s, _)| s);
    let mut next_shared = shared.next();
    let (mut out, mut merged, mut i, mut j) = (Vec::new(), Vec::new(), 0, 0);
    while i < a.len() || j < b.len() {
        if let (Some((left, _)), Some((right, _))) = (a.get(i), b.get(j))
            && left != right
            && at(&b, left).is_some()
            && next_shared.is_some_and(|s| s != left)
        {
            i += 1;
            continue;
        }
        if let Some((left, item)) = a.get(i) {
            if at(&b, left).is_none() {
                out.push((*item).clone());
                i += 1;
                continue;
            }
            if merged.contains(&left) || b.get(j).is_some_and(|(right, _)| right == left) {
                i += 1;
            }
        }
        if let Some((right, item)) = b.get(j) {
            let mine = at(&a, right).and_then(|k| a.get(k)).map(|(_, v)| *v);
            out.push(mine.map_or_else(|| (*item).clone(), |l| merge(l, item, ty.items())));
            merged.push(right);
            j += 1;
            if next_shared == Some(right) {
                next_shared = shared.next();
            }
        }
    }
    out
}

/// The value without the members of `set` and what is below them.
pub(in crate::control) fn remove(value: &Value, set: &FieldSet, ty: Ty<'_>) -> Value {
    let shape = ty.shape(value);
    match (shape, value) {
        (Shape::Map, Value::Object(map)) => {
            let mut out = Map::new();
            for (name, inner) in map {
                let step = Step::field(name);
                if set.has(&step) {
                    continue;
                }
                let left = match set.below(&step) {
                    Some(below) => remove(inner, below, ty.below(&step)),
                    None => inner.clone(),
                };
                if !is_empty(Some(&left)) || is_empty(Some(inner)) {
                    out.insert(name.clone(), left);
                }
            }
            Value::Object(out)
        }
        (Shape::Set | Shape::Keyed(_), Value::Array(items)) => {
            let keep = |item: &Value| {
                let Ok(step) = item_step(ty, shape, item) else { return Some(item.clone()) };
                if set.has(&step) {
                    return None;
                }
                Some(set.below(&step).map_or_else(|| item.clone(), |below| remove(item, below, ty.items())))
            };
            Value::Array(items.iter().filter_map(keep).collect())
        }
        _ => value.clone(),
    }
}

/// The set with every declared field on the way to a member as a member itself.
pub(in crate::control) fn with_named(set: &FieldSet, ty: Ty<'_>) -> FieldSet {
    let mut out = FieldSet::default();
    for (step, member, children) in set.entries() {
        let named = match step {
            Step::Field(name) => ty.entry(name).is_some_and(|(_, named)| named),
            _ => false,
        };
        let inner = with_named(children, ty.below(step));
        out.set(step.clone(), member || (named && !children.is_empty()), inner);
    }
    out
}
