//! What the program costs, run as its users run it: in real time, as processes of their own.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use tidepool_tests::{
    program::{self, Running},
    world,
};

use crate::table::{Goal, Table, Unit};

/// The cluster: 3 PD, 3 TiKV, 2 TiDB.
const CLUSTER: &str = include_str!("../../../examples/basic.yaml");

/// From the start of the operator to the end of its first round, when its policies were compiled before, nanoseconds.
const FIRST_ROUND_MAX: Goal = Goal::AtMost(250e6);

/// Starts of the operator, of which the median counts.
const STARTS: usize = 5;

/// Longest wait for what has to come.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Clusters more, to see what one costs.
const CLUSTERS: u32 = 20;

/// Time for an operator that waits for nothing any more to come to rest: longer than a resync.
const CALM: Duration = Duration::from_secs(40);

/// Demo, start and memory.
pub fn measure(table: &mut Table) {
    let folder = tempfile::tempdir().expect("a folder");
    table.note("demo to Ready, virtual time, whole process", virtual_demo(folder.path()), Unit::Nanoseconds, None);
    let (ready, resident) = real_demo(folder.path());
    table.note("demo to Ready, real time, whole process", ready, Unit::Nanoseconds, None);
    table.note("resident memory of the demo when Ready", resident, Unit::Bytes, None);
    table.remark("API server, data plane, operator and policies in one process");
    operator(folder.path(), table);
}

fn virtual_demo(folder: &Path) -> f64 {
    let started = Instant::now();
    let ended = program::run(program::tidepool(folder, &["demo", "--exit-when-ready"]));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    nanoseconds(started.elapsed())
}

/// Time until Ready is told, and resident memory then.
fn real_demo(folder: &Path) -> (f64, f64) {
    let started = Instant::now();
    let demo = Running::start(program::tidepool(folder, &["demo", "--time", "real", "--listen", "127.0.0.1:0"]));
    demo.wait_for("Ready:", WAIT_MAX);
    (nanoseconds(started.elapsed()), resident(&demo))
}

/// The operator as a process of its own, against a simulator in another.
fn operator(folder: &Path, table: &mut Table) {
    let kubeconfig = folder.join("kubeconfig");
    let path = kubeconfig.to_str().expect("a path in UTF-8");
    let serve = ["sim", "serve", "--listen", "127.0.0.1:0", "--nodes", "64", "--write-kubeconfig", path];
    let _simulator = Running::start(program::tidepool(folder, &serve));
    wait_until("the kubeconfig is there", || kubeconfig.exists());
    create(&kubeconfig, 0..1);
    // The first compiles the policies, and stays until its cluster is at rest.
    Operator::start(folder).wait_for_ready(1);
    let mut took: Vec<f64> = (0..STARTS).map(|_| first_round(folder)).collect();
    took.sort_by(f64::total_cmp);
    let start = took.get(STARTS / 2).copied().unwrap_or_default();
    table.note("start to the end of the first round", start, Unit::Nanoseconds, Some(FIRST_ROUND_MAX));
    table.remark("`tidepool run`, policies compiled before; process start, API discovery and watches included");
    let operator = Operator::start(folder);
    operator.wait_for_ready(1);
    let one = resident(&operator.running);
    table.note("resident memory of `tidepool run`, one cluster", one, Unit::Bytes, None);
    create(&kubeconfig, 1..=CLUSTERS);
    operator.wait_for_ready(1 + u64::from(CLUSTERS));
    let each = (resident(&operator.running) - one) / f64::from(CLUSTERS);
    table.note("memory for each cluster more", each, Unit::Bytes, None);
    table.remark(format!("of resident memory, with {CLUSTERS} clusters 3/3/2 more"));
}

fn first_round(folder: &Path) -> f64 {
    let started = Instant::now();
    let operator = Operator::start(folder);
    wait_until("the first round has ended", || operator.metric("tidepool_rounds_total") > 0);
    nanoseconds(started.elapsed())
}

/// `tidepool run` and where its metrics are.
struct Operator {
    running: Running,
    listens: SocketAddr,
}

impl Operator {
    fn start(folder: &Path) -> Self {
        // Free now, and nobody else is likely to want it in this moment.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let address = free.to_string();
        let args = ["run", "--kubeconfig", "kubeconfig", "--no-leader-election", "--listen", &address];
        Self { running: Running::start(program::tidepool(folder, &args)), listens: free }
    }

    /// The sum of a metric over its labels; 0 as long as there is none.
    fn metric(&self, name: &str) -> u64 {
        let text = get(self.listens, "/metrics").unwrap_or_default();
        let values = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
        values.filter_map(|value| value.parse::<u64>().ok()).sum()
    }

    /// Waits until so many clusters are seen and none waits for anything, and then until all is calm.
    fn wait_for_ready(&self, clusters: u64) {
        wait_until("all clusters are at rest", || {
            self.metric("tidepool_clusters") == clusters && self.metric("tidepool_waiting") == 0
        });
        thread::sleep(CALM);
    }
}

/// Creates clusters that are alike but for their names.
fn create(kubeconfig: &Path, numbers: impl IntoIterator<Item = u32>) {
    let text = fs::read_to_string(kubeconfig).expect("a kubeconfig");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = world::client(&text).await.expect("a client");
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("pingcap.com", "v1alpha1", "TidbCluster"));
        let clusters: Api<DynamicObject> = Api::namespaced_with(client, world::NAMESPACE, &resource);
        for number in numbers {
            let mut cluster: DynamicObject = serde_saphyr::from_str(CLUSTER).expect("a TidbCluster");
            cluster.metadata.name = Some(format!("bench-{number}"));
            clusters.create(&PostParams::default(), &cluster).await.expect("created");
        }
    });
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + WAIT_MAX;
    while !done() {
        assert!(Instant::now() < end, "within {WAIT_MAX:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Bytes of a process that are in memory.
fn resident(process: &Running) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() * 1024.0
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}
