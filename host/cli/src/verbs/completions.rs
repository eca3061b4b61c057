//! `tidepool completions`: scripts for shells.

use std::process::ExitCode;

use clap::{Args, CommandFactory};

use crate::{args::Cli, output};

const EXAMPLES: &str = "\
Examples:
  source <(tidepool completions bash)                                          this shell
  tidepool completions bash > ~/.local/share/bash-completion/completions/tidepool
  tidepool completions zsh  > ~/.zfunc/_tidepool                               with ~/.zfunc in $fpath
  tidepool completions fish > ~/.config/fish/completions/tidepool.fish";

/// Arguments of `tidepool completions`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(args: CompletionsArgs) -> anyhow::Result<ExitCode> {
    // Straight to standard output, a reader that goes away early would be a panic.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidepool", &mut script);
    output::text(String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
