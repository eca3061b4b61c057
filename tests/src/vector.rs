//! Conformance vectors: one file holds what a policy sees and what it answers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidepool_model::{Snapshot, record::Outcome};

/// One vector: `tests/vectors/<policy>/<name>.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vector {
    /// The situation, and what the policy must do in it, in a sentence.
    pub description: String,
    /// What the policy answers.
    pub outcome: Value,
    /// What the policy sees.
    pub snapshot: Snapshot,
}

impl Vector {
    /// A vector of this decision.
    ///
    /// # Errors
    /// When the outcome cannot be written as JSON.
    pub fn new(description: &str, snapshot: &Snapshot, outcome: &Outcome) -> serde_json::Result<Self> {
        let snapshot = snapshot.clone();
        Ok(Self { description: description.to_owned(), outcome: serde_json::to_value(outcome)?, snapshot })
    }

    /// The text of its file.
    ///
    /// # Errors
    /// When the snapshot cannot be written as JSON.
    pub fn text(&self) -> serde_json::Result<String> {
        // Through a value, so that the objects in the snapshot are laid out as well.
        Ok(serde_json::to_string_pretty(&serde_json::to_value(self)?)? + "\n")
    }
}

/// The folder of all vectors.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Where the vectors of the policy for `component` lie, in order of their names.
pub fn files(component: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(component)).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
}

/// Reads a vector.
///
/// # Errors
/// When the file cannot be read, or is no vector.
pub fn read(path: &Path) -> anyhow::Result<Vector> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}
