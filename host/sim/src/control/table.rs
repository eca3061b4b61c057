//! The server's Tables: what `kubectl get` prints.
//!
//! Built-in types have their columns in the modules below, custom resources bring theirs as `additionalPrinterColumns`,
//! every other type shows its name and when it was made.

mod cells;
mod config;
mod custom;
mod network;
mod node;
mod pod;
mod storage;
mod workload;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

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
pub fn render(resource: &ResourceInfo, objects: &[Arc<Value>], now: Timestamp) -> Table {
    if let Some(custom) = &resource.custom {
        return custom::render(&custom.printer_columns, objects, now);
    }
    let printer = printer(&resource.group, &resource.plural);
    let columns = printer.columns.iter().map(Column::definition).collect();
    let rows = objects.iter().map(|object| (printer.row)(object, now)).collect();
    Table { columns, rows }
}

/// How one built-in type is shown.
#[derive(Clone, Copy)]
struct Printer {
    columns: &'static [Column],
    row: fn(&Value, Timestamp) -> Row,
}

/// A column; those of priority 1 show with `-o wide` alone.
struct Column {
    name: &'static str,
    kind: &'static str,
    priority: u8,
    description: &'static str,
}

impl Column {
    fn definition(&self) -> Value {
        let format = if self.name == "Name" { "name" } else { "" };
        json!({"name": self.name, "type": self.kind, "format": format, "description": self.description, "priority": self.priority})
    }
}

/// A column of text.
const fn column(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", priority: 0, description }
}

/// A column of text that only `-o wide` shows.
const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", priority: 1, description }
}

/// A column of whole numbers.
const fn number(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "integer", priority: 0, description }
}

const NAME: Column = column("Name", "The object's name, unique within its namespace for its type.");
const AGE: Column = column("Age", "How long ago the object was made.");

impl From<Vec<Value>> for Row {
    fn from(cells: Vec<Value>) -> Self {
        Self { cells, conditions: Vec::new() }
    }
}

fn printer(group: &str, plural: &str) -> Printer {
    match (group, plural) {
        ("", "pods") => pod::PODS,
        ("", "nodes") => node::NODES,
        ("apps", "statefulsets") => workload::STATEFULSETS,
        ("apps", "deployments") => workload::DEPLOYMENTS,
        ("apps", "replicasets") => workload::REPLICASETS,
        ("apps", "daemonsets") => workload::DAEMONSETS,
        ("apps", "controllerrevisions") => workload::CONTROLLER_REVISIONS,
        ("batch", "jobs") => workload::JOBS,
        ("policy", "poddisruptionbudgets") => workload::DISRUPTION_BUDGETS,
        ("autoscaling", "horizontalpodautoscalers") => workload::AUTOSCALERS,
        ("", "services") => network::SERVICES,
        ("", "endpoints") => network::ENDPOINTS,
        ("discovery.k8s.io", "endpointslices") => network::ENDPOINT_SLICES,
        ("", "persistentvolumeclaims") => storage::CLAIMS,
        ("", "persistentvolumes") => storage::VOLUMES,
        ("storage.k8s.io", "storageclasses") => storage::CLASSES,
        ("", "configmaps") => config::CONFIG_MAPS,
        ("", "secrets") => config::SECRETS,
        ("", "events") | ("events.k8s.io", "events") => config::EVENTS,
        ("", "namespaces") => config::NAMESPACES,
        ("", "serviceaccounts") => config::SERVICE_ACCOUNTS,
        ("coordination.k8s.io", "leases") => config::LEASES,
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => config::ROLE_BINDINGS,
        _ => config::OTHERS,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cells(group: &str, plural: &str, object: Value) -> Vec<Value> {
        (printer(group, plural).row)(&object, "2026-01-01T00:01:00Z".parse().unwrap()).cells
    }

    #[test]
    fn every_row_has_a_cell_for_each_column() {
        let resources = [
            ("", "pods"),
            ("", "nodes"),
            ("apps", "statefulsets"),
            ("apps", "deployments"),
            ("apps", "replicasets"),
            ("apps", "daemonsets"),
            ("apps", "controllerrevisions"),
            ("batch", "jobs"),
            ("policy", "poddisruptionbudgets"),
            ("autoscaling", "horizontalpodautoscalers"),
            ("", "services"),
            ("", "endpoints"),
            ("discovery.k8s.io", "endpointslices"),
            ("", "persistentvolumeclaims"),
            ("", "persistentvolumes"),
            ("storage.k8s.io", "storageclasses"),
            ("", "configmaps"),
            ("", "secrets"),
            ("", "events"),
            ("", "namespaces"),
            ("", "serviceaccounts"),
            ("coordination.k8s.io", "leases"),
            ("rbac.authorization.k8s.io", "rolebindings"),
            ("", "others"),
        ];
        for (group, plural) in resources {
            assert_eq!(cells(group, plural, json!({})).len(), printer(group, plural).columns.len(), "{group}/{plural}");
        }
    }

    #[test]
    fn a_pod_shows_what_its_containers_do() {
        let mut pod = json!({"metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"containers": [{}, {}]},
            "status": {"phase": "Running", "containerStatuses": [{"ready": true, "restartCount": 1, "state": {"running": {}}},
                {"ready": false, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                 "lastState": {"terminated": {"finishedAt": "2026-01-01T00:00:30Z"}}}]}});
        assert_eq!(
            cells("", "pods", pod.clone())[..5],
            [json!("p"), json!("1/2"), json!("CrashLoopBackOff"), json!("3 (30s ago)"), json!("60s")]
        );
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
        assert_eq!(cells("", "pods", pod)[2], json!("Terminating"));
    }

    #[test]
    fn a_service_shows_its_ports_and_node_ports() {
        let service = json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "clusterIP": "10.0.0.1",
            "ports": [{"port": 80, "nodePort": 30001, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}], "selector": {"b": "2", "a": "1"}}});
        let shown = cells("", "services", service);
        assert_eq!(shown[4], json!("80:30001/TCP,53/UDP"));
        assert_eq!(shown[6], json!("a=1,b=2"));
    }
}
