//! S10 to S14: volumes and what is on them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;
use tidepool_api::labels::{MEMBER_ID, PVC_DEFER_DELETING};

use super::{
    CONTROLLERS, Found, Step,
    pods::covers,
    state::{State, claims, component, is_ready, key, pod_of, text},
};

/// What is on the volumes, and what StatefulSets looked like.
#[derive(Default)]
pub struct Claims {
    /// Claims with the data of a member that was removed from PD, by uid.
    left: BTreeSet<String>,
    /// Pod specs of StatefulSets that the operator deleted without being asked to suspend, by name.
    deleted: BTreeMap<String, Value>,
}

impl Claims {
    pub fn step(&mut self, step: Step<'_>, found: &mut Found) {
        if !step.done() {
            return;
        }
        match step.what() {
            ("delete", "persistentvolumeclaims") => claim(step, found),
            ("update" | "patch", "persistentvolumes") if step.by_operator() => reclaim_policy(step, found),
            ("update" | "patch", "persistentvolumeclaims") if step.by_operator() => size(step, found),
            ("create", "pods") => self.pod(step, found),
            ("DELETE", "pd") if step.by_operator() => self.member_left(step),
            ("delete" | "create", "statefulsets") if step.by_operator() => self.set(step, found),
            _ => {}
        }
    }

    /// The claims of a member that is removed hold data with which no member can start any more.
    fn member_left(&mut self, step: Step<'_>) {
        let Some(id) = step.entry.name.strip_prefix("/pd/api/v1/members/id/") else { return };
        let members = step.before.pd.values().flat_map(|pd| &pd.members);
        let gone: Vec<&str> = members.filter(|m| m.id.to_string() == id).map(|m| pod_of(&m.name)).collect();
        for pod in step.before.of_component("pd").filter(|pod| gone.contains(&text(&pod["metadata"]["name"]))) {
            let namespace = text(&pod["metadata"]["namespace"]);
            let own = claims(pod).filter_map(|name| step.before.get("persistentvolumeclaims", namespace, name));
            self.left.extend(own.map(|claim| text(&claim["metadata"]["uid"]).to_owned()));
        }
    }

    /// S13: no pod starts with the data of a member or store that left.
    fn pod(&self, step: Step<'_>, found: &mut Found) {
        let new =
            |pod: &&Value| step.before.get("pods", &step.entry.namespace, text(&pod["metadata"]["name"])).is_none();
        for pod in step.after.all("pods").filter(new) {
            for name in claims(pod) {
                let Some(claim) = step.before.get("persistentvolumeclaims", &step.entry.namespace, name) else {
                    continue;
                };
                if is_marked(claim) || self.left.contains(text(&claim["metadata"]["uid"])) {
                    found.broken("S13", &key(claim), format!("{} starts with what was left on it", key(pod)));
                }
            }
        }
    }

    /// S14: no StatefulSet comes back with other pods.
    fn set(&mut self, step: Step<'_>, found: &mut Found) {
        let Step { entry, before, after } = step;
        let spec = |set: &Value| set["spec"]["template"]["spec"].clone();
        if entry.verb == "delete" {
            let Some(set) = before.get("statefulsets", &entry.namespace, &entry.name) else { return };
            let suspends = before.cluster_of(set).is_some_and(|cluster| {
                let asks = |spec: &Value| spec["suspendAction"]["suspendStatefulSet"] == true;
                asks(&cluster["spec"]) || asks(&cluster["spec"][component(set)])
            });
            if !suspends {
                self.deleted.insert(step.key(), spec(set));
            }
        } else if let Some(old) = self.deleted.remove(&step.key())
            && let Some(set) = after.get("statefulsets", &entry.namespace, &entry.name)
            && spec(set) != old
        {
            found.broken("S14", &key(set), "it was made anew with another pod template");
        }
    }
}

fn is_marked(claim: &Value) -> bool {
    claim["metadata"]["annotations"][PVC_DEFER_DELETING].as_str().is_some_and(|time| !time.is_empty())
}

/// S10 and S12 for a claim that is deleted.
fn claim(step: Step<'_>, found: &mut Found) {
    let Step { entry, before, .. } = step;
    let Some(claim) = before.get("persistentvolumeclaims", &entry.namespace, &entry.name) else { return };
    let cluster = before.cluster_of(claim);
    let going = cluster.is_none_or(|cluster| cluster["metadata"]["deletionTimestamp"].is_string());
    let allowed = cluster.is_some_and(|cluster| cluster["spec"]["enablePVReclaim"] == true);
    if !step.by_operator() {
        if entry.user_agent == CONTROLLERS && !allowed {
            found.broken("S12", &key(claim), "it goes with the cluster, which the spec does not allow");
        }
        return;
    }
    if going {
        found.broken("S12", &key(claim), "it is deleted with the cluster");
    }
    if entry.body["preconditions"]["uid"] != claim["metadata"]["uid"] {
        found.broken("S10", &key(claim), "it is deleted without the uid that it has");
    }
    let user = before.all("pods").find(|pod| {
        text(&pod["metadata"]["namespace"]) == entry.namespace && claims(pod).any(|name| name == entry.name)
    });
    if user.is_some_and(|pod| lost_member(before, pod, claim)) {
        return;
    }
    if !is_marked(claim) && !allowed {
        found.broken("S10", &key(claim), "it is deleted, which the spec does not allow");
    }
    if let Some(pod) = user {
        found.broken("S10", &key(claim), format!("it is deleted while {} uses it", key(pod)));
    }
    wanted(before, claim, found);
}

/// Nobody wants the claim's pod any more, and its store is gone.
fn wanted(before: &State, claim: &Value, found: &mut Found) {
    let (namespace, name) = (text(&claim["metadata"]["namespace"]), text(&claim["metadata"]["name"]));
    let Some((prefix, ordinal)) = name.rsplit_once('-') else { return };
    let own = |set: &&Value| {
        let set = text(&set["metadata"]["name"]);
        prefix.strip_suffix(set).is_some_and(|template| template.ends_with('-'))
    };
    let mut sets = before.all("statefulsets").filter(|set| text(&set["metadata"]["namespace"]) == namespace);
    let Some(set) = sets.find(own) else { return };
    let pod = format!("{}-{ordinal}", text(&set["metadata"]["name"]));
    if covers(set, &pod) {
        found.broken("S10", &key(claim), format!("it is deleted while pod {pod} is wanted"));
    }
    let pd = before.cluster_of(claim).and_then(|cluster| before.pd_of_cluster(cluster));
    if let Some(store) = pd.and_then(|pd| pd.store(&pod)) {
        found.broken("S10", &key(claim), format!("it is deleted while store {} is {}", store.id, store.state_name));
    }
}

/// PD, which has a leader, lists no member in the pod, and the pod does not serve, or pod or claim was another member's.
fn lost_member(before: &State, pod: &Value, claim: &Value) -> bool {
    let pd = before.cluster_of(pod).and_then(|cluster| before.pd_of_cluster(cluster));
    let listed = |pd: &super::state::Pd| {
        pd.members.iter().any(|member| member.leader) && pd.member(text(&pod["metadata"]["name"])).is_none()
    };
    let gone = |id: &str| pd.is_some_and(|pd| !pd.members.iter().any(|member| member.id.to_string() == id));
    let was = |object: &Value| object["metadata"]["labels"][MEMBER_ID].as_str().is_some_and(gone);
    component(pod) == "pd" && (was(pod) || was(claim) || !is_ready(pod)) && pd.is_some_and(listed)
}

/// S11: never from Retain to Delete unless the spec says so.
fn reclaim_policy(step: Step<'_>, found: &mut Found) {
    let policy = |state: &State| {
        let volume = state.get("persistentvolumes", "", &step.entry.name)?;
        Some((text(&volume["spec"]["persistentVolumeReclaimPolicy"]).to_owned(), volume.clone()))
    };
    let (Some((old, volume)), Some((new, _))) = (policy(step.before), policy(step.after)) else { return };
    if old != "Retain" || new != "Delete" {
        return;
    }
    let claim = &volume["spec"]["claimRef"];
    let claim = step.before.get("persistentvolumeclaims", text(&claim["namespace"]), text(&claim["name"]));
    let cluster = claim.and_then(|claim| step.before.cluster_of(claim));
    let says =
        |cluster: &Value| cluster["spec"]["pvReclaimPolicy"] == "Delete" || cluster["spec"]["enablePVReclaim"] == true;
    if !cluster.is_some_and(says) {
        found.broken("S11", &key(&volume), "it goes from Retain to Delete, which the spec does not say");
    }
}

/// S14: a volume never shrinks.
fn size(step: Step<'_>, found: &mut Found) {
    let size = |state: &State| {
        let claim = state.get("persistentvolumeclaims", &step.entry.namespace, &step.entry.name)?;
        let asked = text(&claim["spec"]["resources"]["requests"]["storage"]).to_owned();
        Some(tidepool_sim::data::quantity::millis(&Quantity(asked)))
    };
    if let (Some(old), Some(new)) = (size(step.before), size(step.after))
        && new < old
    {
        found.broken("S14", &step.key(), "it is to shrink");
    }
}
