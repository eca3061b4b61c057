//! `tidepool certs`: the Secrets that a cluster with TLS needs.

use std::{collections::BTreeMap, fs};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{folder, repository, tidepool};

const TLS: &str = "examples/tls.yaml";

/// The Secrets by name, as a call with these further arguments prints them.
fn secrets(folder: &tempfile::TempDir, more: &[&str]) -> BTreeMap<String, BTreeMap<String, String>> {
    let file = repository(TLS).to_string_lossy().into_owned();
    let ended = tidepool(folder, &[&["certs", "-o", "json", "-f", &file], more].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(!ended.err.contains("PRIVATE KEY"), "keys go to standard output alone");
    let list: Value = serde_json::from_str(&ended.out).expect("JSON");
    let text = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).expect("base64");
    let items = list["items"].as_array().expect("items").iter().map(|secret| {
        let data = secret["data"].as_object().expect("data").iter();
        let data = data.map(|(key, value)| (key.clone(), String::from_utf8(text(value)).expect("PEM"))).collect();
        (secret["metadata"]["name"].as_str().expect("a name").to_owned(), data)
    });
    items.collect()
}

#[test]
fn certs_prints_what_the_cluster_needs() {
    let secrets = secrets(&folder(), &[]);
    let names: Vec<&str> = secrets.keys().map(String::as_str).collect();
    let expected = [
        "tls-cluster-client-secret",
        "tls-pd-cluster-secret",
        "tls-tidb-client-secret",
        "tls-tidb-cluster-secret",
        "tls-tidb-server-secret",
        "tls-tikv-cluster-secret",
    ];
    assert_eq!(names, expected);
    for (name, data) in &secrets {
        assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"], "{name}");
        assert!(data["tls.key"].starts_with("-----BEGIN PRIVATE KEY-----"), "{name}");
        assert_eq!(data["ca.crt"], secrets["tls-pd-cluster-secret"]["ca.crt"], "{name}: one authority for all");
    }
}

#[test]
fn certs_goes_on_with_an_authority_that_was_kept() {
    let folder = folder();
    let first = secrets(&folder, &["--with-ca", "-n", "there"]);
    let authority = &first["tls-ca-secret"];
    let (certificate, key) = (folder.path().join("ca.crt"), folder.path().join("ca.key"));
    fs::write(&certificate, &authority["tls.crt"]).expect("written");
    fs::write(&key, &authority["tls.key"]).expect("written");
    let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
    let second = secrets(&folder, &["--ca-cert", &certificate, "--ca-key", &key]);
    let pd = "tls-pd-cluster-secret";
    assert_eq!(second[pd]["ca.crt"], first[pd]["ca.crt"]);
    assert_ne!(second[pd]["tls.crt"], first[pd]["tls.crt"]);
    assert!(!second.contains_key("tls-ca-secret"), "only when asked for");
}

#[test]
fn certs_for_a_cluster_without_tls_is_an_empty_list() {
    let file = repository("examples/basic.yaml").to_string_lossy().into_owned();
    let ended = tidepool(&folder(), &["certs", "-f", &file]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("wants no TLS"), "{}", ended.err);
    let list: Value = serde_saphyr::from_str(&ended.out).expect("YAML");
    assert_eq!((&list["kind"], list["items"].as_array().map(Vec::len)), (&"List".into(), Some(0)));
}

#[test]
fn certs_refuses_what_is_no_authority() {
    let folder = folder();
    let path = folder.path().join("nothing");
    fs::write(&path, "nothing").expect("written");
    let (file, nothing) = (repository(TLS).to_string_lossy().into_owned(), path.to_string_lossy().into_owned());
    let ended = tidepool(&folder, &["certs", "-f", &file, "--ca-cert", &nothing, "--ca-key", &nothing]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{}", ended.err);
    assert!(ended.err.contains("nothing"), "{}", ended.err);
}

#[test]
fn the_demo_makes_certificates_for_a_cluster_that_brings_none() {
    let file = repository(TLS).to_string_lossy().into_owned();
    let ended = tidepool(&folder(), &["demo", "--exit-when-ready", "-f", &file]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("brings no Secrets: made 6"), "{}", ended.err);
    assert!(ended.err.contains("https://tls-pd.default:2379"), "PD is asked over TLS: {}", ended.err);
    assert!(!ended.err.contains("PRIVATE KEY"));
}
