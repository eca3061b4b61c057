//! Events, which two API groups show in different words. They are stored in the older form.

use serde_json::{Map, Value, json};

use super::names;
use crate::control::{
    error::Cause,
    path::{at, set, set_default, text},
    strategy::Strategy,
};

/// The older name of each field that the newer API renames.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];
const NOTE_BYTES_MAX: usize = 1024;
const ACTION_BYTES_MAX: usize = 128;

/// The strategy of `events` in the core group.
pub fn core_strategy() -> Strategy {
    Strategy { default: core_default, validate: core_validate, ..Strategy::default() }
}

/// The strategy of `events` in `events.k8s.io`.
pub fn strategy() -> Strategy {
    Strategy { default, validate, ..Strategy::default() }
}

/// An event of `events.k8s.io` in the form of the core group.
pub fn to_core(event: &Value) -> Value {
    let mut core = renamed(event, |name| RENAMED.iter().find(|(_, new)| *new == name).map(|(old, _)| *old));
    set(&mut core, "apiVersion", "v1");
    core_default(&mut core);
    core
}

/// An event of the core group in the form of `events.k8s.io`.
pub fn from_core(event: &Value) -> Value {
    let mut newer = renamed(event, |name| RENAMED.iter().find(|(old, _)| *old == name).map(|(_, new)| *new));
    set(&mut newer, "apiVersion", "events.k8s.io/v1");
    for field in ["reportingController", "reportingInstance"] {
        if text(&newer, field).is_empty()
            && let Some(fields) = newer.as_object_mut()
        {
            fields.remove(field);
        }
    }
    newer
}

fn renamed(event: &Value, name: impl Fn(&str) -> Option<&'static str>) -> Value {
    let fields = event.as_object().into_iter().flatten();
    let fields: Map<String, Value> =
        fields.map(|(key, value)| (name(key).unwrap_or(key).to_owned(), value.clone())).collect();
    Value::Object(fields)
}

/// Fields that are always shown, null or empty where nobody set them.
fn core_default(event: &mut Value) {
    for field in ["reportingComponent", "reportingInstance"] {
        set_default(event, field, "");
    }
    set_default(event, "source", json!({}));
    set_default(event, "involvedObject", json!({}));
    null_times(event, &["eventTime", "firstTimestamp", "lastTimestamp"]);
}

fn default(event: &mut Value) {
    set_default(event, "deprecatedSource", json!({}));
    set_default(event, "regarding", json!({}));
    null_times(event, &["eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"]);
}

fn null_times(event: &mut Value, fields: &[&str]) {
    for field in fields {
        if event.get(*field).is_none() {
            set(event, field, Value::Null);
        }
    }
}

fn core_validate(event: &Value, _: Option<&Value>) -> Vec<Cause> {
    let (own, about) = (text(event, "metadata.namespace"), text(event, "involvedObject.namespace"));
    // Events about cluster-wide objects live in the default namespace.
    let fits = own == about || about.is_empty() && own == "default";
    let fault = || Cause::invalid("involvedObject.namespace", &about.into(), "does not match event.namespace");
    (!fits).then(fault).into_iter().collect()
}

fn validate(event: &Value, old: Option<&Value>) -> Vec<Cause> {
    match old {
        None => create_faults(event),
        Some(old) => update_faults(&newer(event), &newer(old)),
    }
}

/// The event in the newer form, whichever it comes in.
fn newer(event: &Value) -> Value {
    let mut event = if event.get("involvedObject").is_some() { from_core(event) } else { event.clone() };
    default(&mut event);
    event
}

fn create_faults(event: &Value) -> Vec<Cause> {
    let mut causes = core_validate(&to_core(event), None);
    if at(event, "eventTime").is_null() {
        causes.push(Cause::required("eventTime", ""));
    }
    let controller = text(event, "reportingController");
    causes.extend(names::qualified("reportingController", controller));
    for field in ["reportingController", "reportingInstance", "action", "reason"] {
        if text(event, field).is_empty() {
            causes.push(Cause::required(field, ""));
        } else if text(event, field).len() > ACTION_BYTES_MAX && field != "reportingController" {
            causes.push(Cause::invalid(field, &"".into(), format!("can have at most {ACTION_BYTES_MAX} characters")));
        }
    }
    if text(event, "note").len() > NOTE_BYTES_MAX {
        causes.push(Cause::invalid("message", &"".into(), format!("can have at most {NOTE_BYTES_MAX} characters")));
    }
    let kind = text(event, "type");
    if !["Normal", "Warning"].contains(&kind) {
        causes.push(Cause::invalid("type", &"".into(), format!("has invalid value: {kind}")));
    }
    causes
}

/// Only the series and metadata of an event may change.
fn update_faults(event: &Value, old: &Value) -> Vec<Cause> {
    const FIXED: [(&str, &str); 8] = [
        ("regarding", "involvedObject"),
        ("reason", "reason"),
        ("note", "message"),
        ("deprecatedSource", "source"),
        ("type", "type"),
        ("action", "action"),
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ];
    let changed = FIXED.into_iter().filter(|(field, _)| at(event, field) != at(old, field));
    changed.map(|(field, shown)| Cause::invalid(shown, at(event, field), "field is immutable")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_the_same_in_both_groups() {
        let newer = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "n", "regarding": {"kind": "Pod"}, "reportingController": "c",
            "reportingInstance": "i", "eventTime": null, "deprecatedSource": {}, "deprecatedFirstTimestamp": null, "deprecatedLastTimestamp": null});
        let core = to_core(&newer);
        assert_eq!(core["message"], "n");
        assert_eq!(core["involvedObject"], json!({"kind": "Pod"}));
        assert_eq!(from_core(&core), newer);
    }
}
