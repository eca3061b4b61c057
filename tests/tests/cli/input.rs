//! Files that must be refused: every fault is told by file, document and field, and nothing is written.

use std::{fs, path::PathBuf};

use crate::{folder, left_in, repository, tidepool};

/// The verbs that read files of users, each as far as it goes before it reads.
const READERS: [&[&str]; 3] = [&["demo", "--exit-when-ready", "-f"], &["plan", "-f"], &["render", "-f"]];

#[test]
fn every_invalid_example_is_refused_by_field_and_nothing_is_written() {
    let files = examples();
    assert!(files.len() >= 15, "only {} invalid examples", files.len());
    let mut complaints = Vec::new();
    for file in files {
        let expected = expected(&fs::read_to_string(&file).expect("an example"));
        for verb in READERS {
            let folder = folder();
            let name = file.to_string_lossy().into_owned();
            let ended = tidepool(&folder, &[verb, &[name.as_str()]].concat());
            let mut wrong = Vec::new();
            if ended.code != Some(2) {
                wrong.push(format!("exit code {:?}", ended.code));
            }
            let told = ended.err.lines().any(|line| line.contains(&name) && told(line, &expected));
            if !told {
                wrong.push(format!("no line names the file and {expected:?}"));
            }
            if !ended.out.is_empty() {
                wrong.push(format!("standard output: {}", ended.out));
            }
            if !left_in(&folder).is_empty() {
                wrong.push(format!("left behind: {:?}", left_in(&folder)));
            }
            if !wrong.is_empty() {
                complaints.push(format!("{} {name}: {}\n{}", verb[0], wrong.join("; "), ended.err));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn one_bad_document_spoils_all_and_every_fault_is_named() {
    let folder = folder();
    let good = fs::read_to_string(repository("examples/minimal.yaml")).expect("an example");
    let bad = |name: &str, replicas: &str| {
        format!(
            "apiVersion: pingcap.com/v1alpha1\nkind: TidbCluster\nmetadata: {{name: {name}}}\nspec:\n  version: v8.5.0\n  \
             pd: {{replicas: {replicas}, requests: {{storage: 1Gi}}}}\n"
        )
    };
    let text = format!("{good}\n---\n{}---\n{}", bad("one", "-1"), bad("two", "many"));
    fs::write(folder.path().join("all.yaml"), text).expect("written");
    let ended = tidepool(&folder, &["demo", "--exit-when-ready", "--audit", "audit.log", "-f", "all.yaml"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    for (document, field) in [(2, "spec.pd.replicas"), (3, "spec.pd.replicas")] {
        let line = format!("all.yaml: document {document}");
        assert!(ended.err.lines().any(|l| l.contains(&line) && l.contains(field)), "{line}: {}", ended.err);
    }
    let audit = fs::read_to_string(folder.path().join("audit.log")).unwrap_or_default();
    assert_eq!(audit, "", "something was written");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = folder();
    fs::create_dir(folder.path().join("folder.yaml")).expect("a folder");
    for file in ["absent.yaml", "folder.yaml"] {
        let ended = tidepool(&folder, &["demo", "--exit-when-ready", "-f", file]);
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert!(ended.err.contains(file), "{}", ended.err);
    }
}

fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository("examples/invalid")).expect("the invalid examples");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// What the first line of an example says must be told, up to its explanation: a field or a place in the file.
fn expected(text: &str) -> String {
    let line = text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).expect("the first line says it");
    line.split(": ").next().unwrap_or_default().to_owned()
}

/// Whether `line` names the place: `document 1, line 4` may be told with other words between.
fn told(line: &str, place: &str) -> bool {
    place.split(", ").all(|part| line.contains(part))
}
