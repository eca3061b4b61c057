//! Each script in `tests/scenarios` is played; what happens is its golden transcript beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidepool_tests::{golden, parallel, scenario, world::in_virtual_time};

const SEED: u64 = 1;

#[test]
fn every_scenario_goes_as_its_transcript_says() {
    let scripts = scripts();
    assert!(!scripts.is_empty(), "no scenarios");
    let complaints = parallel::each(&scripts, |script| complaints_about(script)).concat();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn complaints_about(script: &Path) -> Vec<String> {
    let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let text = fs::read_to_string(script).expect("a script");
    let again = format!("SCENARIO={name} cargo test -p tidepool-tests --test world scenario");
    match in_virtual_time(scenario::play(&text, SEED, &again)) {
        Ok(played) => {
            let broken = played.broken.into_iter().map(|broken| format!("{name}: {broken}"));
            broken.chain(golden::compare(&script.with_extension("out"), &played.transcript).err()).collect()
        }
        Err(error) => vec![format!("{name}: {error:#}")],
    }
}

#[test]
fn every_transcript_has_its_script() {
    for entry in fs::read_dir(folder()).expect("the scenarios") {
        let path = entry.expect("an entry").path();
        let known = match path.extension().and_then(|extension| extension.to_str()) {
            Some("txt" | "yaml") => true,
            Some("out") => path.with_extension("txt").exists(),
            _ => false,
        };
        assert!(known, "{}: neither a script, nor the transcript of one, nor what one applies", path.display());
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn scripts() -> Vec<PathBuf> {
    let only = std::env::var("SCENARIO").ok();
    let entries = fs::read_dir(folder()).expect("the scenarios").map(|entry| entry.expect("an entry").path());
    let mut scripts: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .filter(|path| only.as_ref().is_none_or(|only| path.file_stem().is_some_and(|stem| *stem == **only)))
        .collect();
    scripts.sort();
    scripts
}
