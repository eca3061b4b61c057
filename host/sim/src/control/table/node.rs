//! Nodes: readiness, roles, version and addresses.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, Column, NAME, Printer, Row, cells, column, wide};
use crate::control::path::{flag, list, strings, text};

pub const NODES: Printer = Printer { columns: COLUMNS, row };

const COLUMNS: &[Column] = &[
    NAME,
    column("Status", "Whether the node is ready and takes new pods."),
    column("Roles", "What the node is for, from its labels."),
    AGE,
    column("Version", "The kubelet's version."),
    wide("Internal-IP", "The address inside the cluster."),
    wide("External-IP", "The address from outside."),
    wide("OS-Image", "The operating system."),
    wide("Kernel-Version", "The kernel."),
    wide("Container-Runtime", "The container runtime and its version."),
];

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

fn row(node: &Value, now: Timestamp) -> Row {
    let address = |kind: &str| {
        let found = list(node, "status.addresses").iter().find(|a| text(a, "type") == kind);
        cells::or(found.map_or("", |a| text(a, "address")), "<none>").to_owned()
    };
    let info = |field: &str| cells::or(text(node, &format!("status.nodeInfo.{field}")), "<unknown>").to_owned();
    vec![
        cells::name(node),
        status(node).into(),
        roles(node).into(),
        cells::age(node, now),
        text(node, "status.nodeInfo.kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        info("osImage").into(),
        info("kernelVersion").into(),
        info("containerRuntimeVersion").into(),
    ]
    .into()
}

fn status(node: &Value) -> String {
    let ready = list(node, "status.conditions").iter().find(|c| text(c, "type") == "Ready");
    let state = match ready.map(|c| text(c, "status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if flag(node, "spec.unschedulable") { format!("{state},SchedulingDisabled") } else { state.to_owned() }
}

fn roles(node: &Value) -> String {
    let labels = strings(node, "metadata.labels");
    let mut roles: Vec<_> =
        labels.keys().filter_map(|key| key.strip_prefix(ROLE_PREFIX)).filter(|role| !role.is_empty()).collect();
    roles.extend(labels.get("kubernetes.io/role").map(String::as_str).filter(|role| !role.is_empty()));
    roles.sort_unstable();
    roles.dedup();
    cells::or(&roles.join(","), "<none>").to_owned()
}
