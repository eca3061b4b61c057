//! Writes a vector for each situation that has none yet: `cargo run -p tidepool-tests --example vectors`.

use std::{fs, sync::Arc};

use tidepool_tests::{
    render::natives,
    situations,
    vector::{Vector, folder},
};

fn main() -> anyhow::Result<()> {
    let natives = natives();
    for situation in situations::all() {
        let Some(policy) = natives.iter().find(|policy| policy.descriptor.component == situation.component) else {
            continue;
        };
        let path = folder().join(situation.component).join(format!("{}.json", situation.name));
        if path.exists() {
            continue;
        }
        let snapshot = match situation.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => {
                eprintln!("{}/{}: {error}", situation.component, situation.name);
                continue;
            }
        };
        let outcome = (policy.decide)(Arc::clone(&snapshot));
        fs::create_dir_all(folder().join(situation.component))?;
        fs::write(&path, Vector::new(situation.description, &snapshot, &outcome)?.text()?)?;
        eprintln!("{}", path.display());
    }
    Ok(())
}
