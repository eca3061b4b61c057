//! Nodes and namespaces.

use serde_json::{Value, json};

use super::quantity;
use crate::control::{
    path::{list, object, set, set_default, text},
    strategy::{NameRule, Strategy, World},
};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const NODE_INFO: [&str; 10] = [
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
];

pub fn node() -> Strategy {
    Strategy { default: node_default, prepare_create: node_create, ..Strategy::default() }
}

pub fn namespace() -> Strategy {
    Strategy {
        default: namespace_default,
        prepare_create: namespace_create,
        name: NameRule::Label,
        ..Strategy::default()
    }
}

fn node_default(node: &mut Value) {
    object(node, "spec");
    set_default(node, "status.daemonEndpoints.kubeletEndpoint.Port", 0);
    for field in NODE_INFO {
        set_default(node, &format!("status.nodeInfo.{field}"), "");
    }
    quantity::canonicalize(node, "status.capacity");
    quantity::canonicalize(node, "status.allocatable");
}

/// A new node takes no pods until it says that it is ready.
fn node_create(node: &mut Value, _: &dyn World) {
    node_default(node);
    if !list(node, "spec.taints").iter().any(|taint| text(taint, "key") == NOT_READY) {
        let taints = object(node, "spec").entry("taints").or_insert_with(|| json!([]));
        if let Value::Array(items) = taints {
            items.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
    }
}

fn namespace_default(namespace: &mut Value) {
    let name = text(namespace, "metadata.name").to_owned();
    if !name.is_empty() {
        object(namespace, "metadata.labels").insert(NAME_LABEL.to_owned(), name.into());
    }
}

fn namespace_create(namespace: &mut Value, _: &dyn World) {
    namespace_default(namespace);
    let finalizers = object(namespace, "spec").entry("finalizers").or_insert_with(|| json!([]));
    if let Value::Array(items) = finalizers
        && !items.iter().any(|item| item == "kubernetes")
    {
        items.push("kubernetes".into());
    }
    set(namespace, "status", json!({"phase": "Active"}));
}
