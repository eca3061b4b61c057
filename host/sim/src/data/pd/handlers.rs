//! The handlers of PD's HTTP API: which path and method leads where.

mod cluster_info;
mod config;
mod members;
mod microservices;
mod regions;
mod schedulers;
mod store_json;
mod stores;

use super::{
    cluster::Cluster,
    request::{Reply, Request},
    route::Call,
    wire,
};

/// Every path of API v1 that exists; `*` stands for one segment. Another method on one of them is 405, not 404.
const PATHS: [&str; 47] = [
    "members",
    "members/name/*",
    "members/id/*",
    "leader",
    "leader/resign",
    "leader/transfer/*",
    "health",
    "ping",
    "version",
    "status",
    "cluster",
    "cluster/status",
    "stores",
    "stores/check",
    "stores/limit",
    "stores/progress",
    "stores/remove-tombstone",
    "store/*",
    "store/*/state",
    "store/*/label",
    "store/*/weight",
    "labels",
    "schedulers",
    "schedulers/*",
    "config",
    "config/default",
    "config/replicate",
    "config/schedule",
    "config/pd-server",
    "config/cluster-version",
    "config/replication-mode",
    "config/rules",
    "config/rules/group/*",
    "config/placement-rule",
    "config/placement-rule/*",
    "config/rule_groups",
    "regions",
    "regions/count",
    "regions/check/*",
    "regions/keyspace/id/*",
    "regions/store/*",
    "region/id/*",
    "stats/region",
    "operators",
    "min-resolved-ts",
    "admin/cluster/markers/snapshot-recovering",
    "admin/unsafe/remove-failed-stores/show",
];

/// API v1, at the member that handles the call.
pub(super) fn v1(cluster: &mut Cluster, call: &Call) -> Reply {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    if let ["scheduler-config", rest @ ..] = segments.as_slice() {
        return schedulers::config(cluster, call, rest);
    }
    match dispatch(cluster, call, &segments) {
        Some(reply) => reply,
        None if PATHS.iter().any(|pattern| matches(pattern, &segments)) => wire::empty(405),
        None => wire::not_found(),
    }
}

fn dispatch(cluster: &mut Cluster, call: &Call, segments: &[&str]) -> Option<Reply> {
    Some(match (call.request.method.as_str(), segments) {
        ("GET", ["members"]) => members::list(cluster, call),
        ("DELETE", ["members", "name", name]) => members::delete_by_name(cluster, call, name),
        ("POST", ["members", "name", name]) => members::set_priority(cluster, call, name),
        ("DELETE", ["members", "id", id]) => members::delete_by_id(cluster, call, id),
        ("GET", ["leader"]) => members::leader(cluster, call),
        ("POST", ["leader", "resign"]) => members::resign(cluster, call),
        ("POST", ["leader", "transfer", name]) => members::transfer(cluster, name),
        ("GET", ["health"]) => members::health(cluster, call),
        ("GET", ["ping"]) => wire::empty(200),
        ("GET", ["version"]) => cluster_info::version(cluster, call),
        ("GET", ["status"]) => cluster_info::status(cluster, call),
        ("GET", ["cluster"]) => cluster_info::cluster(cluster),
        ("GET", ["cluster", "status"]) => cluster_info::cluster_status(cluster, call),
        (method, ["admin", "cluster", "markers", "snapshot-recovering"]) => {
            return cluster_info::snapshot_recovering(cluster, method);
        }
        (method, ["config", rest @ ..]) => return config::dispatch(cluster, call, method, rest),
        ("GET", ["schedulers"]) => schedulers::list(cluster, call),
        ("POST", ["schedulers"]) => schedulers::create(cluster, call),
        ("DELETE", ["schedulers", name]) => schedulers::delete(cluster, call, name),
        ("POST", ["schedulers", name]) => schedulers::pause(cluster, call, name),
        (method, ["regions" | "region" | "stats" | "operators" | "min-resolved-ts", ..]) => {
            return regions::dispatch(cluster, call, method, segments);
        }
        (method, ["stores" | "store" | "labels", ..]) => return stores::dispatch(cluster, call, method, segments),
        (method, ["admin", "unsafe", "remove-failed-stores", rest @ ..]) => {
            return stores::unsafe_recovery(cluster, call, method, rest);
        }
        _ => return None,
    })
}

fn matches(pattern: &str, segments: &[&str]) -> bool {
    let parts: Vec<&str> = pattern.split('/').collect();
    parts.len() == segments.len()
        && parts.iter().zip(segments).all(|(part, segment)| part == segment || (*part == "*" && !segment.is_empty()))
}

/// API v2, at the leader.
pub(super) fn v2(cluster: &mut Cluster, process: &str, path: &str, request: &Request) -> Reply {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["ms", "members", service]) => microservices::members(cluster, process, service),
        ("GET", ["ms", "primary", service]) => microservices::primary(cluster, process, service),
        ("GET", ["keyspaces"]) => cluster_info::keyspaces(cluster),
        _ => wire::not_found_v2(),
    }
}

/// `/pd/api/v2/ready`
pub(super) fn ready(cluster: &Cluster, process: &str, request: &Request) -> Reply {
    if request.method != "GET" || !cluster.processes.get(process).is_some_and(|it| has_ready(&it.args.version)) {
        return wire::not_found_v2();
    }
    let ready = cluster.processes.get(process).is_some_and(|it| it.ready);
    match (ready, request.has_query("verbose")) {
        (true, false) => wire::empty(200),
        (false, false) => wire::empty(500),
        (true, true) => wire::json_v2(200, &serde_json::json!({"region_loaded": true})),
        (false, true) => wire::abort_v2(500, &serde_json::json!({"region_loaded": false})),
    }
}

/// The endpoint exists since v8.5.2.
fn has_ready(version: &str) -> bool {
    super::stores::version_parts(version) >= vec![8, 5, 2]
}

/// `/autoscaling`, which nobody uses any more.
pub(super) fn autoscaling(cluster: &Cluster) -> Reply {
    if cluster.bootstrapped.is_none() {
        return wire::json_v1(500, &wire::NOT_BOOTSTRAPPED);
    }
    wire::json_v1(200, &serde_json::json!([]))
}

/// Refuses what needs a bootstrapped cluster at the leader.
fn need_bootstrap(cluster: &Cluster, call: &Call) -> Result<(), Reply> {
    if cluster.bootstrapped.is_some() && call.leads { Ok(()) } else { Err(wire::json_v1(500, &wire::NOT_BOOTSTRAPPED)) }
}
