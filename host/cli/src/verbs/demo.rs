//! `tidepool demo`: embedded Kubernetes, simulated TiDB and the operator in one process.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tidepool_api::input::Document;
use tidepool_model::WaitingOn;
use tidepool_operator::{ClusterKey, ClusterProgress, Config, Executor, Operator, Progress};
use tidepool_policy::Registry;
use tidepool_sim::{
    clock::{Clock, Seed},
    simulation::{Options, Simulation},
};
use tokio::sync::mpsc;

use crate::{
    args::{Format, OutputArgs, PolicyDirArgs},
    certificates, documents,
    failure::{Hint, LISTEN_HINT, NOT_REACHED},
    folder::{self, Change},
    follow::{self, Follow},
    input, output, policies, runtime,
    verbs::sim::{WorldArgs, start, write_kubeconfig},
};

const BASIC: &str = include_str!("../../../../examples/basic.yaml");

const EXAMPLES: &str = "\
Examples:
  tidepool demo                              a cluster to play with, until Ctrl-C
  tidepool demo -f my.yaml -f secrets.yaml   your cluster, with what else it needs
  tidepool demo --exit-when-ready -f my.yaml does it come up? In virtual time: seconds
  tidepool demo --seed 7 --audit log.jsonl   what is written, and when; the same seed, the same log";

/// Arguments of `tidepool demo`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// TidbClusters and other objects to apply (YAML, `-` for standard input); a cluster of 3 PD, 3 TiKV and 2 TiDB without
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// End as soon as every TidbCluster is Ready: 0 if so, 1 with the reasons if not within --timeout
    #[arg(long)]
    exit_when_ready: bool,
    /// How long to wait for Ready, in seconds of the demo's clock
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    timeout: u64,
    /// The demo's clock; by default virtual with --exit-when-ready, real without
    #[arg(long, value_enum)]
    time: Option<Time>,
    /// Where the API server listens, in real time; PD, TiKV and TiDB get the port after it, if it is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:16443")]
    listen: SocketAddr,
    /// Where the kubeconfig is written, in real time
    #[arg(long, value_name = "FILE", default_value = ".demo/kubeconfig")]
    write_kubeconfig: PathBuf,
    /// Write each decision to files in this folder, for `tidepool replay`
    #[arg(long, value_name = "DIR")]
    record_dir: Option<PathBuf>,
    #[command(flatten)]
    policies: PolicyDirArgs,
    #[command(flatten)]
    world: WorldArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Which clock.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Time {
    /// The machine's
    Real,
    /// As fast as the machine can; nothing listens
    Virtual,
}

/// Runs the demo.
pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let documents = match args.files.as_slice() {
        [] => input::parse([("examples/basic.yaml", BASIC)])?,
        files => match input::read_for(files, args.output.format == Format::Json)? {
            Ok(documents) => documents,
            Err(code) => return Ok(code),
        },
    };
    documents::some_cluster(&documents)?;
    let registry = policies::load(&args.policies)?;
    let virtual_time = args.time.unwrap_or(if args.exit_when_ready { Time::Virtual } else { Time::Real });
    match virtual_time {
        Time::Real => runtime::real()?.block_on(in_real_time(args, documents, registry)),
        Time::Virtual => runtime::simulated()?.block_on(in_virtual_time(args, documents, registry)),
    }
}

async fn in_virtual_time(
    args: DemoArgs,
    documents: Vec<Document>,
    registry: Arc<Registry>,
) -> anyhow::Result<ExitCode> {
    let options = args.world.options(Options::in_virtual_time(Seed(args.world.seed)))?;
    let clock = options.clock;
    let simulation = start(options).await?;
    // A decision on another thread would let the virtual clock run on meanwhile.
    let (_told, changes) = mpsc::unbounded_channel();
    let session = Session { clock, simulation, registry, executor: Executor::Inline, changes };
    session.go(&args, &documents, "").await
}

async fn in_real_time(args: DemoArgs, documents: Vec<Document>, registry: Arc<Registry>) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let options = args.world.options(Options::new(clock, Seed(args.world.seed)))?;
    let simulation = start(options).await?;
    let served = simulation.serve(args.listen).await.hint(LISTEN_HINT)?;
    write_kubeconfig(&args.write_kubeconfig, &served.kubeconfig())?;
    let (tell, changes) = mpsc::unbounded_channel();
    let directory = policies::directory(&args.policies)?;
    let _watch = folder::watch(&directory, registry.clone(), move |change| {
        // Nobody listens only when the demo ends.
        let _ = tell.send(change);
    })?;
    let executor = Executor::pool(std::thread::available_parallelism().map_or(2, usize::from));
    let hints = hints(&args, &directory, &documents);
    Session { clock, simulation, registry, executor, changes }.go(&args, &documents, &hints).await
}

/// A demo under way.
struct Session {
    clock: Clock,
    simulation: Simulation,
    registry: Arc<Registry>,
    executor: Executor,
    changes: mpsc::UnboundedReceiver<Change>,
}

/// Why the demo ends.
enum End {
    Ready,
    TimedOut,
    Interrupted,
}

impl End {
    fn code(&self, args: &DemoArgs) -> ExitCode {
        match self {
            Self::Ready => ExitCode::SUCCESS,
            Self::Interrupted if !args.exit_when_ready => ExitCode::SUCCESS,
            Self::Interrupted | Self::TimedOut => ExitCode::from(NOT_REACHED),
        }
    }
}

impl Session {
    async fn go(mut self, args: &DemoArgs, documents: &[Document], hints: &str) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        let started_ms = self.clock.now_ms();
        let operator = Arc::new(Operator::new(self.config(args)?));
        let mut progress = operator.progress();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let working = tokio::spawn({
            let operator = operator.clone();
            async move {
                operator
                    .run(async {
                        let _ = stopped.await;
                    })
                    .await
            }
        });
        self.apply(documents).await?;
        let wanted = documents::clusters(documents);
        let mut follow = Follow::start(started_ms);
        let timeout = tokio::time::sleep(Duration::from_secs(args.timeout));
        let mut timeout = std::pin::pin!(timeout);
        let mut interrupted = std::pin::pin!(runtime::interrupted());
        let mut ready = false;
        let end = loop {
            tokio::select! {
                biased;
                () = &mut interrupted => break End::Interrupted,
                Some(change) = self.changes.recv() => {
                    follow.say(&folder::told(&change));
                    if let Err(refused) = &change {
                        operator.tell_refused(refused).await;
                    }
                }
                Ok(()) = progress.changed() => {
                    let all = progress.borrow_and_update().clone();
                    follow.show(&all);
                    if !ready && all_ready(&wanted, &all) {
                        ready = true;
                        follow.say(&reached(&wanted, started.elapsed(), self.clock.now_ms() - started_ms));
                        if args.exit_when_ready {
                            break End::Ready;
                        }
                        follow.say(hints);
                    }
                }
                () = &mut timeout, if !ready => {
                    if args.exit_when_ready {
                        break End::TimedOut;
                    }
                    follow.say(&format!("not Ready yet:\n{}", reasons(&wanted, &progress.borrow())));
                    timeout.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(args.timeout));
                }
            }
        };
        follow.end();
        let last = progress.borrow().clone();
        if matches!(end, End::TimedOut) {
            eprintln!("not Ready within {} s:\n{}", args.timeout, reasons(&wanted, &last));
        }
        let result = as_json(&wanted, &last, self.clock.now_ms() - started_ms);
        let _ = stop.send(());
        let _ = working.await;
        self.simulation.shutdown().await;
        if args.output.format == Format::Json {
            output::json(&result)?;
        }
        Ok(end.code(args))
    }

    /// Writes the documents, with certificates for clusters that want TLS and brought none.
    async fn apply(&self, documents: &[Document]) -> anyhow::Result<()> {
        let client = self.simulation.client("tidepool-cli");
        let made = certificates::missing(&client, documents, self.clock.now_ms()).await?;
        for (cluster, secrets) in &made {
            eprintln!("{cluster} wants TLS and brings no Secrets: made {}, as `tidepool certs` does", secrets.len());
        }
        let secrets: Vec<_> = made.into_iter().flat_map(|(_, secrets)| secrets).collect();
        documents::apply(&client, &secrets, documents).await
    }

    fn config(&self, args: &DemoArgs) -> anyhow::Result<Config> {
        let http = self.simulation.http().ok_or_else(|| anyhow::anyhow!("the simulation has no data plane"))?;
        let clock = self.clock;
        let now_ms = Arc::new(move || clock.now_ms());
        let client = self.simulation.client("tidepool");
        let mut config = Config::new(client, self.registry.clone(), http, now_ms);
        config.executor = self.executor.clone();
        config.record_directory = args.record_dir.clone();
        Ok(config)
    }
}

fn all_ready(wanted: &[(String, String)], all: &Progress) -> bool {
    wanted.iter().all(|cluster| find(cluster, all).is_some_and(|found| found.ready.as_ref().is_some_and(|r| r.ready)))
}

fn find<'a>((namespace, name): &(String, String), all: &'a Progress) -> Option<&'a Arc<ClusterProgress>> {
    all.get(&ClusterKey { namespace: namespace.clone(), name: name.clone() })
}

fn reached(wanted: &[(String, String)], took: Duration, simulated_ms: u64) -> String {
    let names: Vec<_> = wanted.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
    let (names, simulated, real) = (names.join(", "), simulated_ms as f64 / 1000.0, took.as_secs_f64());
    // In real time both clocks say the same.
    if (simulated - real).abs() < 1.0 {
        return format!("Ready: {names} after {real:.1} s");
    }
    format!("Ready: {names} after {simulated:.1} s on the cluster's clock, {real:.1} s on yours")
}

/// Why each cluster is not ready, as far as it is known.
fn reasons(wanted: &[(String, String)], all: &Progress) -> String {
    let mut lines = Vec::new();
    for cluster in wanted {
        let name = format!("{}/{}", cluster.0, cluster.1);
        let Some(found) = find(cluster, all) else {
            lines.push(format!("  {name}: the operator has not looked at it yet"));
            continue;
        };
        match &found.ready {
            Some(ready) if ready.ready => continue,
            Some(ready) => lines.push(format!("  {name}: {}: {}", ready.reason, ready.message)),
            None => lines.push(format!("  {name}: not judged yet")),
        }
        for component in &found.components {
            lines.extend(
                component.waiting.iter().map(|on| format!("    {} {}", component.component, follow::waiting(on))),
            );
        }
    }
    lines.join("\n")
}

/// How it ended.
fn as_json(wanted: &[(String, String)], all: &Progress, simulated_ms: u64) -> Value {
    let cluster = |cluster: &(String, String)| {
        let found = find(cluster, all);
        let ready = found.and_then(|found| found.ready.clone()).unwrap_or_default();
        let waiting = |on: &WaitingOn, component: &str| {
            let mut entry = json!(on);
            entry["component"] = component.into();
            entry
        };
        let components = found.iter().flat_map(|found| &found.components);
        let waiting = components.flat_map(|c| c.waiting.iter().map(|on| waiting(on, &c.component)));
        json!({
            "cluster": format!("{}/{}", cluster.0, cluster.1), "ready": ready.ready, "reason": ready.reason,
            "message": ready.message, "waiting": waiting.collect::<Vec<_>>(),
        })
    };
    let clusters: Vec<Value> = wanted.iter().map(cluster).collect();
    json!({"ready": all_ready(wanted, all), "seconds": simulated_ms as f64 / 1000.0, "clusters": clusters})
}

fn hints(args: &DemoArgs, policies: &std::path::Path, documents: &[Document]) -> String {
    let (namespace, name) = documents::clusters(documents).into_iter().next().unwrap_or_default();
    format!(
        "\nIn another terminal:\n  export KUBECONFIG={kubeconfig}\n  kubectl get tc,sts,pod -n {namespace}\n  \
         kubectl describe tc {name} -n {namespace}\n  \
         kubectl patch tc {name} -n {namespace} --type merge -p '{{\"spec\":{{\"tikv\":{{\"replicas\":4}}}}}}'\n  \
         kubectl wait --for=condition=Ready tc/{name} -n {namespace}\n\
         Policies in {policies} are watched: replace one, and the next decision is its own. Ctrl-C ends the demo.",
        kubeconfig =
            std::path::absolute(&args.write_kubeconfig).unwrap_or_else(|_| args.write_kubeconfig.clone()).display(),
        policies = policies.display(),
    )
}
