//! `tidepool policy inspect`, and policies that are refused at the start.

use std::fs;

use serde_json::Value;
use tidepool_tests::policies;

use crate::{folder, tidepool};

#[test]
fn every_policy_says_what_it_needs() {
    let folder = folder();
    for name in policies::names() {
        let file = policies::folder().join(format!("{name}.wasm")).to_string_lossy().into_owned();
        let ended = tidepool(&folder, &["policy", "inspect", &file, "-o", "json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let found: Value = serde_json::from_str(&ended.out).expect("JSON");
        assert_eq!(found["descriptor"]["component"], name.as_str());
        assert_eq!(found["bytes"], policies::bytes(&name).len());
        assert!(found["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{found}");
        let human = tidepool(&folder, &["policy", "inspect", &file]);
        assert_eq!(human.code, Some(0), "{}", human.err);
        for word in ["Component:", "Digest:", "Size:", "Imports:", "tidepool:policy/observed", "reconcile"] {
            assert!(human.out.contains(word), "{word}: {}", human.out);
        }
    }
}

#[test]
fn what_is_no_policy_is_refused_with_the_reason() {
    let folder = folder();
    let good = policies::bytes("pd");
    let cases: [(&str, &[u8], &str); 5] = [
        ("text.wasm", b"hello", "not a WebAssembly component"),
        ("empty.wasm", b"", "not a WebAssembly component"),
        ("module.wasm", b"\0asm\x01\0\0\0", "core WebAssembly module"),
        ("nothing.wasm", b"\0asm\x0d\0\x01\0", "does not export"),
        ("cut.wasm", &good[..good.len() / 2], "truncated"),
    ];
    for (name, bytes, reason) in cases {
        fs::write(folder.path().join(name), bytes).expect("written");
        let ended = tidepool(&folder, &["policy", "inspect", name]);
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.err);
        assert!(ended.err.contains(name) && ended.err.contains(reason), "{name}: {}", ended.err);
        assert_eq!(ended.out, "");
    }
}

#[test]
fn a_foreign_import_is_named() {
    // A component that imports an instance `wasi:cli/environment`, in binary: type section, import section.
    let name = b"wasi:cli/environment";
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend([7, 3, 1, 0x42, 0]);
    bytes.extend([10, name.len() as u8 + 5, 1, 0, name.len() as u8]);
    bytes.extend(name);
    bytes.extend([5, 0]);
    let folder = folder();
    fs::write(folder.path().join("foreign.wasm"), bytes).expect("written");
    let ended = tidepool(&folder, &["policy", "inspect", "foreign.wasm"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("wasi:cli/environment"), "{}", ended.err);
}

#[test]
fn a_folder_without_policies_says_how_to_get_them() {
    let folder = folder();
    fs::create_dir(folder.path().join("none")).expect("a folder");
    for directory in ["none", "absent"] {
        let ended = tidepool(&folder, &["demo", "--exit-when-ready", "--policy-dir", directory]);
        assert_eq!(ended.code, Some(2));
        assert!(ended.err.contains(directory) && ended.err.contains("make guests"), "{}", ended.err);
    }
}

#[test]
fn a_refused_policy_fails_the_start() {
    let folder = folder();
    let policies_folder = folder.path().join("policies");
    fs::create_dir(&policies_folder).expect("a folder");
    fs::write(policies_folder.join("pd.wasm"), policies::bytes("pd")).expect("written");
    fs::write(policies_folder.join("tidb.wasm"), "broken").expect("written");
    let ended = tidepool(&folder, &["demo", "--exit-when-ready", "--policy-dir", "policies"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("tidb.wasm") && ended.err.contains("not a WebAssembly component"), "{}", ended.err);
}
