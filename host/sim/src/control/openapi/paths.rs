//! The operations of a resource, as far as clients look into them.

use serde_json::{Map, Value, json};

use crate::control::resources::ResourceInfo;

/// Adds the paths of `resource` to a document.
pub fn add(paths: &mut Map<String, Value>, resource: &ResourceInfo) {
    let root = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let list = format!("{root}{scope}/{}", resource.plural);
    let has = |verb: &str| resource.verbs.contains(&verb);
    let mut collection = Map::new();
    if has("list") {
        collection.insert("get".into(), operation(resource, "list", &[]));
    }
    if has("create") {
        collection.insert("post".into(), operation(resource, "post", &["dryRun", "fieldManager", "fieldValidation"]));
    }
    paths.insert(list.clone(), Value::Object(collection));
    let mut item = Map::new();
    if has("get") {
        item.insert("get".into(), operation(resource, "get", &[]));
    }
    if has("update") {
        item.insert("put".into(), operation(resource, "put", &["dryRun", "fieldManager", "fieldValidation"]));
    }
    if has("delete") {
        item.insert(
            "delete".into(),
            operation(resource, "delete", &["dryRun", "gracePeriodSeconds", "propagationPolicy"]),
        );
    }
    if has("patch") {
        item.insert("patch".into(), patch(resource));
    }
    if !item.is_empty() {
        paths.insert(format!("{list}/{{name}}"), Value::Object(item));
    }
}

fn operation(resource: &ResourceInfo, action: &str, parameters: &[&str]) -> Value {
    let parameter =
        |name: &&str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "parameters": parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": {"200": {"description": "OK"}},
    })
}

/// Patch names the forms it takes; a custom resource has no strategic merge.
fn patch(resource: &ResourceInfo) -> Value {
    let mut operation = operation(resource, "patch", &["dryRun", "fieldManager", "fieldValidation", "force"]);
    let mut forms = vec!["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
    if resource.custom.is_none() {
        forms.push("application/strategic-merge-patch+json");
    }
    let content: Map<String, Value> =
        forms.into_iter().map(|form| (form.to_owned(), json!({"schema": {"type": "object"}}))).collect();
    operation["requestBody"] = json!({"content": content, "required": true});
    operation
}
