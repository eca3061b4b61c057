//! `tidepool replay`: decide a recorded decision again and compare, byte for byte.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use serde::Serialize;
use similar::TextDiff;
use tidepool_model::record::{Outcome, Record, digest};
use tidepool_policy::{LoadedPolicy, Registry};

use crate::{
    args::{Format, OutputArgs, PolicyDirArgs},
    failure::{BadInput, NOT_REACHED},
    input::unreadable,
    output, policies,
};

const EXAMPLES: &str = "\
Examples:
  tidepool replay R/*                                the same decisions again, byte for byte
  tidepool replay R/* --any-digest --policy-dir next what would the next policies have decided?";

/// Arguments of `tidepool replay`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    /// Records as `--record-dir` writes them: one JSON object a line
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Decide with the policies that are there, also where their digest is another than the recorded one: what would the next version do?
    #[arg(long)]
    any_digest: bool,
    #[command(flatten)]
    policies: PolicyDirArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How one record came out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    file: String,
    line: usize,
    cluster: String,
    component: String,
    result: Verdict,
    #[serde(skip_serializing_if = "String::is_empty")]
    diff: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Same,
    Different,
    /// The file was changed after it was written.
    Damaged,
    /// The policy with the recorded digest is not here.
    OtherDigest,
}

/// Replays every record of the files.
pub fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let registry = policies::load(&args.policies)?;
    let mut rows = Vec::new();
    for file in &args.files {
        replay_file(file, &registry, args.any_digest, &mut rows)?;
    }
    if rows.is_empty() {
        return Err(
            BadInput("none of the files has a record; `--record-dir` of demo and run writes them".into()).into()
        );
    }
    print(&rows, args.output.format)?;
    let good = rows.iter().all(|row| row.result == Verdict::Same);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(NOT_REACHED) })
}

fn replay_file(file: &Path, registry: &Registry, any_digest: bool, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let lines = BufReader::new(File::open(file).map_err(|error| unreadable(file, &error))?).lines();
    for (line, text) in (1..).zip(lines) {
        let text = text.map_err(|error| unreadable(file, &error))?;
        let record: Record = serde_json::from_str(&text)
            .map_err(|error| BadInput(format!("{}: line {line}: not a record: {error}", file.display())))?;
        let policy = registry.current(&record.component);
        let (result, diff) = replay(&record, policy.as_deref(), any_digest)?;
        let Record { cluster, component, .. } = record;
        rows.push(Row { file: file.display().to_string(), line, cluster, component, result, diff });
    }
    Ok(())
}

fn replay(record: &Record, policy: Option<&LoadedPolicy>, any_digest: bool) -> anyhow::Result<(Verdict, String)> {
    if digest(&serde_json::to_vec(&*record.snapshot)?) != record.snapshot_digest {
        return Ok((Verdict::Damaged, String::new()));
    }
    let Some(policy) = policy.filter(|policy| any_digest || policy.digest() == record.policy) else {
        return Ok((Verdict::OtherDigest, String::new()));
    };
    let decision = policy.decide(Arc::clone(&record.snapshot));
    let (recorded, now) = (text(&record.outcome)?, text(&decision.outcome)?);
    // The same digest must burn the same fuel: a difference there shows nondeterminism that the plan hides.
    let fuel_differs = policy.digest() == record.policy && decision.fuel != record.fuel;
    if recorded == now && !fuel_differs {
        return Ok((Verdict::Same, String::new()));
    }
    let mut diff = TextDiff::from_lines(&recorded, &now).unified_diff().header("recorded", "replayed").to_string();
    if fuel_differs {
        diff.push_str(&format!("fuel: recorded {}, replayed {}\n", record.fuel, decision.fuel));
    }
    Ok((Verdict::Different, diff))
}

fn text(outcome: &Outcome) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(outcome)? + "\n")
}

fn print(rows: &[Row], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::json(&rows);
    }
    let mut table = output::table(&["file", "line", "cluster", "component", "result"]);
    // Of hundreds that are the same, one that is not would not be seen.
    for row in rows.iter().filter(|row| row.result != Verdict::Same) {
        let result = match row.result {
            Verdict::Same => "same",
            Verdict::Different => "different",
            Verdict::Damaged => "damaged: the snapshot is not the one that was recorded",
            Verdict::OtherDigest => {
                "not replayed: no policy with the recorded digest; --any-digest uses the one that is there"
            }
        };
        table.add_row([&row.file, &row.line.to_string(), &row.cluster, &row.component, result]);
    }
    if !table.is_empty() {
        output::rows(&table)?;
    }
    for row in rows.iter().filter(|row| !row.diff.is_empty()) {
        output::text(format!(
            "\n{}, line {}, {} of {}:\n{}",
            row.file, row.line, row.component, row.cluster, row.diff
        ))?;
    }
    let same = rows.iter().filter(|row| row.result == Verdict::Same).count();
    output::text(format!("{same} of {} decisions are the same again", rows.len()))
}
