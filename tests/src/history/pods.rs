//! S1, S2, S3, S5, S6, S7, S9, S24: pods that go by the operator's doing.

use std::collections::BTreeMap;

use serde_json::Value;
use tidepool_api::labels::EVICT_LEADER_BEGIN_TIME;
use tidepool_sim::data::pd::StoreView;

use super::{
    CONTROLLERS, Found, Step,
    state::{Pd, State, component, instance, is_ready, key, quorum, text},
};

/// With fewer members any restart is an outage, and refusing it for ever helps nobody.
const REDUNDANT_MEMBERS_MIN: usize = 3;

/// Region leaders are waited for so long where the spec says nothing: 1500 minutes, in milliseconds.
const EVICT_MS: u64 = 1_500 * 60_000;

/// Pods that are down by the operator's doing, and whose doing each StatefulSet is.
#[derive(Default)]
pub struct Pods {
    /// Pods that were taken down and are not back, by `namespace/name`, with their component and PD.
    down: BTreeMap<String, (String, Option<u64>)>,
    /// The user wrote the StatefulSet's spec last.
    edited: BTreeMap<String, bool>,
}

impl Pods {
    /// Notes who is back.
    pub fn look(&mut self, now: &State) {
        self.down.retain(|pod, _| !is_back(now, pod));
    }

    pub fn step(&mut self, step: Step<'_>, found: &mut Found) {
        self.look(step.before);
        self.attribute(step);
        if !step.done() {
            return;
        }
        match step.what() {
            ("delete", "pods") => self.pod(step, found),
            ("delete", "statefulsets") if step.by_operator() => self.set(step, found),
            _ => {}
        }
    }

    /// Whose doing the StatefulSet is from now on.
    fn attribute(&mut self, step: Step<'_>) {
        if !step.entry.resource.starts_with("statefulsets") {
            return;
        }
        let Step { entry, before, after } = step;
        let spec =
            |state: &State| state.get("statefulsets", &entry.namespace, &entry.name).map(|set| set["spec"].clone());
        if spec(before) != spec(after) {
            self.edited.insert(step.key(), !step.by_operator());
        }
    }

    /// A StatefulSet goes, and all its pods with it.
    fn set(&mut self, step: Step<'_>, found: &mut Found) {
        let Step { entry, before, .. } = step;
        let Some(set) = before.get("statefulsets", &entry.namespace, &entry.name) else { return };
        if excused(before, set) {
            return;
        }
        let own = before.all("pods").filter(|pod| owner(pod) == Some(text(&set["metadata"]["uid"])));
        for pod in own.collect::<Vec<_>>() {
            self.goes(before, pod, true, found);
        }
    }

    fn pod(&mut self, step: Step<'_>, found: &mut Found) {
        let Step { entry, before, .. } = step;
        let Some(pod) = before.get("pods", &entry.namespace, &entry.name) else { return };
        if pod["metadata"]["deletionTimestamp"].is_string() || excused(before, pod) {
            return;
        }
        let set = before.all("statefulsets").find(|set| owner(pod) == Some(text(&set["metadata"]["uid"])));
        let by_set = entry.user_agent == CONTROLLERS
            && set.is_some_and(|set| !self.edited.get(&key(set)).copied().unwrap_or(false));
        if step.by_operator() || by_set {
            let removed = set.is_some_and(|set| !covers(set, text(&pod["metadata"]["name"])));
            self.goes(before, pod, removed, found);
        }
    }

    fn goes(&mut self, before: &State, pod: &Value, removed: bool, found: &mut Found) {
        let id = before.cluster_of(pod).and_then(|cluster| before.pd_id_of_cluster(cluster));
        let none = Pd::default();
        let pd = id.and_then(|id| before.pd.get(&id)).unwrap_or(&none);
        let kind = (component(pod).to_owned(), id);
        match (component(pod), removed) {
            ("pd", true) => removed_member(pd, pod, found),
            ("pd", false) => member(pd, pod, &self.others(pod, &kind), found),
            ("tikv" | "tiflash", true) => removed_store(pd, pod, found),
            ("tikv", false) => store(before, pd, pod, &self.others(pod, &kind), found),
            ("tidb", false) => server(before, pod, found),
            _ => {}
        }
        // A pod of PD that is no member of it, such as one that comes in the place of a lost member, is missed by nobody.
        let counts = component(pod) != "pd" || pd.member(text(&pod["metadata"]["name"])).is_some();
        if !removed && counts {
            self.down.insert(key(pod), kind);
        }
    }

    /// Other pods of the same component and PD that are down already.
    fn others(&self, pod: &Value, kind: &(String, Option<u64>)) -> String {
        let own = key(pod);
        let others = self.down.iter().filter(|(other, of)| **other != own && *of == kind);
        others.map(|(other, _)| other.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// S1 and S3 for a member that comes back.
fn member(pd: &Pd, pod: &Value, others: &str, found: &mut Found) {
    let name = text(&pod["metadata"]["name"]);
    let Some(member) = pd.member(name) else { return };
    let healthy = pd.healthy_without(&[name]);
    if member.healthy {
        if !others.is_empty() {
            found.broken("S1", &key(pod), format!("it is taken down while {others} is"));
        }
        let all = pd.members.len();
        let needed = if all >= REDUNDANT_MEMBERS_MIN { quorum(all) } else { all.saturating_sub(1) };
        if healthy < needed {
            let what = format!("without it {healthy} of {all} members are healthy, {needed} are needed");
            found.broken("S1", &key(pod), what);
        }
    }
    if member.leader && healthy > 0 {
        found.broken("S3", &key(pod), "PD's leader is taken down while another healthy member can lead");
    }
}

/// S5, S6 and S7 for a store that comes back.
fn store(before: &State, pd: &Pd, pod: &Value, others: &str, found: &mut Found) {
    if !others.is_empty() {
        found.broken("S7", &key(pod), format!("it is taken down while {others} is"));
    }
    let own = pd.store(text(&pod["metadata"]["name"]));
    let Some(store) = own.filter(|store| store.state_name == "Up" && store.running) else { return };
    let away = |s: &&StoreView| ["Disconnected", "Down"].contains(&s.state_name);
    if let Some(other) = pd.stores.iter().find(away) {
        found.broken("S6", &key(pod), format!("it is taken down while store {} is not Up", other.id));
    }
    let alone = !pd.stores.iter().any(|s| s.id != store.id && s.state_name == "Up");
    if store.leader_count > 0 && !alone && !evicted_long_enough(before, pod) {
        found.broken("S5", &key(pod), format!("it is taken down with {} region leaders", store.leader_count));
    }
}

/// The cluster goes or is to be suspended, so its pods may all go.
fn excused(before: &State, object: &Value) -> bool {
    let Some(cluster) = before.cluster_of(object) else { return true };
    let wanted = |spec: &Value| spec["suspendAction"]["suspendStatefulSet"].as_bool();
    let suspends = wanted(&cluster["spec"][component(object)]).or_else(|| wanted(&cluster["spec"])).unwrap_or(false);
    suspends || cluster["metadata"]["deletionTimestamp"].is_string()
}

fn owner(pod: &Value) -> Option<&str> {
    let owners = pod["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)?["uid"].as_str()
}

/// Whether the StatefulSet wants the pod.
pub fn covers(set: &Value, pod: &str) -> bool {
    let ordinal = pod.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<i64>().ok());
    ordinal.is_some_and(|ordinal| ordinal < set["spec"]["replicas"].as_i64().unwrap_or(1))
}

/// The pod serves again, or nobody wants it any more.
fn is_back(now: &State, pod: &str) -> bool {
    let Some((namespace, name)) = pod.split_once('/') else { return true };
    let Some(pod) = now.get("pods", namespace, name) else {
        let set = name.rsplit_once('-').and_then(|(set, _)| now.get("statefulsets", namespace, set));
        return set.is_none_or(|set| !covers(set, name));
    };
    let pd = now.cluster_of(pod).and_then(|cluster| now.pd_of_cluster(cluster));
    let well = match component(pod) {
        "pd" => pd.and_then(|pd| pd.member(name)).is_some_and(|member| member.healthy),
        "tikv" => pd.and_then(|pd| pd.store(name)).is_some_and(|store| store.state_name == "Up" && store.running),
        _ => true,
    };
    is_ready(pod) && well && !pod["metadata"]["deletionTimestamp"].is_string()
}

fn removed_member(pd: &Pd, pod: &Value, found: &mut Found) {
    if pd.member(text(&pod["metadata"]["name"])).is_some() && pd.members.len() > 1 {
        found.broken("S2", &key(pod), "it is removed while it is a member of PD");
    }
}

fn removed_store(pd: &Pd, pod: &Value, found: &mut Found) {
    if let Some(store) = pd.store(text(&pod["metadata"]["name"])) {
        found.broken("S9", &key(pod), format!("it is removed while its store {} is {}", store.id, store.state_name));
    }
}

fn server(before: &State, pod: &Value, found: &mut Found) {
    let namespace = text(&pod["metadata"]["namespace"]);
    let others: Vec<&Value> =
        before.pods(namespace, instance(pod), "tidb").filter(|other| key(other) != key(pod)).collect();
    let serves = |pod: &&&Value| is_ready(pod) && !pod["metadata"]["deletionTimestamp"].is_string();
    if is_ready(pod) && !others.is_empty() && !others.iter().any(|other| serves(&other)) {
        found.broken("S24", &key(pod), "the last TiDB that serves is taken down");
    }
}

/// The time that region leaders have to leave has passed.
fn evicted_long_enough(before: &State, pod: &Value) -> bool {
    let begun = pod["metadata"]["annotations"][EVICT_LEADER_BEGIN_TIME].as_str();
    let Some(begun) = begun.and_then(|time| time.parse::<jiff::Timestamp>().ok()) else { return false };
    let spec = before.cluster_of(pod).map(|cluster| &cluster["spec"]["tikv"]["evictLeaderTimeout"]);
    let limit = spec.and_then(Value::as_str).and_then(|text| text.parse::<jiff::SignedDuration>().ok());
    let limit = limit.map_or(EVICT_MS, |limit| u64::try_from(limit.as_millis()).unwrap_or(0));
    let since = u64::try_from(begun.as_millisecond()).unwrap_or(0);
    before.ms >= since.saturating_add(limit)
}
