//! `/config` and the placement rules below it.

use serde_json::{Map, Value, json};

use super::{
    super::{
        cluster::Cluster,
        config::{SetError, defaults},
        gojson,
        process::Process,
        request::Reply,
        route::Call,
        schedulers::DEFAULTS,
        stores::State,
        wire,
    },
    need_bootstrap,
};

/// Items of the schedule section that can be set for a while.
const TTL_ITEMS: [&str; 12] = [
    "schedule.max-snapshot-count",
    "schedule.enable-location-replacement",
    "schedule.max-merge-region-size",
    "schedule.max-merge-region-keys",
    "schedule.leader-schedule-limit",
    "schedule.region-schedule-limit",
    "schedule.replica-schedule-limit",
    "schedule.merge-schedule-limit",
    "schedule.enable-tikv-split-region",
    "schedule.max-pending-peer-count",
    "default-add-peer",
    "default-remove-peer",
];

const UPDATED: &str = "The config is updated.";

/// The name of a server that was started without one on a host called `vm`.
const UNNAMED: &str = "pd-vm";

/// Peers that a store may gain and lose a minute, unless limited otherwise.
const STORE_LIMIT: u64 = 15;
const TIFLASH_LIMIT: u64 = 30;

pub(super) fn dispatch(cluster: &mut Cluster, call: &Call, method: &str, path: &[&str]) -> Option<Reply> {
    let tree = |section: &str| wire::json_v1(200, &cluster.config.tree[section]);
    Some(match (method, path) {
        ("GET", []) => whole(cluster, call),
        ("POST", []) => set_items(cluster, call),
        ("GET", ["default"]) => wire::json_v1(200, &default_config()),
        ("GET", ["replicate"]) => tree("replication"),
        ("POST", ["replicate"]) => set_replication(cluster, call),
        ("GET", ["schedule"]) => wire::json_v1(200, &schedule(cluster)),
        ("POST", ["schedule"]) => set_schedule(cluster, call),
        ("GET", ["pd-server"]) => wire::json_v1(200, &pd_server(cluster)),
        ("GET", ["cluster-version"]) => tree("cluster-version"),
        ("GET", ["replication-mode"]) => tree("replication-mode"),
        ("GET", ["rules" | "placement-rule" | "rule_groups", ..]) => match need_bootstrap(cluster, call) {
            Ok(()) => rules(cluster, path)?,
            Err(reply) => reply,
        },
        _ => return None,
    })
}

fn whole(cluster: &Cluster, call: &Call) -> Reply {
    let Some(it) = cluster.process(call) else { return wire::not_found() };
    if cluster.known_leader(it).is_none() {
        return wire::json_v1(500, &"[PD:server:ErrLeaderNil]leader is nil");
    }
    let mut config = cluster.config.tree.clone();
    config["schedule"] = schedule(cluster);
    config["pd-server"] = pd_server(cluster);
    own_items(&mut config, it);
    wire::json_v1(200, &config)
}

/// What differs from member to member.
fn own_items(config: &mut Value, it: &Process) {
    let args = &it.args;
    config["name"] = json!(args.name);
    config["advertise-client-urls"] = json!(args.advertise_client_url);
    config["advertise-peer-urls"] = json!(args.advertise_peer_url);
    config["initial-cluster"] = json!(it.initial_cluster);
    config["join"] = json!(args.join);
    config["initial-cluster-state"] = json!(if args.join.is_empty() { "new" } else { "existing" });
    config["metric"]["job"] = json!(args.name);
    if args.advertise_client_url.starts_with("https://") {
        config["client-urls"] = json!("https://0.0.0.0:2379");
        config["peer-urls"] = json!("https://0.0.0.0:2380");
        for (item, file) in [("cacert-path", "ca.crt"), ("cert-path", "tls.crt"), ("key-path", "tls.key")] {
            config["security"][item] = json!(format!("/var/lib/pd-tls/{file}"));
        }
    }
}

fn default_config() -> Value {
    let mut config = defaults();
    config["name"] = json!(UNNAMED);
    config["advertise-client-urls"] = json!("http://127.0.0.1:2379");
    config["advertise-peer-urls"] = json!("http://127.0.0.1:2380");
    config["client-urls"] = json!("http://127.0.0.1:2379");
    config["peer-urls"] = json!("http://127.0.0.1:2380");
    config["initial-cluster"] = json!(format!("{UNNAMED}=http://127.0.0.1:2380"));
    config["data-dir"] = json!(format!("default.{UNNAMED}"));
    config["metric"]["job"] = json!(UNNAMED);
    config["schedule"]["max-merge-region-keys"] = json!(0);
    config["label-property"] = Value::Null;
    config
}

fn pd_server(cluster: &Cluster) -> Value {
    let mut section = cluster.config.tree["pd-server"].clone();
    let url = cluster.serving_leader().map(|it| it.args.advertise_client_url.clone());
    section["dashboard-address"] = json!(url.unwrap_or_default());
    section
}

/// The schedule section with what PD keeps in it: store limits and schedulers.
pub(super) fn schedule(cluster: &Cluster) -> Value {
    let mut section = cluster.config.tree["schedule"].clone();
    section["store-limit"] = Value::Object(store_limits(cluster));
    let mut list: Vec<Value> = DEFAULTS
        .iter()
        .map(|(name, kind)| {
            let disable = cluster.schedulers.removed.iter().any(|removed| removed == name);
            json!({"type": kind, "args": null, "disable": disable, "args-payload": ""})
        })
        .collect();
    if let Some(creator) = cluster.schedulers.evict_creator {
        let args = [creator.to_string()];
        list.push(json!({"type": "evict-leader", "args": args, "disable": false, "args-payload": ""}));
    }
    section["schedulers-v2"] = json!(list);
    section
}

/// The limit of each store that is not a Tombstone.
pub(super) fn store_limits(cluster: &Cluster) -> Map<String, Value> {
    let stores = cluster.stores.values().filter(|store| store.state != State::Removed);
    stores
        .map(|store| {
            let limit = if store.is_tiflash() { TIFLASH_LIMIT } else { STORE_LIMIT };
            (store.id.to_string(), json!({"add-peer": limit, "remove-peer": limit}))
        })
        .collect()
}

fn has_tiflash(cluster: &Cluster) -> bool {
    cluster.stores.values().any(|store| store.is_tiflash() && store.state != State::Removed)
}

/// `POST /config`: flat or dotted items, all or nothing.
fn set_items(cluster: &mut Cluster, call: &Call) -> Reply {
    let items = match gojson::parse_object(&call.request.body) {
        Ok(items) => items,
        Err(error) => return wire::json_v1(400, &error.message),
    };
    if let Some(seconds) = call.request.query_values("ttlSecond").first() {
        return set_for_a_while(seconds, &items);
    }
    match try_set_items(cluster, &items) {
        Ok(()) => {
            cluster.regions_changed();
            wire::json_v1(200, &UPDATED)
        }
        Err(error) => wire::json_v1(400, &error.to_string()),
    }
}

/// PD does not show such values, and nothing simulated depends on them.
fn set_for_a_while(seconds: &str, items: &Map<String, Value>) -> Reply {
    if seconds.parse::<i64>().is_err() {
        return wire::json_v1(400, &wire::parse_error("Atoi", seconds));
    }
    match items.keys().find(|item| !TTL_ITEMS.contains(&item.as_str())) {
        Some(item) => wire::json_v1(400, &format!("unsupported ttl config {item}")),
        None => wire::json_v1(200, &"The ttl config is updated."),
    }
}

fn try_set_items(cluster: &mut Cluster, items: &Map<String, Value>) -> Result<(), SetError> {
    for (key, value) in items {
        let (section, item) = cluster.config.resolve(key)?;
        if section == "replication" {
            let changes = Map::from_iter([(item, value.clone())]);
            let merged = cluster.config.merged("replication", &changes)?;
            if merged != cluster.config.tree["replication"] {
                let (bootstrapped, tiflash) = (cluster.bootstrapped.is_some(), has_tiflash(cluster));
                cluster.config.set_replication(merged, bootstrapped, tiflash)?;
            }
        } else {
            cluster.config.set(key, value)?;
        }
    }
    Ok(())
}

/// `POST /config/replicate`
fn set_replication(cluster: &mut Cluster, call: &Call) -> Reply {
    let changes = match gojson::parse_object(&call.request.body) {
        Ok(changes) => changes,
        Err(error) => return wire::json_error(&error),
    };
    let (bootstrapped, tiflash) = (cluster.bootstrapped.is_some(), has_tiflash(cluster));
    let set = cluster
        .config
        .merged("replication", &changes)
        .and_then(|merged| cluster.config.set_replication(merged, bootstrapped, tiflash));
    match set {
        Ok(()) => {
            cluster.regions_changed();
            wire::json_v1(200, &UPDATED)
        }
        Err(SetError::Syntax) => wire::internal_error("invalid syntax"),
        Err(error) => wire::json_v1(500, &error.to_string()),
    }
}

/// `POST /config/schedule`
fn set_schedule(cluster: &mut Cluster, call: &Call) -> Reply {
    let changes = match gojson::parse_object(&call.request.body) {
        Ok(changes) => changes,
        Err(error) => return wire::json_v1(400, &error.message),
    };
    match cluster.config.merged("schedule", &changes) {
        Ok(merged) => {
            cluster.config.tree["schedule"] = merged;
            cluster.regions_changed();
            wire::json_v1(200, &UPDATED)
        }
        Err(error) => wire::internal_error(&error.to_string()),
    }
}

/// The only rule is PD's own.
fn rules(cluster: &Cluster, path: &[&str]) -> Option<Reply> {
    let mut rule = json!({
        "group_id": "pd", "id": "default", "start_key": "", "end_key": "", "role": "voter", "is_witness": false,
        "count": cluster.config.max_replicas(),
    });
    let labels = cluster.config.location_labels();
    if !labels.is_empty() {
        rule["location_labels"] = json!(labels);
    }
    if !cluster.config.isolation_level().is_empty() {
        rule["isolation_level"] = json!(cluster.config.isolation_level());
    }
    if cluster.config.rule_version > 0 {
        rule["version"] = json!(cluster.config.rule_version);
    }
    let bundle = |rules: Vec<Value>, group: &str| json!({"group_id": group, "group_index": 0, "group_override": false, "rules": rules});
    let body = match path {
        ["rules"] | ["rules", "group", "pd"] => json!([rule]),
        ["rules", "group", _] => json!([]),
        ["placement-rule"] => json!([bundle(vec![rule], "pd")]),
        ["placement-rule", "pd"] => bundle(vec![rule], "pd"),
        ["placement-rule", group] => bundle(Vec::new(), group),
        ["rule_groups"] => json!([{"id": "pd"}]),
        _ => return None,
    };
    Some(wire::json_v1(200, &body))
}
