//! Objects that are there from the start, as another cluster left them.
//!
//! They are created through the API, so they get new uids; references to the old ones follow.

use std::collections::{BTreeMap, BTreeSet};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

/// What the API server sets itself.
const OWN_FIELDS: [&str; 6] =
    ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink"];

/// Why an object cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("failed to load {kind} {name}")]
pub struct LoadError {
    kind: String,
    name: String,
    #[source]
    source: Box<kube::Error>,
}

/// Creates `objects` with their status, owners before what they own.
///
/// # Errors
/// When the API server refuses one of them.
pub async fn load(client: &Client, objects: &[Value]) -> Result<(), LoadError> {
    let mut uids: BTreeMap<String, String> = BTreeMap::new();
    let namespaces: BTreeSet<&str> =
        objects.iter().filter_map(|object| object.pointer("/metadata/namespace").and_then(Value::as_str)).collect();
    for name in namespaces {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(client, &namespace, &mut uids).await?;
    }
    for object in owners_first(objects) {
        create(client, object, &mut uids).await?;
    }
    Ok(())
}

/// Objects in an order in which everything follows what it refers to by uid.
fn owners_first(objects: &[Value]) -> Vec<&Value> {
    let known: BTreeSet<&str> = objects.iter().filter_map(uid).collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut ordered = Vec::new();
    let mut rest: Vec<&Value> = objects.iter().collect();
    while !rest.is_empty() {
        let (ready, blocked): (Vec<&Value>, Vec<&Value>) = rest
            .iter()
            .partition(|object| references(object).iter().all(|uid| done.contains(uid) || !known.contains(uid)));
        if ready.is_empty() {
            // Objects that own each other: the order does not matter any more.
            ordered.extend(blocked);
            break;
        }
        done.extend(ready.iter().filter_map(|object| uid(object)));
        ordered.extend(ready);
        rest = blocked;
    }
    ordered
}

fn uid(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid").and_then(Value::as_str)
}

fn references(object: &Value) -> Vec<&str> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let claim = object.pointer("/spec/claimRef/uid");
    owners.into_iter().flatten().filter_map(|owner| owner.get("uid")).chain(claim).filter_map(Value::as_str).collect()
}

async fn create(client: &Client, object: &Value, uids: &mut BTreeMap<String, String>) -> Result<(), LoadError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let fails = |source| LoadError { kind: kind.clone(), name: name.clone(), source: Box::new(source) };
    let resource = resource(&text("/apiVersion"), &kind);
    let api: Api<DynamicObject> = match object.pointer("/metadata/namespace").and_then(Value::as_str) {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut fresh = object.clone();
    renew(&mut fresh, uids);
    let status = fresh.as_object_mut().and_then(|object| object.remove("status"));
    let typed = serde_json::from_value(fresh).map_err(|error| fails(kube::Error::SerdeError(error)))?;
    let created = match api.create(&PostParams::default(), &typed).await {
        Ok(created) => created,
        // What every cluster has, for example a default ServiceAccount.
        Err(kube::Error::Api(status)) if status.code == 409 => api.get(&name).await.map_err(fails)?,
        Err(error) => return Err(fails(error)),
    };
    if let (Some(old), Some(new)) = (uid(object), created.metadata.uid) {
        uids.insert(old.to_owned(), new);
    }
    if let Some(status) = status {
        let patch = json!({"status": status});
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(fails)?;
    }
    Ok(())
}

/// Drops what the API server sets, and follows uids that changed.
fn renew(object: &mut Value, uids: &BTreeMap<String, String>) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        OWN_FIELDS.iter().for_each(|field| {
            metadata.remove(*field);
        });
    }
    let follow = |reference: &mut Value| {
        let new = reference.get("uid").and_then(Value::as_str).and_then(|old| uids.get(old)).cloned();
        if let (Some(new), Some(reference)) = (new, reference.as_object_mut()) {
            reference.insert("uid".to_owned(), Value::from(new));
        }
    };
    if let Some(owners) = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) {
        owners.iter_mut().for_each(follow);
    }
    if let Some(claim) = object.pointer_mut("/spec/claimRef") {
        follow(claim);
        if let Some(claim) = claim.as_object_mut() {
            claim.remove("resourceVersion");
        }
    }
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let lower = kind.to_lowercase();
    let plural = if lower.ends_with('s') && kind == "Endpoints" {
        lower
    } else if lower.ends_with("ss") {
        format!("{lower}es")
    } else {
        format!("{lower}s")
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_come_first_and_references_follow() {
        let objects = [
            json!({"metadata": {"name": "pod", "uid": "p", "ownerReferences": [{"uid": "s"}]}}),
            json!({"metadata": {"name": "set", "uid": "s", "ownerReferences": [{"uid": "elsewhere"}]}}),
        ];
        let order: Vec<&str> = owners_first(&objects).iter().filter_map(|object| uid(object)).collect();
        assert_eq!(order, ["s", "p"]);
        let mut pod = objects[0].clone();
        renew(&mut pod, &BTreeMap::from([("s".to_owned(), "new".to_owned())]));
        assert_eq!(pod, json!({"metadata": {"name": "pod", "ownerReferences": [{"uid": "new"}]}}));
    }

    #[test]
    fn kinds_have_plurals() {
        for (kind, plural) in [("Pod", "pods"), ("StorageClass", "storageclasses"), ("Endpoints", "endpoints")] {
            assert_eq!(resource("v1", kind).plural, plural);
        }
    }
}
