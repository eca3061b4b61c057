//! Every recorded cluster is read and written back without losing a field.

#![allow(missing_docs)]

mod support;

use serde_json::Value;
use support::{differences, documents, files};
use tidepool_api::TidbCluster;

fn round_trip(name: &str, value: &Value) {
    let cluster: TidbCluster = serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let written = serde_json::to_value(&cluster).expect("writes");
    assert_eq!(differences(value, &written), Vec::<String>::new(), "{name}");
    let text = serde_json::to_string(&cluster).expect("writes");
    assert_eq!(serde_json::from_str::<TidbCluster>(&text).expect("reads"), cluster, "{name}");
}

#[test]
fn clusters_of_the_goldens() {
    let files = files("tests/goldens", |path| path.ends_with("cluster.yaml"));
    assert!(files.len() > 40, "goldens are missing: {}", files.len());
    for path in files {
        for document in documents(&path) {
            round_trip(&path.display().to_string(), &document);
        }
    }
}

#[test]
fn clusters_that_the_existing_operator_left_with_their_status() {
    let files = files("tests/goldens/takeover", |path| path.ends_with("objects.json"));
    assert_eq!(files.len(), 3);
    for path in files {
        let text = std::fs::read_to_string(&path).expect("file");
        let objects: Value = serde_json::from_str(&text).expect("JSON");
        let objects = objects.as_array().or_else(|| objects["items"].as_array()).expect("a list");
        let clusters: Vec<_> = objects.iter().filter(|object| object["kind"] == "TidbCluster").collect();
        assert!(!clusters.is_empty());
        for cluster in clusters {
            assert!(cluster["status"]["pd"]["members"].is_object());
            round_trip(&path.display().to_string(), cluster);
        }
    }
}

#[test]
fn examples() {
    for path in files("examples", |path| {
        path.extension().is_some_and(|e| e == "yaml") && !path.to_string_lossy().contains("/invalid/")
    }) {
        for document in documents(&path) {
            if document["kind"] == "TidbCluster" {
                round_trip(&path.display().to_string(), &document);
            }
        }
    }
}

#[test]
fn null_is_absent_and_unknown_fields_are_skipped() {
    let text = r#"{"apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster", "metadata": {"creationTimestamp": null, "name": "a"},
        "spec": {"version": null, "pd": {"replicas": 3, "config": null, "later": {"a": [1]}}, "tikv": null},
        "status": {"conditions": null, "pd": {"leader": null}}}"#;
    let cluster: TidbCluster = serde_json::from_str(text).expect("reads");
    assert_eq!(cluster.spec.pd.as_ref().map(|pd| (pd.replicas, pd.config.is_some())), Some((3, false)));
    assert!(cluster.spec.tikv.is_none());
}
