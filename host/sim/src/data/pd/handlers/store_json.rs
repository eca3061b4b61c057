//! How a store is printed.

use serde::Serialize;

use super::super::{
    cluster::Cluster,
    regions::REGION_MIB,
    stores::{State, Store},
    wire::{duration, rfc3339},
};

/// What a simulated store reports of its disk.
const CAPACITY: &str = "100GiB";
const AVAILABLE: &str = "80GiB";
const USED: &str = "10GiB";
const UNKNOWN: &str = "0B";

#[derive(Serialize)]
pub(super) struct StoreJson<'a> {
    store: Meta<'a>,
    status: Status,
}

#[derive(Serialize)]
struct Meta<'a> {
    id: u64,
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<Label<'a>>,
    version: &'a str,
    peer_address: &'a str,
    status_address: &'a str,
    git_hash: &'static str,
    start_timestamp: u64,
    deploy_path: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heartbeat: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    physically_destroyed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_state: Option<u8>,
    state_name: &'static str,
}

#[derive(Serialize)]
struct Label<'a> {
    key: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct Status {
    capacity: &'static str,
    available: &'static str,
    used_size: &'static str,
    leader_count: usize,
    leader_weight: f64,
    leader_score: usize,
    leader_size: u64,
    region_count: usize,
    region_weight: f64,
    region_score: u64,
    region_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_score: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_trend: Option<SlowTrend>,
    start_ts: String,
    last_heartbeat_ts: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime: Option<String>,
}

#[derive(Serialize)]
struct SlowTrend {
    cause_value: f64,
    cause_rate: f64,
    result_value: f64,
    result_rate: f64,
}

/// A store as the leader knows it now.
pub(super) fn store_json<'a>(cluster: &Cluster, store: &'a Store) -> StoreJson<'a> {
    let (state, node_state) = match store.state {
        State::Preparing => (None, None),
        State::Serving => (None, Some(1)),
        State::Removing => (Some(1), Some(2)),
        State::Removed => (Some(2), Some(3)),
    };
    let spec = &store.spec;
    let beat = store.last_beat(cluster.now, cluster.lead.since);
    let meta = Meta {
        id: store.id,
        address: &spec.address,
        state,
        labels: spec.labels.iter().map(|(key, value)| Label { key, value }).collect(),
        version: &spec.version,
        peer_address: &spec.peer_address,
        status_address: &spec.status_address,
        git_hash: "0123456789abcdef0123456789abcdef01234567",
        start_timestamp: store.started_at / 1_000,
        deploy_path: "/",
        last_heartbeat: beat.map(|beat| beat * 1_000_000),
        physically_destroyed: store.destroyed,
        node_state,
        state_name: cluster.state_name(store),
    };
    StoreJson { store: meta, status: status(cluster, store, beat) }
}

fn status(cluster: &Cluster, store: &Store, beat: Option<u64>) -> Status {
    // A new leader has no statistics until the store's next heartbeat.
    let known = store.received(cluster.now, cluster.lead.since).is_some();
    let (leaders, regions) = cluster.regions.counts(store.id);
    let started = store.started_at / 1_000 * 1_000;
    Status {
        capacity: if known { CAPACITY } else { UNKNOWN },
        available: if known { AVAILABLE } else { UNKNOWN },
        used_size: if known { USED } else { UNKNOWN },
        leader_count: leaders,
        leader_weight: store.leader_weight,
        leader_score: leaders,
        leader_size: leaders as u64 * REGION_MIB,
        region_count: regions,
        region_weight: store.region_weight,
        region_score: regions as u64 * REGION_MIB,
        region_size: regions as u64 * REGION_MIB,
        slow_score: known.then_some(1),
        slow_trend: known.then_some(SlowTrend {
            cause_value: 250_000.0,
            cause_rate: 0.0,
            result_value: 1.0,
            result_rate: 0.0,
        }),
        start_ts: rfc3339(started),
        last_heartbeat_ts: rfc3339(beat.unwrap_or(0)),
        uptime: beat.map(|beat| duration(beat.saturating_sub(started))),
    }
}
