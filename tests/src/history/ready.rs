//! S29: the status does not say Ready while a component is below its desired healthy count.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Found, Step,
    state::{State, is_ready, key, text},
};

/// What time alone shows, such as a member that stands still, is seen in the next resync at the latest; so long may a
/// status that is not written be behind, milliseconds.
const RESYNC_MS: u64 = 60_000;

/// What is written was read in the same round, milliseconds before at most.
const ROUND_MS: u64 = 10_000;

/// Components whose pods must be ready, as they are called in spec and label.
const COMPONENTS: [&str; 7] = ["pd", "tikv", "tidb", "tiflash", "ticdc", "tiproxy", "pump"];

/// Since when components are short.
#[derive(Default)]
pub struct Readiness {
    /// By TidbCluster and component: since when, and what is.
    short: BTreeMap<(String, &'static str), (u64, String)>,
}

impl Readiness {
    pub fn look(&mut self, now: &State, found: &mut Found) {
        self.note(now);
        let ready = |name: &str| {
            let cluster = name.split_once('/').and_then(|(namespace, name)| now.get("tidbclusters", namespace, name));
            cluster.is_some_and(is_ready)
        };
        for ((cluster, component), (since, what)) in &self.short {
            if now.ms > since + RESYNC_MS && ready(cluster) {
                found.broken("S29", cluster, format!("it says Ready while {component} has {what}"));
            }
        }
    }

    pub fn step(&mut self, step: Step<'_>, found: &mut Found) {
        self.note(step.before);
        if !step.by_operator() || !step.done() || !step.entry.resource.starts_with("tidbclusters") {
            return;
        }
        let written = step.after.get("tidbclusters", &step.entry.namespace, &step.entry.name);
        if !written.is_some_and(is_ready) {
            return;
        }
        for ((cluster, component), (since, what)) in &self.short {
            if *cluster == step.key() && step.after.ms > since + ROUND_MS {
                found.broken("S29", cluster, format!("Ready is written while {component} has {what}"));
            }
        }
    }

    fn note(&mut self, now: &State) {
        let mut short = BTreeMap::new();
        for cluster in now.all("tidbclusters") {
            for component in COMPONENTS {
                let Some(wanted) = cluster["spec"][component]["replicas"].as_u64() else { continue };
                let healthy = healthy(now, cluster, component);
                if healthy < wanted {
                    let at = (key(cluster), component);
                    let since = self.short.get(&at).map_or(now.ms, |(since, _)| *since);
                    short.insert(at, (since, format!("{healthy} of {wanted} healthy")));
                }
            }
        }
        self.short = short;
    }
}

/// Pods that are ready and, for PD and TiKV, serve.
fn healthy(now: &State, cluster: &Value, component: &str) -> u64 {
    let (namespace, name) = (text(&cluster["metadata"]["namespace"]), text(&cluster["metadata"]["name"]));
    let pd = now.pd_of_cluster(cluster);
    let serves = |pod: &&Value| {
        let pod = text(&pod["metadata"]["name"]);
        match component {
            "pd" => pd.and_then(|pd| pd.member(pod)).is_some_and(|member| member.healthy),
            "tikv" => pd.and_then(|pd| pd.store(pod)).is_some_and(|store| store.state_name == "Up"),
            _ => true,
        }
    };
    now.pods(namespace, name, component).filter(|pod| is_ready(pod)).filter(serves).count() as u64
}
