//! The CRDs in deploy/crds are those of the types; `UPDATE_GOLDEN=1` writes them anew.

#![allow(missing_docs)]

mod support;

use serde_json::Value;
use tidepool_api::crd;

/// What an API server takes in one object.
const CRD_BYTES_MAX: usize = 1 << 20;

fn fresh(name: &str, crd: &Value) {
    let path = support::repository("deploy/crds").join(name);
    // The schema is nested deep: blanks would be more than half of the file.
    let options = serde_saphyr::ser_options! { indent_step: 1, compact_list_indent: true };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, crd, options).expect("writes YAML");
    assert!(text.len() < CRD_BYTES_MAX, "{name}: {} bytes", text.len());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directory");
        std::fs::write(&path, &text).expect("file");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} is out of date; run the tests with UPDATE_GOLDEN=1", path.display());
    assert_eq!(&serde_saphyr::from_str::<Value>(&kept).expect("reads YAML"), crd, "{name} reads back");
}

#[test]
fn checked_in_crds_are_fresh() {
    fresh("tidbclusters.yaml", &crd::tidb_cluster());
    fresh("policymodules.yaml", &crd::policy_module());
}

#[test]
fn crds_fit_into_the_api_server() {
    let bytes = serde_json::to_vec(&crd::tidb_cluster()).expect("writes").len();
    assert!(bytes < CRD_BYTES_MAX, "{bytes} bytes");
    println!("tidbclusters: {bytes} bytes");
}

#[test]
fn schemas_are_structural() {
    for crd in [crd::tidb_cluster(), crd::policy_module()] {
        structural(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "");
    }
}

fn structural(schema: &Value, path: &str) {
    let object = schema.as_object().unwrap_or_else(|| panic!("{path}: no schema"));
    for key in ["$ref", "allOf", "anyOf", "oneOf", "not", "definitions", "title"] {
        assert!(!object.contains_key(key), "{path} has {key}");
    }
    let typed = schema["type"].is_string();
    let open = schema["x-kubernetes-int-or-string"] == true || schema["x-kubernetes-preserve-unknown-fields"] == true;
    assert!(typed || open, "{path} has no type");
    assert!(schema["type"] != "array" || schema["items"].is_object(), "{path} has no items");
    assert!(!(schema["properties"].is_object() && object.contains_key("additionalProperties")), "{path} has both");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        structural(property, &format!("{path}.{name}"));
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            structural(&schema[key], &format!("{path}[]"));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(schema["properties"][name.as_str().expect("a name")].is_object(), "{path} requires {name}");
    }
}

#[test]
fn list_map_keys_are_required_or_have_a_default() {
    fn visit(schema: &Value, path: &str) {
        for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
            let required = schema["items"]["required"].as_array().is_some_and(|names| names.contains(key));
            assert!(required, "{path}: key {key} may be absent");
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            visit(property, &format!("{path}.{name}"));
        }
        if schema["items"].is_object() {
            visit(&schema["items"], path);
        }
    }
    visit(&crd::tidb_cluster()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "");
}

#[test]
fn explain_teaches() {
    let crd = crd::tidb_cluster();
    let pd = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["pd"];
    for (name, property) in pd["properties"].as_object().expect("properties") {
        let description = property["description"].as_str().unwrap_or_default();
        assert!(description.len() > 4, "spec.pd.{name} says nothing");
    }
    assert_eq!(pd["properties"]["replicas"]["minimum"], 0);
    assert_eq!(pd["required"], serde_json::json!(["replicas"]));
    assert_eq!(pd["properties"]["config"]["x-kubernetes-preserve-unknown-fields"], true);
    assert_eq!(crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().map(Vec::len), Some(14));
}

/// Fields of Kubernetes' own types, which are not ours to count.
const KUBERNETES_FIELDS: [&str; 15] = [
    "affinity",
    "tolerations",
    "podSecurityContext",
    "env",
    "envFrom",
    "initContainers",
    "additionalContainers",
    "additionalVolumes",
    "additionalVolumeMounts",
    "dnsConfig",
    "securityContext",
    "lifecycle",
    "additionalPorts",
    "imagePullSecrets",
    "statefulSet",
];

fn paths(schema: &Value, path: &str, found: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let below = format!("{path}.{name}");
        found.push(below.clone());
        let of_kubernetes = KUBERNETES_FIELDS.contains(&name.as_str()) || (name == "conditions" && path != "status");
        if !of_kubernetes {
            paths(property, &below, found);
            paths(&property["items"], &below, found);
            paths(&property["additionalProperties"], &below, found);
        }
    }
}

#[test]
fn every_field_of_the_existing_crd_is_there() {
    let crd = crd::tidb_cluster();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let of = |part: &str| {
        let mut found = Vec::new();
        paths(&schema[part], part, &mut found);
        let ours =
            |path: &str| path.starts_with("status.waiting") || ["status.policies", "status.held"].contains(&path);
        found.retain(|path| !ours(path));
        found.len()
    };
    // The existing CRD has this many; what we added to the status is taken off.
    assert_eq!((of("spec"), of("status")), (681, 270));
}
