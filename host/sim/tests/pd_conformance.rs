//! The simulated PD against the recorded answers of a real one: every scenario of `tests/goldens/pd-api`, through the
//! replayer, with real HTTP and TLS and virtual time.
//!
//! Needs `python3`. Waits of a client on a silent member are real, so the slowest scenario takes about 20 s.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

const SCENARIOS_MIN: usize = 13;

#[test]
fn the_simulated_pd_answers_as_the_recorded_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let scenarios = scenarios(&root);
    assert!(scenarios.len() >= SCENARIOS_MIN, "only {} scenarios found", scenarios.len());
    let runs: Vec<_> = scenarios
        .into_iter()
        .map(|scenario| {
            let root = root.clone();
            std::thread::spawn(move || (scenario.clone(), replay(&root, &scenario)))
        })
        .collect();
    let mut failed = String::new();
    for run in runs {
        let (scenario, (ok, output)) = run.join().unwrap();
        if !ok {
            failed.push_str(&format!("{}:\n{output}\n", scenario.display()));
        }
    }
    assert!(failed.is_empty(), "answers differ from the recorded ones:\n{failed}");
}

fn scenarios(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join("tests/goldens/pd-api"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .filter(|path| path.file_name().is_some_and(|it| it != "timings.json"))
        .collect();
    files.sort();
    files
}

fn replay(root: &Path, scenario: &Path) -> (bool, String) {
    let name = scenario.file_stem().unwrap().to_string_lossy().into_owned();
    let tls_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pd-tls-{name}"));
    let driver = format!("{} --tls-dir {}", root.join("tests/pd-api/driver").display(), tls_dir.display());
    let output = Command::new("python3")
        .arg(root.join("tests/tools/pd_conformance.py"))
        .arg(scenario)
        .args(["--clock", "driver", "--driver", &driver, "--tls-dir"])
        .arg(&tls_dir)
        .env("PD_DRIVER", env!("CARGO_BIN_EXE_pd-driver"))
        .output()
        .expect("failed to run python3");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}
