//! `tidepool completions`: scripts for shells.

use std::process::ExitCode;

use clap::{Args, CommandFactory};

use crate::args::Cli;

/// Arguments of `tidepool completions`.
#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(args: CompletionsArgs) -> anyhow::Result<ExitCode> {
    clap_complete::generate(args.shell, &mut Cli::command(), "tidepool", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
