//! Custom resources: the columns their definition names.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, NAME, Row, Table, cells};
use crate::control::{age, jsonpath, path::text};

const DATE: Column = Column { name: "Age", kind: "date", priority: 0, description: "When the object was made." };

/// The table of `objects` by `additionalPrinterColumns`; with none of these, name and age.
pub fn render(printer_columns: &[Value], objects: &[Arc<Value>], now: Timestamp) -> Table {
    let default = [
        json!({"name": DATE.name, "type": DATE.kind, "jsonPath": ".metadata.creationTimestamp", "description": DATE.description}),
    ];
    let added = if printer_columns.is_empty() { &default[..] } else { printer_columns };
    let columns = std::iter::once(NAME.definition()).chain(added.iter().map(definition)).collect();
    let row = |object: &Arc<Value>| -> Row {
        let shown = added.iter().map(|column| cell(object, text(column, "jsonPath"), text(column, "type"), now));
        std::iter::once(cells::name(object)).chain(shown).collect::<Vec<_>>().into()
    };
    Table { columns, rows: objects.iter().map(row).collect() }
}

fn definition(column: &Value) -> Value {
    let priority = cells::count(column, "priority");
    let description = cells::or(text(column, "description"), "Custom resource definition column (in JSONPath format)");
    let description = if text(column, "description").is_empty() {
        format!("{description}: {}", text(column, "jsonPath"))
    } else {
        description.to_owned()
    };
    json!({"name": text(column, "name"), "type": text(column, "type"), "format": text(column, "format"), "description": description, "priority": priority})
}

fn cell(object: &Value, path: &str, kind: &str, now: Timestamp) -> Value {
    let found = jsonpath::find(object, path);
    let Some(first) = found.first().filter(|value| !value.is_null()) else { return Value::Null };
    match (kind, first) {
        ("string", value) => jsonpath::print(value).into(),
        ("integer", Value::Number(n)) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)).into(),
        ("number", Value::Number(n)) => n.as_f64().into(),
        ("boolean", Value::Bool(b)) => (*b).into(),
        ("date", Value::String(time)) if time.parse::<Timestamp>().is_ok() => age::since(time, now).into(),
        ("date", Value::String(_)) => "<invalid>".into(),
        _ => Value::Null,
    }
}
