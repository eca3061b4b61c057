//! Who founds PD and who joins it: what the discovery service answers. Pure.
//!
//! A PD pod without data asks. The rule is the existing operator's: the last distinct pod to ask founds, the others join
//! it. Three things are stricter. Nobody founds while a PD answers, or once the cluster has an id (S4): a pod that lost
//! its data must not begin a second database of the same name. And joiners are let in one after the other, each once the
//! one before has started and etcd has got used to it; two at once cost the second a crash or more.

mod verify;

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use tidepool_api::{
    Component, TidbCluster,
    names::{self, ports},
};

pub use verify::{Asked, asked, verified};

/// etcd refuses a change of its membership so soon after another one, milliseconds.
const SETTLE_MS: u64 = 6_000;
/// A pod that was let in and does not appear holds the others back for so long, milliseconds.
const JOIN_MAX_MS: u64 = 60_000;
/// The longest question, characters of base64. The longest host name has 253 bytes.
const QUESTION_CHARS_MAX: usize = 512;
/// Pods that are remembered for a cluster. Anybody may ask, so somebody may make names up.
const PODS_MAX: usize = 1_000;
/// Clusters that are remembered.
const CLUSTERS_MAX: usize = 1_000;

/// Why there is no answer. PD's start script asks again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The question cannot be read.
    #[error("failed to read the question: {0}")]
    Question(&'static str),
    /// A pod of another namespace asks.
    #[error("failed to answer: {asked} is not the namespace {own} of this service")]
    Namespace {
        /// Where the pod is.
        asked: String,
        /// Where this service is.
        own: String,
    },
    /// A pod of another cluster asks.
    #[error("failed to answer: this service is not that of the cluster {0}")]
    Cluster(String),
    /// The TidbCluster cannot be read.
    #[error("failed to read the TidbCluster: {0}")]
    NotRead(String),
    /// No PD answers, and it is not this pod's turn to found one.
    #[error("failed to find a PD to join: {0}")]
    NoPd(String),
    /// The cluster exists, so nobody founds it.
    #[error(
        "the cluster {id} exists, so this pod does not found another one, and its PD does not answer: {reason}; clear \
         status.clusterID of the TidbCluster if its data is gone for good"
    )]
    Exists {
        /// Its id.
        id: String,
        /// Why PD could not be asked.
        reason: String,
    },
    /// Somebody else joins at this moment.
    #[error("{0} joins now")]
    Turn(String),
    /// A member was let in and has not started.
    #[error("a member that was let in before has not started yet")]
    NotStarted,
}

/// What the service remembers between questions. Losing it is safe: the pods ask again.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Pods that have asked, per namespace and cluster, since the TidbCluster last changed.
    asked: BTreeMap<(String, String), (String, BTreeSet<String>)>,
    /// The pod that was let in last, per namespace and cluster.
    joins: BTreeMap<(String, String), Join>,
}

#[derive(Debug)]
struct Join {
    pod: String,
    /// Until when the others wait for it.
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

/// A PD that could be asked for its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// `host:port`.
    pub authority: String,
}

/// Decodes the last part of `/new/{base64}`.
///
/// # Errors
/// When it is not base64 of `pod.cluster-pd-peer.namespace.svc…:2380`.
pub fn asker(encoded: &str) -> Result<Asker, Refusal> {
    let address = decode(encoded)?;
    if address.is_empty() {
        return Err(Refusal::Question("it is empty"));
    }
    let host = address.split(':').next().unwrap_or_default().to_owned();
    let labels: Vec<&str> = host.split('.').collect();
    let [pod, subdomain, namespace, "svc", ..] = labels.as_slice() else {
        return Err(Refusal::Question("it is not POD.CLUSTER-pd-peer.NAMESPACE.svc:PORT"));
    };
    let cluster = subdomain.strip_suffix("-pd-peer").unwrap_or(subdomain);
    let named = names::ordinal(pod).is_some_and(|ordinal| *pod == names::pod_name(cluster, Component::Pd, ordinal));
    if !named {
        return Err(Refusal::Question("the pod is none of the cluster's PD"));
    }
    let (pod, cluster, namespace) = ((*pod).to_owned(), cluster.to_owned(), (*namespace).to_owned());
    Ok(Asker { pod, cluster, namespace, host, address })
}

/// The text of a question: host, port and perhaps a scheme and a newline, nothing else.
fn decode(encoded: &str) -> Result<String, Refusal> {
    if encoded.len() > QUESTION_CHARS_MAX {
        return Err(Refusal::Question("it is too long"));
    }
    let bytes = STANDARD.decode(encoded).map_err(|_| Refusal::Question("it is not base64"))?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.:/\n".contains(byte);
    let text = String::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| plain(&byte)));
    text.ok_or(Refusal::Question("it is not an address"))
}

/// Where PD members may be, in order. Addresses follow from names alone; of those that the status has only such are
/// taken as a PD pod has, for this service runs beside what an attacker would like to reach.
pub fn candidates(cluster: &TidbCluster) -> Vec<Candidate> {
    let scheme = cluster.scheme();
    let port = ports::PD_CLIENT;
    let mut all = Vec::new();
    let of = |service: &str, namespace: &str, domain: &str| {
        let suffix = if domain.is_empty() { String::new() } else { format!(".svc.{domain}") };
        Candidate { scheme, authority: format!("{service}.{namespace}{suffix}:{port}") }
    };
    if cluster.spec.pd.is_some() {
        all.push(of(&cluster.member_name(Component::Pd), cluster.namespace(), &cluster.spec.cluster_domain));
    }
    if let Some(joined) = cluster.joined() {
        let namespace = if joined.namespace.is_empty() { cluster.namespace() } else { &joined.namespace };
        let service = match cluster.spec.across_k8s {
            true => names::peer_service_name(&joined.name, Component::Pd),
            false => names::member_name(&joined.name, Component::Pd),
        };
        all.push(of(&service, namespace, &joined.cluster_domain));
    }
    let peers = cluster.status.iter().filter_map(|status| status.pd.as_ref()).flat_map(|pd| pd.peer_members.values());
    all.extend(peers.filter_map(|peer| pod_address(&peer.client_url)));
    all
}

/// `http(s)://POD.NAME-pd-peer.NAMESPACE.svc…:2379`, taken apart.
fn pod_address(url: &str) -> Option<Candidate> {
    let (scheme, authority) = url.split_once("://")?;
    let scheme = ["http", "https"].into_iter().find(|known| *known == scheme)?;
    let host = authority.strip_suffix(&format!(":{}", ports::PD_CLIENT))?;
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
        return None;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let [pod, service, _, "svc", ..] = labels.as_slice() else { return None };
    let ordinal = pod.strip_prefix(service.strip_suffix("-peer")?)?.strip_prefix('-')?;
    let plain = service.ends_with("-pd-peer") && ordinal.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| Candidate { scheme, authority: authority.to_owned() })
}

impl Discovery {
    /// The flags for the pod that asks. `members` is what the first PD that answered lists, or why none did.
    ///
    /// # Errors
    /// When it has to ask again later; the text says why.
    pub fn answer(
        &mut self,
        asker: &Asker,
        cluster: &TidbCluster,
        members: Result<Vec<Member>, String>,
        now: u64,
    ) -> Result<String, Refusal> {
        let complete = self.note(asker, cluster);
        let key = (asker.namespace.clone(), asker.cluster.clone());
        let members = match members {
            Ok(members) if !members.is_empty() => members,
            none => {
                let reason = none.err().unwrap_or_else(|| "it lists no members".to_owned());
                let flags = founded(asker, cluster, complete, reason)?;
                self.done(&key, &asker.pod);
                return Ok(flags);
            }
        };
        if members.iter().any(|member| member.name.is_empty()) {
            return Err(Refusal::NotStarted);
        }
        self.take_turns(&key, asker, &members, now)?;
        self.done(&key, &asker.pod);
        let others = members.iter().filter(|member| member.name != asker.pod && member.name != asker.host);
        let (peer, client) = (format!(":{}", ports::PD_PEER), format!(":{}", ports::PD_CLIENT));
        let urls: Vec<String> = others.map(|member| member.peer_url.replace(&peer, &client)).collect();
        Ok(format!("--join={}", urls.join(",")))
    }

    /// Remembers that the pod asked; whether with it as many have as there are to be.
    fn note(&mut self, asker: &Asker, cluster: &TidbCluster) -> bool {
        let version = cluster.metadata.resource_version.clone().unwrap_or_default();
        let key = (asker.namespace.clone(), asker.cluster.clone());
        if self.asked.len() >= CLUSTERS_MAX && !self.asked.contains_key(&key) {
            self.asked.clear();
            self.joins.clear();
        }
        let entry = self.asked.entry(key).or_default();
        if entry.0 != version || entry.1.len() >= PODS_MAX {
            *entry = (version, BTreeSet::new());
        }
        entry.1.insert(asker.pod.clone());
        i32::try_from(entry.1.len()) == Ok(cluster.desired_replicas(Component::Pd))
    }

    fn done(&mut self, key: &(String, String), pod: &str) {
        if let Some((_, pods)) = self.asked.get_mut(key) {
            pods.remove(pod);
        }
    }

    /// Lets the asker in, unless another one is on its way.
    fn take_turns(
        &mut self,
        key: &(String, String),
        asker: &Asker,
        members: &[Member],
        now: u64,
    ) -> Result<(), Refusal> {
        if let Some(join) = self.joins.get_mut(key).filter(|join| join.pod != asker.pod) {
            let started = |member: &Member| member.peer_url.contains(&format!("//{}.", join.pod));
            if !join.seen && members.iter().any(started) {
                join.seen = true;
                join.until = now + SETTLE_MS;
            }
            if now < join.until {
                return Err(Refusal::Turn(join.pod.clone()));
            }
        }
        let join = Join { pod: asker.pod.clone(), until: now + JOIN_MAX_MS, seen: false };
        self.joins.insert(key.clone(), join);
        Ok(())
    }
}

/// The flags of a founder. Only the last pod to ask is one, and only of a cluster that has never had a PD.
fn founded(asker: &Asker, cluster: &TidbCluster, complete: bool, reason: String) -> Result<String, Refusal> {
    if !complete || cluster.spec.cluster.is_some() {
        return Err(Refusal::NoPd(reason));
    }
    if !cluster.spec.pd_addresses.is_empty() {
        return Ok(format!("--join={}", cluster.spec.pd_addresses.join(",")));
    }
    let id = cluster.status.as_ref().map(|status| status.cluster_id.clone()).unwrap_or_default();
    if !id.is_empty() {
        return Err(Refusal::Exists { id, reason });
    }
    let name = if named_by_host(cluster) { &asker.host } else { &asker.pod };
    Ok(format!("--initial-cluster={name}={}://{}", cluster.scheme(), asker.address))
}

/// Members of databases that span Kubernetes clusters are named by their host.
fn named_by_host(cluster: &TidbCluster) -> bool {
    cluster.spec.across_k8s || !cluster.spec.cluster_domain.is_empty()
}

#[cfg(test)]
mod tests;
