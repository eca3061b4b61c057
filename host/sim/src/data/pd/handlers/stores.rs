//! `/stores`, `/store`, `/labels` and unsafe recovery.

use serde_json::{Value, json};

use super::{
    super::{
        cluster::Cluster,
        config::{LABEL_KEY_FORMAT, LABEL_VALUE_FORMAT, is_label_key, is_label_value},
        gojson,
        request::Reply,
        route::Call,
        stores::{State, set_label},
        wire,
    },
    config::store_limits,
    need_bootstrap,
    store_json::store_json,
};

pub(super) fn dispatch(cluster: &mut Cluster, call: &Call, method: &str, path: &[&str]) -> Option<Reply> {
    if !known(method, path) {
        return None;
    }
    if let Err(reply) = need_bootstrap(cluster, call) {
        return Some(reply);
    }
    cluster.forget_old_tombstones();
    Some(match path {
        ["stores"] => list(cluster, call),
        ["stores", "check"] => check(cluster, call),
        ["stores", "limit"] => wire::json_v1(200, &Value::Object(store_limits(cluster))),
        ["stores", "progress"] => progress(cluster, call),
        ["stores", "remove-tombstone"] => remove_tombstone(cluster),
        ["labels"] => labels(cluster),
        ["store", id, rest @ ..] => one_store(cluster, call, id, (method, rest)),
        _ => return None,
    })
}

fn known(method: &str, path: &[&str]) -> bool {
    matches!(
        (method, path),
        ("GET", ["stores" | "labels"] | ["stores", "check" | "limit" | "progress"] | ["store", _])
            | ("DELETE", ["stores", "remove-tombstone"] | ["store", _] | ["store", _, "label"])
            | ("POST", ["store", _, "state" | "label" | "weight"])
    )
}

fn one_store(cluster: &mut Cluster, call: &Call, id: &str, rest: (&str, &[&str])) -> Reply {
    let Ok(number) = id.parse::<u64>() else {
        return wire::input_error(&wire::parse_error("ParseUint", id), &json!({}));
    };
    match rest {
        ("GET", []) => match cluster.stores.get(&number) {
            Some(store) => wire::json_v1(200, &store_json(cluster, store)),
            None => not_found(number),
        },
        ("DELETE", []) => {
            let force = call.request.has_query("force");
            match remove(cluster, number, force) {
                Ok(()) => wire::json_v1(200, &"The store is set as Offline."),
                Err(reply) => reply,
            }
        }
        ("POST", ["state"]) => set_state(cluster, call, number),
        ("POST", ["label"]) => set_labels(cluster, call, number),
        ("DELETE", ["label"]) => delete_label(cluster, call, number),
        _ => set_weight(cluster, call, number),
    }
}

fn not_found(id: u64) -> Reply {
    wire::json_v1(404, &format!("[PD:core:ErrStoreNotFound]store {id} not found"))
}

fn removed(id: u64) -> Reply {
    wire::json_v1(410, &format!("[PD:core:ErrStoreRemoved]store {id} has been removed"))
}

fn destroyed(id: u64) -> Reply {
    wire::json_v1(400, &format!("[PD:core:ErrStoreDestroyed]store {id} has been physically destroyed"))
}

fn stores_json(cluster: &Cluster, wanted: impl Fn(&super::super::stores::Store) -> bool) -> Reply {
    let stores: Vec<_> =
        cluster.stores.values().filter(|store| wanted(store)).map(|store| store_json(cluster, store)).collect();
    wire::json_v1(200, &json!({"count": stores.len(), "stores": stores}))
}

/// `GET /stores`
fn list(cluster: &Cluster, call: &Call) -> Reply {
    let mut states = Vec::new();
    for text in call.request.query_values("state") {
        match text.parse::<i64>() {
            Err(_) => return wire::json_v1(500, &wire::parse_error("Atoi", &text)),
            Ok(state @ 0..=2) => states.push(state),
            Ok(state) => return wire::json_v1(500, &format!("unknown StoreState: {state}")),
        }
    }
    stores_json(cluster, |store| {
        let state = match store.state {
            State::Preparing | State::Serving => 0,
            State::Removing => 1,
            State::Removed => 2,
        };
        if states.is_empty() { state != 2 } else { states.contains(&state) }
    })
}

/// `GET /stores/check`
fn check(cluster: &Cluster, call: &Call) -> Reply {
    const NAMES: [&str; 5] = ["up", "offline", "tombstone", "down", "disconnected"];
    let mut names = Vec::new();
    for text in call.request.query_values("state") {
        let name = text.to_lowercase();
        if !NAMES.contains(&name.as_str()) {
            return wire::json_v1(400, &format!("unknown StoreState: {text}"));
        }
        names.push(name);
    }
    stores_json(cluster, |store| {
        let name = cluster.state_name(store).to_lowercase();
        if names.is_empty() { name != "tombstone" } else { names.contains(&name) }
    })
}

/// `GET /stores/progress`
fn progress(cluster: &Cluster, call: &Call) -> Reply {
    let (id, action) = (call.request.query_values("id"), call.request.query_values("action"));
    let (matching, missing): (Vec<_>, String) = match (id.first(), action.first()) {
        (Some(id), _) => {
            let Ok(number) = id.parse::<u64>() else {
                return wire::json_v1(400, &wire::parse_error("ParseUint", id));
            };
            (cluster.stores.get(&number).into_iter().collect(), format!("given store ID: {id}"))
        }
        (None, Some(action)) => {
            let all = cluster.stores.values().filter(|_| action == "removing").collect();
            (all, format!("action: {action}"))
        }
        (None, None) => return wire::json_v1(400, &"need query parameters"),
    };
    let leaving: Vec<_> = matching.into_iter().filter(|store| store.state == State::Removing).collect();
    if leaving.is_empty() {
        return wire::json_v1(404, &format!("[PD:progress:ErrProgressNotFound]no progress found for the {missing}"));
    }
    let (left, all) = leaving.iter().fold((0, 0), |(left, all), store| {
        (left + cluster.regions.counts(store.id).1, all + store.regions_at_removal.max(1))
    });
    #[expect(clippy::cast_precision_loss)]
    let done = 1.0 - (left as f64 / all as f64).min(1.0);
    let mut body = json!({"action": "removing", "progress": done, "current_speed": 1.0, "left_seconds": left});
    if let (Some(_), [store]) = (id.first(), leaving.as_slice()) {
        body["store_id"] = json!(store.id);
    }
    wire::json_v1(200, &body)
}

fn remove_tombstone(cluster: &mut Cluster) -> Reply {
    cluster.stores.retain(|_, store| store.state != State::Removed);
    wire::json_v1(200, &"Remove tombstone successfully.")
}

fn labels(cluster: &Cluster) -> Reply {
    let mut all: Vec<(&str, &str)> = Vec::new();
    for store in cluster.stores.values() {
        for (key, value) in &store.spec.labels {
            if !all.contains(&(key, value)) {
                all.push((key, value));
            }
        }
    }
    let body: Vec<_> = all.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    wire::json_v1(200, &body)
}

/// Begins the removal of a store.
fn remove(cluster: &mut Cluster, id: u64, force: bool) -> Result<(), Reply> {
    let store = cluster.stores.get(&id).ok_or_else(|| not_found(id))?;
    match store.state {
        State::Removed => return Err(removed(id)),
        State::Removing if store.destroyed == force => return Ok(()),
        _ if store.destroyed => return Err(destroyed(id)),
        _ => {}
    }
    if !force {
        check_replicas(cluster, id)?;
    }
    let regions = cluster.regions.counts(id).1;
    if let Some(store) = cluster.stores.get_mut(&id) {
        store.state = State::Removing;
        store.destroyed = force;
        store.regions_at_removal = regions;
    }
    cluster.schedule_store_check();
    cluster.regions_changed();
    Ok(())
}

/// Enough up stores have to stay, one of which may lead.
fn check_replicas(cluster: &Cluster, id: u64) -> Result<(), Reply> {
    let up: Vec<u64> = cluster.stores.values().filter(|store| store.is_up()).map(|store| store.id).collect();
    let left = up.len().saturating_sub(1);
    let need = cluster.config.max_replicas();
    if left < need {
        return Err(wire::json_v1(
            400,
            &format!(
                "[PD:core:ErrStoresNotEnough]can not remove store {id} since the number of up stores would be {left} while need {need}"
            ),
        ));
    }
    if up.iter().filter(|store| **store != id).all(|store| cluster.schedulers.evicts(*store)) {
        return Err(wire::json_v1(
            400,
            &format!(
                "[PD:core:ErrNoStoreForRegionLeader]can not remove store {id} since there are no extra up store to store the leader"
            ),
        ));
    }
    Ok(())
}

fn set_state(cluster: &mut Cluster, call: &Call, id: u64) -> Reply {
    let state = call.request.query_values("state").into_iter().next().unwrap_or_default();
    let set = match state.as_str() {
        "Offline" => remove(cluster, id, false),
        "Up" => cancel_removal(cluster, id),
        _ => return wire::json_v1(400, &format!("invalid state {state}")),
    };
    match set {
        Ok(()) => wire::json_v1(200, &"The store's state is updated."),
        Err(reply) => reply,
    }
}

fn cancel_removal(cluster: &mut Cluster, id: u64) -> Result<(), Reply> {
    let store = cluster.stores.get_mut(&id).ok_or_else(|| not_found(id))?;
    if store.state == State::Removed {
        return Err(removed(id));
    }
    if store.destroyed {
        return Err(destroyed(id));
    }
    if store.state == State::Removing {
        store.state = State::Serving;
    }
    cluster.regions_changed();
    Ok(())
}

fn invalid_store(id: u64) -> Reply {
    wire::json_v1(500, &format!("[PD:cluster:ErrInvalidStoreID]invalid store id {id}, not found"))
}

fn set_labels(cluster: &mut Cluster, call: &Call, id: u64) -> Reply {
    let labels = match gojson::parse_strings(&call.request.body) {
        Ok(labels) => labels,
        Err(error) => return wire::json_error(&error),
    };
    for (key, value) in &labels {
        if !is_label_key(key) {
            return bad_label(key, LABEL_KEY_FORMAT);
        }
        if !is_label_value(value) {
            return bad_label(value, LABEL_VALUE_FORMAT);
        }
    }
    if let Some(reply) = mismatched_label(cluster, &labels) {
        return reply;
    }
    let Some(store) = cluster.stores.get_mut(&id) else { return invalid_store(id) };
    if call.request.has_query("force") {
        store.spec.labels.clear();
    }
    for (key, value) in &labels {
        set_label(&mut store.spec.labels, key, value);
    }
    cluster.regions_changed();
    wire::json_v1(200, &"The store's label is updated.")
}

fn bad_label(text: &str, format: &str) -> Reply {
    wire::input_error(&format!("{text} does not match format \"{format}\""), &json!({}))
}

fn mismatched_label(cluster: &Cluster, labels: &[(String, String)]) -> Option<Reply> {
    let location = cluster.config.location_labels();
    if !cluster.config.strictly_match_label() || labels.iter().any(|(key, _)| key == "engine") {
        return None;
    }
    let (key, _) = labels.iter().find(|(key, _)| !location.contains(key))?;
    Some(wire::json_v1(500, &format!("label configuration is incorrect, key {key} is not in the location labels")))
}

fn delete_label(cluster: &mut Cluster, call: &Call, id: u64) -> Reply {
    let key = match gojson::parse(&call.request.body) {
        Ok(Value::String(key)) => key,
        Ok(_) => return wire::json_v1(400, &"json: cannot unmarshal into Go value of type string"),
        Err(error) => return wire::json_error(&error),
    };
    let Some(store) = cluster.stores.get_mut(&id) else { return invalid_store(id) };
    if store.label(&key).is_none() {
        return wire::json_v1(500, &format!("the label key {key} does not exist"));
    }
    set_label(&mut store.spec.labels, &key, "");
    wire::json_v1(200, &format!("The label {key} is deleted for store {id}."))
}

fn set_weight(cluster: &mut Cluster, call: &Call, id: u64) -> Reply {
    let body = match gojson::parse_object(&call.request.body) {
        Ok(body) => body,
        Err(error) => return wire::json_error(&error),
    };
    let mut weights = [1.0; 2];
    for (weight, name) in weights.iter_mut().zip(["leader", "region"]) {
        match body.get(name).map(Value::as_f64) {
            None => return wire::json_v1(400, &format!("{name} weight unset")),
            Some(Some(number)) if number >= 0.0 => *weight = number,
            Some(_) => return wire::json_v1(400, &format!("bad format {name} weight")),
        }
    }
    let Some(store) = cluster.stores.get_mut(&id) else { return invalid_store(id) };
    [store.leader_weight, store.region_weight] = weights;
    wire::json_v1(200, &"The store's weight is updated.")
}

/// Unsafe recovery is only checked, never run: no operator calls it.
pub(super) fn unsafe_recovery(cluster: &mut Cluster, call: &Call, method: &str, path: &[&str]) -> Option<Reply> {
    if !matches!((method, path), ("GET", ["show"]) | ("POST", [])) {
        return (path.is_empty() && method != "POST").then(|| wire::empty(405));
    }
    if let Err(reply) = need_bootstrap(cluster, call) {
        return Some(reply);
    }
    if method == "GET" {
        return Some(wire::json_v1(200, &json!([{"info": "No on-going recovery."}])));
    }
    let body = match gojson::parse_object(&call.request.body) {
        Ok(body) => body,
        Err(error) => {
            // PD writes both the coded error and the plain one.
            let mut reply = wire::json_error(&error);
            reply.body.extend(wire::json_v1(400, &error.message).body);
            return Some(reply);
        }
    };
    let ids: Vec<u64> =
        body.get("stores").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64).collect();
    let invalid = |what: String| {
        wire::json_v1(500, &format!("[PD:unsaferecovery:ErrUnsafeRecoveryInvalidInput]invalid input {what}"))
    };
    Some(match ids.iter().find(|id| !cluster.stores.contains_key(id)) {
        Some(id) => invalid(format!("store {id} doesn't exist")),
        None if ids.is_empty() => invalid("no store specified".into()),
        None => {
            match ids.iter().find(|id| cluster.stores.get(id).is_some_and(|store| cluster.state_name(store) == "Up")) {
                Some(id) => invalid(format!("store {id} is up and connected")),
                None => wire::json_v1(200, &"Request has been accepted."),
            }
        }
    })
}
