//! The discovery service: tells a PD pod without data whether it founds the cluster or whom it joins.
//!
//! The rule is the existing operator's, as it decides who bootstraps: the last distinct pod to ask founds, the others
//! join it. One thing is stricter: they are let in one after the other, each once the one before has started and
//! etcd has got used to it. Two at once would cost the second a crash or more.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// etcd refuses a change of its membership so soon after another one, milliseconds.
const SETTLE_MS: u64 = 6_000;
/// A pod that was let in and does not appear holds the others back for so long, milliseconds.
const JOIN_MAX_MS: u64 = 60_000;

/// What the service remembers.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Pods that have asked, per cluster, since the TidbCluster last changed.
    asked: BTreeMap<String, (String, BTreeSet<String>)>,
    /// The pod that was let in last, per cluster, and until when the others wait for it.
    joins: BTreeMap<String, Join>,
}

#[derive(Debug)]
struct Join {
    pod: String,
    until: u64,
    seen: bool,
}

/// A PD pod that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// As it was sent: `host:2380`, perhaps with a newline.
    pub address: String,
    /// The host part.
    pub host: String,
    /// The first label of the host.
    pub pod: String,
    /// The cluster, from the second label.
    pub cluster: String,
    /// The third label.
    pub namespace: String,
}

/// A member as PD lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Empty until it has started.
    pub name: String,
    /// Its first peer URL.
    pub peer_url: String,
}

/// Decodes the last part of `/new/{base64}`.
///
/// # Errors
/// When it is not base64 of `pod.cluster-pd-peer.namespace.svc…:2380`.
pub fn asker(encoded: &str) -> Result<Asker, String> {
    let bytes = STANDARD.decode(encoded).map_err(|error| format!("failed to decode: {error}"))?;
    let address = String::from_utf8(bytes).map_err(|error| format!("failed to decode: {error}"))?;
    if address.is_empty() {
        return Err("advertisePeerUrl is empty".to_owned());
    }
    let host = address.split(':').next().unwrap_or("").to_owned();
    let labels: Vec<&str> = host.split('.').collect();
    let [pod, subdomain, namespace, "svc", ..] = labels.as_slice() else {
        return Err(format!("advertisePeerUrl format is wrong: {address}"));
    };
    Ok(Asker {
        pod: (*pod).to_owned(),
        cluster: subdomain.trim_end_matches("-pd-peer").to_owned(),
        namespace: (*namespace).to_owned(),
        host: host.clone(),
        address,
    })
}

/// Where the discovery service looks for PD members, in order: `host:port`.
pub fn candidates(asker: &Asker, cluster: &Value) -> Vec<String> {
    let mut all = Vec::new();
    if cluster.pointer("/spec/pd").is_some_and(|pd| !pd.is_null()) {
        all.push(format!("{}-pd.{}:2379", asker.cluster, asker.namespace));
    }
    if let Some(name) = cluster.pointer("/spec/cluster/name").and_then(Value::as_str) {
        let namespace = cluster.pointer("/spec/cluster/namespace").and_then(Value::as_str).unwrap_or(&asker.namespace);
        all.push(format!("{name}-pd.{namespace}:2379"));
    }
    let peers = cluster.pointer("/status/pd/peerMembers").and_then(Value::as_object);
    for peer in peers.into_iter().flat_map(|peers| peers.values()) {
        let url = peer.get("clientURL").and_then(Value::as_str).unwrap_or("");
        all.push(url.split("://").last().unwrap_or(url).to_owned());
    }
    all
}

impl Discovery {
    /// The flags for the pod that asks. `members` is what the first PD that answered lists.
    ///
    /// # Errors
    /// When it has to ask again later; the text says why.
    pub fn answer(
        &mut self,
        asker: &Asker,
        cluster: &Value,
        members: Result<Vec<Member>, String>,
        now: u64,
    ) -> Result<String, String> {
        let version = cluster.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or("").to_owned();
        let entry = self.asked.entry(asker.cluster.clone()).or_default();
        if entry.0 != version {
            *entry = (version, BTreeSet::new());
        }
        entry.1.insert(asker.pod.clone());
        if entry.1.len() == desired_replicas(cluster) && cluster.pointer("/spec/cluster").is_none_or(Value::is_null) {
            entry.1.remove(&asker.pod);
            return Ok(found_cluster(asker, cluster));
        }
        let members = members?;
        if members.iter().any(|member| member.name.is_empty()) {
            return Err("a member that was let in before has not started yet".to_owned());
        }
        self.take_turns(asker, &members, now)?;
        if let Some(entry) = self.asked.get_mut(&asker.cluster) {
            entry.1.remove(&asker.pod);
        }
        let others = members.iter().filter(|member| member.name != asker.pod && member.name != asker.host);
        let urls: Vec<String> = others.map(|member| member.peer_url.replace(":2380", ":2379")).collect();
        Ok(format!("--join={}", urls.join(",")))
    }

    /// Lets the asker in, unless another one is on its way.
    fn take_turns(&mut self, asker: &Asker, members: &[Member], now: u64) -> Result<(), String> {
        if let Some(join) = self.joins.get_mut(&asker.cluster).filter(|join| join.pod != asker.pod) {
            let started = |member: &Member| member.peer_url.contains(&format!("//{}.", join.pod));
            if !join.seen && members.iter().any(started) {
                join.seen = true;
                join.until = now + SETTLE_MS;
            }
            if now < join.until {
                return Err(format!("{} joins now", join.pod));
            }
        }
        let join = Join { pod: asker.pod.clone(), until: now + JOIN_MAX_MS, seen: false };
        self.joins.insert(asker.cluster.clone(), join);
        Ok(())
    }
}

fn found_cluster(asker: &Asker, cluster: &Value) -> String {
    let addresses = cluster.pointer("/spec/pdAddresses").and_then(Value::as_array);
    let addresses: Vec<&str> = addresses.into_iter().flatten().filter_map(Value::as_str).collect();
    if !addresses.is_empty() {
        return format!("--join={}", addresses.join(","));
    }
    let tls = cluster.pointer("/spec/tlsCluster/enabled").and_then(Value::as_bool) == Some(true);
    let scheme = if tls { "https" } else { "http" };
    let name = if named_by_host(cluster) { &asker.host } else { &asker.pod };
    format!("--initial-cluster={name}={scheme}://{}", asker.address)
}

/// Members of databases that span Kubernetes clusters are named by their host.
pub fn named_by_host(cluster: &Value) -> bool {
    cluster.pointer("/spec/acrossK8s").and_then(Value::as_bool) == Some(true)
        || cluster.pointer("/spec/clusterDomain").and_then(Value::as_str).is_some_and(|domain| !domain.is_empty())
}

/// Replicas asked for, and one more for each member that failed.
fn desired_replicas(cluster: &Value) -> usize {
    let replicas = cluster.pointer("/spec/pd/replicas").and_then(Value::as_u64).unwrap_or(0);
    let failed =
        cluster.pointer("/status/pd/failureMembers").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    usize::try_from(replicas).unwrap_or(usize::MAX).saturating_add(failed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(
        discovery: &mut Discovery,
        pod: usize,
        cluster: &Value,
        members: Result<Vec<Member>, String>,
        now: u64,
    ) -> Result<String, String> {
        let address = format!("a-pd-{pod}.a-pd-peer.ns.svc:2380\n");
        discovery.answer(&asker(&STANDARD.encode(address))?, cluster, members, now)
    }

    fn member(name: &str) -> Member {
        Member { name: name.to_owned(), peer_url: format!("http://{name}.a-pd-peer.ns.svc:2380") }
    }

    #[test]
    fn the_last_to_ask_founds_and_the_others_join() {
        let cluster = json!({"metadata": {"resourceVersion": "1"}, "spec": {"pd": {"replicas": 3}}});
        let mut discovery = Discovery::default();
        for pod in [0, 1, 0] {
            assert_eq!(ask(&mut discovery, pod, &cluster, Err("refused".to_owned()), 0), Err("refused".to_owned()));
        }
        let founds = ask(&mut discovery, 2, &cluster, Err("refused".to_owned()), 0);
        assert_eq!(founds, Ok("--initial-cluster=a-pd-2=http://a-pd-2.a-pd-peer.ns.svc:2380\n".to_owned()));
        let joins = ask(&mut discovery, 0, &cluster, Ok(vec![member("a-pd-2")]), 0);
        assert_eq!(joins, Ok("--join=http://a-pd-2.a-pd-peer.ns.svc:2379".to_owned()));
        let early = ask(&mut discovery, 1, &cluster, Ok(vec![member("a-pd-2"), member("")]), 0);
        assert!(early.unwrap_err().contains("not started"));
        let mut list = vec![member("a-pd-2")];
        let waits = ask(&mut discovery, 1, &cluster, Ok(list.clone()), 0);
        assert_eq!(waits, Err("a-pd-0 joins now".to_owned()));
        list.push(member("a-pd-0"));
        assert!(ask(&mut discovery, 1, &cluster, Ok(list.clone()), 10_000).is_err(), "etcd is not used to it yet");
        assert!(ask(&mut discovery, 1, &cluster, Ok(list), 10_000 + SETTLE_MS).is_ok());
    }

    #[test]
    fn a_changed_cluster_starts_the_count_again() {
        let cluster =
            |version: &str| json!({"metadata": {"resourceVersion": version}, "spec": {"pd": {"replicas": 2}}});
        let mut discovery = Discovery::default();
        let none = || Err("refused".to_owned());
        assert!(ask(&mut discovery, 0, &cluster("1"), none(), 0).is_err());
        assert!(ask(&mut discovery, 1, &cluster("2"), none(), 0).is_err());
        assert!(ask(&mut discovery, 0, &cluster("2"), none(), 0).is_ok());
    }

    #[test]
    fn a_wrong_address_is_refused() {
        assert!(asker("???").is_err());
        assert!(asker(&STANDARD.encode("a-pd-0.a-pd-peer:2380")).is_err());
        assert!(asker("").is_err());
    }
}
