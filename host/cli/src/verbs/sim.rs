//! `tidepool sim`: the simulator alone.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use tidepool_api::crd;
use tidepool_sim::{
    audit::AuditLog,
    clock::{Clock, Seed},
    data::nodes::NodesOptions,
    simulation::{Options, Simulation},
};

use crate::{
    failure::{Hint, LISTEN_HINT},
    runtime,
};

/// Arguments of `tidepool sim`.
#[derive(Args)]
pub struct SimArgs {
    #[command(subcommand)]
    verb: SimVerb,
}

#[derive(Subcommand)]
enum SimVerb {
    /// Serve an embedded Kubernetes with simulated nodes and TiDB processes until interrupted
    Serve(ServeArgs),
}

const EXAMPLES: &str = "\
Examples:
  tidepool sim serve --write-kubeconfig K               then: KUBECONFIG=K kubectl get nodes
  tidepool sim serve --write-kubeconfig K --data-dir D  goes on from D when it is started again
  tidepool sim serve --bare --write-kubeconfig K        an API server with its controllers alone";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct ServeArgs {
    /// Where the API server listens; PD, TiKV and TiDB get the port after it, if it is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// Write a kubeconfig for it to this file
    #[arg(long, value_name = "FILE")]
    write_kubeconfig: Option<PathBuf>,
    /// Only the control plane: no nodes, kubelets, scheduler or custom resources
    #[arg(long)]
    bare: bool,
    #[command(flatten)]
    world: WorldArgs,
}

/// What every simulation is made of.
#[derive(Args, Clone)]
pub struct WorldArgs {
    /// Seed of all randomness
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Number of simulated nodes
    #[arg(long, value_name = "NUMBER", default_value_t = NodesOptions::default().count)]
    pub nodes: usize,
    /// Write each mutating request to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// Keep the state in this folder, and go on from what is there
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl WorldArgs {
    /// Options of a simulation on `clock`, with our custom resources unless `bare`.
    ///
    /// # Errors
    /// When the audit file cannot be created.
    pub fn options(&self, mut options: Options) -> anyhow::Result<Options> {
        if let Some(file) = &self.audit {
            options.audit = AuditLog::to_file(file)
                .with_context(|| format!("failed to create the audit log {}", file.display()))
                .hint("name a file in a folder that can be written to")?;
        }
        options.data_dir = self.data_dir.clone();
        options.nodes.count = self.nodes;
        options.crds = vec![crd::tidb_cluster(), crd::policy_module()];
        Ok(options)
    }
}

/// Runs the verb.
pub fn run(args: SimArgs) -> anyhow::Result<ExitCode> {
    let SimVerb::Serve(args) = args.verb;
    runtime::real()?.block_on(serve(args))
}

async fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let mut options = args.world.options(Options::new(Clock::system(), Seed(args.world.seed)))?;
    if args.bare {
        options.bare = true;
        options.crds.clear();
    }
    let simulation = start(options).await?;
    let served = simulation.serve(args.listen).await.hint(LISTEN_HINT)?;
    if let Some(file) = &args.write_kubeconfig {
        write_kubeconfig(file, &served.kubeconfig())?;
        eprintln!("export KUBECONFIG={}", std::path::absolute(file).unwrap_or_else(|_| file.clone()).display());
    }
    eprintln!("Kubernetes API at http://{}", served.api);
    if let Some(components) = served.components {
        eprintln!("PD, TiKV and TiDB at http://{components}, told apart by their Host header");
    }
    runtime::interrupted().await;
    drop(served);
    simulation.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Starts a simulation.
///
/// # Errors
/// When its state folder cannot be used, or what it starts with is refused.
pub async fn start(options: Options) -> anyhow::Result<Simulation> {
    let kept = options.data_dir.is_some();
    let started = Simulation::start(options).await;
    if kept {
        return started.hint("--data-dir must name a folder of this simulator alone, on a disk with room left");
    }
    Ok(started?)
}

/// Writes a kubeconfig at once, folders above it included.
///
/// # Errors
/// When the file cannot be written.
pub fn write_kubeconfig(file: &Path, text: &str) -> anyhow::Result<()> {
    let part = file.with_extension("part");
    let write = || {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&part, text)?;
        std::fs::rename(&part, file)
    };
    // Half a file is of no use; that it cannot be removed says no more than that it cannot be written.
    write()
        .inspect_err(|_| drop(std::fs::remove_file(&part)))
        .with_context(|| format!("failed to write the kubeconfig {}", file.display()))
        .hint("choose another file with --write-kubeconfig")
}
