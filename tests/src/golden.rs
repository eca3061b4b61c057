//! Expected texts: compared, or written anew where `UPDATE_GOLDEN` is set (`make golden`).

use std::{fs, path::Path};

use similar::TextDiff;

/// Whether expected texts are written instead of compared.
pub fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1")
}

/// Compares `text` with the file at `path`.
///
/// # Errors
/// The difference, and how to accept it.
pub fn compare(path: &Path, text: &str) -> Result<(), String> {
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == text {
        return Ok(());
    }
    if updating() {
        let folder = path.parent().ok_or("a golden file lies in a folder")?;
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        return fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()));
    }
    let diff = TextDiff::from_lines(expected.as_str(), text);
    let diff = diff.unified_diff().context_radius(3).header("expected", "now").to_string();
    Err(format!("{} differs; if that is right, run `make golden` and read the diff\n{diff}", path.display()))
}

/// As [`compare`], for tests with one file.
///
/// # Panics
/// When the text differs.
#[track_caller]
pub fn assert_text(path: &Path, text: &str) {
    if let Err(difference) = compare(path, text) {
        panic!("{difference}");
    }
}
