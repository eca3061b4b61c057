//! What a decision costs: the same one in the sandbox and natively, and the contract's own share.

use std::{hint::black_box, sync::Arc};

use criterion::Criterion;
use serde_json::{Value, json, value::to_raw_value};
use tidepool_model::{Snapshot, descriptor::Watch, pretend::World, render::rest};
use tidepool_policy::{Cache, LoadedPolicy, Runtime};
use tidepool_tests::{policies, render};

use crate::{
    table::{Goal, Table, Unit},
    timing,
};

/// Pods and stores of a cluster: a small one, a usual one, and the largest one that we speak of.
const SIZES: [u32; 3] = [3, 30, 1_000];

/// The sandbox may cost so much more than native code, at the median.
const RATIO_MAX: Goal = Goal::AtMost(1.3);

/// What the contract itself may cost at 30 pods and stores, at the median, nanoseconds.
const CONTRACT_MAX: Goal = Goal::AtMost(20_000.0);

/// The shipped policies on a cluster at rest, a fresh instance for each decision.
pub fn decide(criterion: &mut Criterion, table: &mut Table) {
    for size in SIZES {
        let world = at_rest(size);
        for (native, settled) in render::natives().iter().zip(render::policies()) {
            let name = format!("decide/{}/{size}", native.descriptor.component);
            let snapshot = Arc::new(world.snapshot(&settled.descriptor, &settled.settings));
            let sandboxed = sandboxed(&native.descriptor.component);
            assert_eq!(sandboxed.decide(snapshot.clone()).outcome, (native.decide)(snapshot.clone()), "{name}");
            let medians = timing::medians(
                criterion,
                &name,
                || (native.decide)(Arc::clone(black_box(&snapshot))),
                || sandboxed.decide(Arc::clone(black_box(&snapshot))),
            );
            if let Some((by_native, in_sandbox)) = medians {
                table.note(name, in_sandbox / by_native, Unit::Times, Some(RATIO_MAX));
                table.remark(format!("{:.1} us natively, {:.1} us in the sandbox", by_native / 1e3, in_sandbox / 1e3));
            }
        }
    }
}

/// A policy that reads every column and plans one event: what a decision costs before anything is decided.
pub fn contract(criterion: &mut Criterion, table: &mut Table) {
    let path = policies::folder().with_file_name("policies-for-tests").join("hostile.wasm");
    let runtime = Runtime::new().expect("the sandbox starts");
    let policy = runtime.load_file(&path, &Cache::none()).expect("run `make guests` first");
    for (size, goal) in SIZES.into_iter().zip([None, Some(CONTRACT_MAX), None]) {
        let snapshot = with_columns(&policy, size);
        let name = format!("contract/{size}");
        let decide = |()| policy.decide(Arc::clone(black_box(&snapshot)));
        if let Some(median) = timing::median(criterion, &name, || (), decide) {
            table.note(name, median, Unit::Nanoseconds, goal);
            table.remark("a fresh instance, every column, one event");
        }
    }
}

fn sandboxed(component: &str) -> &'static Arc<LoadedPolicy> {
    let found = policies::sandboxed().iter().find(|policy| policy.descriptor().component == component);
    found.expect("every policy is built")
}

/// A cluster with so many stores and so many servers, at rest.
fn at_rest(size: u32) -> World {
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
    let mut world = World::new(cluster);
    rest(&mut world, &render::policies()).expect("it comes to rest");
    world
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
    let objects = rows(
        &|n| json!({"metadata": {"name": format!("o{n:05}"), "labels": {"app": "bench"}, "annotations": {"app": "bench"}}}),
    );
    let watches: Vec<Value> = policy.descriptor().watches.iter().map(|_: &Watch| json!({"known": objects})).collect();
    let text = json!({
        "nowMs": 1, "cluster": {"metadata": {"name": "bench"}}, "watches": watches,
        "pods": {"known": pods}, "pd": {"members": {"known": []}, "stores": {"known": stores}},
    });
    let mut snapshot: Snapshot = serde_json::from_value(text).expect("a snapshot");
    snapshot.settings = to_raw_value(&json!({"attack": "read"})).expect("JSON").into();
    Arc::new(snapshot)
}
