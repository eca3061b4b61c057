//! `/regions`, `/region`, `/stats`, `/operators`: enough to see what PD believes about regions.

use serde_json::{Value, json};

use super::super::{
    cluster::Cluster,
    regions::{REGION_MIB, Region},
    request::Reply,
    route::Call,
    wire,
};

/// Regions that one answer lists unless asked for more.
const LIMIT: usize = 16;

pub(super) fn dispatch(cluster: &mut Cluster, call: &Call, method: &str, path: &[&str]) -> Option<Reply> {
    let known = matches!(
        path,
        ["regions"]
            | ["regions", "count"]
            | ["regions", "check" | "store", _]
            | ["regions", "keyspace", "id", _]
            | ["region", "id", _]
            | ["stats", "region"]
            | ["operators" | "min-resolved-ts"]
    );
    if !known || method != "GET" {
        return None;
    }
    if cluster.bootstrapped.is_none() {
        return Some(wire::json_v1(500, &wire::NOT_BOOTSTRAPPED));
    }
    let list = &cluster.regions.list;
    Some(match path {
        ["regions", "count"] => wire::json_v1(200, &json!({"count": list.len(), "regions": null})),
        ["regions", "check", kind] => regions_json(cluster, call, |region| checked(cluster, region, kind)),
        ["regions", "store", id] => {
            let id = id.parse().unwrap_or(0);
            regions_json(cluster, call, |region| region.peers.contains(&id))
        }
        ["region", "id", id] => match list.iter().find(|region| region.id.to_string() == *id) {
            Some(region) => wire::json_v1(200, &region_json(region)),
            None => wire::json_v1(200, &Value::Null),
        },
        ["stats", ..] => wire::json_v1(
            200,
            &json!({"count": list.len(), "empty_count": 0, "storage_size": list.len() as u64 * REGION_MIB}),
        ),
        ["operators"] => wire::json_v1(200, &json!([])),
        ["min-resolved-ts"] => {
            wire::json_v1(200, &json!({"min_resolved_ts": 0, "is_real_time": false, "persist_interval": "1s"}))
        }
        _ => regions_json(cluster, call, |_| true),
    })
}

fn regions_json(cluster: &Cluster, call: &Call, wanted: impl Fn(&Region) -> bool) -> Reply {
    let limit = call.request.query_values("limit").first().and_then(|text| text.parse().ok()).unwrap_or(LIMIT);
    let regions: Vec<Value> =
        cluster.regions.list.iter().filter(|region| wanted(region)).take(limit).map(region_json).collect();
    wire::json_v1(200, &json!({"count": regions.len(), "regions": regions}))
}

/// Does a region have what `/regions/check/{kind}` looks for?
fn checked(cluster: &Cluster, region: &Region, kind: &str) -> bool {
    match kind {
        "miss-peer" => region.peers.len() < cluster.config.max_replicas(),
        "extra-peer" => region.peers.len() > cluster.config.max_replicas(),
        "down-peer" => region
            .peers
            .iter()
            .filter_map(|peer| cluster.stores.get(peer))
            .any(|store| store.runs_since.is_none() && cluster.state_name(store) == "Down"),
        "offline-peer" => region
            .peers
            .iter()
            .filter_map(|peer| cluster.stores.get(peer))
            .any(|store| store.state == super::super::stores::State::Removing),
        _ => false,
    }
}

fn region_json(region: &Region) -> Value {
    // Peers were given the ids that follow their region's.
    let peer =
        |at: usize, store: u64| json!({"id": region.id + 1 + at as u64, "store_id": store, "role_name": "Voter"});
    let peers: Vec<Value> = region.peers.iter().enumerate().map(|(at, store)| peer(at, *store)).collect();
    let leader = region
        .leader
        .and_then(|leader| region.peers.iter().position(|store| *store == leader).map(|at| peer(at, leader)));
    json!({
        "id": region.id, "start_key": "", "end_key": "", "epoch": {"conf_ver": 1, "version": 1}, "peers": peers,
        "leader": leader.unwrap_or_else(|| json!({"role_name": "Voter"})), "cpu_usage": 0, "written_bytes": 0,
        "read_bytes": 0, "written_keys": 0, "read_keys": 0, "approximate_size": REGION_MIB, "approximate_keys": 0,
    })
}
