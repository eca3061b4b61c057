//! Makes a vector of a recorded decision: `vector RECORDS.jsonl LINE NAME DESCRIPTION`, where `tidepool demo --record-dir`
//! or `tidepool run --record-dir` wrote the records. What went wrong once becomes a vector that way.

use std::fs;

use anyhow::Context;
use tidepool_model::record::Record;
use tidepool_tests::vector::{Vector, folder};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, line, name, description] = &args[..] else {
        anyhow::bail!("usage: vector RECORDS.jsonl LINE NAME DESCRIPTION");
    };
    let line: usize = line.parse().context("the number of a line")?;
    let text = fs::read_to_string(file)?;
    let record = line.checked_sub(1).and_then(|at| text.lines().nth(at)).context("there is no such line")?;
    let record: Record = serde_json::from_str(record)?;
    let path = folder().join(&record.component).join(format!("{name}.json"));
    anyhow::ensure!(!path.exists(), "{} is there already", path.display());
    fs::write(&path, Vector::new(description, &record.snapshot, &record.outcome)?.text()?)?;
    eprintln!("{}", path.display());
    Ok(())
}
