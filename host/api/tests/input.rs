//! What a person is told about a file: the examples, the invalid examples, the clusters that the existing operator refuses.

#![allow(missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use support::files;
use tidepool_api::input::{self, InputError};

fn read(path: &Path) -> Result<Vec<input::Document>, InputError> {
    let text = std::fs::read_to_string(path).expect("file");
    input::read([(path.file_name().and_then(|name| name.to_str()).expect("a name"), text.as_str())])
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml")
}

#[test]
fn every_example_passes() {
    let paths = files("examples", |path| is_yaml(path) && !path.to_string_lossy().contains("/invalid/"));
    assert!(paths.len() >= 11);
    for path in paths {
        let documents = read(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(!documents.is_empty(), "{}", path.display());
    }
}

#[test]
fn every_invalid_example_gives_what_its_first_line_says_and_nothing_else() {
    let paths = files("examples/invalid", is_yaml);
    assert!(paths.len() >= 15);
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("file");
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).expect("an expectation");
        let error = read(&path).err().unwrap_or_else(|| panic!("{} passes", path.display()));
        let told = error.to_string();
        println!("{told}");
        // This first line describes the message instead of quoting it.
        let parts: &[&str] = match expected {
            "spec.tikv.config: TOML, with line and column" => &["spec.tikv.config: not TOML: line 1, column"],
            _ => &[expected],
        };
        for part in parts {
            assert!(told.contains(part), "{}: {told:?} lacks {part:?}", path.display());
        }
        assert_eq!(error.0.len(), 1, "{}: {told}", path.display());
    }
}

#[test]
fn every_recorded_cluster_that_came_up_passes() {
    for path in files("tests/goldens", |path| path.ends_with("cluster.yaml")) {
        let refused = path.parent().is_some_and(|directory| directory.join("errors.json").exists());
        if !refused && let Err(error) = read(&path) {
            panic!("{}: {error}", path.display());
        }
    }
}

/// A field's path and the type of its fault.
type Entry = (&'static str, &'static str);

/// Where ours differ from the recorded ones, and why: golden, theirs, ours.
const DEVIATIONS: [(&str, Entry, Entry); 12] = [
    // JSON paths instead of names of structs.
    ("invalid-fields", ("", "NotSupported"), ("spec.pd.storageVolumes[1].storageSize", "Invalid")),
    (
        "invalid-fields",
        ("spec.pd.spec.LoadBalancerSourceRanges", "Invalid"),
        ("spec.pd.service.loadBalancerSourceRanges[1]", "Invalid"),
    ),
    (
        "invalid-fields",
        ("spec.tidb.spec.LoadBalancerSourceRanges", "Invalid"),
        ("spec.tidb.service.loadBalancerSourceRanges[0]", "Invalid"),
    ),
    (
        "invalid-fields",
        ("spec.tikv.scalePolicy.ScaleInParallelism", "Invalid"),
        ("spec.tikv.scalePolicy.scaleInParallelism", "Invalid"),
    ),
    ("invalid-fields", ("spec.tikv.volumeName", "Invalid"), ("spec.tikv.raftLogVolumeName", "Invalid")),
    ("invalid-fields", ("spec.tidb.volumeName", "Invalid"), ("spec.tidb.slowLogVolumeName", "Invalid")),
    ("invalid-storage", ("spec.pd.requests.storage[storage]", "Required"), ("spec.pd.requests.storage", "Required")),
    (
        "invalid-storage",
        ("spec.tikv.requests.storage[storage]", "Required"),
        ("spec.tikv.requests.storage", "Required"),
    ),
    // A size that is absent is Required, as it is for PD and TiKV; each claim has its own path.
    ("invalid-storage", ("spec.pump.spec.Requests", "Invalid"), ("spec.pump.requests.storage", "Required")),
    (
        "invalid-storage",
        ("spec.tiflash.spec.StorageClaims.Resources.Requests", "Invalid"),
        ("spec.tiflash.storageClaims[0].resources.requests.storage", "Required"),
    ),
    (
        "invalid-storage",
        ("spec.tiflash.spec.StorageClaims.Resources.Requests", "Invalid"),
        ("spec.tiflash.storageClaims[2].resources.requests.storage", "Required"),
    ),
    // The existing CRD lets any text pass and Kubernetes then refuses each volume.
    ("invalid-schema", ("", ""), ("spec.pvReclaimPolicy", "NotSupported")),
];

#[test]
fn refused_clusters_have_the_recorded_faults() {
    let paths = files("tests/goldens", |path| path.ends_with("errors.json"));
    assert_eq!(paths.len(), 3);
    for path in paths {
        let directory = path.parent().expect("a directory");
        let case = directory.file_name().and_then(|name| name.to_str()).expect("a name");
        let recorded: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("file")).expect("JSON");
        let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
        for error in recorded["errors"].as_array().expect("a list") {
            expected
                .insert((error["field"].as_str().unwrap_or("").into(), error["type"].as_str().unwrap_or("").into()));
        }
        for (_, theirs, ours) in DEVIATIONS.iter().filter(|(name, ..)| *name == case) {
            expected.remove(&(theirs.0.to_owned(), theirs.1.to_owned()));
            expected.insert((ours.0.to_owned(), ours.1.to_owned()));
        }
        let error = read(&directory.join("cluster.yaml")).expect_err("refused");
        println!("{error}");
        let told: BTreeSet<_> =
            error.0.iter().map(|fault| (fault.fault.field.clone(), fault.fault.kind.name().to_owned())).collect();
        assert_eq!(told, expected, "{case}");
    }
}

#[test]
fn all_faults_of_all_documents_are_told() {
    let text = "\
apiVersion: v1
kind: Namespace
metadata: {name: here}
---
apiVersion: pingcap.com/v1alpha1
kind: TidbCluster
metadata: {name: one, label: {}}
spec: {version: 8.5, tikv: {replicas: x, evictLeaderTimeout: soon}}
---
a: [
---
kind: Secret
";
    let error = input::read([("f.yaml", text)]).expect_err("refused");
    let told: Vec<String> = error.0.iter().map(ToString::to_string).collect();
    let expected = [
        "f.yaml: document 2: metadata.label: unknown field (did you mean labels?)",
        "f.yaml: document 2: spec.version: expected string; put it in quotes: \"8.5\"",
        "f.yaml: document 2: spec.tikv.replicas: expected integer: \"x\"",
        "f.yaml: document 2: spec.tikv.evictLeaderTimeout: not a duration",
        "f.yaml: document 2: spec.tikv.requests.storage: required",
        "f.yaml: document 2: spec.pd: required, because tikv has no PD to join",
        "f.yaml: document 3, line 10: YAML error",
        "f.yaml: document 4: apiVersion: required",
        "f.yaml: document 4: metadata.name: required",
    ];
    for expected in expected {
        assert!(told.iter().any(|told| told.starts_with(expected)), "{expected:?} is not among {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn the_same_name_in_two_namespaces_or_kinds_is_not_twice() {
    let object = |kind: &str, namespace: &str| {
        format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: a, namespace: {namespace}}}\n")
    };
    let text = [object("Secret", "x"), object("Secret", "y"), object("ConfigMap", "x")].join("---\n");
    assert_eq!(input::read([("a", text.as_str())]).map(|found| found.len()), Ok(3));
    let again = object("Secret", "y");
    let error = input::read([("a", text.as_str()), ("b", again.as_str())]).expect_err("twice");
    assert_eq!(error.to_string(), "b: document 1: Secret \"a\" is in a already (document 2)");
}

#[test]
fn a_key_given_twice_is_a_fault() {
    let error =
        input::read([("a", "apiVersion: v1\nkind: Secret\nkind: Secret\nmetadata: {name: a}\n")]).expect_err("refused");
    assert!(error.to_string().starts_with("a: document 1, line 3: YAML error"), "{error}");
}

#[test]
fn policy_modules_are_checked_too() {
    let text = "\
apiVersion: tidepool.dev/v1alpha1
kind: PolicyModule
metadata: {name: a}
spec: {component: tikv, source: {file: ../../etc/passwd}, digest: sha256:12, settings: {any: [1]}}
";
    let error = input::read([("a", text)]).expect_err("refused");
    let fields: Vec<_> = error.0.iter().map(|fault| fault.fault.field.as_str()).collect();
    assert_eq!(fields, ["spec.digest", "spec.source.file"]);
}

#[test]
fn broken_files_are_refused_and_never_break_the_reader() {
    for path in files("examples", |path| is_yaml(path) && !path.to_string_lossy().contains("/invalid/")) {
        let text = std::fs::read_to_string(&path).expect("file");
        for (at, c) in text.char_indices().step_by(5) {
            let mut without = text.clone();
            without.replace_range(at..at + c.len_utf8(), "");
            let _ = input::read([("cut", &text[..at]), ("without", without.as_str())]);
        }
    }
}

#[test]
fn deep_and_swelling_files_are_refused() {
    let deep = format!("a: {}{}", "[".repeat(50_000), "]".repeat(50_000));
    let deep_object = format!(
        "apiVersion: pingcap.com/v1alpha1\nkind: TidbCluster\nspec: {}1{}",
        "{a: ".repeat(1_000),
        "}".repeat(1_000)
    );
    let levels = (1..30).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(9)));
    let swelling = format!("a0: &a0 [x]\n{}", levels.collect::<String>());
    for text in [deep, deep_object, swelling] {
        assert!(input::read([("f", text.as_str())]).is_err());
    }
}
