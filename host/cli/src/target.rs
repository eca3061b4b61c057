//! The Kubernetes cluster that a command works on.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tidepool_pd::Http;
use tidepool_sim::simulation::COMPONENT_ADDRESS_EXTENSION;

use crate::failure::{BadInput, Hint};

const NO_KUBECONFIG: &str =
    "there is no kubeconfig ($KUBECONFIG, ~/.kube/config), and this is no pod with a service account";

/// Which cluster.
#[derive(Args, Clone, Default)]
pub struct TargetArgs {
    /// The kubeconfig file; by default $KUBECONFIG, ~/.kube/config, or the pod's own service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Reach all components (PD, TiKV, …) at this address, told apart by their Host header; a simulator's kubeconfig says it by itself
    #[arg(long, value_name = "ADDR")]
    pub component_address: Option<SocketAddr>,
}

/// A reachable cluster.
pub struct Target {
    /// Its API server.
    pub client: Client,
    /// Its components.
    pub http: Http,
}

/// Connects, and asks for the version once, so that a wrong address shows at once.
///
/// # Errors
/// When the kubeconfig is not in order or its server does not answer.
pub async fn connect(args: &TargetArgs, user_agent: &str) -> anyhow::Result<Target> {
    let (target, url) = open(args, user_agent).await?;
    match target.client.apiserver_version().await {
        Ok(_) => Ok(target),
        // What there is below says the layers of a connection; the last one says what is wrong.
        Err(error) => Err(anyhow::anyhow!("no Kubernetes API server answers at {url}: {}", innermost(&error)))
            .hint("check the server in the kubeconfig, or start one with `tidepool sim serve`"),
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}

/// The same without asking; and the API server's URL.
///
/// # Errors
/// When the kubeconfig is not in order.
pub async fn open(args: &TargetArgs, user_agent: &str) -> anyhow::Result<(Target, String)> {
    let (mut config, extension) = config(args).await?;
    config.headers.push((http::header::USER_AGENT, user_agent.parse().context("user agent")?));
    let url = config.cluster_url.to_string();
    let client = Client::try_from(config).context("failed to set up the Kubernetes client")?;
    let http = match args.component_address.or(extension) {
        Some(address) => Http::fixed(address),
        None => Http::network(),
    };
    Ok((Target { client, http }, url))
}

async fn config(args: &TargetArgs) -> anyhow::Result<(Config, Option<SocketAddr>)> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let kubeconfig = match &args.kubeconfig {
        Some(file) => Kubeconfig::read_from(file).map_err(|error| unreadable(file, &error))?,
        None => match Kubeconfig::read() {
            Ok(kubeconfig) => kubeconfig,
            Err(error) if std::env::var_os("KUBECONFIG").is_some_and(|files| !files.is_empty()) => {
                return Err(BadInput(format!("failed to read the kubeconfig that $KUBECONFIG names: {error}")).into());
            }
            Err(_) => {
                let config = Config::incluster().map_err(|_| BadInput(NO_KUBECONFIG.to_owned()));
                return Ok((config.hint("name a kubeconfig with --kubeconfig")?, None));
            }
        },
    };
    let extension = component_address(&kubeconfig, args.context.as_deref());
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| BadInput(format!("the kubeconfig is not in order: {error}")))?;
    Ok((config, extension))
}

fn unreadable(file: &Path, error: &KubeconfigError) -> BadInput {
    let why = match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        other => other.to_string(),
    };
    BadInput(format!("failed to read the kubeconfig {}: {why}", file.display()))
}

/// What a simulator wrote into its kubeconfig for us.
fn component_address(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<SocketAddr> {
    let context = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|c| c.name == context)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|c| c.name == context.cluster)?.cluster.as_ref()?;
    let extensions = cluster.extensions.as_ref()?;
    let ours = extensions.iter().find(|extension| extension.name == COMPONENT_ADDRESS_EXTENSION)?;
    ours.extension["address"].as_str()?.parse().ok()
}
