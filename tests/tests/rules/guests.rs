//! What the built policies import, and how large they are.

use std::{fmt::Write, path::Path};

use tidepool_policy::inspect;

use crate::{assert_none, read, root};

/// Bytes of one policy file. The types of five kinds of Kubernetes objects with JSON alone are 0.93 MB.
const POLICY_BYTES_MAX: u64 = 2_000_000;

/// Expected imports and exports, one file a policy.
const EXPECTED: &str = "tests/tests/rules/imports";

#[test]
fn policies_import_only_the_contract_and_are_small() {
    let mut complaints = Vec::new();
    let names = tidepool_tests::policies::names();
    for name in &names {
        let bytes = tidepool_tests::policies::bytes(name);
        if bytes.len() as u64 > POLICY_BYTES_MAX {
            complaints.push(format!("{name}: {} bytes, more than {POLICY_BYTES_MAX}", bytes.len()));
        }
        match inspect::verify(&bytes) {
            Ok(surface) => tidepool_tests::golden::assert_text(
                &root().join(EXPECTED).join(format!("{name}.txt")),
                &listing(&surface),
            ),
            Err(error) => complaints.push(format!("{name}: {error}")),
        }
    }
    for entry in std::fs::read_dir(root().join(EXPECTED)).expect("the folder of expected imports") {
        let file = entry.expect("an entry").path();
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !names.contains(&stem) {
            complaints.push(format!("{}: there is no such policy", file.display()));
        }
    }
    assert_none(&complaints);
}

/// A policy's digest must not depend on who built it where: panics name files, and the names are made the same for all.
#[test]
fn policies_name_no_folder_of_the_machine_that_built_them() {
    let folders = [std::env::var_os("HOME"), std::env::var_os("CARGO_HOME"), std::env::var_os("RUSTUP_HOME")];
    let folders = folders.into_iter().flatten().map(|folder| folder.to_string_lossy().into_owned());
    let own = root().canonicalize().expect("the checkout").to_string_lossy().into_owned();
    let usual = ["root", "home", "Users", ".cargo", ".rustup"].map(|folder| format!("/{folder}/"));
    let folders: Vec<String> = folders.chain([own]).chain(usual).filter(|folder| folder.len() > 1).collect();
    let mut complaints = Vec::new();
    for name in tidepool_tests::policies::names() {
        let bytes = tidepool_tests::policies::bytes(&name);
        let text = String::from_utf8_lossy(&bytes);
        let named = |folder: &&String| text.contains(folder.as_str());
        complaints.extend(folders.iter().filter(named).map(|folder| format!("{name}: names {folder}")));
    }
    assert_none(&complaints);
}

#[test]
fn every_policy_folder_is_built() {
    let makefile = read(Path::new("Makefile"));
    assert!(makefile.contains("$(filter-out sdk examples,"), "the Makefile takes the guests from the folders");
    let built = tidepool_tests::policies::names();
    let native: Vec<String> =
        tidepool_tests::render::policies().iter().map(|policy| policy.descriptor.component.clone()).collect();
    for name in &built {
        assert!(native.contains(name), "policy {name} is not among the natively run ones of tests/src/render.rs");
    }
}

fn listing(surface: &inspect::Surface) -> String {
    let mut text = String::new();
    for (heading, interfaces) in [("imports", &surface.imports), ("exports", &surface.exports)] {
        for (interface, functions) in interfaces {
            let _ = writeln!(text, "{heading} {interface}");
            for function in functions {
                let _ = writeln!(text, "  {function}");
            }
        }
    }
    text
}
