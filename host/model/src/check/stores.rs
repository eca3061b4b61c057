//! S8, S9: TiKV keeps enough stores for its replicas, and a store's pod goes only after the store.

use std::collections::BTreeSet;

use super::{ClusterFacts, Facts, Violation, facts::pod_of, workload::disruption};
use crate::{
    known::Unknown,
    plan::{Action, Plan},
    snapshot::{StoreRow, StoreState},
};

pub(super) fn check(facts: &dyn Facts, cluster: &ClusterFacts, plan: &Plan, violations: &mut Vec<Violation>) {
    let mut deleted = BTreeSet::new();
    for action in &plan.actions {
        match action {
            Action::DeleteStore { id } => {
                delete_store(facts, *id, &deleted, violations);
                deleted.insert(*id);
            }
            // What is unknown here is reported by the rules on members, which look at the same disruption.
            _ => {
                if let Ok(Some(disruption)) = disruption(facts, action)
                    && ["tikv", "tiflash"].contains(&disruption.component.as_str())
                    && !cluster.suspends(&disruption.component)
                {
                    for pod in &disruption.removed {
                        removed_pod(facts, pod, violations);
                    }
                }
            }
        }
    }
}

/// S8: after the deletion at least `max-replicas` TiKV stores are Up.
fn delete_store(facts: &dyn Facts, id: u64, deleted: &BTreeSet<u64>, violations: &mut Vec<Violation>) {
    let known = stores(facts).and_then(|stores| Ok((stores, max_replicas(facts)?)));
    let (stores, replicas) = match known {
        Ok(known) => known,
        Err(unknown) => {
            let message = format!("deletion of store {id} while PD's view is unknown: {unknown}");
            violations.push(Violation::new("S33", message));
            return;
        }
    };
    let Some(target) = stores.iter().find(|store| store.id == id) else {
        violations.push(Violation::new("S8", format!("deletion of store {id}, which PD does not have")));
        return;
    };
    let up =
        stores.iter().filter(|s| s.state == StoreState::Up && !s.tiflash && s.id != id && !deleted.contains(&s.id));
    let up = up.count() as u64;
    if !target.tiflash && up < replicas {
        let message =
            format!("deletion of store {id} would leave {up} TiKV stores Up, fewer than PD's max-replicas {replicas}");
        violations.push(Violation::new("S8", message));
    }
}

/// S9: the store of a pod that goes is a tombstone, or there never was one.
fn removed_pod(facts: &dyn Facts, pod: &str, violations: &mut Vec<Violation>) {
    match stores(facts) {
        Ok(stores) => {
            if let Some(store) = living_store(&stores, pod) {
                let message = format!("pod {pod} would be removed while its store {} is not a tombstone", store.id);
                violations.push(Violation::new("S9", message));
            }
        }
        Err(unknown) => {
            let message = format!("pod {pod} would be removed while PD's stores are unknown: {unknown}");
            violations.push(Violation::new("S33", message));
        }
    }
}

/// The store of a pod that still counts.
pub(super) fn living_store<'a>(stores: &'a [StoreRow], pod: &str) -> Option<&'a StoreRow> {
    stores.iter().find(|store| pod_of(&store.address) == pod && store.state != StoreState::Tombstone)
}

pub(super) fn stores(facts: &dyn Facts) -> Result<Vec<StoreRow>, Unknown> {
    let stores = facts.pd().stores.as_ref().map_err(Clone::clone)?;
    Ok(stores.iter().map(|store| store.row.clone()).collect())
}

fn max_replicas(facts: &dyn Facts) -> Result<u64, Unknown> {
    let config = match facts.pd().documents.get("config") {
        Some(Ok(config)) => config,
        Some(Err(unknown)) => return Err(unknown.clone()),
        None => return Err(Unknown::NotRequested),
    };
    let config: serde_json::Value =
        serde_json::from_str(config.get()).map_err(|error| Unknown::Failed(error.to_string()))?;
    let replicas = config["replication"]["max-replicas"].as_u64();
    replicas.ok_or_else(|| Unknown::Failed("PD's configuration has no replication.max-replicas".into()))
}
