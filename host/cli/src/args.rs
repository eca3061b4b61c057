//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::verbs;

/// An operator for TiDB on Kubernetes whose decisions are made by sandboxed WebAssembly policies.
#[derive(Parser)]
#[command(name = "tidepool", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What goes to standard error besides progress; `info` for what serves (run, discovery), `warn` for all else
    #[arg(long, global = true, value_enum, env = "TIDEPOOL_LOG", hide_env = true, value_name = "LEVEL", display_order = LAST)]
    pub log: Option<Log>,

    #[command(subcommand)]
    pub verb: Verb,
}

/// Place in help of what every verb has: after its own.
const LAST: usize = 900;

const EXAMPLES: &str = "\
Examples:
  tidepool demo                              a TiDB cluster on an embedded Kubernetes, to play with
  tidepool demo -f my.yaml --exit-when-ready does this cluster come up? In virtual time: seconds
  tidepool plan -f my.yaml                   what would be written, from nothing
  tidepool plan -f my.yaml --kubeconfig K    … against the cluster that runs
  tidepool certs -f my.yaml                  the Secrets that a cluster with TLS needs
  tidepool run                               the operator, inside Kubernetes
  tidepool policy inspect pd.wasm            what a policy needs and can do

Exit status: 0 done, 1 not reached, 2 bad input or usage.";

impl Cli {
    /// The level of the log: as asked for, or as fits the verb.
    pub fn log(&self) -> Log {
        let serves = matches!(self.verb, Verb::Run(_) | Verb::Discovery(_));
        self.log.unwrap_or(if serves { Log::Info } else { Log::Warn })
    }
}

/// Levels of the log.
#[derive(Clone, Copy, ValueEnum)]
pub enum Log {
    /// Nothing
    Off,
    /// What failed
    Error,
    /// And what is unusual
    Warn,
    /// And what happens
    Info,
    /// And why
    Debug,
}

/// One verb, one file.
#[derive(Subcommand)]
pub enum Verb {
    /// Show a TiDB cluster on an embedded Kubernetes, decided by the policies
    Demo(verbs::demo::DemoArgs),
    /// Run the operator
    Run(verbs::run::RunArgs),
    /// Run the discovery service of one cluster, as its Deployment does
    Discovery(verbs::discovery::DiscoveryArgs),
    /// Run the simulator alone
    Sim(verbs::sim::SimArgs),
    /// Show what the policies would do now, as a diff; nothing is written
    Plan(verbs::plan::PlanArgs),
    /// Print every object that the policies would create from nothing
    Render(verbs::render::RenderArgs),
    /// Print the Secrets with certificates that clusters with TLS need
    Certs(verbs::certs::CertsArgs),
    /// Look into a policy file
    Policy(verbs::policy::PolicyArgs),
    /// Decide a recorded decision again, and compare
    Replay(verbs::replay::ReplayArgs),
    /// Print the CustomResourceDefinitions
    Crd(verbs::crd::CrdArgs),
    /// Print the version, and those of the policies
    Version(verbs::version::VersionArgs),
    /// Print a completion script for a shell
    Completions(verbs::completions::CompletionsArgs),
}

/// How results are printed.
#[derive(Args, Clone)]
pub struct OutputArgs {
    /// Print the result as JSON on standard output
    #[arg(short = 'o', long = "output", value_enum, default_value = "human", value_name = "FORMAT")]
    pub format: Format,
}

/// Formats of results.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

/// How objects are printed: as what `kubectl apply -f -` takes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ObjectFormat {
    /// One List as JSON
    Json,
    /// One List as YAML
    Yaml,
}

/// Where the policies are.
#[derive(Args, Clone)]
pub struct PolicyDirArgs {
    /// Folder of policies (*.wasm); by default `policies` beside this program or one folder above it
    #[arg(long, value_name = "DIR", env = "TIDEPOOL_POLICIES")]
    pub policy_dir: Option<PathBuf>,
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// Where compiled policies are.
#[derive(Args, Clone)]
pub struct CacheArgs {
    /// Folder in which compiled policies are kept; by default below the user's cache folder
    #[arg(long, value_name = "DIR", env = "TIDEPOOL_CACHE")]
    pub cache_dir: Option<PathBuf>,
}
