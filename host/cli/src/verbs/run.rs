//! `tidepool run`: the operator.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use tidepool_operator::{Config, LeaseConfig, Operator};
use tidepool_sim::clock::Clock;
use tokio::sync::mpsc;

use crate::{
    args::PolicyDirArgs,
    failure::{Hint, LISTEN_HINT},
    folder,
    follow::Follow,
    policies, runtime,
    target::{self, TargetArgs},
};

const LEASE_NAME: &str = "tidepool-operator";

const EXAMPLES: &str = "\
Examples:
  tidepool run                          inside Kubernetes, as its service account
  tidepool run --kubeconfig K           outside; `tidepool sim serve --write-kubeconfig K` is a cluster
  tidepool run -n tidb --record-dir R   one namespace; each decision to R, for `tidepool replay`
  curl http://127.0.0.1:8080/metrics    rounds, decisions, waits; also /healthz and /readyz";

/// Arguments of `tidepool run`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    policies: PolicyDirArgs,
    /// The only namespace to look at; all without
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Serve metrics, health and readiness here
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Work without electing a leader first: only where there is one instance
    #[arg(long)]
    no_leader_election: bool,
    /// Namespace of the leader's lease
    #[arg(long, value_name = "NAMESPACE", default_value = "default", env = "POD_NAMESPACE")]
    lease_namespace: String,
    /// Name of this instance
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: Option<String>,
    /// Write each decision to files in this folder, for `tidepool replay`
    #[arg(long, value_name = "DIR")]
    record_dir: Option<PathBuf>,
}

/// Runs the operator until it is interrupted.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let registry = policies::load(&args.policies)?;
    let directory = policies::directory(&args.policies)?;
    let (tell, mut changes) = mpsc::unbounded_channel();
    let _watch = folder::watch(&directory, registry.clone(), move |change| {
        // Nobody listens only when the operator ends.
        let _ = tell.send(change);
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
        let operator = Operator::new(config);
        if let Some(address) = operator.listen().await.hint(LISTEN_HINT)? {
            eprintln!("metrics and health at http://{address}");
        }
        let refusals = async {
            while let Some(change) = changes.recv().await {
                // The operator itself tells of a swap.
                if let Err(refused) = &change {
                    tracing::warn!("{}", folder::told(&change));
                    operator.tell_refused(refused).await;
                }
            }
            // Without a watch of the folder the policies stay as they are, and so does the operator.
            std::future::pending::<()>().await
        };
        let follow = async {
            let (mut progress, mut follow) = (operator.progress(), Follow::in_log());
            while progress.changed().await.is_ok() {
                let all = progress.borrow_and_update().clone();
                follow.show(&all);
            }
            std::future::pending::<()>().await
        };
        tokio::select! {
            ended = operator.run(runtime::interrupted()) => ended.context("the operator stopped")?,
            () = refusals => {}
            () = follow => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}
