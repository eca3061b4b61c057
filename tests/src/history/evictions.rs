//! S17: region leaders are kept off a store no longer than there is a reason, whoever began it and has died since.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidepool_api::labels::EVICT_LEADER;
use tidepool_sim::data::pd::StoreView;

use super::{
    Found, Step,
    state::{State, is_ready, pod_of, text},
};

/// An operator that starts anew, or that nothing tells, sees it in its next resync; then PD has to be asked.
const RESYNC_MS: u64 = 60_000;

/// A PD cluster and a store of it.
type Store = (u64, u64);

/// Whose leaders the operator has had moved away.
#[derive(Default)]
pub struct Evictions {
    begun: BTreeSet<Store>,
    /// Since when there has been no reason any more.
    idle: BTreeMap<Store, u64>,
}

impl Evictions {
    /// Notes which ones the operator begins.
    pub fn step(&mut self, step: Step<'_>) {
        let (before, after) = (evicting(step.before), evicting(step.after));
        self.begun.retain(|store| after.contains_key(store));
        if step.by_operator() && step.what() == ("POST", "pd") && step.entry.name.ends_with("/schedulers") {
            self.begun.extend(after.into_keys().filter(|store| !before.contains_key(store)));
        }
    }

    /// S17: none is left when its pod is back or the operation is called off.
    pub fn look(&mut self, now: &State, found: &mut Found) {
        let evicting = evicting(now);
        self.begun.retain(|store| evicting.contains_key(store));
        for at in &self.begun {
            let Some((store, answers)) = evicting.get(at) else { continue };
            if !answers || is_needed(now, store) {
                self.idle.remove(at);
                continue;
            }
            let since = *self.idle.entry(*at).or_insert(now.ms);
            if now.ms > since + RESYNC_MS {
                let object = format!("store/{}", store.id);
                found.broken("S17", &object, "its leaders are still kept away, and its pod is not to restart");
            }
        }
        self.idle.retain(|store, _| self.begun.contains(store));
    }
}

/// Stores that region leaders are kept off, each with whether their PD answers.
fn evicting(now: &State) -> BTreeMap<Store, (&StoreView, bool)> {
    let stores = now.pd.iter().flat_map(|(id, pd)| pd.stores.iter().map(move |store| ((*id, store.id), (store, pd))));
    stores.filter(|(_, (store, _))| store.evicting).map(|(at, (store, pd))| (at, (store, pd.answers))).collect()
}

/// The store's pod is away, is to restart or to go, or the user wants it so.
fn is_needed(now: &State, store: &StoreView) -> bool {
    if store.state_name == "Tombstone" {
        return false;
    }
    let own = |pod: &&Value| text(&pod["metadata"]["name"]) == pod_of(&store.address);
    let Some(pod) = now.of_component("tikv").find(own) else { return true };
    let Some(cluster) = now.cluster_of(pod) else { return true };
    let well = is_ready(pod) && store.state_name == "Up" && store.running;
    let asked = pod["metadata"]["annotations"][EVICT_LEADER].is_string();
    if !well || asked || cluster["metadata"]["deletionTimestamp"].is_string() {
        return true;
    }
    cluster["spec"]["paused"] != true && (leaves(cluster, pod) || is_outdated(now, pod))
}

/// The pod is one that a smaller cluster does without.
fn leaves(cluster: &Value, pod: &Value) -> bool {
    let slots = cluster["metadata"]["annotations"].as_object().into_iter().flatten();
    let ordinal = text(&pod["metadata"]["name"]).rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok());
    let wanted = cluster["spec"]["tikv"]["replicas"].as_u64().unwrap_or_default();
    slots.map(|(name, _)| name).any(|name| name.ends_with("/delete-slots"))
        || ordinal.is_some_and(|ordinal: u64| ordinal >= wanted)
}

/// The StatefulSet has another template than that of the pod.
fn is_outdated(now: &State, pod: &Value) -> bool {
    let metadata = &pod["metadata"];
    let name = text(&metadata["name"]).rsplit_once('-').map_or("", |(set, _)| set);
    let set = now.get("statefulsets", text(&metadata["namespace"]), name);
    set.is_none_or(|set| metadata["labels"]["controller-revision-hash"] != set["status"]["updateRevision"])
}
