//! Discovery documents: `/api`, `/apis` and what is below, aggregated or not.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    http::Document,
    resources::{Group, Registry, ResourceInfo, Subresource},
};

/// Bytes of a type's hash by which clients see that its stored version changed.
const HASH_BYTES: usize = 8;

/// The document at `path` (segments, without empty ones), if it is one of discovery. `accept` is the request's header.
pub fn respond(registry: &Registry, path: &[&str], accept: &str) -> Option<Document> {
    match path {
        [] => Some(Document::json(&paths(registry))),
        ["api"] => Some(root(registry, accept, |group| group.is_empty(), &api_versions())),
        ["apis"] => Some(root(registry, accept, |group| !group.is_empty(), &group_list(registry))),
        ["apis", name] if !name.is_empty() => {
            let mut document = group(name, registry.group(name)?);
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
            Some(Document::json(&document))
        }
        ["api", version] => resource_list(registry, "", version),
        ["apis", group, version] => resource_list(registry, group, version),
        _ => None,
    }
}

/// Every path that leads somewhere.
fn paths(registry: &Registry) -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (name, group) in registry.groups.iter().filter(|(name, _)| !name.is_empty()) {
        paths.push(format!("/apis/{name}"));
        paths.extend(group.versions.iter().map(|version| format!("/apis/{name}/{version}")));
    }
    paths.extend(
        ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"].map(str::to_owned),
    );
    json!({ "paths": paths })
}

/// The aggregated list if the client understands one, otherwise the plain document.
fn root(registry: &Registry, accept: &str, wanted: fn(&str) -> bool, plain: &Value) -> Document {
    let version = accept.split(',').find_map(|media| {
        let has = |part: &str| media.split(';').any(|word| word.trim() == part);
        let aggregated = has("as=APIGroupDiscoveryList") && has("g=apidiscovery.k8s.io");
        ["v2", "v2beta1"].into_iter().find(|version| aggregated && has(&format!("v={version}")))
    });
    let Some(version) = version else { return Document::json(plain) };
    let groups = registry.groups.iter().filter(|(name, _)| wanted(name));
    let items: Vec<Value> = groups.map(|(name, group)| aggregated_group(registry, name, group)).collect();
    let list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items});
    let content_type = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    Document { content_type, ..Document::json(&list) }
}

fn api_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]})
}

fn group_list(registry: &Registry) -> Value {
    let groups: Vec<_> =
        registry.groups.iter().filter(|(name, _)| !name.is_empty()).map(|(name, g)| group(name, g)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn group(name: &str, group: &Group) -> Value {
    let version = |version: &String| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<_> = group.versions.iter().map(version).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Document> {
    let resources = registry.in_version(group, version)?;
    let entries: Vec<Value> = resources.values().flat_map(|resource| entries(resource)).collect();
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": entries});
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Some(Document::json(&list))
}

/// A resource and its subresources as `APIResource`s.
fn entries(resource: &ResourceInfo) -> Vec<Value> {
    let mut entry = Map::new();
    entry.insert("name".into(), resource.plural.as_str().into());
    entry.insert("singularName".into(), resource.singular.as_str().into());
    entry.insert("namespaced".into(), resource.namespaced.into());
    entry.insert("kind".into(), resource.kind.as_str().into());
    entry.insert("verbs".into(), resource.verbs.into());
    names(&mut entry, resource);
    if resource.verbs.contains(&"get") {
        entry.insert("storageVersionHash".into(), storage_hash(resource).into());
    }
    let subresource = |sub: &Subresource| {
        let name = format!("{}/{}", resource.plural, sub.name);
        let mut entry = json!({"name": name, "singularName": "", "namespaced": resource.namespaced, "kind": resource.kind, "verbs": sub.verbs});
        if let Some((group, version, kind)) = &sub.body {
            entry["kind"] = kind.as_str().into();
            if *group != resource.group {
                entry["group"] = group.as_str().into();
                entry["version"] = version.as_str().into();
            }
        }
        entry
    };
    std::iter::once(Value::Object(entry)).chain(resource.subresources.iter().map(subresource)).collect()
}

fn names(entry: &mut Map<String, Value>, resource: &ResourceInfo) {
    for (field, list) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if !list.is_empty() {
            entry.insert(field.into(), list.as_slice().into());
        }
    }
}

fn storage_hash(resource: &ResourceInfo) -> String {
    let name = format!("{}/{}/{}", resource.group, resource.version, resource.kind);
    STANDARD.encode(&Sha256::digest(name)[..HASH_BYTES])
}

fn aggregated_group(registry: &Registry, name: &str, group: &Group) -> Value {
    let version = |version: &String| {
        let resources = registry.in_version(name, version).into_iter().flat_map(|map| map.values());
        let resources: Vec<_> = resources.map(|resource| aggregated_resource(resource)).collect();
        json!({"version": version, "resources": resources, "freshness": "Current"})
    };
    let versions: Vec<_> = group.versions.iter().map(version).collect();
    let metadata = if name.is_empty() {
        json!({"creationTimestamp": null})
    } else {
        json!({"name": name, "creationTimestamp": null})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(resource: &ResourceInfo) -> Value {
    let own = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let mut entry = Map::new();
    entry.insert("resource".into(), resource.plural.as_str().into());
    entry.insert("responseKind".into(), own.clone());
    entry.insert("scope".into(), if resource.namespaced { "Namespaced" } else { "Cluster" }.into());
    entry.insert("singularResource".into(), resource.singular.as_str().into());
    entry.insert("verbs".into(), resource.verbs.into());
    names(&mut entry, resource);
    let subresource = |sub: &Subresource| {
        let kind = match &sub.body {
            Some((group, version, kind)) => json!({"group": group, "version": version, "kind": kind}),
            None => own.clone(),
        };
        json!({"subresource": sub.name, "responseKind": kind, "verbs": sub.verbs})
    };
    if !resource.subresources.is_empty() {
        entry.insert("subresources".into(), resource.subresources.iter().map(subresource).collect());
    }
    Value::Object(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &[&str], accept: &str) -> Value {
        serde_json::from_slice(&respond(&Registry::builtin(), path, accept).unwrap().body).unwrap()
    }

    #[test]
    fn a_type_has_the_hash_of_its_stored_version() {
        let leases = document(&["apis", "coordination.k8s.io", "v1"], "");
        assert_eq!(leases["resources"][0]["storageVersionHash"], "gqkMMb/YqFM=");
    }

    #[test]
    fn the_aggregated_list_comes_only_when_asked_for() {
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(document(&["api"], accept)["items"][0]["versions"][0]["freshness"], "Current");
        assert_eq!(document(&["api"], "application/json")["versions"], json!(["v1"]));
        assert!(respond(&Registry::builtin(), &["apis", "nope.io"], "").is_none());
    }
}
