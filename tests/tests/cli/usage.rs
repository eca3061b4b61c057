//! Help, version, resource definitions, completions, and wrong usage.

use std::fs;

use serde_json::Value;
use tidepool_tests::policies;

use crate::{folder, repository, tidepool};

#[test]
fn help_names_every_verb_and_every_verb_has_help() {
    let folder = folder();
    let ended = tidepool(&folder, &["--help"]);
    assert_eq!(ended.code, Some(0));
    for verb in ["demo", "run", "sim", "plan", "render", "policy", "replay", "crd", "version", "completions"] {
        assert!(ended.out.lines().any(|line| line.trim_start().starts_with(verb)), "{verb}: {}", ended.out);
        let ended = tidepool(&folder, &[verb, "--help"]);
        assert_eq!(ended.code, Some(0), "{verb}: {}", ended.err);
        assert!(ended.out.contains("Usage:"), "{verb}: {}", ended.out);
        let teaches = ["demo", "run", "plan", "replay"].contains(&verb);
        assert!(!teaches || ended.out.contains("Examples:"), "{verb}: {}", ended.out);
    }
    assert!(ended.out.contains("Examples:") && ended.out.contains("Exit status:"), "{}", ended.out);
}

#[test]
fn wrong_usage_exits_with_two() {
    let folder = folder();
    for args in [&[][..], &["dance"], &["demo", "--no-such-flag"], &["demo", "--timeout", "soon"], &["sim"]] {
        let ended = tidepool(&folder, args);
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.err);
        assert!(ended.err.contains("Usage:") || ended.err.contains("--help"), "{args:?}: {}", ended.err);
    }
}

#[test]
fn version_lists_the_policies() {
    let folder = folder();
    let ended = tidepool(&folder, &["version", "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let version: Value = serde_json::from_str(&ended.out).expect("JSON");
    let rows = version["policies"].as_array().expect("a list");
    let components: Vec<&str> = rows.iter().filter_map(|row| row["component"].as_str()).collect();
    assert_eq!(components, policies::names());
}

#[test]
fn the_definitions_are_those_of_the_repository() {
    let folder = folder();
    let ended = tidepool(&folder, &["crd", "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let list: Value = serde_json::from_str(&ended.out).expect("JSON");
    let files = ["tidbclusters.yaml", "policymodules.yaml"];
    let kept = files.map(|file| {
        let text = fs::read_to_string(repository("deploy/crds").join(file)).expect("a definition");
        serde_saphyr::from_str::<Value>(&text).expect("YAML")
    });
    assert_eq!(list["items"], Value::from(kept.to_vec()));
}

#[test]
fn shells_get_completions() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish"] {
        let ended = tidepool(&folder, &["completions", shell]);
        assert_eq!(ended.code, Some(0), "{shell}: {}", ended.err);
        assert!(ended.out.contains("exit-when-ready"), "{shell}");
    }
}

#[test]
fn a_kubeconfig_to_nowhere_is_said_plainly() {
    let folder = folder();
    let ended = tidepool(&folder, &["run", "--kubeconfig", "absent"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("absent"), "{}", ended.err);
    // Port 1 of this machine: nobody listens there.
    let text = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n\
                contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n";
    fs::write(folder.path().join("nowhere"), text).expect("written");
    let ended = tidepool(&folder, &["run", "--kubeconfig", "nowhere"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("127.0.0.1:1") && ended.err.contains("check the server"), "{}", ended.err);
    assert!(!ended.err.contains("ServiceError"), "layers of the client are of no use: {}", ended.err);
}

#[test]
fn a_kubeconfig_that_the_environment_names_is_read_or_complained_about() {
    let folder = folder();
    let mut command = tidepool_tests::program::tidepool(folder.path(), &["run"]);
    command.env("KUBECONFIG", "absent");
    let ended = tidepool_tests::program::run(command);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("$KUBECONFIG names") && ended.err.contains("absent"), "{}", ended.err);
}
