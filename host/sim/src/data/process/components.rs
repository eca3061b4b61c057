//! The HTTP APIs of everything that is not PD: what an operator calls, in the words of the real programs.

use serde_json::{Value, json};

use super::{
    Process,
    launch::{Kind, Launch, kind_word},
};
use crate::data::{
    network::Key,
    pd::{Answer, Reply, Request},
    world::World,
};

/// A TiKV's gauges appear this long after its start, milliseconds.
const METRICS_AFTER_MS: u64 = 10_000;
/// Git revisions are invented: nobody reads them, but clients decode them.
const GIT_HASH: &str = "0000000000000000000000000000000000000000";

/// The port on which a kind serves HTTP; none for those that do not.
pub fn http_port(kind: Kind) -> Option<u16> {
    match kind {
        Kind::Pd | Kind::Tso | Kind::Scheduling => Some(2379),
        Kind::Tikv => Some(20180),
        Kind::Tidb => Some(10080),
        Kind::Tiflash => Some(20292),
        Kind::Ticdc => Some(8301),
        Kind::Pump => Some(8250),
        Kind::Tiproxy => Some(3080),
        Kind::Discovery => Some(10261),
        Kind::Plain => None,
    }
}

/// What the program of `pod` answers, if it is not PD.
pub fn answer(world: &mut World, pod: &Key, request: &Request, now: u64) -> Answer {
    let Some(process) = world.processes.get(pod) else { return Answer::Refused };
    if !process.is_live() {
        return Answer::Refused;
    }
    let launch = process.launch.clone();
    let since = process.serving_since.unwrap_or(now);
    match launch.kind {
        Kind::Tikv => tikv(world, &launch, request, now, since),
        Kind::Tidb => tidb(world, &launch, request, since),
        Kind::Tiflash => tiflash(request),
        Kind::Ticdc => ticdc(world, &launch, request),
        Kind::Pump => pump(world, &launch, request),
        Kind::Tiproxy => tiproxy(request),
        Kind::Tso | Kind::Scheduling => {
            let cluster = world.cluster_of(pod).unwrap_or_default();
            world.fleet.ms_handle(now, cluster, kind_word(launch.kind), launch.member_name(), request)
        }
        Kind::Pd | Kind::Discovery | Kind::Plain => Answer::Refused,
    }
}

fn tikv(world: &mut World, launch: &Launch, request: &Request, now: u64, since: u64) -> Answer {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/status") => text(200, ""),
        ("GET", "/config") => json_reply(200, &config_json(launch)),
        ("GET", "/metrics") => text(200, &tikv_metrics(world, launch, now, since)),
        _ => text(404, "path not found"),
    }
}

fn tikv_metrics(world: &mut World, launch: &Launch, now: u64, since: u64) -> String {
    let mut out = String::from("# TYPE tikv_server_cpu_cores_quota gauge\ntikv_server_cpu_cores_quota 1\n");
    let Some(&(cluster, store)) = world.store_disks.get(&launch.disk) else { return out };
    if now.saturating_sub(since) < METRICS_AFTER_MS {
        return out;
    }
    if let Some(view) = world.fleet.store(now, cluster, store) {
        out.push_str("# TYPE tikv_raftstore_region_count gauge\n");
        for (kind, count) in [("leader", view.leader_count), ("region", view.region_count)] {
            out.push_str(&format!("tikv_raftstore_region_count{{type=\"{kind}\"}} {count}\n"));
        }
    }
    out
}

fn tidb(world: &mut World, launch: &Launch, request: &Request, since: u64) -> Answer {
    let version = format!("8.0.11-TiDB-{}", launch.version);
    let cluster = world.cluster_of(&launch.pod).unwrap_or_default();
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/status") => json_reply(
            200,
            &json!({
                "connections": 0, "version": version, "git_hash": GIT_HASH, "status": {"init_stats_percentage": 100},
            }),
        ),
        ("GET" | "POST", "/info") => {
            let owner = world.peers(Kind::Tidb, cluster).first() == Some(&launch.pod);
            let labels = world.server_labels.get(&launch.pod).filter(|(of, _)| *of == since);
            let labels = labels.map(|(_, labels)| labels.clone()).unwrap_or_default();
            json_reply(
                200,
                &json!({
                    "is_owner": owner, "max_procs": 4, "gogc": 500, "version": version, "git_hash": GIT_HASH,
                    "ddl_id": launch.uid, "ip": launch.host, "listening_port": 4000, "status_port": 10080,
                    "lease": "45s", "start_timestamp": since / 1_000, "labels": labels, "server_id": 1,
                }),
            )
        }
        ("GET", "/settings") => json_reply(200, &config_json(launch)),
        ("POST", "/labels") => match serde_json::from_slice::<serde_json::Map<String, Value>>(&request.body) {
            Ok(labels) => {
                let known = world.server_labels.entry(launch.pod.clone()).or_default();
                if known.0 != since {
                    *known = (since, serde_json::Map::new());
                }
                known.1.extend(labels);
                json_reply(200, &json!("success!"))
            }
            Err(error) => text(400, &error.to_string()),
        },
        ("POST", "/upgrade/start") => upgrade(world, cluster, true),
        ("POST", "/upgrade/finish") => upgrade(world, cluster, false),
        ("POST", "/upgrade/show") => {
            let state = if world.database(cluster).upgrading { "upgrading" } else { "normal" };
            json_reply(200, &json!(state))
        }
        _ => text(404, "404 page not found\n"),
    }
}

fn upgrade(world: &mut World, cluster: u64, begins: bool) -> Answer {
    let was = std::mem::replace(&mut world.database(cluster).upgrading, begins);
    let state = if begins { "upgrading" } else { "normal" };
    if was == begins {
        let again = format!("It's a duplicated operation and the cluster is already in {state} state.");
        return json_reply(200, &json!(again));
    }
    json_reply(200, &json!("success!"))
}

fn tiflash(request: &Request) -> Answer {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/tiflash/store-status") => text(200, "Running"),
        ("GET", "/tiflash/livez" | "/tiflash/readyz" | "/status") => text(200, ""),
        _ => text(404, "path not found"),
    }
}

fn ticdc(world: &mut World, launch: &Launch, request: &Request) -> Answer {
    let cluster = world.cluster_of(&launch.pod).unwrap_or_default();
    let captures = world.peers(Kind::Ticdc, cluster);
    let owner = cdc_owner(world, cluster, &captures);
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/status" | "/api/v2/status") => json_reply(
            200,
            &json!({
                "version": launch.version, "git_hash": GIT_HASH, "id": launch.uid, "pid": 1,
                "is_owner": owner.as_ref() == Some(&launch.pod), "cluster_id": "default", "liveness": 0,
            }),
        ),
        ("GET", "/api/v1/captures") => json_reply(200, &Value::Array(capture_list(world, &captures, owner.as_ref()))),
        ("GET", "/api/v2/captures") => {
            let items = capture_list(world, &captures, owner.as_ref());
            json_reply(200, &json!({"total": items.len(), "items": items}))
        }
        ("GET", "/api/v1/health" | "/api/v2/health") => json_reply(200, &json!({})),
        ("POST", "/api/v1/owner/resign" | "/api/v2/owner/resign") => {
            let next = captures.iter().find(|capture| Some(*capture) != owner.as_ref()).cloned();
            if next.is_some() {
                world.database(cluster).cdc_owner = next;
            }
            text(202, "")
        }
        ("PUT", "/api/v1/captures/drain") => drain(world, cluster, &captures, owner.as_ref(), request),
        _ => text(404, "404 page not found"),
    }
}

fn cdc_owner(world: &mut World, cluster: u64, captures: &[Key]) -> Option<Key> {
    let database = world.database(cluster);
    if database.cdc_owner.as_ref().is_none_or(|owner| !captures.contains(owner)) {
        database.cdc_owner = captures.first().cloned();
    }
    database.cdc_owner.clone()
}

fn capture_list(world: &World, captures: &[Key], owner: Option<&Key>) -> Vec<Value> {
    let launches = captures.iter().filter_map(|key| world.processes.get(key)).map(|process| &process.launch);
    let capture = |launch: &Launch| {
        json!({
            "id": launch.uid, "is_owner": owner == Some(&launch.pod), "address": format!("{}:8301", launch.host),
            "cluster_id": "default",
        })
    };
    launches.map(capture).collect()
}

/// Half of the tables leave a capture with each request, so that a client has to ask until none is left.
fn drain(world: &mut World, cluster: u64, captures: &[Key], owner: Option<&Key>, request: &Request) -> Answer {
    let refuse =
        |why: &str, code: &str| json_reply(400, &json!({"error_msg": format!("[{code}]{why}"), "error_code": code}));
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let wanted = body.get("capture_id").and_then(Value::as_str).unwrap_or_default();
    let of_capture = |process: &Process| process.launch.uid == wanted;
    let Some(target) = captures.iter().find(|key| world.processes.get(*key).is_some_and(of_capture)) else {
        return refuse(&format!("capture not exists, {wanted}"), "CDC:ErrCaptureNotExist");
    };
    if captures.len() < 2 {
        return refuse("scheduler request failed, only one capture alive", "CDC:ErrSchedulerRequestFailed");
    }
    if owner == Some(target) {
        return refuse("scheduler request failed, cannot drain the owner", "CDC:ErrSchedulerRequestFailed");
    }
    let tables = world.database(cluster).cdc_tables.entry(target.clone()).or_insert(12);
    let before = *tables;
    *tables /= 2;
    json_reply(202, &json!({"current_table_count": before}))
}

fn pump(world: &mut World, launch: &Launch, request: &Request) -> Answer {
    let cluster = world.cluster_of(&launch.pod).unwrap_or_default();
    let closes = request.path.starts_with("/state/") && request.path.ends_with("/close");
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/status") => {
            let closed = world.database(cluster).closed_pumps.contains(&launch.pod);
            let state = if closed { "offline" } else { "online" };
            let node = json!({"nodeId": launch.pod.1, "host": format!("{}:8250", launch.host), "state": state});
            json_reply(200, &json!({"status": {&launch.pod.1: node}, "CommitTS": 0, "Checkpoint": {}, "ErrMsg": ""}))
        }
        ("PUT", _) if closes => {
            world.database(cluster).closed_pumps.insert(launch.pod.clone());
            json_reply(200, &json!({"code": 200, "message": "success"}))
        }
        _ => text(404, "404 page not found\n"),
    }
}

fn tiproxy(request: &Request) -> Answer {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/api/debug/health") => json_reply(200, &json!({"config_checksum": 1})),
        ("PUT", "/api/admin/config/") => match std::str::from_utf8(&request.body).ok().map(str::parse::<toml::Table>) {
            Some(Ok(_)) => json_reply(200, &json!("")),
            _ => json_reply(500, &json!("can not update config")),
        },
        _ => text(404, "404 page not found"),
    }
}

fn config_json(launch: &Launch) -> Value {
    let table = launch.config.as_deref().and_then(|text| text.parse::<toml::Table>().ok());
    serde_json::to_value(table.unwrap_or_default()).unwrap_or_default()
}

fn json_reply(status: u16, body: &Value) -> Answer {
    reply(status, "application/json", body.to_string())
}

fn text(status: u16, body: &str) -> Answer {
    reply(status, "text/plain; charset=utf-8", body.to_owned())
}

fn reply(status: u16, kind: &str, body: String) -> Answer {
    let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
    Answer::Reply(Reply { status, headers, body: body.into_bytes(), after_ms: 0 })
}
