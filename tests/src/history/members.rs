//! S2, S3, S4, S8, S21, S33: what is asked of PD, and how many pods failover adds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Found, Step,
    state::{Pd, State, instance, is_ready, key, quorum, text},
};

/// Failover adds so many pods at most where the spec says nothing.
const FAILOVER_MAX: i64 = 3;

/// PD keeps so many replicas of each region where its configuration says nothing.
const MAX_REPLICAS: usize = 3;

/// What a PD cluster was, and what became of its members.
#[derive(Default)]
pub struct Members {
    /// PD's number of the cluster, by uid of the TidbCluster.
    ids: BTreeMap<String, u64>,
    /// Unhealthy members that were removed while the cluster had no more pods than its spec says, by TidbCluster.
    replaced: BTreeMap<String, BTreeSet<u64>>,
}

impl Members {
    /// S4: one cluster id for the life of the resource, and for a cluster that joins another one, that one's.
    pub fn look(&mut self, now: &State, found: &mut Found) {
        for (pod, id) in &now.pd_of {
            let Some((namespace, name)) = pod.split_once('/') else { continue };
            let Some(cluster) = now.get("pods", namespace, name).and_then(|pod| now.cluster_of(pod)) else { continue };
            let uid = text(&cluster["metadata"]["uid"]).to_owned();
            let first = *self.ids.entry(uid).or_insert(*id);
            if first != *id {
                found.broken("S4", pod, format!("it started as a member of cluster {id}, not of {first}"));
            }
        }
        for cluster in now.all("tidbclusters") {
            let told = text(&cluster["status"]["clusterID"]);
            let known = self.ids.get(text(&cluster["metadata"]["uid"]));
            if let Some(id) = known.filter(|id| !told.is_empty() && id.to_string() != told) {
                found.broken("S4", &key(cluster), format!("its status names cluster {told}, its PD is {id}"));
            }
        }
    }

    pub fn step(&mut self, step: Step<'_>, found: &mut Found) {
        self.look(step.after, found);
        if !step.by_operator() || !step.done() {
            return;
        }
        let path = step.entry.name.split('?').next().unwrap_or_default();
        match step.what() {
            ("DELETE", "pd") if path.starts_with("/pd/api/v1/members/") => self.member(step, last(path), found),
            ("DELETE", "pd") if path.starts_with("/pd/api/v1/store/") => store(step, last(path), found),
            ("update" | "patch", "statefulsets") => self.size(step, found),
            _ => {}
        }
    }

    /// S2 and S3 for a member that is removed.
    fn member(&mut self, step: Step<'_>, which: &str, found: &mut Found) {
        let named = |pd: &&Pd| pd.members.iter().any(|m| m.id.to_string() == which || m.name == which);
        let Some(pd) = step.before.pd.values().find(named) else { return };
        let Some(member) = pd.members.iter().find(|m| m.id.to_string() == which || m.name == which) else { return };
        let object = format!("pd member/{}", member.name);
        let healthy = pd.members.iter().filter(|m| m.healthy && m.id != member.id).count();
        let needed = quorum(pd.members.len() - 1);
        if healthy < needed {
            let what = format!("its removal leaves {healthy} healthy members, fewer than the new quorum {needed}");
            found.broken("S2", &object, what);
        }
        if member.leader && healthy > 0 {
            found.broken("S3", &object, "the leader is removed while another healthy member can lead");
        }
        if !member.healthy {
            for cluster in step.before.all("tidbclusters") {
                if step.before.pd_of_cluster(cluster).is_some_and(|own| named(&own)) {
                    self.replaced.entry(key(cluster)).or_default().insert(member.id);
                }
            }
        }
    }

    /// S21: failover adds no more pods than the spec allows and members or pods failed, and none for pods that only
    /// wait for a node.
    fn size(&mut self, step: Step<'_>, found: &mut Found) {
        let set = |state: &State| {
            let set = state.get("statefulsets", &step.entry.namespace, &step.entry.name)?;
            Some((set["spec"]["replicas"].as_i64()?, set.clone()))
        };
        let (Some((old, _)), Some((new, set))) = (set(step.before), set(step.after)) else { return };
        let part = super::state::component(&set);
        let Some(cluster) = step.before.cluster_of(&set) else { return };
        // PD's services are a list in the spec, and have no failover.
        let Some(wanted) = cluster["spec"][part]["replicas"].as_i64() else { return };
        if new <= wanted {
            self.replaced.remove(&key(cluster));
        }
        let extra = new - wanted;
        if new <= old || extra <= 0 {
            return;
        }
        let namespace = &step.entry.namespace;
        let failing =
            |pod: &&Value| !is_ready(pod) && pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
        let failing = step.before.pods(namespace, instance(&set), part).filter(failing).count();
        let noted = ["failureMembers", "failureStores"].map(|key| count(&cluster["status"][part][key]));
        let removed = self.replaced.get(&key(cluster)).map_or(0, BTreeSet::len);
        let failed = noted.into_iter().chain([failing, removed]).max().unwrap_or_default();
        let limit = cluster["spec"][part]["maxFailoverCount"].as_i64().unwrap_or(FAILOVER_MAX);
        let failed = i64::try_from(failed).unwrap_or(i64::MAX);
        if extra > limit.min(failed) {
            let what = format!("{extra} more pods than the spec says, for {failed} that failed and {limit} allowed");
            found.broken("S21", &key(&set), what);
        }
    }
}

/// S8: enough stores stay Up for the replicas.
fn store(step: Step<'_>, which: &str, found: &mut Found) {
    let own = |pd: &Pd| pd.stores.iter().any(|store| store.id.to_string() == which);
    let Some((id, pd)) = step.before.pd.iter().find(|(_, pd)| own(pd)) else { return };
    let flash = |address: &str| address.contains("-tiflash-");
    if pd.stores.iter().any(|store| store.id.to_string() == which && flash(&store.address)) {
        return;
    }
    let up = |s: &&tidepool_sim::data::pd::StoreView| {
        s.state_name == "Up" && s.id.to_string() != which && !flash(&s.address)
    };
    let up = pd.stores.iter().filter(up).count();
    let users = step.before.all("tidbclusters").filter(|cluster| step.before.pd_id_of_cluster(cluster) == Some(*id));
    let replicas = users.filter_map(max_replicas).next().unwrap_or(MAX_REPLICAS);
    if up < replicas {
        let what = format!("its removal leaves {up} TiKV stores Up, fewer than {replicas} replicas");
        found.broken("S8", &format!("store/{which}"), what);
    }
}

/// `max-replicas` of PD's configuration in the spec.
fn max_replicas(cluster: &Value) -> Option<usize> {
    let config = cluster["spec"]["pd"]["config"].as_str()?;
    let line = config.lines().find_map(|line| line.trim().strip_prefix("max-replicas"))?;
    line.trim_start_matches([' ', '=']).trim().parse().ok()
}

fn count(map: &Value) -> usize {
    map.as_object().map_or(0, serde_json::Map::len)
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
