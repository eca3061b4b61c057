//! The server's Tables: what `kubectl get` prints.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::resources::ResourceInfo;

/// Columns and cells; the caller adds metadata and each row's object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// `columnDefinitions`.
    pub columns: Vec<Value>,
    /// The cells of each object, in the order given; `conditions` where the real server has them.
    pub rows: Vec<Row>,
}

/// One object's row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// One per column.
    pub cells: Vec<Value>,
    /// `conditions`, for example of completed pods.
    pub conditions: Vec<Value>,
}

/// The table of `objects`, all of one resource. `now` is what ages count from.
pub fn render(_resource: &ResourceInfo, objects: &[Arc<Value>], _now: Timestamp) -> Table {
    let columns =
        vec![serde_json::json!({"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0})];
    let rows = objects.iter().map(|o| Row { cells: vec![o["metadata"]["name"].clone()], conditions: vec![] }).collect();
    Table { columns, rows }
}
