//! `tidepool replay`: decide a recorded decision again and compare, byte for byte.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use similar::TextDiff;
use tidepool_model::record::{Outcome, Record, digest};
use tidepool_policy::LoadedPolicy;

use crate::{
    args::{Format, OutputArgs, PolicyDirArgs},
    failure::{BadInput, NOT_REACHED},
    output, policies,
};

/// Arguments of `tidepool replay`.
#[derive(Args)]
pub struct ReplayArgs {
    /// Records as `--record-dir` writes them: one JSON object a line
    file: PathBuf,
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

/// Replays every record of the file.
pub fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let registry = policies::load(&args.policies)?;
    let file = std::fs::File::open(&args.file).with_context(|| format!("failed to open {}", args.file.display()))?;
    let mut rows = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("failed to read {}", args.file.display()))?;
        let record: Record = serde_json::from_str(&line)
            .map_err(|error| BadInput(format!("{}: line {}: not a record: {error}", args.file.display(), index + 1)))?;
        let policy = registry.current(&record.component);
        rows.push(replay(index + 1, record, policy.as_deref(), args.any_digest)?);
    }
    print(&rows, args.output.format)?;
    let good = rows.iter().all(|row| row.result == Verdict::Same);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(NOT_REACHED) })
}

fn replay(line: usize, record: Record, policy: Option<&LoadedPolicy>, any_digest: bool) -> anyhow::Result<Row> {
    let mut row = Row {
        line,
        cluster: record.cluster.clone(),
        component: record.component.clone(),
        result: Verdict::Same,
        diff: String::new(),
    };
    if digest(&serde_json::to_vec(&*record.snapshot)?) != record.snapshot_digest {
        row.result = Verdict::Damaged;
        return Ok(row);
    }
    let Some(policy) = policy.filter(|policy| any_digest || policy.digest() == record.policy) else {
        row.result = Verdict::OtherDigest;
        return Ok(row);
    };
    let decision = policy.decide(Arc::clone(&record.snapshot));
    let (recorded, now) = (text(&record.outcome)?, text(&decision.outcome)?);
    // The same digest must burn the same fuel: a difference there shows nondeterminism that the plan hides.
    let fuel_differs = policy.digest() == record.policy && decision.fuel != record.fuel;
    if recorded != now || fuel_differs {
        row.result = Verdict::Different;
        row.diff = TextDiff::from_lines(&recorded, &now).unified_diff().header("recorded", "replayed").to_string();
        if fuel_differs {
            row.diff.push_str(&format!("fuel: recorded {}, replayed {}\n", record.fuel, decision.fuel));
        }
    }
    Ok(row)
}

fn text(outcome: &Outcome) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(outcome)? + "\n")
}

fn print(rows: &[Row], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::json(&rows);
    }
    let mut table = output::table(&["line", "cluster", "component", "result"]);
    for row in rows {
        let result = match row.result {
            Verdict::Same => "same",
            Verdict::Different => "different",
            Verdict::Damaged => "damaged: the snapshot is not the one that was recorded",
            Verdict::OtherDigest => {
                "not replayed: no policy with the recorded digest; --any-digest uses the one that is there"
            }
        };
        table.add_row([&row.line.to_string(), &row.cluster, &row.component, result]);
    }
    output::text(table.to_string())?;
    for row in rows.iter().filter(|row| !row.diff.is_empty()) {
        output::text(format!("\nline {}, {} of {}:\n{}", row.line, row.component, row.cluster, row.diff))?;
    }
    let same = rows.iter().filter(|row| row.result == Verdict::Same).count();
    output::text(format!("{same} of {} decisions replayed the same", rows.len()))
}
