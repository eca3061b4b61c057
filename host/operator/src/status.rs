//! Status (pure): what a round leaves in the TidbCluster's status.
//!
//! Everything is computed from the old status and the round, and written only if it differs: at rest, nothing is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tidepool_model::{Descriptor, WaitingOn};

/// The host's own condition: whether all was decided, allowed and done, and nothing is waited for.
pub const RECONCILED: &str = "Reconciled";

/// Longest message in the status.
const MESSAGE_CHARS_MAX: usize = 1024;

/// Reason of a wait for a person who has to change the TidbCluster.
pub const INVALID_SPEC: &str = "InvalidSpec";

/// One component's wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Component that waits.
    pub component: String,
    /// For what.
    pub on: WaitingOn,
}

impl Wait {
    /// Who waits for what, for people. A fault of the spec names its field; who found it does not matter.
    pub fn text(&self) -> String {
        let Self { component, on } = self;
        if on.reason == INVALID_SPEC { on.message.clone() } else { format!("{component}: {}", on.message) }
    }

    /// The same, with the time until when.
    pub fn text_with_deadline(&self) -> String {
        let until = self.on.deadline_ms.map(|ms| format!(" (until {})", timestamp(ms)));
        self.text() + &until.unwrap_or_default()
    }
}

/// The time as Kubernetes writes it: RFC 3339, whole seconds.
pub fn timestamp(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
}

/// Puts what a policy said about its component into the status: under the keys that its descriptor names, or under
/// the component's own.
pub fn merge_component(status: &mut Value, descriptor: &Descriptor, mut said: Value) {
    strip_nulls(&mut said);
    if descriptor.status.is_empty() {
        status[&descriptor.component] = said;
        return;
    }
    for key in &descriptor.status {
        let Some(value) = said.get_mut(key).map(Value::take) else { continue };
        status[key] = if key == "conditions" { with_host_condition(status, value) } else { value };
    }
}

/// The conditions of a policy, and of the old ones the host's own.
fn with_host_condition(status: &Value, said: Value) -> Value {
    let Value::Array(mut conditions) = said else { return said };
    conditions.retain(|condition| condition["type"] != RECONCILED);
    conditions.extend(host_condition(status).cloned());
    Value::Array(conditions)
}

fn host_condition(status: &Value) -> Option<&Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == RECONCILED)
}

/// Writes `waiting`: a wait that was there before keeps its `since`.
pub fn set_waiting(status: &mut Value, waits: &[Wait], now_ms: u64) {
    let since = |wait: &Wait| {
        let old = status["waiting"].as_array()?.iter().find(|old| same_wait(old, wait))?;
        old["since"].as_str().map(ToOwned::to_owned)
    };
    let entry = |wait: &Wait| {
        let WaitingOn { reason, subject, message, deadline_ms } = &wait.on;
        let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let mut entry = json!({
            "component": wait.component, "reason": reason, "subject": subject, "message": message,
            "since": since(wait).unwrap_or_else(|| timestamp(now_ms)),
        });
        if let Some(deadline) = deadline_ms {
            entry["deadline"] = json!(timestamp(*deadline));
        }
        entry
    };
    let entries: Vec<Value> = waits.iter().map(entry).collect();
    set_or_remove(status, "waiting", Value::Array(entries));
}

/// The waits that the old status does not have.
pub fn new_waits<'a>(old: &Value, waits: &'a [Wait]) -> Vec<&'a Wait> {
    let known = old["waiting"].as_array().map(Vec::as_slice).unwrap_or_default();
    waits.iter().filter(|wait| !known.iter().any(|old| same_wait(old, wait))).collect()
}

fn same_wait(old: &Value, wait: &Wait) -> bool {
    old["component"] == json!(wait.component)
        && old["reason"] == json!(wait.on.reason)
        && old["subject"] == json!(wait.on.subject)
}

/// Writes `held`: the components of which the status tells something that was not looked at in this round.
pub fn set_held(status: &mut Value, components: &[&str]) {
    let observed: Vec<&&str> = components.iter().filter(|component| status[**component].is_object()).collect();
    set_or_remove(status, "held", json!(observed));
}

/// Writes `policies`: the digest that decides, by component.
pub fn set_policies(status: &mut Value, digests: &BTreeMap<String, String>) {
    set_or_remove(status, "policies", json!(digests));
}

/// Writes the host's condition: true if nothing is waited for, else false with the first wait as its reason.
pub fn set_reconciled(status: &mut Value, waits: &[Wait], now_ms: u64) {
    let (state, reason, message) = match waits.first() {
        None => ("True", "Reconciled", String::new()),
        Some(wait) => ("False", wait.on.reason.as_str(), wait.text()),
    };
    let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    let old = host_condition(status);
    if old.is_some_and(|old| old["status"] == state && old["reason"] == reason && old["message"] == json!(message)) {
        return;
    }
    let now = timestamp(now_ms);
    let kept = old.filter(|old| old["status"] == state).map(|old| old["lastTransitionTime"].clone());
    let condition = json!({
        "type": RECONCILED, "status": state, "reason": reason, "message": message,
        "lastUpdateTime": now, "lastTransitionTime": kept.unwrap_or_else(|| json!(now)),
    });
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != RECONCILED);
    conditions.push(condition);
    status["conditions"] = Value::Array(conditions);
}

/// The merge patch that makes `new` of `old`; none if they are equal.
pub fn patch(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut changes = Map::new();
    for (key, value) in new {
        match old.get(key) {
            None => {
                changes.insert(key.clone(), value.clone());
            }
            Some(before) => changes.extend(patch(before, value).map(|change| (key.clone(), change))),
        }
    }
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    changes.extend(gone.map(|key| (key.clone(), Value::Null)));
    (!changes.is_empty()).then_some(Value::Object(changes))
}

fn set_or_remove(status: &mut Value, key: &str, value: Value) {
    let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    match status.as_object_mut() {
        Some(fields) if empty => {
            fields.remove(key);
        }
        _ => status[key] = value,
    }
}

/// A merge patch cannot set null, so a null would be missed and written again in each round.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(reason: &str) -> Wait {
        let on =
            WaitingOn { reason: reason.into(), subject: "pod/a".into(), message: "m".into(), deadline_ms: Some(5000) };
        Wait { component: "pd".into(), on }
    }

    #[test]
    fn a_wait_keeps_its_beginning_and_ends_without_a_trace() {
        let mut status = json!({});
        set_waiting(&mut status, &[wait("PodsNotReady")], 1000);
        set_waiting(&mut status, &[wait("PodsNotReady"), wait("Other")], 9000);
        assert_eq!(status["waiting"][0]["since"], "1970-01-01T00:00:01Z");
        assert_eq!(status["waiting"][0]["deadline"], "1970-01-01T00:00:05Z");
        assert_eq!(status["waiting"][1]["since"], "1970-01-01T00:00:09Z");
        assert_eq!(new_waits(&status, &[wait("PodsNotReady"), wait("New")]).len(), 1);
        set_waiting(&mut status, &[], 9000);
        assert_eq!(status, json!({}));
    }

    #[test]
    fn the_hosts_condition_survives_a_policys_and_changes_only_with_its_content() {
        let mut status = json!({});
        set_reconciled(&mut status, &[wait("PodsNotReady")], 1000);
        let descriptor =
            Descriptor { component: "housekeeping".into(), status: vec!["conditions".into()], ..Descriptor::default() };
        merge_component(&mut status, &descriptor, json!({"conditions": [{"type": "Ready"}], "pd": "not granted"}));
        assert_eq!(status["conditions"].as_array().map(Vec::len), Some(2));
        assert_eq!(status["pd"], Value::Null);
        let before = status.clone();
        set_reconciled(&mut status, &[wait("PodsNotReady")], 7000);
        assert_eq!(status, before);
        set_reconciled(&mut status, &[], 8000);
        assert_eq!(status["conditions"][1]["status"], "True");
    }

    #[test]
    fn what_was_held_back_is_told_where_there_is_something_old_to_believe() {
        let mut status = json!({"tikv": {"phase": "Normal"}});
        set_held(&mut status, &["tikv", "tidb"]);
        assert_eq!(status["held"], json!(["tikv"]));
        set_held(&mut status, &[]);
        assert_eq!(status, json!({"tikv": {"phase": "Normal"}}));
    }

    #[test]
    fn equal_statuses_need_no_patch_and_nulls_never_count() {
        let mut status = json!({});
        let pd = Descriptor { component: "pd".into(), ..Descriptor::default() };
        merge_component(&mut status, &pd, json!({"phase": "Normal", "image": null, "members": {"a": {"id": null}}}));
        assert_eq!(status, json!({"pd": {"phase": "Normal", "members": {"a": {}}}}));
        assert_eq!(patch(&status, &status.clone()), None);
    }

    #[test]
    fn a_patch_names_only_what_changed() {
        let old = json!({"pd": {"phase": "Normal", "gone": 1, "list": [1, 2]}, "tikv": {"a": 1}});
        let new = json!({"pd": {"phase": "Upgrade", "list": [2]}, "tikv": {"a": 1}, "tidb": {}});
        let expected = json!({"pd": {"phase": "Upgrade", "gone": null, "list": [2]}, "tidb": {}});
        assert_eq!(patch(&old, &new), Some(expected));
    }
}
