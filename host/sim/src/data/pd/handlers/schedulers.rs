//! `/schedulers` and `/scheduler-config`.

use serde_json::{Map, Value, json};

use super::{
    super::{
        cluster::Cluster,
        gojson,
        request::Reply,
        route::Call,
        schedulers::{DEFAULTS, EVICT},
        wire,
    },
    need_bootstrap,
};

/// Leaders that may be moved at once.
const BATCH_MAX: u64 = 10;

/// `GET /schedulers`
pub(super) fn list(cluster: &Cluster, call: &Call) -> Reply {
    if let Err(reply) = need_bootstrap(cluster, call) {
        return reply;
    }
    let names = cluster.schedulers.names();
    let now = cluster.now;
    let names: Vec<&str> = match call.request.query_values("status").first().map(String::as_str) {
        Some("paused") => names.into_iter().filter(|name| cluster.schedulers.is_paused(name, now)).collect(),
        Some("disabled") => Vec::new(),
        _ => names,
    };
    wire::json_v1(200, &names)
}

/// `POST /schedulers`
pub(super) fn create(cluster: &mut Cluster, call: &Call) -> Reply {
    let body = match gojson::parse_object(&call.request.body) {
        Ok(body) => body,
        Err(error) => return wire::json_error(&error),
    };
    let Some(name) = body.get("name").and_then(Value::as_str) else {
        return wire::json_v1(400, &"missing scheduler name");
    };
    let known = DEFAULTS.iter().any(|(default, _)| *default == name);
    if name != EVICT && !known {
        return wire::json_v1(400, &"unknown scheduler");
    }
    let store = body.get("store_id").and_then(Value::as_f64);
    if name == EVICT && store.is_none() {
        return wire::json_v1(400, &"missing store id");
    }
    if let Err(reply) = need_bootstrap(cluster, call) {
        return reply;
    }
    if known {
        cluster.schedulers.removed.retain(|removed| removed != name);
        return wire::json_v1(200, &"The scheduler is created.");
    }
    evict(cluster, store_id(store))
}

/// JSON numbers are floats for PD.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn store_id(number: Option<f64>) -> u64 {
    number.map_or(0, |number| number as u64)
}

fn evict(cluster: &mut Cluster, store: u64) -> Reply {
    let exists = cluster.schedulers.has(EVICT);
    if !cluster.stores.contains_key(&store) {
        let message = format!("[PD:core:ErrStoreNotFound]store {store} not found");
        // The inner answer is passed on as text, so it is quoted twice.
        let message = if exists { format!("{}\n", Value::from(message)) } else { message };
        return wire::json_v1(500, &message);
    }
    let created = cluster.schedulers.add_evict(store);
    cluster.regions_changed();
    let text = if created { "The scheduler is created." } else { "The scheduler has been applied to the store." };
    wire::json_v1(200, &text)
}

/// `DELETE /schedulers/{name}`
pub(super) fn delete(cluster: &mut Cluster, call: &Call, name: &str) -> Reply {
    if let Some(id) = name.strip_prefix("evict-leader-scheduler-") {
        return delete_store(cluster, call, id);
    }
    if let Err(reply) = need_bootstrap(cluster, call) {
        return reply;
    }
    if !cluster.schedulers.has(name) {
        return scheduler_not_found(404);
    }
    if name == EVICT {
        cluster.schedulers.end_evict();
    } else {
        cluster.schedulers.removed.push(name.into());
    }
    cluster.regions_changed();
    wire::json_v1(200, &"The scheduler is removed.")
}

fn scheduler_not_found(status: u16) -> Reply {
    wire::json_v1(status, &"[PD:scheduler:ErrSchedulerNotFound]scheduler not found")
}

/// PD sends this on to its own `/scheduler-config` and passes only the status back.
fn delete_store(cluster: &mut Cluster, call: &Call, id: &str) -> Reply {
    let status = if need_bootstrap(cluster, call).is_err() {
        406
    } else if id.is_empty() || !cluster.schedulers.has(EVICT) {
        404
    } else {
        match id.parse::<u64>() {
            Err(_) => 400,
            Ok(id) => cluster.schedulers.remove_evict(id).map_or(404, |_| 200),
        }
    };
    cluster.regions_changed();
    wire::json_v1(status, &Value::Null)
}

/// `POST /schedulers/{name}`
pub(super) fn pause(cluster: &mut Cluster, call: &Call, name: &str) -> Reply {
    let body = match gojson::parse_object(&call.request.body) {
        Ok(body) => body,
        Err(error) => return wire::json_error(&error),
    };
    let Some(seconds) = body.get("delay").and_then(Value::as_f64) else {
        return wire::json_v1(400, &"missing pause time");
    };
    if let Err(reply) = need_bootstrap(cluster, call) {
        return reply;
    }
    if name != "all" && !cluster.schedulers.has(name) {
        return scheduler_not_found(500);
    }
    let until = cluster.now + store_id(Some(seconds.max(0.0))) * 1_000;
    let names: Vec<String> = cluster.schedulers.names().into_iter().map(str::to_owned).collect();
    for paused in names.into_iter().filter(|paused| name == "all" || paused == name) {
        cluster.schedulers.paused.insert(paused, until);
    }
    cluster.wake_regions_at(until);
    wire::json_v1(200, &"Pause or resume the scheduler successfully.")
}

/// Everything below `/scheduler-config`.
pub(super) fn config(cluster: &mut Cluster, call: &Call, path: &[&str]) -> Reply {
    if need_bootstrap(cluster, call).is_err() {
        return wire::json_v1(406, &wire::NOT_BOOTSTRAPPED);
    }
    let Some(evict) = cluster.schedulers.evict.clone() else { return wire::not_found() };
    match (call.request.method.as_str(), path) {
        ("GET", [EVICT, "list"]) => {
            let range = json!([{"start-key": "", "end-key": ""}]);
            let ranges: Map<String, Value> =
                evict.stores.iter().map(|store| (store.to_string(), range.clone())).collect();
            wire::json_v1(200, &json!({"store-id-ranges": ranges, "batch": evict.batch}))
        }
        ("POST", [EVICT, "config"]) => set_config(cluster, call),
        ("DELETE", [EVICT, "delete", id]) => delete_config(cluster, id),
        _ => wire::not_found(),
    }
}

fn set_config(cluster: &mut Cluster, call: &Call) -> Reply {
    let body = match gojson::parse_object(&call.request.body) {
        Ok(body) => body,
        Err(error) => return wire::json_error(&error),
    };
    let batch = body.get("batch").and_then(Value::as_f64).map(|number| store_id(Some(number)));
    if batch.is_some_and(|batch| !(1..=BATCH_MAX).contains(&batch)) {
        return wire::json_v1(400, &"batch is invalid, it should be in [1, 10]");
    }
    if let Some(store) = body.get("store_id").and_then(Value::as_f64) {
        let store = store_id(Some(store));
        if !cluster.stores.contains_key(&store) {
            return wire::json_v1(500, &format!("[PD:core:ErrStoreNotFound]store {store} not found"));
        }
        cluster.schedulers.add_evict(store);
    }
    if let (Some(evict), Some(batch)) = (cluster.schedulers.evict.as_mut(), batch) {
        evict.batch = batch;
    }
    cluster.schedulers.stored_evict.clone_from(&cluster.schedulers.evict);
    cluster.regions_changed();
    wire::json_v1(200, &"The scheduler has been applied to the store.")
}

fn delete_config(cluster: &mut Cluster, id: &str) -> Reply {
    let Ok(id) = id.parse::<u64>() else {
        return wire::json_v1(400, &wire::parse_error("ParseUint", id));
    };
    let left = cluster.schedulers.remove_evict(id);
    cluster.regions_changed();
    match left {
        None => wire::json_v1(404, &"[PD:scheduler:ErrScheduleConfigNotExist]the config does not exist"),
        Some(0) => wire::json_v1(200, &"The last store has been deleted"),
        Some(_) => wire::json_v1(200, &Value::Null),
    }
}
