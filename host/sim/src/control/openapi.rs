//! OpenAPI v2 and v3 documents, from the schemas of built-in types and custom resources.
//!
//! `kubectl` asks them for `explain`, for the merge keys of client-side apply and diff, and for whether a type's patch
//! takes `fieldValidation` and `dryRun`. So a document has each type's schema and the operations that name the type.

mod descriptions;
mod paths;
mod schemas;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    http::Document,
    resources::{Registry, ResourceInfo},
};
use schemas::Style;

/// Bytes of a document's hash in the index.
const HASH_BYTES: usize = 8;

/// The document at `path` (segments), if it is below `/openapi`. `query` is the raw query string.
pub fn respond(registry: &Registry, path: &[&str], _query: &str, accept: &str) -> Option<Document> {
    match path {
        // kubectl asks the second version for kinds that the third does not have; then there is nothing to say.
        ["openapi", "v2"] if accept.contains("com.github.proto-openapi") => Some(Document {
            content_type: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf".to_owned(),
            ..Document::text("")
        }),
        ["openapi", "v3"] => {
            let index = Document::json(&index(registry));
            Some(Document { content_type: "text/plain; charset=utf-8".to_owned(), ..index })
        }
        ["openapi", "v3", "api", version] => group_version(registry, "", version),
        ["openapi", "v3", "apis", group, version] => group_version(registry, group, version),
        ["openapi", "v2"] => Some(Document::json(&version_2(registry))),
        _ => None,
    }
}

/// Where each group and version has its document; the hash changes with what the document says.
fn index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for (group, found) in &registry.groups {
        for version in &found.versions {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            let hash = hash(registry, group, version);
            paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}));
        }
    }
    json!({ "paths": paths })
}

/// The schemas of built-in types change with the program alone, so their names stand for them.
fn hash(registry: &Registry, group: &str, version: &str) -> String {
    let mut digest = Sha256::new().chain_update(env!("CARGO_PKG_VERSION"));
    for resource in resources(registry, group, version) {
        digest.update(&resource.plural);
        if let Some(custom) = &resource.custom {
            digest.update(custom.open_api.to_string());
        }
    }
    digest.finalize()[..HASH_BYTES].iter().map(|byte| format!("{byte:02X}")).collect()
}

fn resources<'a>(registry: &'a Registry, group: &str, version: &str) -> impl Iterator<Item = &'a ResourceInfo> {
    registry.in_version(group, version).into_iter().flat_map(|map| map.values()).map(AsRef::as_ref)
}

fn group_version(registry: &Registry, group: &str, version: &str) -> Option<Document> {
    registry.in_version(group, version)?;
    let (mut schemas, mut paths) = (schemas::Schemas::new(Style::V3), Map::new());
    for resource in resources(registry, group, version) {
        schemas.add(resource);
        paths::add(&mut paths, resource);
    }
    Some(Document::json(&json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths,
        "components": {"schemas": schemas.finish()},
    })))
}

fn version_2(registry: &Registry) -> Value {
    let mut schemas = schemas::Schemas::new(Style::V2);
    registry.all().for_each(|resource| schemas.add(resource));
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.2"}, "paths": {}, "definitions": schemas.finish()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &[&str]) -> Value {
        serde_json::from_slice(&respond(&Registry::builtin(), path, "", "").unwrap().body).unwrap()
    }

    #[test]
    fn a_document_is_closed_under_references() {
        fn check(value: &Value, schemas: &Value) {
            if let Some(name) = value.get("$ref").and_then(Value::as_str) {
                let name = name.rsplit('/').next().unwrap();
                assert!(schemas.get(name).is_some(), "{name}");
            }
            match value {
                Value::Object(map) => map.values().for_each(|v| check(v, schemas)),
                Value::Array(items) => items.iter().for_each(|v| check(v, schemas)),
                _ => {}
            }
        }
        let document = document(&["openapi", "v3", "apis", "apps", "v1"]);
        check(&document, &document["components"]["schemas"]);
    }

    #[test]
    fn lists_say_how_they_are_merged() {
        let core = document(&["openapi", "v3", "api", "v1"]);
        let containers = &core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
        let pod = &core["components"]["schemas"]["io.k8s.api.core.v1.Pod"];
        assert_eq!(pod["x-kubernetes-group-version-kind"][0]["kind"], "Pod");
        assert_eq!(pod["properties"]["kind"]["type"], "string");
    }
}
