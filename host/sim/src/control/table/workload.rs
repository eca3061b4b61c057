//! StatefulSets, Deployments and what else makes pods or counts them.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, Column, NAME, Printer, Row, cells, column, number, wide};
use crate::control::{
    age,
    path::{at, int, list, text},
};

const CONTAINERS: Column = wide("Containers", "The containers of the template.");
const IMAGES: Column = wide("Images", "Their images.");
const SELECTOR: Column = wide("Selector", "Which pods belong to it.");

pub const STATEFULSETS: Printer = Printer {
    columns: &[NAME, column("Ready", "Ready pods of those wanted."), AGE, CONTAINERS, IMAGES],
    row: statefulset,
};

pub const DEPLOYMENTS: Printer = Printer {
    columns: &[
        NAME,
        column("Ready", "Ready pods of those wanted."),
        column("Up-to-date", "Pods of the newest template."),
        column("Available", "Pods that are ready long enough."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    row: deployment,
};

pub const REPLICASETS: Printer = Printer {
    columns: &[
        NAME,
        number("Desired", "Pods wanted."),
        number("Current", "Pods there are."),
        number("Ready", "Pods that are ready."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    row: replicaset,
};

pub const DAEMONSETS: Printer = Printer {
    columns: &[
        NAME,
        number("Desired", "Nodes that should run its pod."),
        number("Current", "Nodes that run it."),
        number("Ready", "Pods that are ready."),
        number("Up-to-date", "Pods of the newest template."),
        number("Available", "Pods that are ready long enough."),
        column("Node Selector", "Which nodes run it."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    row: daemonset,
};

pub const CONTROLLER_REVISIONS: Printer = Printer {
    columns: &[NAME, column("Controller", "Whose revision it is."), column("Revision", "Its number."), AGE],
    row: revision,
};

pub const JOBS: Printer = Printer {
    columns: &[
        NAME,
        column("Status", "Running, Complete, Failed or Suspended."),
        column("Completions", "Pods that ended well of those wanted."),
        column("Duration", "How long it ran."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    row: job,
};

pub const DISRUPTION_BUDGETS: Printer = Printer {
    columns: &[
        NAME,
        column("Min Available", "Pods that must stay."),
        column("Max Unavailable", "Pods that may be missing."),
        column("Allowed Disruptions", "Pods that may be evicted now."),
        AGE,
    ],
    row: disruption_budget,
};

pub const AUTOSCALERS: Printer = Printer {
    columns: &[
        NAME,
        column("Reference", "What it scales."),
        column("Targets", "Metrics and their aims."),
        column("MinPods", "The lower bound."),
        column("MaxPods", "The upper bound."),
        column("Replicas", "Pods there are."),
        AGE,
    ],
    row: autoscaler,
};

fn statefulset(object: &Value, now: Timestamp) -> Row {
    let ready = format!("{}/{}", cells::count(object, "status.readyReplicas"), cells::count(object, "spec.replicas"));
    let template = at(object, "spec.template");
    vec![
        cells::name(object),
        ready.into(),
        cells::age(object, now),
        cells::containers(template, "name").into(),
        cells::containers(template, "image").into(),
    ]
    .into()
}

/// Containers, images and selector, which end many rows.
fn tail(object: &Value) -> [Value; 3] {
    let template = at(object, "spec.template");
    [
        cells::containers(template, "name").into(),
        cells::containers(template, "image").into(),
        cells::selector(object, "spec.selector").into(),
    ]
}

fn deployment(object: &Value, now: Timestamp) -> Row {
    let ready = format!("{}/{}", cells::count(object, "status.readyReplicas"), cells::count(object, "spec.replicas"));
    let mut row = vec![
        cells::name(object),
        ready.into(),
        cells::count(object, "status.updatedReplicas").into(),
        cells::count(object, "status.availableReplicas").into(),
        cells::age(object, now),
    ];
    row.extend(tail(object));
    row.into()
}

fn replicaset(object: &Value, now: Timestamp) -> Row {
    let mut row = vec![cells::name(object)];
    row.extend(
        ["spec.replicas", "status.replicas", "status.readyReplicas"].map(|path| cells::count(object, path).into()),
    );
    row.push(cells::age(object, now));
    row.extend(tail(object));
    row.into()
}

fn daemonset(object: &Value, now: Timestamp) -> Row {
    const COUNTS: [&str; 5] = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ];
    let mut row = vec![cells::name(object)];
    row.extend(COUNTS.map(|field| cells::count(at(object, "status"), field).into()));
    row.push(cells::labels(object, "spec.template.spec.nodeSelector").into());
    row.push(cells::age(object, now));
    row.extend(tail(object));
    row.into()
}

fn revision(object: &Value, now: Timestamp) -> Row {
    let owner =
        list(object, "metadata.ownerReferences").iter().find(|owner| at(owner, "controller") == &Value::Bool(true));
    let controller = owner.map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let kind = text(owner, "kind").to_lowercase();
            match text(owner, "apiVersion").split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}", text(owner, "name")),
                None => format!("{kind}/{}", text(owner, "name")),
            }
        },
    );
    vec![cells::name(object), controller.into(), cells::count(object, "revision").into(), cells::age(object, now)]
        .into()
}

fn job(object: &Value, now: Timestamp) -> Row {
    let has = |kind: &str| {
        list(object, "status.conditions").iter().any(|c| text(c, "type") == kind && text(c, "status") == "True")
    };
    let state = ["Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"]
        .into_iter()
        .find(|kind| has(kind))
        .unwrap_or("Running");
    let succeeded = cells::count(object, "status.succeeded");
    let completions = match (int(object, "spec.completions"), int(object, "spec.parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, Some(parallel)) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let duration = match (text(object, "status.startTime"), text(object, "status.completionTime").parse()) {
        ("", _) => String::new(),
        (start, Ok(end)) => age::since(start, end),
        (start, Err(_)) => age::since(start, now),
    };
    let mut row = vec![cells::name(object), state.into(), completions.into(), duration.into(), cells::age(object, now)];
    row.extend(tail(object));
    row.into()
}

fn disruption_budget(object: &Value, now: Timestamp) -> Row {
    let amount = |path: &str| match at(object, path) {
        Value::Null => "N/A".to_owned(),
        Value::String(share) => share.clone(),
        other => other.to_string(),
    };
    vec![
        cells::name(object),
        amount("spec.minAvailable").into(),
        amount("spec.maxUnavailable").into(),
        cells::count(object, "status.disruptionsAllowed").into(),
        cells::age(object, now),
    ]
    .into()
}

fn autoscaler(object: &Value, now: Timestamp) -> Row {
    let reference =
        format!("{}/{}", text(object, "spec.scaleTargetRef.kind"), text(object, "spec.scaleTargetRef.name"));
    let min = int(object, "spec.minReplicas").map_or_else(|| "<unset>".to_owned(), |n| n.to_string());
    vec![
        cells::name(object),
        reference.into(),
        "<none>".into(),
        min.into(),
        cells::count(object, "spec.maxReplicas").into(),
        cells::count(object, "status.currentReplicas").into(),
        cells::age(object, now),
    ]
    .into()
}
