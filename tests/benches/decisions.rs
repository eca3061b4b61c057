//! What a decision costs: in the sandbox against native code, the contract's own share, and a swap of policies.
//!
//! `make bench`; a table with the goals comes last. One measurement alone: `cargo bench -p tidepool-tests --bench
//! decisions -- decide/tikv`.

use std::{fs, hint::black_box, path::PathBuf, sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion};
use serde_json::{Value, json, value::to_raw_value};
use tidepool_model::{Snapshot, descriptor::Watch, pretend::World, render::rest};
use tidepool_policy::{Cache, LoadedPolicy, Registry, Runtime};
use tidepool_tests::{policies, render};

/// Pods and stores of a cluster: a small one, a usual one, and the largest one that we speak of.
const SIZES: [u32; 3] = [3, 30, 1_000];

/// The sandbox may cost so much more than native code, at the median.
const RATIO_MAX: f64 = 1.3;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    decisions(&mut criterion);
    contract(&mut criterion);
    swaps(&mut criterion);
    starts(&mut criterion);
    criterion.final_summary();
    summary();
}

fn decisions(criterion: &mut Criterion) {
    for size in SIZES {
        for native in render::natives() {
            let component = native.descriptor.component.clone();
            let Some(sandboxed) = sandboxed(&component) else { continue };
            let snapshot = at_rest(&native.descriptor.component, size);
            let mut group = criterion.benchmark_group(format!("decide/{component}/{size}"));
            group
                .bench_function("native", |bencher| bencher.iter(|| (native.decide)(Arc::clone(black_box(&snapshot)))));
            group.bench_function("sandbox", |bencher| {
                bencher.iter(|| sandboxed.decide(Arc::clone(black_box(&snapshot))))
            });
            group.finish();
        }
    }
}

/// A policy that reads every column and plans one event: what a decision costs before anything is decided.
fn contract(criterion: &mut Criterion) {
    let path = policies::folder().with_file_name("policies-for-tests").join("hostile.wasm");
    let runtime = Runtime::new().expect("the sandbox starts");
    let policy = runtime.load_file(&path, &Cache::none()).expect("run `make guests` first");
    for size in SIZES {
        let snapshot = with_columns(&policy, size);
        let mut group = criterion.benchmark_group(format!("contract/{size}"));
        group.bench_function("sandbox", |bencher| bencher.iter(|| policy.decide(Arc::clone(black_box(&snapshot)))));
        group.finish();
    }
}

fn swaps(criterion: &mut Criterion) {
    let cache = cache();
    let registry = Registry::new(Runtime::new().expect("the sandbox starts"), cache);
    let bytes = policies::bytes("pd");
    let mut other = bytes.clone();
    // A custom section changes the digest and nothing else.
    other.extend_from_slice(&[0, 3, 1, b'x', b'y']);
    registry.prepare(&bytes).expect("a policy");
    registry.prepare(&other).expect("a policy");
    let mut group = criterion.benchmark_group("swap");
    group.bench_function("prepare", |bencher| bencher.iter(|| registry.prepare(black_box(&bytes)).expect("a policy")));
    let mut turn = false;
    group.bench_function("publish", |bencher| {
        bencher.iter_batched(
            || {
                turn = !turn;
                registry.prepare(if turn { &bytes } else { &other }).expect("a policy")
            },
            |policy| registry.publish(policy),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// From nothing to the first plan, as a host does that starts with policies that were compiled before.
fn starts(criterion: &mut Criterion) {
    let cache = cache();
    let snapshot = at_rest("pd", 3);
    let start = || {
        let registry = Registry::new(Runtime::new().expect("the sandbox starts"), cache.clone());
        registry.load_directory(&policies::folder()).expect("the policies");
        registry.current("pd").expect("the policy of PD").decide(Arc::clone(&snapshot))
    };
    start();
    let mut group = criterion.benchmark_group("start");
    group.sample_size(10).bench_function("first-decision", |bencher| bencher.iter(start));
    group.finish();
}

fn cache() -> Cache {
    Cache::in_directory(&policies::folder().with_file_name("policy-cache")).expect("a cache")
}

fn sandboxed(component: &str) -> Option<&'static Arc<LoadedPolicy>> {
    policies::sandboxed().iter().find(|policy| policy.descriptor().component == component)
}

/// What the policy of `component` sees of a cluster with this many stores and servers, at rest.
fn at_rest(component: &str, size: u32) -> Arc<Snapshot> {
    let cluster = json!({
        "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
        "metadata": {"name": "bench", "namespace": "default"},
        "spec": {
            "version": "v8.5.0",
            "pd": {"replicas": 3, "requests": {"storage": "10Gi"}, "config": ""},
            "tikv": {"replicas": size, "requests": {"storage": "10Gi"}, "config": ""},
            "tidb": {"replicas": size, "config": ""},
        },
    });
    let policies = render::policies();
    let mut world = World::new(cluster);
    rest(&mut world, &policies).expect("it comes to rest");
    let policy = policies.iter().find(|policy| policy.descriptor.component == component).expect("a policy");
    Arc::new(world.snapshot(&policy.descriptor, &policy.settings))
}

/// A snapshot of `size` pods, stores and objects for the test policy, told to read all columns.
fn with_columns(policy: &LoadedPolicy, size: u32) -> Arc<Snapshot> {
    let rows = |row: &dyn Fn(u32) -> Value| Value::from((0..size).map(row).collect::<Vec<_>>());
    let pods = rows(
        &|n| json!({"name": format!("bench-tikv-{n}"), "ordinal": n, "ready": true, "phase": "Running", "updated": true}),
    );
    let stores = rows(&|n| {
        json!({"row": {"id": n + 1, "address": format!("bench-tikv-{n}.bench-tikv-peer.default.svc:20160"), "state": "Up",
            "tiflash": false, "leaderCount": 100, "regionCount": 300, "lastHeartbeatMs": 1, "evictingLeaders": false},
            "json": {}})
    });
    let objects = rows(&|n| json!({"metadata": {"name": format!("o{n:05}"), "labels": {"app": "bench"}}}));
    let watches: Vec<Value> = policy.descriptor().watches.iter().map(|_: &Watch| json!({"known": objects})).collect();
    let text = json!({
        "nowMs": 1, "cluster": {"metadata": {"name": "bench"}}, "settings": {"attack": "read"}, "watches": watches,
        "pods": {"known": pods}, "pd": {"members": {"known": []}, "stores": {"known": stores}},
    });
    let mut snapshot: Snapshot = serde_json::from_value(text).expect("a snapshot");
    snapshot.settings = to_raw_value(&json!({"attack": "read"})).expect("JSON").into();
    Arc::new(snapshot)
}

/// Medians beside their goals.
fn summary() {
    println!("\n{:<34}{:>12}{:>12}{:>9}  goal", "median", "native", "sandbox", "ratio");
    for size in SIZES {
        for native in render::natives() {
            let name = format!("decide/{}/{size}", native.descriptor.component);
            let (Some(by_native), Some(in_sandbox)) = (median(&name, "native"), median(&name, "sandbox")) else {
                continue;
            };
            let ratio = in_sandbox / by_native;
            let verdict = if ratio <= RATIO_MAX { "" } else { "  missed" };
            println!("{name:<34}{:>12}{:>12}{ratio:>9.2}  <= {RATIO_MAX}{verdict}", time(by_native), time(in_sandbox));
        }
    }
    let goals = [
        ("contract/3", "sandbox", None),
        ("contract/30", "sandbox", Some(20_000.0)),
        ("contract/1000", "sandbox", None),
        ("swap", "prepare", Some(1e6)),
        ("swap", "publish", Some(1e3)),
        ("start", "first-decision", Some(250e6)),
    ];
    for (group, function, goal) in goals {
        let Some(median) = median(group, function) else { continue };
        let goal: Option<f64> = goal;
        let verdict = goal.map(|goal| format!("<= {}{}", time(goal), if median <= goal { "" } else { "  missed" }));
        println!(
            "{:<34}{:>12}{:>12}{:>9}  {}",
            format!("{group}/{function}"),
            "",
            time(median),
            "",
            verdict.unwrap_or_default()
        );
    }
}

/// Nanoseconds, as Criterion has kept them.
fn median(group: &str, function: &str) -> Option<f64> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"));
    let file = target.join("criterion").join(group.replace('/', "_")).join(function).join("new/estimates.json");
    let estimates: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.1} us", n / 1e3),
        n => format!("{:.2} ms", n / 1e6),
    }
}
