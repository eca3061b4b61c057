//! A node that nobody can reach: what the cluster notices of it, and when.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{Shared, api, mirror::Mirror, network::Key, nodes, selector::tolerated};

/// Without a lease for so long a node counts as unreachable, milliseconds.
const NOTICED_AFTER_MS: u64 = 40_000;
/// A pod tolerates an unreachable node for so long unless it says otherwise, seconds.
const TOLERATED_SECONDS: u64 = 300;
/// The taints of an unreachable node.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// The nodes that are lost now and how much of it has been noticed.
#[derive(Debug, Default)]
pub struct NodeLosses {
    lost: BTreeMap<String, Loss>,
}

#[derive(Debug)]
struct Loss {
    since: u64,
    noticed: bool,
    evicted: BTreeSet<Key>,
}

impl NodeLosses {
    /// Whether the node cannot be reached, noticed or not.
    pub fn is_lost(&self, node: &str) -> bool {
        self.lost.contains_key(node)
    }

    /// Brings nodes and their pods up to date; returns when to look again.
    ///
    /// # Errors
    /// When the API server refuses; the caller tries again.
    pub async fn step(
        &mut self,
        shared: &Shared,
        nodes: &Mirror<Node>,
        pods: &Mirror<Pod>,
    ) -> Result<Option<u64>, kube::Error> {
        let wanted = shared.world().faults.lost_nodes.clone();
        let back: Vec<String> = self.lost.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in back {
            self.recover(shared, &name, nodes, pods).await?;
        }
        for (name, since) in wanted {
            if self.lost.contains_key(&name) {
                continue;
            }
            self.lost.insert(name.clone(), Loss { since, noticed: false, evicted: BTreeSet::new() });
            set_silent(shared, &name, pods, true);
        }
        let now = shared.clock.now_ms();
        let mut next = None;
        for (name, loss) in &mut self.lost {
            let due = loss.since + NOTICED_AFTER_MS;
            if now < due {
                next = Some(next.map_or(due, |at: u64| at.min(due)));
                continue;
            }
            if !loss.noticed {
                notice(shared, name, nodes, pods).await?;
                loss.noticed = true;
            }
            let later = loss.evict(shared, name, pods, due, now).await?;
            next = [next, later].into_iter().flatten().min();
        }
        Ok(next)
    }

    async fn recover(
        &mut self,
        shared: &Shared,
        name: &str,
        nodes: &Mirror<Node>,
        pods: &Mirror<Pod>,
    ) -> Result<(), kube::Error> {
        if self.lost.get(name).is_some_and(|loss| loss.noticed) {
            let api: Api<Node> = Api::all(shared.client.clone());
            let ready = nodes::readiness_patch(true, shared.clock);
            api.patch_status(name, &PatchParams::default(), &Patch::Merge(&ready)).await?;
            set_taints(shared, name, nodes, false).await?;
        }
        self.lost.remove(name);
        set_silent(shared, name, pods, false);
        shared.look_again();
        Ok(())
    }
}

impl Loss {
    /// Deletes the pods whose patience is over; returns when the next one's is.
    async fn evict(
        &mut self,
        shared: &Shared,
        node: &str,
        pods: &Mirror<Pod>,
        noticed_at: u64,
        now: u64,
    ) -> Result<Option<u64>, kube::Error> {
        let mut next = None;
        for (key, pod) in on_node(pods, node) {
            if self.evicted.contains(key) || pod.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let Some(patience) = patience_ms(pod) else { continue };
            let due = noticed_at.saturating_add(patience);
            if due > now {
                next = Some(next.map_or(due, |at: u64| at.min(due)));
                continue;
            }
            let api: Api<Pod> = Api::namespaced(shared.client.clone(), &key.0);
            match api.delete(&key.1, &DeleteParams::default()).await {
                Err(error) if !api::is_not_found(&error) => return Err(error),
                _ => self.evicted.insert(key.clone()),
            };
        }
        Ok(next)
    }
}

/// The node is marked unreachable, its pods not ready.
async fn notice(shared: &Shared, name: &str, nodes: &Mirror<Node>, pods: &Mirror<Pod>) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(shared.client.clone());
    let unknown = nodes::readiness_patch(false, shared.clock);
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&unknown)).await?;
    set_taints(shared, name, nodes, true).await?;
    for (key, pod) in on_node(pods, name) {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        let mut conditions = serde_json::to_value(conditions).map_err(kube::Error::SerdeError)?;
        for condition in conditions.as_array_mut().into_iter().flatten().filter(|c| c["type"] == "Ready") {
            condition["status"] = json!("False");
            condition["lastTransitionTime"] = json!(api::rfc3339(shared.clock.now_ms()));
        }
        let patch = json!({"status": {"conditions": conditions}});
        let api: Api<Pod> = Api::namespaced(shared.client.clone(), &key.0);
        match api.patch_status(&key.1, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Err(error) if !api::is_not_found(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn set_taints(shared: &Shared, name: &str, nodes: &Mirror<Node>, unreachable: bool) -> Result<(), kube::Error> {
    let known = nodes.get(&(String::new(), name.to_owned())).and_then(|node| node.spec.as_ref()?.taints.clone());
    let others = known.into_iter().flatten().filter(|taint| taint.key != UNREACHABLE);
    let mut taints: Vec<Value> = others.filter_map(|taint| serde_json::to_value(taint).ok()).collect();
    if unreachable {
        taints.extend(["NoSchedule", "NoExecute"].map(|effect| json!({"key": UNREACHABLE, "effect": effect})));
    }
    let api: Api<Node> = Api::all(shared.client.clone());
    api.patch(name, &PatchParams::default(), &Patch::Merge(&json!({"spec": {"taints": taints}}))).await?;
    Ok(())
}

fn set_silent(shared: &Shared, node: &str, pods: &Mirror<Pod>, silent: bool) {
    let now = shared.clock.now_ms();
    let mut world = shared.world();
    for (key, _) in on_node(pods, node) {
        world.network.set_reachable(key, !silent);
        world.set_silent(key, silent, now);
    }
}

fn on_node<'p>(pods: &'p Mirror<Pod>, node: &'p str) -> impl Iterator<Item = (&'p Key, &'p Pod)> {
    pods.iter().filter(move |(_, pod)| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node))
}

/// How long the pod stays bound to an unreachable node; for ever if it tolerates that.
fn patience_ms(pod: &Pod) -> Option<u64> {
    let taint = serde_json::from_value(json!({"key": UNREACHABLE, "effect": "NoExecute"})).ok()?;
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or(&[]);
    let tolerating = tolerations.iter().filter(|toleration| tolerated(&taint, std::slice::from_ref(*toleration)));
    let mut seconds: Vec<Option<i64>> = tolerating.map(|toleration| toleration.toleration_seconds).collect();
    seconds.sort();
    match seconds.first() {
        None => Some(TOLERATED_SECONDS * 1_000),
        Some(None) if seconds.iter().all(Option::is_none) => None,
        Some(_) => {
            let least = seconds.iter().flatten().min().copied().unwrap_or(0);
            Some(u64::try_from(least).unwrap_or(0).saturating_mul(1_000))
        }
    }
}
