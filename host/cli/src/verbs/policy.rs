//! `tidepool policy`: look into a policy file.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::json;
use tidepool_model::Descriptor;
use tidepool_policy::{
    Runtime,
    inspect::{self, Surface},
};

use crate::{
    args::{CacheArgs, Format, OutputArgs},
    failure::BadInput,
    input::unreadable,
    output, policies,
};

/// Arguments of `tidepool policy`.
#[derive(Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    verb: PolicyVerb,
}

#[derive(Subcommand)]
enum PolicyVerb {
    /// Print imports, exports, needs, digest and size of a policy file, or why it is none
    Inspect {
        /// The component file
        file: PathBuf,
        #[command(flatten)]
        cache: CacheArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Runs the verb.
pub fn run(args: PolicyArgs) -> anyhow::Result<ExitCode> {
    match args.verb {
        PolicyVerb::Inspect { file, cache, output } => inspect_file(&file, &cache, &output),
    }
}

fn inspect_file(file: &PathBuf, cache: &CacheArgs, output: &OutputArgs) -> anyhow::Result<ExitCode> {
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    let refused = |why: String| BadInput(format!("{}: {why}", file.display()));
    let surface = inspect::verify(&bytes).map_err(|error| refused(error.to_string()))?;
    let runtime = Runtime::new().map_err(|error| anyhow::anyhow!("failed to start the sandbox: {error:#}"))?;
    let policy = runtime.load(&bytes, &policies::cache(cache)).map_err(|error| refused(error.to_string()))?;
    if output.format == Format::Json {
        output::json(&json!({
            "file": file, "digest": policy.digest(), "bytes": bytes.len(),
            "imports": surface.imports, "exports": surface.exports, "descriptor": policy.descriptor(),
        }))?;
    } else {
        output::text(describe(&surface, policy.descriptor(), policy.digest(), bytes.len() as u64))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(surface: &Surface, descriptor: &Descriptor, digest: &str, bytes: u64) -> String {
    let Descriptor { component, version, after, watches, pods, probes, calls, pd, actions, writes, status } =
        descriptor;
    let mut lines = vec![
        format!("Component:  {component} {version}"),
        format!("Digest:     {digest}"),
        format!("Size:       {}", output::bytes(bytes)),
        format!("After:      {}", list(after.iter().cloned())),
        format!(
            "Reads:      {}",
            list(watches.iter().map(|w| format!("{} ({})", w.kind, format!("{:?}", w.of).to_lowercase())))
        ),
        format!("Pods:       {}", pods.as_deref().unwrap_or("-")),
        format!("PD:         {}", list(pd.iter().map(|read| format!("{read:?}").to_lowercase()))),
        format!("Probes:     {}", list(probes.iter().map(|p| format!("GET :{}{}", p.port, p.path)))),
        format!("Calls:      {}", list(calls.iter().map(|c| format!("{} :{}{}", c.method, c.port, c.path)))),
        format!("Plans:      {}", list(actions.iter().cloned())),
        format!("Writes:     {}", list(writes.iter().map(|kind| kind.kind.clone()))),
        format!("Status:     {}", list(status.iter().cloned())),
    ];
    for (title, interfaces) in [("Imports:", &surface.imports), ("Exports:", &surface.exports)] {
        lines.push(title.to_owned());
        for (interface, functions) in interfaces {
            let functions = functions.iter().map(|function| function.trim_start_matches("[method]"));
            lines.push(format!("  {interface}"));
            lines.extend(functions.map(|function| format!("    {function}")));
        }
    }
    lines.join("\n")
}

fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() { "-".into() } else { words.join(", ") }
}
