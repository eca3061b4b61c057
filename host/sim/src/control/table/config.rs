//! Configuration, events, namespaces, leases and roles; and every type without columns of its own.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, Column, NAME, Printer, Row, cells, column, wide};
use crate::control::{
    age,
    path::{at, list, text},
};

const CREATED_AT: Column =
    Column { name: "Created At", kind: "date", priority: 0, description: "When the object was made." };

/// Types without columns of their own.
pub const OTHERS: Printer = Printer {
    columns: &[NAME, CREATED_AT],
    row: |object, _| vec![cells::name(object), text(object, "metadata.creationTimestamp").into()].into(),
};

pub const CONFIG_MAPS: Printer =
    Printer { columns: &[NAME, column("Data", "How many entries it has."), AGE], row: config_map };

pub const SECRETS: Printer = Printer {
    columns: &[NAME, column("Type", "What the entries are for."), column("Data", "How many entries it has."), AGE],
    row: secret,
};

pub const NAMESPACES: Printer = Printer {
    columns: &[NAME, column("Status", "Active or Terminating."), AGE],
    row: |object, now| vec![cells::name(object), text(object, "status.phase").into(), cells::age(object, now)].into(),
};

pub const SERVICE_ACCOUNTS: Printer =
    Printer { columns: &[NAME, AGE], row: |object, now| vec![cells::name(object), cells::age(object, now)].into() };

pub const LEASES: Printer = Printer {
    columns: &[NAME, column("Holder", "Who holds it."), AGE],
    row: |object, now| {
        vec![cells::name(object), text(object, "spec.holderIdentity").into(), cells::age(object, now)].into()
    },
};

pub const ROLE_BINDINGS: Printer = Printer {
    columns: &[
        NAME,
        column("Role", "What it grants."),
        AGE,
        wide("Users", "To which users."),
        wide("Groups", "To which groups."),
        wide("ServiceAccounts", "To which service accounts."),
    ],
    row: role_binding,
};

pub const EVENTS: Printer = Printer {
    columns: &[
        column("Last Seen", "How long ago it happened last."),
        column("Type", "Normal or Warning."),
        column("Reason", "A short machine-readable reason."),
        column("Object", "What it happened to."),
        wide("Subobject", "Which part of the object."),
        wide("Source", "Who reports it."),
        column("Message", "What happened."),
        wide("First Seen", "How long ago it happened first."),
        wide("Count", "How often it happened."),
        Column { name: "Name", kind: "string", priority: 1, description: NAME.description },
    ],
    row: event,
};

fn entries(object: &Value, path: &str) -> usize {
    at(object, path).as_object().map_or(0, serde_json::Map::len)
}

fn config_map(object: &Value, now: Timestamp) -> Row {
    let count = entries(object, "data") + entries(object, "binaryData");
    vec![cells::name(object), count.into(), cells::age(object, now)].into()
}

fn secret(object: &Value, now: Timestamp) -> Row {
    vec![cells::name(object), text(object, "type").into(), entries(object, "data").into(), cells::age(object, now)]
        .into()
}

fn role_binding(object: &Value, now: Timestamp) -> Row {
    let subjects = |kind: &str| {
        let of_kind = list(object, "subjects").iter().filter(|s| text(s, "kind") == kind);
        let shown = of_kind.map(|s| match kind {
            "ServiceAccount" => format!("{}/{}", text(s, "namespace"), text(s, "name")),
            _ => text(s, "name").to_owned(),
        });
        Value::from(shown.collect::<Vec<_>>().join(", "))
    };
    let role = format!("{}/{}", text(object, "roleRef.kind"), text(object, "roleRef.name"));
    vec![
        cells::name(object),
        role.into(),
        cells::age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
    .into()
}

/// An event in either API's form: the newer one renames most fields.
fn event(object: &Value, now: Timestamp) -> Row {
    let pick = |old: &'static str, new: &'static str| cells::or(text(object, old), text(object, new)).to_owned();
    let subject =
        if at(object, "involvedObject").is_null() { at(object, "regarding") } else { at(object, "involvedObject") };
    let first = pick("firstTimestamp", "deprecatedFirstTimestamp");
    let first = if first.is_empty() { text(object, "eventTime").to_owned() } else { first };
    let last = pick("lastTimestamp", "deprecatedLastTimestamp");
    let last = if last.is_empty() { first.clone() } else { last };
    let last = cells::or(text(object, "series.lastObservedTime"), &last).to_owned();
    let count = match at(object, "series") {
        Value::Null => cells::count(object, "count").max(cells::count(object, "deprecatedCount")).max(1),
        series => cells::count(series, "count"),
    };
    let kind = text(subject, "kind").to_lowercase();
    let target = if text(subject, "name").is_empty() { kind } else { format!("{kind}/{}", text(subject, "name")) };
    vec![
        age::since(&last, now).into(),
        text(object, "type").into(),
        text(object, "reason").into(),
        target.into(),
        text(subject, "fieldPath").into(),
        source(object).into(),
        pick("message", "note").trim().into(),
        age::since(&first, now).into(),
        count.into(),
        cells::name(object),
    ]
    .into()
}

fn source(object: &Value) -> String {
    let source = if at(object, "source").is_null() { at(object, "deprecatedSource") } else { at(object, "source") };
    let controller = cells::or(text(object, "reportingComponent"), text(object, "reportingController"));
    let component = cells::or(text(source, "component"), controller).to_owned();
    let host = cells::or(text(source, "host"), text(object, "reportingInstance"));
    if host.is_empty() { component } else { format!("{component}, {host}") }
}
