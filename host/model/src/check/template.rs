//! S15: a rendered pod template is a function of spec and policy digest alone.
//!
//! The host cannot read a policy's mind, but it can ask twice: the same snapshot at another time must render the same
//! templates. The host itself gives a policy nothing else that could enter (no version, no randomness, no map order).

use std::collections::BTreeMap;

use serde_json::Value;

use super::Violation;
use crate::plan::{Action, Plan};

/// Compares the pod templates of two plans that one policy made from snapshots which differ in their time only.
///
/// # Errors
/// Every object that both plans write with different templates.
pub fn stable_templates(first: &Plan, second: &Plan) -> Result<(), Vec<Violation>> {
    let second = templates(second);
    let differing =
        templates(first).into_iter().filter(|(name, template)| second.get(name).is_some_and(|other| other != template));
    let violations: Vec<_> = differing
        .map(|(name, _)| Violation::new("S15", format!("the pod template of {name} depends on the time")))
        .collect();
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

fn templates(plan: &Plan) -> BTreeMap<String, &Value> {
    let written = plan.actions.iter().filter_map(|action| match action {
        Action::Create { object } | Action::Replace { object, .. } => Some((action.subject(), object)),
        _ => None,
    });
    written.filter_map(|(name, object)| Some((name, object.get("spec")?.get("template")?))).collect()
}
