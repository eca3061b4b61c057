//! Names, Services and pod addresses: which pod answers `basic-pd.ns:2379`.
//!
//! What a cluster's DNS and kube-proxy do together: a Service goes to its ready pods in turn, by name, so that a client
//! whose request failed reaches another pod when it tries again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::util::intstr::IntOrString};

/// Namespace and name.
pub type Key = (String, String);

/// A pod as others on the network see it.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// Empty until it has one.
    pub ip: String,
    /// Its name within its subdomain.
    pub hostname: String,
    /// The headless Service that names it, if any.
    pub subdomain: String,
    /// Labels, as Services select by them.
    pub labels: BTreeMap<String, String>,
    /// Ready and not being deleted.
    pub ready: bool,
    /// Container ports by name.
    pub ports: BTreeMap<String, u16>,
    /// Its node can be reached.
    pub reachable: bool,
}

/// Everything that has a name or an address.
#[derive(Debug, Default)]
pub struct Network {
    pods: BTreeMap<Key, Endpoint>,
    services: BTreeMap<Key, Service>,
    /// Connections through Services so far: whose turn it is.
    turns: AtomicUsize,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The pod that answers.
    pub pod: Key,
    /// The port on the pod.
    pub port: u16,
}

/// Why a name leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// DNS has no such name.
    #[error("failed to resolve {host}: no such host")]
    NoSuchHost {
        /// The name asked for.
        host: String,
    },
    /// A Service without a ready pod, or without that port.
    #[error("failed to connect to {host}: connection refused, {reason}")]
    Refused {
        /// The name asked for.
        host: String,
        /// What is missing.
        reason: &'static str,
    },
}

impl Network {
    /// Adds or replaces a pod.
    pub fn put_pod(&mut self, key: Key, endpoint: Endpoint) {
        self.pods.insert(key, endpoint);
    }

    /// Forgets a pod.
    pub fn remove_pod(&mut self, key: &Key) {
        self.pods.remove(key);
    }

    /// The pod's node can be reached, or not.
    pub fn set_reachable(&mut self, key: &Key, reachable: bool) {
        if let Some(pod) = self.pods.get_mut(key) {
            pod.reachable = reachable;
        }
    }

    /// The pod's entry.
    pub fn pod(&self, key: &Key) -> Option<&Endpoint> {
        self.pods.get(key)
    }

    /// Adds or replaces a Service.
    pub fn put_service(&mut self, key: Key, service: Service) {
        self.services.insert(key, service);
    }

    /// Forgets a Service.
    pub fn remove_service(&mut self, key: &Key) {
        self.services.remove(key);
    }

    /// Addresses in use.
    pub fn addresses(&self) -> BTreeSet<&str> {
        self.pods.values().map(|pod| pod.ip.as_str()).filter(|ip| !ip.is_empty()).collect()
    }

    /// Which pod and port `authority` (`host` or `host:port`, as in a Host header) means. `from` is the namespace
    /// of names without one.
    ///
    /// # Errors
    /// When there is no such name, or nobody behind it.
    pub fn resolve(&self, authority: &str, from: &str) -> Result<Target, Unreachable> {
        let (host, port) = split_port(authority);
        let missing = || Unreachable::NoSuchHost { host: host.to_owned() };
        if let Some((key, pod)) = self.pods.iter().find(|(_, pod)| pod.ip == host) {
            return reach(host, key, pod, port);
        }
        let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
        match labels.as_slice() {
            [service] => self.resolve_service(host, from, service, port),
            [service, namespace] | [service, namespace, "svc", ..] => {
                self.resolve_service(host, namespace, service, port)
            }
            [hostname, subdomain, namespace] | [hostname, subdomain, namespace, "svc", ..] => self
                .resolve_pod(hostname, subdomain, namespace)
                .map_or_else(|| Err(missing()), |(key, pod)| reach(host, key, pod, port)),
            _ => Err(missing()),
        }
    }

    /// The port that `authority` means on `pod`, which was chosen before.
    ///
    /// # Errors
    /// When there is no such name.
    pub fn resolve_at(&self, authority: &str, from: &str, pod: &Key) -> Result<Target, Unreachable> {
        let (host, port) = split_port(authority);
        let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
        let service = match labels.as_slice() {
            [service] => self.services.get(&(from.to_owned(), (*service).to_owned())),
            [service, namespace] | [service, namespace, "svc", ..] => {
                self.services.get(&((*namespace).to_owned(), (*service).to_owned()))
            }
            _ => None,
        };
        let endpoint = self.pods.get(pod).ok_or_else(|| Unreachable::NoSuchHost { host: host.to_owned() })?;
        let port = service.map_or(Some(port), |service| target_port(service, endpoint, port));
        let refused = Unreachable::Refused { host: host.to_owned(), reason: "the Service has no such port" };
        Ok(Target { pod: pod.clone(), port: port.ok_or(refused)? })
    }

    /// The pod that `host` means, whatever the port: for TLS, where only the name is known at first.
    pub fn pod_named(&self, host: &str) -> Option<Key> {
        let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
        match labels.as_slice() {
            [service, namespace] | [service, namespace, "svc", ..] => {
                self.choose(&self.backends(namespace, service)).cloned()
            }
            [hostname, subdomain, namespace] | [hostname, subdomain, namespace, "svc", ..] => {
                self.resolve_pod(hostname, subdomain, namespace).map(|(key, _)| key.clone())
            }
            _ => None,
        }
    }

    /// The pods behind a Service, in name order, that may be sent requests.
    pub fn backends(&self, namespace: &str, service: &str) -> Vec<&Key> {
        let Some(service) = self.services.get(&(namespace.to_owned(), service.to_owned())) else { return Vec::new() };
        let Some(spec) = &service.spec else { return Vec::new() };
        let Some(selector) = spec.selector.as_ref().filter(|selector| !selector.is_empty()) else { return Vec::new() };
        let unready_too = spec.publish_not_ready_addresses == Some(true);
        let selected = |pod: &Endpoint| selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value));
        let open = |pod: &Endpoint| !pod.ip.is_empty() && (pod.ready || unready_too);
        self.pods
            .iter()
            .filter(|((of, _), pod)| of == namespace && selected(pod) && open(pod))
            .map(|(key, _)| key)
            .collect()
    }

    fn resolve_service(&self, host: &str, namespace: &str, name: &str, port: u16) -> Result<Target, Unreachable> {
        let key = (namespace.to_owned(), name.to_owned());
        let Some(service) = self.services.get(&key) else {
            return Err(Unreachable::NoSuchHost { host: host.to_owned() });
        };
        let refused = |reason| Unreachable::Refused { host: host.to_owned(), reason };
        let chosen = self.choose(&self.backends(namespace, name));
        let Some((key, pod)) = chosen.and_then(|key| self.pods.get_key_value(key)) else {
            return Err(refused("no ready pod"));
        };
        let port = target_port(service, pod, port).ok_or_else(|| refused("the Service has no such port"))?;
        reach(host, key, pod, port)
    }

    /// The one whose turn it is: a ready one if there is any.
    fn choose<'a>(&self, backends: &[&'a Key]) -> Option<&'a Key> {
        let ready = |key: &&&Key| self.pods.get(**key).is_some_and(|pod| pod.ready && pod.reachable);
        let ready: Vec<&&Key> = backends.iter().filter(ready).collect();
        let turn = self.turns.fetch_add(1, Ordering::Relaxed).checked_rem(ready.len()).unwrap_or(0);
        ready.get(turn).copied().or_else(|| backends.first()).copied()
    }

    fn resolve_pod(&self, hostname: &str, subdomain: &str, namespace: &str) -> Option<(&Key, &Endpoint)> {
        let headless = (namespace.to_owned(), subdomain.to_owned());
        self.services.get(&headless)?;
        self.pods
            .iter()
            .find(|((of, _), pod)| of == namespace && pod.subdomain == subdomain && pod.hostname == hostname)
    }
}

fn reach(host: &str, key: &Key, pod: &Endpoint, port: u16) -> Result<Target, Unreachable> {
    if pod.ip.is_empty() {
        return Err(Unreachable::NoSuchHost { host: host.to_owned() });
    }
    Ok(Target { pod: key.clone(), port })
}

/// The pod's port behind the Service's; a headless Service does not translate.
fn target_port(service: &Service, pod: &Endpoint, port: u16) -> Option<u16> {
    let spec = service.spec.as_ref()?;
    if spec.cluster_ip.as_deref() == Some("None") {
        return Some(port);
    }
    let entry = spec.ports.iter().flatten().find(|entry| u16::try_from(entry.port) == Ok(port))?;
    match &entry.target_port {
        None => Some(port),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => pod.ports.get(name).copied(),
    }
}

/// `host:port`; without a port it is HTTP's.
fn split_port(authority: &str) -> (&str, u16) {
    match authority.rsplit_once(':') {
        Some((host, port)) => (host.trim_matches(['[', ']']), port.parse().unwrap_or(80)),
        None => (authority, 80),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn key(name: &str) -> Key {
        ("ns".to_owned(), name.to_owned())
    }

    fn network() -> Network {
        let mut network = Network::default();
        for (index, ready) in [(0, false), (1, true), (2, true)] {
            let name = format!("basic-pd-{index}");
            network.put_pod(
                key(&name),
                Endpoint {
                    ip: format!("10.0.0.{index}"),
                    hostname: name.clone(),
                    subdomain: "basic-pd-peer".to_owned(),
                    labels: BTreeMap::from([("app".to_owned(), "pd".to_owned())]),
                    ready,
                    ports: BTreeMap::from([("client".to_owned(), 2379)]),
                    reachable: true,
                },
            );
        }
        let ports = json!([{"port": 2379, "targetPort": 2379}, {"port": 80, "targetPort": "client"}]);
        let client = json!({"spec": {"selector": {"app": "pd"}, "clusterIP": "10.96.0.1", "ports": ports}});
        let peer = json!({"spec": {"selector": {"app": "pd"}, "clusterIP": "None", "publishNotReadyAddresses": true}});
        network.put_service(key("basic-pd"), from_value(client).unwrap());
        network.put_service(key("basic-pd-peer"), from_value(peer).unwrap());
        network.put_service(key("none"), from_value(json!({"spec": {"selector": {"app": "x"}}})).unwrap());
        network
    }

    fn resolved(authority: &str) -> Result<(String, u16), String> {
        let target = network().resolve(authority, "ns");
        target.map(|target| (target.pod.1, target.port)).map_err(|error| error.to_string())
    }

    #[test]
    fn service_names_lead_to_a_ready_pod() {
        for name in ["basic-pd:2379", "basic-pd.ns:2379", "basic-pd.ns.svc:2379", "basic-pd.ns.svc.cluster.local:2379"]
        {
            assert_eq!(resolved(name), Ok(("basic-pd-1".to_owned(), 2379)), "{name}");
        }
        assert_eq!(resolved("basic-pd.ns"), Ok(("basic-pd-1".to_owned(), 2379)), "port 80 is translated");
    }

    #[test]
    fn a_service_takes_its_ready_pods_in_turn() {
        let mut network = network();
        let second = network.pod(&("ns".to_owned(), "basic-pd-1".to_owned())).cloned().unwrap();
        network.put_pod(("ns".to_owned(), "basic-pd-2".to_owned()), Endpoint { ip: "10.0.0.9".to_owned(), ..second });
        let reached = || network.resolve("basic-pd.ns:2379", "ns").unwrap().pod.1;
        assert_eq!([reached(), reached(), reached()], ["basic-pd-1", "basic-pd-2", "basic-pd-1"]);
    }

    #[test]
    fn pod_names_and_addresses_lead_to_the_pod() {
        for name in ["basic-pd-0.basic-pd-peer.ns:2379", "basic-pd-0.basic-pd-peer.ns.svc.a.b:2379", "10.0.0.0:2379"] {
            assert_eq!(resolved(name), Ok(("basic-pd-0".to_owned(), 2379)), "{name}");
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert_eq!(resolved("other.ns:2379"), Err("failed to resolve other.ns: no such host".to_owned()));
        assert_eq!(
            resolved("none.ns:2379"),
            Err("failed to connect to none.ns: connection refused, no ready pod".to_owned())
        );
        assert_eq!(
            resolved("basic-pd-9.basic-pd-peer.ns:1"),
            Err("failed to resolve basic-pd-9.basic-pd-peer.ns: no such host".to_owned())
        );
    }
}
