//! S15, S16, S18, S19, S20, S27, S28, S33: how the operator writes, whatever it writes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Found, Step,
    state::{State, component, instance, is_ready, key, text},
};
use crate::certs::leaked;

/// A round that began before a change may end so much later: its reads from PD and components take their time.
const ROUND_MS_MAX: u64 = 10_000;

/// What the API server itself changes in every write.
const SERVER_FIELDS: [&str; 3] = ["managedFields", "resourceVersion", "generation"];

/// Written for the host itself, not for a cluster.
const OWN: [&str; 2] = ["leases", "events"];

/// What has been so for how long.
#[derive(Default)]
pub struct Writes {
    /// Pod specs that were written anew, by StatefulSet and what the user wants.
    rendered: BTreeMap<(String, String), Value>,
    /// Since when clusters are paused.
    paused: BTreeMap<String, u64>,
    /// Since when no PD answers, by TidbCluster.
    silent: BTreeMap<String, u64>,
}

impl Writes {
    /// Notes since when clusters are paused and PDs are silent.
    pub fn look(&mut self, now: &State) {
        for cluster in now.all("tidbclusters") {
            since(&mut self.paused, cluster, now.ms, cluster["spec"]["paused"] == true);
            let silent = now.pd_of_cluster(cluster).is_some_and(|pd| !pd.answers);
            since(&mut self.silent, cluster, now.ms, silent);
        }
    }

    pub fn step(&mut self, step: Step<'_>, found: &mut Found) {
        self.look(step.before);
        if !step.by_operator() {
            return;
        }
        secrets(step, found);
        if !step.done() || OWN.contains(&step.entry.resource.as_str()) {
            return;
        }
        holder(step, found);
        self.pause(step, found);
        self.ignorance(step, found);
        if !is_call(step) {
            precondition(step, found);
            changes(step, found);
            belongs(step, found);
            self.template(step, found);
        }
    }

    /// S15: for what the user wants, one pod spec and no other.
    fn template(&mut self, step: Step<'_>, found: &mut Found) {
        let Step { entry, before, after } = step;
        if entry.resource != "statefulsets" {
            return;
        }
        let spec = |state: &State| {
            let set = state.get("statefulsets", &entry.namespace, &entry.name)?;
            Some(set["spec"]["template"]["spec"].clone())
        };
        let Some(new) = spec(after).filter(|new| spec(before).as_ref() != Some(new)) else { return };
        let set = after.get("statefulsets", &entry.namespace, &entry.name);
        let Some(cluster) = set.and_then(|set| after.cluster_of(set)) else { return };
        let metadata = &cluster["metadata"];
        let wanted = format!("{} {} {}", metadata["uid"], metadata["annotations"], cluster["spec"]);
        let first = self.rendered.entry((step.key(), wanted)).or_insert_with(|| new.clone());
        if *first != new {
            found.broken("S15", &step.key(), "two pod templates were written for one spec");
        }
    }

    /// S27: nothing happens to workloads and PD while paused.
    fn pause(&self, step: Step<'_>, found: &mut Found) {
        let Step { entry, before, .. } = step;
        let ends_eviction = entry.verb == "DELETE" && entry.name.contains("/schedulers/evict-leader");
        if ends_eviction || !(is_call(step) || entry.resource == "statefulsets") {
            return;
        }
        let long = |since: &u64| before.ms > since + ROUND_MS_MAX;
        let on_hold =
            |cluster: &&Value| self.paused.get(&key(cluster)).is_some_and(long) && !suspends(cluster, part_of(step));
        let set = before.get("statefulsets", &entry.namespace, &entry.name).or_else(|| created(step));
        let hit = match set {
            Some(set) => before.cluster_of(set).is_some_and(|cluster| on_hold(&cluster)),
            None => {
                let mut own =
                    before.all("tidbclusters").filter(|c| text(&c["metadata"]["namespace"]) == entry.namespace);
                let first = own.next();
                first.is_some_and(|first| on_hold(&first)) && own.all(|cluster| on_hold(&cluster))
            }
        };
        if hit {
            found.broken("S27", &step.key(), format!("{} while the cluster is paused", entry.verb));
        }
    }

    /// S33: nothing destructive while no PD has answered for longer than a round takes.
    fn ignorance(&self, step: Step<'_>, found: &mut Found) {
        let Step { entry, before, .. } = step;
        let silent = |object: &Value| {
            let cluster = before.cluster_of(object)?;
            let part = component(object);
            if !["pd", "tikv", "tiflash"].contains(&part) || suspends(cluster, part) {
                return None;
            }
            self.silent.get(&key(cluster)).filter(|since| before.ms > **since + ROUND_MS_MAX)
        };
        let object = before.get(&entry.resource, &entry.namespace, &entry.name);
        let Some(object) = object.filter(|object| silent(object).is_some()) else { return };
        let what = match step.what() {
            ("delete", "persistentvolumeclaims") => "a claim is deleted",
            ("delete", "pods") if is_ready(object) || component(object) != "pd" => "a pod is deleted",
            ("update" | "patch", "statefulsets") if shrinks(step) => "pods are removed",
            ("update" | "patch", "statefulsets") if restarts_ready(step) => "ready pods are restarted",
            _ => return,
        };
        found.broken("S33", &step.key(), format!("{what} while no PD answers"));
    }
}

/// Notes since when something is so.
fn since(times: &mut BTreeMap<String, u64>, cluster: &Value, now: u64, so: bool) {
    if so {
        times.entry(key(cluster)).or_insert(now);
    } else {
        times.remove(&key(cluster));
    }
}

/// A call of PD or of a component.
fn is_call(step: Step<'_>) -> bool {
    step.entry.name.starts_with('/')
}

fn created<'a>(step: Step<'a>) -> Option<&'a Value> {
    step.after.get("statefulsets", &step.entry.namespace, &step.entry.name)
}

fn part_of(step: Step<'_>) -> &str {
    let set = step.before.get("statefulsets", &step.entry.namespace, &step.entry.name).or_else(|| created(step));
    set.map_or("", component)
}

fn suspends(cluster: &Value, part: &str) -> bool {
    let wanted = |spec: &Value| spec["suspendAction"]["suspendStatefulSet"].as_bool();
    wanted(&cluster["spec"][part]).or_else(|| wanted(&cluster["spec"])).unwrap_or(false)
}

fn number(step: Step<'_>, state: &State, pointer: &str) -> i64 {
    let set = state.get("statefulsets", &step.entry.namespace, &step.entry.name);
    set.and_then(|set| set.pointer(pointer)?.as_i64()).unwrap_or_default()
}

fn shrinks(step: Step<'_>) -> bool {
    number(step, step.after, "/spec/replicas") < number(step, step.before, "/spec/replicas")
}

/// The write lets the StatefulSet controller restart a pod that is ready.
fn restarts_ready(step: Step<'_>) -> bool {
    let partition = number(step, step.after, "/spec/updateStrategy/rollingUpdate/partition");
    let Some(before) = step.before.get("statefulsets", &step.entry.namespace, &step.entry.name) else { return false };
    let Some(after) = created(step) else { return false };
    let changed = before["spec"]["template"] != after["spec"]["template"];
    let old = &before["status"]["updateRevision"];
    step.before.pods(&step.entry.namespace, instance(before), component(before)).any(|pod| {
        let name = text(&pod["metadata"]["name"]);
        let ordinal = name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<i64>().ok());
        let outdated = changed || &pod["metadata"]["labels"]["controller-revision-hash"] != old;
        is_ready(pod) && outdated && ordinal.is_some_and(|ordinal| ordinal >= partition)
    })
}

/// S28: nothing of what is in a Secret in what is written.
fn secrets(step: Step<'_>, found: &mut Found) {
    if let Some(mark) = leaked(&step.entry.body.to_string()) {
        found.broken("S28", &step.key(), format!("what is written holds {mark}, which is a Secret's"));
    }
}

/// S20: where operators share a lease, only its holder's writes are taken.
fn holder(step: Step<'_>, found: &mut Found) {
    let leases = step.before.all("leases").filter(|lease| lease["metadata"]["name"] == crate::world::LEASE);
    for lease in leases {
        let holder = text(&lease["spec"]["holderIdentity"]);
        if holder != step.entry.user_agent && !holder.is_empty() {
            let what = format!("written by {}, while {holder} holds the lease", step.entry.user_agent);
            found.broken("S20", &step.key(), what);
        }
    }
}

/// S19: a write says what it was decided on.
fn precondition(step: Step<'_>, found: &mut Found) {
    let body = &step.entry.body;
    let guarded = [&body["metadata"], &body["preconditions"]]
        .iter()
        .any(|held| held["resourceVersion"].is_string() || held["uid"].is_string());
    if ["update", "patch", "delete"].contains(&step.entry.verb.as_str()) && !guarded {
        found.broken("S19", &step.key(), format!("{} {} without a precondition", step.entry.verb, step.entry.resource));
    }
}

/// S16: a write changes something.
fn changes(step: Step<'_>, found: &mut Found) {
    let Step { entry, before, after } = step;
    let resource = entry.resource.split('/').next().unwrap_or_default();
    let content = |state: &State| {
        let mut object = state.get(resource, &entry.namespace, &entry.name)?.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            SERVER_FIELDS.iter().for_each(|field| drop(metadata.remove(*field)));
        }
        Some(object)
    };
    if ["update", "patch"].contains(&entry.verb.as_str()) && content(before) == content(after) {
        found.broken("S16", &step.key(), format!("{} {} changes nothing", entry.verb, entry.resource));
    }
}

/// S18: only what belongs to a TidbCluster that is there.
fn belongs(step: Step<'_>, found: &mut Found) {
    let Step { entry, before, after } = step;
    let resource = entry.resource.split('/').next().unwrap_or_default();
    if resource == "tidbclusters" {
        return;
    }
    let object = before.get(resource, &entry.namespace, &entry.name);
    let Some(object) = object.or_else(|| after.get(resource, &entry.namespace, &entry.name)) else {
        found.broken("S18", &step.key(), format!("{} {resource}, which no policy writes", entry.verb));
        return;
    };
    let owned = match resource {
        "persistentvolumes" => {
            let claim = &object["spec"]["claimRef"];
            let named = before.get("persistentvolumeclaims", text(&claim["namespace"]), text(&claim["name"]));
            named.filter(|named| named["metadata"]["uid"] == claim["uid"]).is_some_and(|named| labelled(before, named))
        }
        "persistentvolumeclaims" => labelled(before, object),
        _ => labelled(before, object) && owner_chain(before, object),
    };
    if !owned {
        found.broken("S18", &step.key(), format!("{} of what belongs to no TidbCluster", entry.verb));
    }
}

fn labelled(state: &State, object: &Value) -> bool {
    let managed = &object["metadata"]["labels"]["app.kubernetes.io/managed-by"];
    managed == "tidb-operator" && state.cluster_of(object).is_some()
}

fn owner_chain(state: &State, object: &Value) -> bool {
    let Some(cluster) = state.cluster_of(object) else { return false };
    let mut next = object.clone();
    loop {
        let owners = next["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        if owners.iter().any(|owner| owner["uid"] == cluster["metadata"]["uid"]) {
            return true;
        }
        let Some(owner) = owners.into_iter().find(|owner| owner["controller"] == true) else { return false };
        let resource = format!("{}s", text(&owner["kind"]).to_lowercase());
        let found = state.get(&resource, text(&object["metadata"]["namespace"]), text(&owner["name"]));
        match found.filter(|found| found["metadata"]["uid"] == owner["uid"]) {
            Some(found) => next = found.clone(),
            None => return false,
        }
    }
}
