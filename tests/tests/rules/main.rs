//! Rules of the repository that no compiler enforces.

mod arrows;
mod guests;
mod tidy;
mod words;

use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// Files of the repository whose path has one of these endings, relative to the root, in order.
///
/// What is built, fetched or hidden is left out, and so are the goldens and tools, which are kept as they were recorded.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry of a folder").path();
            let relative = path.strip_prefix(&root).expect("below the root").to_owned();
            let name = relative.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !is_foreign(&relative, &name) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(relative);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no file ends with any of {endings:?}");
    found
}

fn is_foreign(relative: &Path, name: &str) -> bool {
    let hidden = name.starts_with('.') && name != ".ci";
    hidden || name == "target" || ["tests/goldens", "tests/tools"].iter().any(|kept| relative == Path::new(kept))
}

/// The text of a file of the repository; bytes that are no text are replaced.
fn read(relative: &Path) -> String {
    let bytes = std::fs::read(root().join(relative)).expect("a file of the repository");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Fails with every complaint at once.
#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
