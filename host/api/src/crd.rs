//! The CustomResourceDefinitions, as JSON.

use serde_json::{Value, json};

use crate::cluster::{self, TidbCluster};
use crate::object::Fields;
use crate::policy_module::{self, PolicyModule};
use crate::schema::{Kubernetes, object};

/// The CRD of TidbCluster.
pub fn tidb_cluster() -> Value {
    let columns = json!([
        column("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
        column("PD", "string", ".status.pd.image"),
        column("Storage", "string", ".spec.pd.requests.storage"),
        column("Ready", "integer", ".status.pd.statefulSet.readyReplicas"),
        column("Desire", "integer", ".spec.pd.replicas"),
        column("TiKV", "string", ".status.tikv.image"),
        column("Storage", "string", ".spec.tikv.requests.storage"),
        column("Ready", "integer", ".status.tikv.statefulSet.readyReplicas"),
        column("Desire", "integer", ".spec.tikv.replicas"),
        column("TiDB", "string", ".status.tidb.image"),
        column("Ready", "integer", ".status.tidb.statefulSet.readyReplicas"),
        column("Desire", "integer", ".spec.tidb.replicas"),
        {"name": "Status", "type": "string", "priority": 1, "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"},
        column("Age", "date", ".metadata.creationTimestamp"),
    ]);
    let names = json!({
        "kind": cluster::KIND, "listKind": "TidbClusterList", "plural": "tidbclusters", "singular": "tidbcluster", "shortNames": ["tc"],
    });
    definition(cluster::GROUP, cluster::VERSION, names, columns, schema::<TidbCluster>("A TiDB cluster."))
}

/// The CRD of PolicyModule.
pub fn policy_module() -> Value {
    let columns = json!([
        column("Component", "string", ".spec.component"),
        column("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
        column("Digest", "string", ".status.digest"),
        column("Paused", "boolean", ".spec.paused"),
        column("Age", "date", ".metadata.creationTimestamp"),
    ]);
    let names = json!({
        "kind": policy_module::KIND, "listKind": "PolicyModuleList", "plural": "policymodules", "singular": "policymodule", "shortNames": ["pm"],
    });
    let about = "A WASM module that decides for a component of TidbClusters.";
    definition(policy_module::GROUP, policy_module::VERSION, names, columns, schema::<PolicyModule>(about))
}

/// The schema of TidbCluster alone, for checking files.
pub fn tidb_cluster_schema() -> Value {
    schema::<TidbCluster>("A TiDB cluster.")
}

/// The TidbCluster with the defaults that an API server fills in from the schema.
pub fn with_defaults(mut cluster: Value) -> Value {
    fill(&mut cluster, &tidb_cluster_schema());
    cluster
}

fn fill(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                if let (None, Some(default)) = (fields.get(name), schema.get("default")) {
                    fields.insert(name.clone(), default.clone());
                }
                if let Some(field) = fields.get_mut(name) {
                    fill(field, schema);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, &schema["items"])),
        _ => {}
    }
}

/// The schema of PolicyModule alone, for checking files.
pub fn policy_module_schema() -> Value {
    schema::<PolicyModule>("A WASM module that decides for a component of TidbClusters.")
}

fn schema<T: Fields>(about: &str) -> Value {
    let mut schema = object::<T>(about, &mut Kubernetes::new());
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = json!({"type": "object"});
    schema["required"] = json!(["metadata", "spec"]);
    schema
}

fn column(name: &str, kind: &str, path: &str) -> Value {
    json!({"name": name, "type": kind, "jsonPath": path})
}

fn definition(group: &str, version: &str, names: Value, columns: Value, schema: Value) -> Value {
    let plural = names["plural"].as_str().unwrap_or_default();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "names": names,
            "scope": "Namespaced",
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}
