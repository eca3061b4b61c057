//! `x-kubernetes-validations`: CEL rules on `self`, and on `oldSelf` where there is an old value.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
};

use cel::{Context, Program};
use serde_json::Value;

use crate::control::{
    error::{Cause, show},
    schema::{ListKind, structural::Structural},
};

/// Whether any node of the schema has a rule.
pub(super) fn has_rules(s: &Structural) -> bool {
    !s.rules.is_empty()
        || s.properties.values().any(has_rules)
        || s.items.as_deref().is_some_and(has_rules)
        || s.additional.as_deref().is_some_and(has_rules)
}

/// The causes of all rules that do not hold.
pub(super) fn check(object: &Value, old: Option<&Value>, s: &Structural) -> Vec<Cause> {
    let mut out = Vec::new();
    walk(object, old, s, "", &mut out);
    out
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn walk(value: &Value, old: Option<&Value>, s: &Structural, path: &str, out: &mut Vec<Cause>) {
    for rule in &s.rules {
        out.extend(evaluate(rule, value, old, path));
    }
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                if let Some(schema) = s.properties.get(name).or(s.additional.as_deref()) {
                    walk(inner, old.and_then(|o| o.get(name)), schema, &join(path, name), out);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = &s.items else { return };
            for (i, item) in items.iter().enumerate() {
                walk(item, counterpart(item, old, s), schema, &format!("{path}[{i}]"), out);
            }
        }
        _ => {}
    }
}

/// The old entry with the same keys; entries of other lists have no history.
fn counterpart<'a>(item: &Value, old: Option<&'a Value>, s: &Structural) -> Option<&'a Value> {
    let ListKind::Map(keys) = &s.list.0 else { return None };
    old?.as_array()?.iter().find(|o| keys.iter().all(|k| o.get(k) == item.get(k)))
}

thread_local! {
    static PROGRAMS: RefCell<HashMap<String, Option<Rc<Program>>>> = RefCell::default();
}

fn program(rule: &str) -> Option<Rc<Program>> {
    PROGRAMS.with_borrow_mut(|cache| {
        cache.entry(rule.to_owned()).or_insert_with(|| Program::compile(rule).ok().map(Rc::new)).clone()
    })
}

fn evaluate(rule: &Value, value: &Value, old: Option<&Value>, path: &str) -> Option<Cause> {
    let text = rule["rule"].as_str()?;
    let program = program(text)?;
    let optional = rule["optionalOldSelf"] == true;
    if old.is_none() && !optional && program.references().has_variable("oldSelf") {
        return None;
    }
    let mut context = Context::default();
    context.add_variable_from_value("self", to_cel(value));
    if let Some(old) = old {
        context.add_variable_from_value("oldSelf", to_cel(old));
    }
    let detail = match program.execute(&context) {
        Ok(cel::Value::Bool(true)) => return None,
        Ok(_) => message(rule, text, &context),
        Err(error) => format!("rule evaluation error: {error}"),
    };
    let shown = if value.is_object() || value.is_array() { String::new() } else { format!("{}: ", show(value)) };
    let reason = match rule["reason"].as_str() {
        Some("FieldValueForbidden") => "FieldValueForbidden",
        Some("FieldValueRequired") => "FieldValueRequired",
        Some("FieldValueDuplicate") => "FieldValueDuplicate",
        _ => "FieldValueInvalid",
    };
    let head = match reason {
        "FieldValueForbidden" => "Forbidden: ".to_owned(),
        "FieldValueRequired" => "Required value: ".to_owned(),
        "FieldValueDuplicate" => format!("Duplicate value: {shown}"),
        _ => format!("Invalid value: {shown}"),
    };
    let field = format!("{path}{}", rule["fieldPath"].as_str().unwrap_or_default());
    let field = if field.is_empty() { "<nil>".to_owned() } else { field };
    Some(Cause { reason, message: format!("{head}{detail}"), field })
}

fn message(rule: &Value, text: &str, context: &Context<'_, '_>) -> String {
    let computed = rule["messageExpression"].as_str().and_then(program).and_then(|p| match p.execute(context) {
        Ok(cel::Value::String(s)) if !s.is_empty() => Some(s.to_string()),
        _ => None,
    });
    computed
        .or_else(|| rule["message"].as_str().map(|m| m.trim().to_owned()))
        .unwrap_or_else(|| format!("failed rule: {}", text.trim()))
}

fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(b) => cel::Value::Bool(*b),
        Value::Number(n) => match n.as_i64() {
            Some(i) => cel::Value::Int(i),
            None => cel::Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(s) => cel::Value::from(s.as_str()),
        Value::Array(items) => cel::Value::from(items.iter().map(to_cel).collect::<Vec<_>>()),
        Value::Object(map) => {
            let map: HashMap<String, cel::Value> = map.iter().map(|(k, v)| (k.clone(), to_cel(v))).collect();
            cel::Value::from(map)
        }
    }
}

/// Why a rule cannot be compiled for a schema, if it cannot: bad syntax, or a field of `self` that does not exist.
pub(in crate::control) fn compile_fault(rule: &str, s: &Structural) -> Option<String> {
    if let Err(error) = Program::compile(rule) {
        return Some(format!("compilation failed: {error}"));
    }
    let open = s.preserve_unknown || s.additional.is_some() || s.embedded || s.ty != "object";
    if open {
        return None;
    }
    let fields = regex::Regex::new(r"\bself\.([A-Za-z_][A-Za-z0-9_]*)").ok()?;
    let named: HashSet<&str> = fields.captures_iter(rule).filter_map(|c| c.get(1)).map(|m| m.as_str()).collect();
    let mut missing: Vec<_> = named.into_iter().filter(|f| !s.properties.contains_key(*f)).collect();
    missing.sort_unstable();
    missing.first().map(|field| format!("compilation failed: undefined field '{field}'"))
}
