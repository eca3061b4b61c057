//! `/cluster`, `/version`, `/status`, the recovery marker and keyspaces.

use serde_json::json;

use super::{
    super::{cluster::Cluster, request::Reply, route::Call, wire},
    members::GIT_HASH,
};

/// When the simulated binary was built.
const BUILT: &str = "2026-06-17 08:00:00";

fn version_of(cluster: &Cluster, call: &Call) -> String {
    cluster.process(call).map(|it| it.args.version.clone()).unwrap_or_default()
}

/// `GET /version`
pub(super) fn version(cluster: &Cluster, call: &Call) -> Reply {
    let version = version_of(cluster, call);
    wire::json_v1(200, &json!({"version": version, "build_time": BUILT, "hash": GIT_HASH, "branch": ""}))
}

/// `GET /status`
pub(super) fn status(cluster: &Cluster, call: &Call) -> Reply {
    let started = cluster.process(call).map_or(0, |it| it.started_at / 1_000);
    let version = version_of(cluster, call);
    wire::json_v1(
        200,
        &json!({"build_ts": BUILT, "version": version, "git_hash": GIT_HASH, "start_timestamp": started}),
    )
}

/// `GET /cluster`
pub(super) fn cluster(cluster: &Cluster) -> Reply {
    wire::json_v1(200, &json!({"id": cluster.id, "max_peer_count": cluster.config.max_replicas()}))
}

/// `GET /cluster/status`
pub(super) fn cluster_status(cluster: &Cluster, call: &Call) -> Reply {
    let at = cluster.bootstrapped.filter(|_| call.leads);
    let shown = at.map_or_else(|| "0001-01-01T00:00:00Z".into(), wire::rfc3339);
    // A cluster counts as initialised once a region has a second replica.
    let initialized = at.is_some() && cluster.regions.list.iter().all(|region| region.peers.len() > 1);
    let body = json!({"raft_bootstrap_time": shown, "is_initialized": initialized, "replication_status": ""});
    wire::json_v1(200, &body)
}

/// The marker of a restore from volume snapshots.
pub(super) fn snapshot_recovering(cluster: &mut Cluster, method: &str) -> Option<Reply> {
    match method {
        "GET" => Some(wire::json_v1(200, &json!({"marked": cluster.snapshot_recovering}))),
        "POST" | "DELETE" => {
            cluster.snapshot_recovering = method == "POST";
            Some(wire::empty_text(200))
        }
        _ => None,
    }
}

/// `GET /pd/api/v2/keyspaces`
pub(super) fn keyspaces(cluster: &Cluster) -> Reply {
    let Some(bootstrapped) = cluster.bootstrapped else { return wire::abort_v2(500, &wire::NOT_BOOTSTRAPPED) };
    let created = bootstrapped / 1_000;
    let default = json!({
        "name": "DEFAULT", "id": 0, "state": "ENABLED", "created_at": created, "state_changed_at": created, "config": {},
    });
    wire::json_v2(200, &json!({"keyspaces": [default]}))
}
