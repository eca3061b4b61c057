//! The policies as `make guests` built them.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use tidepool_policy::{Cache, LoadedPolicy, Runtime};

/// The folder of the built policies: `TIDEPOOL_POLICIES`, or where `make guests` puts them.
pub fn folder() -> PathBuf {
    let given = std::env::var_os("TIDEPOOL_POLICIES").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/policies"))
}

/// Names of the policies of this repository, in order.
///
/// # Panics
/// When `guests/` cannot be read.
pub fn names() -> Vec<String> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests");
    let folders = std::fs::read_dir(guests).expect("the folder guests/").map(|entry| entry.expect("an entry").path());
    let mut names: Vec<String> = folders
        .filter(|folder| {
            std::fs::read_to_string(folder.join("src/lib.rs")).is_ok_and(|text| text.contains("\nexport_policy!("))
        })
        .filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The file of the policy `name`.
///
/// # Panics
/// When it is not built.
pub fn bytes(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make guests` first", path.display()))
}

/// A folder that holds the policies and nothing else, which nobody changes while the tests run.
///
/// # Panics
/// When one is not built.
pub fn copy() -> &'static Path {
    static COPY: OnceLock<tempfile::TempDir> = OnceLock::new();
    let copy = COPY.get_or_init(|| {
        let copy = tempfile::tempdir().expect("a temporary folder");
        for name in names() {
            std::fs::write(copy.path().join(format!("{name}.wasm")), bytes(&name)).expect("written");
        }
        copy
    });
    copy.path()
}

/// The policies in the sandbox, in order of their names; compiled once a process.
///
/// # Panics
/// When one is not built or is refused.
pub fn sandboxed() -> &'static [Arc<LoadedPolicy>] {
    static LOADED: OnceLock<Vec<Arc<LoadedPolicy>>> = OnceLock::new();
    LOADED.get_or_init(|| {
        let runtime = Runtime::new().expect("the sandbox starts");
        let cache = Cache::in_directory(&folder().with_file_name("policy-cache")).unwrap_or_default();
        let load = |name: &String| {
            let policy = runtime.load(&bytes(name), &cache).unwrap_or_else(|error| panic!("policy {name}: {error}"));
            Arc::new(policy)
        };
        names().iter().map(load).collect()
    })
}
