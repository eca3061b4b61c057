//! Outside truth: the objects that the existing operator creates for PD and discovery, and what its start scripts run.
//!
//! The comparers are Python, used as they are. No difference in objects is accepted; the one scenario of start scripts in
//! which ours does better is left out by name.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tidepool_tests::render;

fn tests_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Clusters with recorded objects, by name.
fn cases() -> BTreeMap<String, PathBuf> {
    let folders = std::fs::read_dir(tests_dir().join("goldens")).expect("the goldens are there");
    let case = |folder: std::io::Result<std::fs::DirEntry>| {
        let path = folder.expect("it can be read").path();
        let is_case = path.join("objects.json").is_file() && path.join("cluster.yaml").is_file();
        is_case.then(|| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path))
    };
    folders.filter_map(case).collect()
}

/// The cluster as the API server would have it.
fn cluster(path: &Path) -> Value {
    let text = std::fs::read_to_string(path.join("cluster.yaml")).expect("the cluster can be read");
    let value = serde_saphyr::from_str(&text).expect("it is YAML");
    render::with_schema_defaults(value)
}

fn is_ours(object: &Value) -> bool {
    let component = object["metadata"]["labels"]["app.kubernetes.io/component"].as_str();
    matches!(component, Some("pd" | "discovery"))
}

fn list(objects: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": objects.into_iter().filter(is_ours).collect::<Vec<_>>()})
}

fn python(tool: &str, arguments: &[&Path]) -> (bool, String) {
    let output = Command::new("python3").arg(tests_dir().join("tools").join(tool)).args(arguments).output();
    let output = output.expect("python3 runs");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

#[test]
fn objects_are_those_of_the_existing_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut different = Vec::new();
    for (case, path) in cases() {
        let golden: Value = serde_json::from_str(&std::fs::read_to_string(path.join("objects.json")).expect("objects"))
            .expect("they are JSON");
        let rendered = render::render(cluster(&path)).unwrap_or_else(|error| panic!("{case}: {error}"));
        let case_folder = folder.path().join(&case);
        std::fs::create_dir(&case_folder).expect("a folder");
        let items = golden["items"].as_array().cloned().unwrap_or_default();
        std::fs::write(case_folder.join("objects.json"), list(items).to_string()).expect("written");
        let rendered_file = folder.path().join(format!("{case}.json"));
        std::fs::write(&rendered_file, list(rendered).to_string()).expect("written");
        let (same, text) = python("compare_objects.py", &[&case_folder, &rendered_file]);
        if !same {
            different.push(format!("{case}:\n{text}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The one scenario in which ours does better: a pod whose name resolves to its second address starts.
const DUAL_STACK: &str = "own name resolves to the second address of the pod";

#[test]
fn start_scripts_run_the_same_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut different = Vec::new();
    for (case, path) in cases() {
        let Ok(text) = std::fs::read_to_string(path.join("argv.json")) else { continue };
        let mut golden: Value = serde_json::from_str(&text).expect("it is JSON");
        let entries = golden["entries"].as_array().cloned().unwrap_or_default();
        let own: Vec<Value> = entries
            .into_iter()
            .filter(|entry| matches!(entry["component"].as_str(), Some("pd" | "discovery")))
            .filter(|entry| entry["scenario"] != DUAL_STACK || entry["exit"] == 0)
            .collect();
        if own.is_empty() {
            continue;
        }
        golden["entries"] = own.into();
        let golden_file = folder.path().join(format!("{case}.argv.json"));
        std::fs::write(&golden_file, golden.to_string()).expect("written");
        let rendered = render::render(cluster(&path)).unwrap_or_else(|error| panic!("{case}: {error}"));
        let rendered_file = folder.path().join(format!("{case}.json"));
        std::fs::write(&rendered_file, json!({"kind": "List", "items": rendered}).to_string()).expect("written");
        let (same, text) = python("run_start_script.py", &[&rendered_file, &golden_file]);
        if !same {
            different.push(format!("{case}:\n{text}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
