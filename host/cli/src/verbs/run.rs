//! `tidepool run`: the operator.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use tidepool_operator::{Config, LeaseConfig, Operator};
use tidepool_sim::clock::Clock;

use crate::{
    args::PolicyDirArgs,
    folder, policies, runtime,
    target::{self, TargetArgs},
};

const LEASE_NAME: &str = "tidepool-operator";

/// Arguments of `tidepool run`.
#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    policies: PolicyDirArgs,
    /// The only namespace to look at; all without
    #[arg(short, long)]
    namespace: Option<String>,
    /// Serve metrics, health and readiness here
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Work without electing a leader first: only where there is one instance
    #[arg(long)]
    no_leader_election: bool,
    /// Namespace of the leader's lease
    #[arg(long, default_value = "default", env = "POD_NAMESPACE")]
    lease_namespace: String,
    /// Name of this instance
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// Write each decision to files in this folder, for `tidepool replay`
    #[arg(long, value_name = "DIR")]
    record_dir: Option<PathBuf>,
}

/// Runs the operator until it is interrupted.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let registry = policies::load(&args.policies)?;
    let directory = policies::directory(&args.policies)?;
    let _watch = folder::watch(&directory, registry.clone(), |change| match change {
        Ok(swapped) => eprintln!("{} is now decided by {}", swapped.component, swapped.now),
        Err(refused) => eprintln!("refused, the old policy goes on: {refused}"),
    })?;
    runtime::real()?.block_on(async {
        let target = target::connect(&args.target, "tidepool").await?;
        let clock = Clock::system();
        let mut config = Config::new(target.client, registry, target.http, Arc::new(move || clock.now_ms()));
        let identity = args.identity.unwrap_or_else(|| format!("tidepool-{}", std::process::id()));
        config.instance = identity.clone();
        config.namespace = args.namespace;
        config.listen = Some(args.listen);
        config.record_directory = args.record_dir;
        config.lease = (!args.no_leader_election).then(|| LeaseConfig {
            namespace: args.lease_namespace,
            name: LEASE_NAME.into(),
            identity,
        });
        eprintln!("metrics and health at http://{}", args.listen);
        Operator::new(config).run(runtime::interrupted()).await.context("the operator stopped")?;
        Ok(ExitCode::SUCCESS)
    })
}
