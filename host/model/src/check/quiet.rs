//! S16: a plan writes nothing that is already so.

use serde_json::Value;

use super::{ClusterFacts, Facts, Violation, facts::value, same::same};
use crate::{
    merge::merge,
    plan::{Action, Plan},
};

/// What the API server owns; a policy that sends it back changes nothing.
const SERVER_FIELDS: [&str; 6] =
    ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"];

pub(super) fn check(facts: &dyn Facts, _: &ClusterFacts, plan: &Plan, violations: &mut Vec<Violation>) {
    for action in &plan.actions {
        let Some(target) = action.target() else { continue };
        // An object that is unknown or gone is the business of S18 and S33.
        let Ok(Some(existing)) = facts.object(&target) else { continue };
        let before = content(value(&existing));
        let after = match action {
            Action::Replace { object, .. } => content(object.clone()),
            Action::MergePatch { patch, .. } => {
                let mut after = before.clone();
                merge(&mut after, patch);
                after
            }
            _ => continue,
        };
        if same(&after, &before) {
            let message = format!("{} of {target} would change nothing", action.verb());
            violations.push(Violation::new("S16", message));
        }
    }
}

fn content(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in SERVER_FIELDS {
            metadata.remove(field);
        }
    }
    object
}
