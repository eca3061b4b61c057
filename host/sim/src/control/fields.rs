//! Field ownership: which manager set which field, and server-side apply.
//!
//! [`set`] is a set of field paths in the form of `managedFields`; [`typed`] walks values along their types;
//! [`managed`] keeps the entries of an object up to date and merges applied configurations.

pub(super) mod managed;
pub(super) mod set;
pub(super) mod typed;

use serde_json::{Value, json};

use super::error::ApiError;

/// The answer to an apply that others' fields stand against.
pub(super) fn conflict_error(conflicts: &managed::Conflicts) -> ApiError {
    let count: usize = conflicts.iter().map(|(_, paths)| paths.len()).sum();
    let message = match conflicts.as_slice() {
        [(who, paths)] if paths.len() == 1 => {
            format!("Apply failed with 1 conflict: conflict with {who}: {}", paths.join(""))
        }
        many => {
            let group = |(who, paths): &(String, Vec<String>)| {
                let lines: String = paths.iter().map(|p| format!("\n- {p}")).collect();
                format!("conflicts with {who}:{lines}")
            };
            let groups = many.iter().map(group).collect::<Vec<_>>().join("\n");
            format!("Apply failed with {count} conflicts: {groups}")
        }
    };
    let causes: Vec<Value> = conflicts
        .iter()
        .flat_map(|(who, paths)| paths.iter().map(move |p| (who, p)))
        .map(|(who, path)| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {who}"), "field": path}))
        .collect();
    ApiError { details: json!({"causes": causes}), ..ApiError::new(409, "Conflict", message) }
}
