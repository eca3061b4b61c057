//! The program's verbs that need no cluster: what they print, what they refuse, how they exit.

mod certs;
mod input;
mod policy;
mod replay;
mod show;
mod trouble;
mod usage;

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidepool_tests::program::{self, Ended};

/// An empty folder to work in.
fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Runs the program in `folder`.
fn tidepool(folder: &TempDir, args: &[&str]) -> Ended {
    program::run(program::tidepool(folder.path(), args))
}

/// A file or folder of this repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// What lies in `folder`, by name; the program's own caches lie elsewhere.
fn left_in(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).expect("the folder").map(|entry| entry.expect("an entry"));
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
