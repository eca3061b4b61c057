//! Who may use whom. A crate boundary exists only to forbid a dependency, so each one is checked here.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

use crate::{assert_none, root};

/// For each crate the crates of this repository that it may use. A crate that is not named here is a policy.
const ARROWS: [(&str, &[&str]); 9] = [
    ("tidepool-api", &[]),
    ("tidepool-model", &["tidepool-api"]),
    ("tidepool-policy", &["tidepool-api", "tidepool-model"]),
    ("tidepool-pd", &["tidepool-api", "tidepool-model"]),
    ("tidepool-operator", &["tidepool-api", "tidepool-model", "tidepool-policy", "tidepool-pd"]),
    ("tidepool-sim", &["tidepool-api", "tidepool-pd"]),
    ("tidepool-sdk", &["tidepool-api", "tidepool-model"]),
    (
        "tidepool-cli",
        &["tidepool-api", "tidepool-model", "tidepool-policy", "tidepool-pd", "tidepool-operator", "tidepool-sim"],
    ),
    ("policy-hostile", &["tidepool-sdk"]),
];

/// What a policy sees.
const POLICY: &[&str] = &["tidepool-api", "tidepool-sdk"];

/// Tests may also use these; nothing that is shipped does. The operator's run with native policies on the simulator.
const IN_TESTS: [(&str, &[&str]); 4] = [
    (
        "tidepool-operator",
        &[
            "tidepool-sim",
            "tidepool-sdk",
            "policy-discovery",
            "policy-pd",
            "policy-pdms",
            "policy-tikv",
            "policy-tidb",
            "policy-housekeeping",
        ],
    ),
    ("tidepool-api", &["tidepool-api"]),
    // Its stories are those of a whole cluster.
    ("policy-tikv", &["policy-pd", "policy-tidb"]),
    ("policy-pdms", &["policy-pd"]),
];

/// Crates that must not be reached from these, over any number of steps.
const OUT_OF_REACH: [(&str, &[&str]); 3] = [
    ("tidepool-api", &["kube", "tokio", "wasmtime", "hyper"]),
    ("tidepool-model", &["kube", "tokio", "wasmtime", "hyper"]),
    ("tidepool-sdk", &["kube", "tokio", "wasmtime", "hyper"]),
];

#[test]
fn crates_use_only_whom_they_may() {
    let mut complaints = Vec::new();
    for package in list(&metadata(&["--no-deps"]), "packages") {
        let name = text(&package["name"]);
        if name == "tidepool-tests" {
            continue;
        }
        let allowed = of(&ARROWS, name).unwrap_or(POLICY);
        let in_tests = of(&IN_TESTS, name).unwrap_or_default();
        for dependency in list(package, "dependencies").iter().filter(|dependency| dependency["path"].is_string()) {
            let used = text(&dependency["name"]);
            let fine = allowed.contains(&used) || (dependency["kind"] == "dev" && in_tests.contains(&used));
            if !fine {
                complaints.push(format!("{name} uses {used}: the design has no such arrow"));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_table_names_only_crates_that_exist() {
    let metadata = metadata(&["--no-deps"]);
    let names: BTreeSet<&str> = list(&metadata, "packages").iter().map(|package| text(&package["name"])).collect();
    let gone: Vec<String> =
        ARROWS.iter().filter(|(name, _)| !names.contains(name)).map(|(name, _)| format!("{name} is gone")).collect();
    assert_none(&gone);
}

#[test]
fn the_pure_crates_reach_no_client_runtime_or_sandbox() {
    let uses = graph();
    let mut complaints = Vec::new();
    for (from, forbidden) in OUT_OF_REACH {
        let reached = reach(&uses, from);
        assert!(reached.contains("serde_json"), "{from} reaches nothing: this test looks at the wrong graph");
        let bad = forbidden.iter().filter(|name| reached.contains(**name));
        complaints.extend(bad.map(|name| format!("{from} reaches {name}")));
    }
    assert_none(&complaints);
}

/// Normal dependencies by name, of all packages.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata(&[]);
    let names: BTreeMap<&str, &str> =
        list(&metadata, "packages").iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"], "nodes") {
        let normal = list(node, "deps").iter().filter(|dep| list(dep, "dep_kinds").iter().any(|k| k["kind"].is_null()));
        let used = normal.filter_map(|dep| names.get(text(&dep["pkg"]))).map(ToString::to_string);
        uses.entry(names[text(&node["id"])].to_owned()).or_default().extend(used);
    }
    uses
}

fn reach<'a>(uses: &'a BTreeMap<String, BTreeSet<String>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut left = vec![from];
    while let Some(name) = left.pop() {
        if reached.insert(name) {
            left.extend(uses.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

fn metadata(more: &[&str]) -> Value {
    // Only what this machine builds was downloaded.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform", &host()])
        .args(more)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// The platform that this machine builds for.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names it").to_owned()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn of(table: &[(&str, &'static [&'static str])], name: &str) -> Option<&'static [&'static str]> {
    table.iter().find(|(row, _)| *row == name).map(|(_, allowed)| *allowed)
}
