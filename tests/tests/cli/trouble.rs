//! What goes wrong outside the program is said once and plainly, with what to do: ports, disks, time, signals.

use std::{fs, net::TcpListener, os::unix::fs::symlink, time::Duration};

use serde_json::Value;
use tidepool_tests::program::{self, Running};

use crate::{folder, left_in, repository, tidepool};

/// Longest wait for the program to do something: the first one to start compiles the policies.
const SOON: Duration = Duration::from_secs(300);

#[test]
fn a_port_that_is_taken_is_said_plainly() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let calls: [&[&str]; 2] =
        [&["demo", "--time", "real", "--listen", &address], &["sim", "serve", "--listen", &address]];
    for args in calls {
        let ended = tidepool(&folder, args);
        assert_eq!(ended.code, Some(1), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(&address) && ended.err.contains("--listen"), "{args:?}: {}", ended.err);
    }
}

#[test]
fn a_full_disk_is_said_once_and_the_demo_goes_on() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("records")).expect("a folder");
    for name in ["records/default.minimal.pd.jsonl", "audit.jsonl"] {
        symlink("/dev/full", path(name)).expect("a link");
    }
    let minimal = repository("examples/minimal.yaml").to_string_lossy().into_owned();
    let cases: [(&[&str], &str); 2] = [
        (&["--audit", "audit.jsonl"], "the audit log audit.jsonl"),
        (&["--record-dir", "records"], "a record to records"),
    ];
    for (option, told) in cases {
        let args = [&["demo", "--exit-when-ready", "-f", &minimal], option].concat();
        let ended = tidepool(&folder, &args);
        assert_eq!(ended.code, Some(0), "{option:?}: {}", ended.err);
        assert_eq!(ended.err.matches("No space left").count(), 1, "{option:?}: {}", ended.err);
        assert!(ended.err.contains(told), "{option:?}: {}", ended.err);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named_with_what_to_do() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").expect("written");
    let cases =
        [("--audit", "file/audit.jsonl"), ("--data-dir", "file/state"), ("--write-kubeconfig", "file/kubeconfig")];
    for (option, place) in cases {
        let ended = tidepool(&folder, &["demo", "--time", "real", "--listen", "127.0.0.1:0", option, place]);
        assert_eq!(ended.code, Some(1), "{option}: {}", ended.err);
        assert!(ended.err.contains(place) && ended.err.lines().count() == 2, "{option}: {}", ended.err);
    }
    assert_eq!(left_in(&folder), ["file"]);
}

#[test]
fn a_folder_of_state_is_for_one_simulator() {
    let folder = folder();
    let args = ["sim", "serve", "--bare", "--listen", "127.0.0.1:0", "--data-dir", "state"];
    let first = Running::start(program::tidepool(folder.path(), &args));
    first.wait_for("Kubernetes API at", SOON);
    let ended = tidepool(&folder, &args);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("another simulator uses it"), "{}", ended.err);
    assert!(first.interrupt(SOON).success(), "SIGINT ends it well");
}

#[test]
fn documents_without_a_cluster_are_bad_input() {
    let folder = folder();
    fs::write(folder.path().join("map.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
        .expect("written");
    let calls: [&[&str]; 3] = [&["demo", "--exit-when-ready"], &["plan"], &["render"]];
    for call in calls {
        let ended = tidepool(&folder, &[call, &["-f", "map.yaml"]].concat());
        assert_eq!(ended.code, Some(2), "{call:?}: {}", ended.err);
        assert!(ended.err.contains("none of the documents is a TidbCluster"), "{call:?}: {}", ended.err);
    }
}

#[test]
fn a_cluster_that_is_not_ready_in_time_is_told_with_its_reasons() {
    let folder = folder();
    let ended = tidepool(&folder, &["demo", "--exit-when-ready", "--timeout", "10"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    for text in ["not Ready within 10 s", "default/basic: PDUnhealthy", "pd waits: "] {
        assert!(ended.err.contains(text), "{text}: {}", ended.err);
    }
}

#[test]
fn how_a_demo_ended_is_told_to_programs() {
    let folder = folder();
    for (timeout, ready, code) in [("10", false, 1), ("600", true, 0)] {
        let ended = tidepool(&folder, &["demo", "--exit-when-ready", "-o", "json", "--timeout", timeout]);
        assert_eq!(ended.code, Some(code), "{}", ended.err);
        let result: Value = serde_json::from_str(&ended.out).expect("JSON");
        assert_eq!((&result["ready"], &result["clusters"][0]["ready"]), (&ready.into(), &ready.into()));
        let waiting = result["clusters"][0]["waiting"].as_array().expect("a list");
        assert_eq!(waiting.is_empty(), ready, "{waiting:?}");
        assert!(waiting.iter().all(|on| on["component"].is_string() && on["reason"].is_string()), "{waiting:?}");
    }
}

#[test]
fn a_demo_that_is_interrupted_midway_ends_cleanly() {
    let folder = folder();
    let demo = |more: &[&str]| {
        let args = [&["demo", "--time", "real", "--listen", "127.0.0.1:0"], more].concat();
        let demo = Running::start(program::tidepool(folder.path(), &args));
        demo.wait_for("default/basic pd", SOON);
        demo.interrupt(SOON)
    };
    assert!(demo(&[]).success(), "ended by its user");
    assert_eq!(demo(&["--exit-when-ready"]).code(), Some(1), "it was to become Ready and did not");
}

#[test]
fn many_documents_come_up_together() {
    let folder = folder();
    let minimal = fs::read_to_string(repository("examples/minimal.yaml")).expect("an example");
    let other = minimal.replace("name: minimal", "name: other\n  namespace: elsewhere");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine, namespace: elsewhere}\ndata: {a: b}\n";
    fs::write(folder.path().join("all.yaml"), [&minimal, map, &other].join("\n---\n")).expect("written");
    let args = ["demo", "--exit-when-ready", "--audit", "audit.jsonl", "-f", "all.yaml"];
    let ended = tidepool(&folder, &args);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("Ready: default/minimal, elsewhere/other"), "{}", ended.err);
    let audit = fs::read_to_string(folder.path().join("audit.jsonl")).expect("the audit log");
    assert!(audit.lines().any(|line| line.contains("\"configmaps\"") && line.contains("\"mine\"")), "{audit}");
}
