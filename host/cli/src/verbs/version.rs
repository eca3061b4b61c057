//! `tidepool version`: this program and the policies it would load.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::{
    args::{Format, OutputArgs, PolicyDirArgs},
    failure, output, policies,
};

/// Arguments of `tidepool version`.
#[derive(Args)]
pub struct VersionArgs {
    #[command(flatten)]
    policies: PolicyDirArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the version. Policies are listed where they are found; without them the version is still an answer.
pub fn run(args: VersionArgs) -> anyhow::Result<ExitCode> {
    let loaded = policies::load(&args.policies);
    let policies: Vec<_> =
        loaded.iter().flat_map(|registry| registry.policies().values().cloned().collect::<Vec<_>>()).collect();
    if args.output.format == Format::Json {
        let rows = policies.iter().map(|policy| {
            json!({"component": policy.descriptor().component, "version": policy.descriptor().version, "digest": policy.digest()})
        });
        output::json(&json!({"version": env!("CARGO_PKG_VERSION"), "policies": rows.collect::<Vec<_>>()}))?;
    } else {
        output::text(format!("tidepool {}", env!("CARGO_PKG_VERSION")))?;
        if !policies.is_empty() {
            let mut table = output::table(&["policy", "version", "digest"]);
            for policy in policies {
                let descriptor = policy.descriptor();
                table.add_row([&descriptor.component, &descriptor.version, policy.digest()]);
            }
            output::rows(&table)?;
        }
    }
    if let Err(error) = loaded {
        eprintln!("no policies: {}", failure::chain(&error));
    }
    Ok(ExitCode::SUCCESS)
}
