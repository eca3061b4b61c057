//! The `tidepool` command: one file per verb.

mod args;
mod certificates;
mod documents;
mod failure;
mod folder;
mod follow;
mod input;
mod output;
mod policies;
mod runtime;
mod target;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Verb};

fn main() -> ExitCode {
    let cli = Cli::parse_from(verbs::discovery::as_verb(std::env::args_os()));
    match run(cli) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    output::start_log(cli.log());
    match cli.verb {
        Verb::Demo(args) => verbs::demo::run(args),
        Verb::Run(args) => verbs::run::run(args),
        Verb::Discovery(args) => verbs::discovery::run(args),
        Verb::Sim(args) => verbs::sim::run(args),
        Verb::Plan(args) => verbs::plan::run(args),
        Verb::Render(args) => verbs::render::run(args),
        Verb::Certs(args) => verbs::certs::run(args),
        Verb::Policy(args) => verbs::policy::run(args),
        Verb::Replay(args) => verbs::replay::run(args),
        Verb::Crd(args) => verbs::crd::run(args),
        Verb::Version(args) => verbs::version::run(args),
        Verb::Completions(args) => verbs::completions::run(args),
    }
}
