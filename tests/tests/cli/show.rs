//! `tidepool plan` and `tidepool render`: what would be written, without writing.

use std::fs;

use serde_json::Value;
use tidepool_tests::render;

use crate::{folder, repository, tidepool};

const BASIC: &str = "examples/basic.yaml";

fn basic() -> String {
    repository(BASIC).to_string_lossy().into_owned()
}

#[test]
fn render_prints_what_native_policies_would_create() {
    let folder = folder();
    let ended = tidepool(&folder, &["render", "-n", "there", "-o", "json", "-f", &basic()]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let list: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!((&list["kind"], &list["apiVersion"]), (&"List".into(), &"v1".into()));
    let text = fs::read_to_string(repository(BASIC)).expect("the example");
    let mut cluster: Value = serde_saphyr::from_str(&text).expect("YAML");
    cluster["metadata"]["namespace"] = "there".into();
    let expected = render::render(cluster).expect("rendered");
    assert_eq!(list["items"], Value::from(expected));
}

#[test]
fn render_is_deterministic_and_yaml_says_the_same_as_json() {
    let folder = folder();
    let render = |format| tidepool(&folder, &["render", "-o", format, "-f", &basic()]);
    let yaml = render("yaml");
    assert_eq!(yaml.code, Some(0), "{}", yaml.err);
    assert_eq!(yaml.out, render("yaml").out);
    let from_yaml: Value = serde_saphyr::from_str(&yaml.out).expect("YAML");
    let from_json: Value = serde_json::from_str(&render("json").out).expect("JSON");
    assert_eq!(from_yaml, from_json);
}

#[test]
fn render_of_a_refused_cluster_prints_its_errors() {
    let folder = folder();
    let file = repository("examples/invalid/negative-replicas.yaml").to_string_lossy().into_owned();
    let ended = tidepool(&folder, &["render", "-o", "json", "-f", &file]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    let errors: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(errors["errors"][0]["field"], "spec.tidb.replicas");
}

#[test]
fn programs_get_the_faults_of_the_input_as_json() {
    let folder = folder();
    let file = repository("examples/invalid/bad-toml.yaml").to_string_lossy().into_owned();
    for verb in [&["plan"][..], &["render"], &["demo", "--exit-when-ready"]] {
        let ended = tidepool(&folder, &[verb, &["-o", "json", "-f", &file]].concat());
        assert_eq!((ended.code, ended.err.as_str()), (Some(2), ""), "{verb:?}");
        let errors: Value = serde_json::from_str(&ended.out).expect("JSON");
        let error = &errors["errors"][0];
        assert_eq!((&error["file"], &error["document"]), (&file.as_str().into(), &1.into()), "{verb:?}");
        assert_eq!(error["field"], "spec.tikv.config", "{verb:?}");
    }
}

#[test]
fn plan_from_nothing_shows_the_first_round() {
    let folder = folder();
    let ended = tidepool(&folder, &["plan", "-f", &basic()]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for text in ["TidbCluster default/basic", "# discovery", "# pd", "basic-pd-peer", "+kind: StatefulSet"] {
        assert!(ended.out.contains(text), "{text}: {}", ended.out);
    }
    let ended = tidepool(&folder, &["plan", "-o", "json", "-f", &basic()]);
    let plan: Value = serde_json::from_str(&ended.out).expect("JSON");
    let first = &plan["clusters"][0]["components"][0];
    assert_eq!(first["component"], "discovery");
    assert!(first["changes"].as_array().is_some_and(|changes| changes.len() == 5), "{first}");
}
