//! S29: status never says Ready while a component is below its desired healthy count.

use super::{ClusterFacts, Facts, Violation, facts::component, members::is_ready, stores::stores};
use crate::{known::Known, plan::Plan, snapshot::StoreState};

/// Components whose pods must be ready, as they are called in the spec and in the component label.
const COMPONENTS: [&str; 7] = ["pd", "tikv", "tidb", "tiflash", "ticdc", "tiproxy", "pump"];

pub(super) fn check(facts: &dyn Facts, cluster: &ClusterFacts, plan: &Plan, violations: &mut Vec<Violation>) {
    let conditions = plan.status.as_ref().and_then(|status| status["conditions"].as_array());
    let says_ready = conditions.is_some_and(|list| list.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
    if !says_ready {
        return;
    }
    let own = COMPONENTS.iter().filter_map(|name| Some((*name, cluster.spec[*name]["replicas"].as_u64()?)));
    for (name, replicas) in own.chain(cluster.services()) {
        match healthy(facts, cluster, name) {
            Ok(healthy) if healthy >= replicas => {}
            Ok(healthy) => {
                let message = format!("Ready while {name} has {healthy} of {replicas} healthy");
                violations.push(Violation::new("S29", message));
            }
            Err(unknown) => {
                violations
                    .push(Violation::new("S33", format!("Ready while the state of {name} is unknown: {unknown}")));
            }
        }
    }
}

/// Pods that are ready and, for PD and TiKV, that PD says are well.
fn healthy(facts: &dyn Facts, cluster: &ClusterFacts, name: &str) -> Known<u64> {
    let pods = facts.objects("v1", "Pod")?;
    let ready = pods.iter().filter(|pod| component(pod) == name && is_ready(pod)).count();
    let known_to_pd = match name {
        "pd" => facts.pd().members.as_ref().map_err(Clone::clone)?.iter().filter(|member| member.healthy).count(),
        "tikv" => {
            let peer = format!("{}-tikv-peer.", cluster.name);
            let stores = stores(facts)?;
            stores.iter().filter(|s| s.state == StoreState::Up && s.address.contains(&peer)).count()
        }
        _ => ready,
    };
    Ok(ready.min(known_to_pd) as u64)
}
