//! `tidepool replay`: recorded decisions are decided again, byte for byte.

use std::{fs, sync::Arc};

use serde_json::Value;
use tempfile::TempDir;
use tidepool_model::Snapshot;
use tidepool_tests::{policies, vector};

use crate::{folder, repository, tidepool};

/// Writes a file of records of all vectors' decisions; the answer is how many there are.
fn records(folder: &TempDir) -> usize {
    let mut lines = Vec::new();
    for policy in policies::sandboxed() {
        for file in vector::files(&policy.descriptor().component) {
            let snapshot = Arc::new(as_observed(vector::read(&file).expect("a vector").snapshot));
            let decision = policy.decide(Arc::clone(&snapshot));
            let record = policy.record("default/basic".into(), snapshot, &decision).expect("a record");
            lines.push(serde_json::to_string(&record).expect("JSON"));
        }
    }
    fs::write(folder.path().join("records.jsonl"), lines.join("\n") + "\n").expect("written");
    lines.len()
}

/// The snapshot with its objects as an API server sends them, in one line each.
fn as_observed(snapshot: Snapshot) -> Snapshot {
    let value = serde_json::to_value(snapshot).expect("JSON");
    serde_json::from_str(&value.to_string()).expect("a snapshot")
}

fn change(folder: &TempDir, change: impl Fn(&mut Value)) {
    let path = folder.path().join("records.jsonl");
    let text = fs::read_to_string(&path).expect("the records");
    let changed = text.lines().map(|line| {
        let mut record: Value = serde_json::from_str(line).expect("JSON");
        change(&mut record);
        record.to_string() + "\n"
    });
    fs::write(&path, changed.collect::<String>()).expect("written");
}

#[test]
fn recorded_decisions_replay_the_same() {
    let folder = folder();
    let count = records(&folder);
    let ended = tidepool(&folder, &["replay", "records.jsonl", "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    let rows: Vec<Value> = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(rows.len(), count);
    assert!(rows.iter().all(|row| row["result"] == "same"), "{rows:?}");
}

#[test]
fn a_changed_snapshot_is_damaged() {
    let folder = folder();
    records(&folder);
    change(&folder, |record| record["snapshot"]["nowMs"] = 1.into());
    let ended = tidepool(&folder, &["replay", "records.jsonl"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.out.contains("damaged"), "{}", ended.out);
}

#[test]
fn another_digest_is_told_and_replayed_on_request() {
    let folder = folder();
    records(&folder);
    change(&folder, |record| record["policy"] = "sha256:0".into());
    let ended = tidepool(&folder, &["replay", "records.jsonl"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.out.contains("--any-digest"), "{}", ended.out);
    let ended = tidepool(&folder, &["replay", "--any-digest", "records.jsonl"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
}

#[test]
fn another_outcome_is_shown_as_a_difference() {
    let folder = folder();
    records(&folder);
    change(&folder, |record| record["outcome"] = serde_json::json!({"invalid-spec": "spec.pd: recorded so"}));
    let ended = tidepool(&folder, &["replay", "records.jsonl"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.out.contains("recorded so"), "{}", ended.out);
}

#[test]
fn a_file_without_records_is_bad_input() {
    let folder = folder();
    fs::write(folder.path().join("records.jsonl"), "{}\n").expect("written");
    let ended = tidepool(&folder, &["replay", "records.jsonl"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("records.jsonl: line 1"), "{}", ended.err);
}

#[test]
fn files_without_a_record_are_bad_input() {
    let folder = folder();
    fs::write(folder.path().join("empty.jsonl"), "").expect("written");
    let ended = tidepool(&folder, &["replay", "empty.jsonl"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("none of the files has a record"), "{}", ended.err);
}

#[test]
fn what_a_demo_records_replays_the_same() {
    let folder = folder();
    let minimal = repository("examples/minimal.yaml").to_string_lossy().into_owned();
    let demo = tidepool(&folder, &["demo", "--exit-when-ready", "--record-dir", "records", "-f", &minimal]);
    assert_eq!(demo.code, Some(0), "{}", demo.err);
    let entries = fs::read_dir(folder.path().join("records")).expect("the records");
    let mut files: Vec<String> =
        entries.map(|entry| entry.expect("an entry").path().to_string_lossy().into_owned()).collect();
    files.sort();
    assert_eq!(files.len(), policies::names().len(), "a file for each policy: {files:?}");
    let args: Vec<&str> = ["replay", "-o", "json"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let ended = tidepool(&folder, &args);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    let rows: Vec<Value> = serde_json::from_str(&ended.out).expect("JSON");
    assert!(rows.iter().all(|row| row["result"] == "same"), "{rows:?}");
    for file in &files {
        assert!(rows.iter().any(|row| row["file"] == file.as_str()), "{file}");
    }
}
