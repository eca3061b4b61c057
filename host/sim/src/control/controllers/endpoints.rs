//! Endpoints: which pods are behind a service, in the older form that older clients read.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    Manager,
    api::ApiFailure,
    cache::Key,
    owned::{is_terminating, selects_plain},
    statefulset::is_ready,
};
use crate::control::path::{at, entry, flag, int, list, object, set, text};

const ENDPOINTS: &str = "endpoints";
pub const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
const MANAGER_LABEL: &str = "endpoints.kubernetes.io/managed-by";

/// A pod behind a service.
pub struct Backend {
    pub pod: Arc<Value>,
    /// The service's ports as this pod has them.
    pub ports: Vec<Value>,
}

impl Backend {
    pub fn address(&self) -> &str {
        text(&self.pod, "status.podIP")
    }

    pub fn target(&self) -> Value {
        let pod = &self.pod;
        json!({"kind": "Pod", "name": text(pod, "metadata.name"), "namespace": text(pod, "metadata.namespace"), "uid": text(pod, "metadata.uid")})
    }

    /// The name under which the pod itself is found below the service.
    pub fn hostname(&self, service: &Value) -> Option<&str> {
        let named = !text(&self.pod, "spec.hostname").is_empty()
            && text(&self.pod, "spec.subdomain") == text(service, "metadata.name");
        named.then(|| text(&self.pod, "spec.hostname"))
    }
}

impl Manager {
    pub(super) async fn endpoints(&mut self, key: &Key) -> Result<(), ApiFailure> {
        let Some(service) = self.cache.get(key).filter(|service| !is_terminating(service)) else {
            return self.drop_endpoints(key).await;
        };
        if !at(&service, "spec.selector").is_object() || text(&service, "spec.type") == "ExternalName" {
            return Ok(());
        }
        let backends = self.backends(&service);
        self.write_endpoints(key, &service, &backends).await?;
        self.write_slices(&service, &backends).await
    }

    /// Pods with an address that the service chooses, in order of name.
    fn backends(&self, service: &Value) -> Vec<Backend> {
        let pods = self.cache.in_namespace("pods", text(service, "metadata.namespace"));
        let over = |pod: &Value| matches!(text(pod, "status.phase"), "Succeeded" | "Failed");
        let behind = |pod: &Arc<Value>| {
            let chosen = selects_plain(at(service, "spec.selector"), at(pod, "metadata.labels"));
            chosen && !text(pod, "status.podIP").is_empty() && !over(pod)
        };
        pods.into_iter().filter(behind).map(|pod| Backend { ports: ports(service, &pod), pod }).collect()
    }

    /// Endpoints have no owner, so they go with their service here.
    async fn drop_endpoints(&mut self, key: &Key) -> Result<(), ApiFailure> {
        let key = Key::new(ENDPOINTS, &key.namespace, &key.name);
        let Some(endpoints) = self.cache.get(&key) else { return Ok(()) };
        let managed = entry(&endpoints, "metadata.labels", MANAGER_LABEL).is_some();
        if managed { self.delete(&key, text(&endpoints, "metadata.uid"), "Background").await } else { Ok(()) }
    }

    async fn write_endpoints(&mut self, key: &Key, service: &Value, backends: &[Backend]) -> Result<(), ApiFailure> {
        let key = Key::new(ENDPOINTS, &key.namespace, &key.name);
        let subsets = subsets(service, backends);
        let mut labels = at(service, "metadata.labels").clone();
        let fields = object(&mut labels, "");
        fields.insert(MANAGER_LABEL.to_owned(), "endpoint-controller".into());
        if text(service, "spec.clusterIP") == "None" {
            fields.insert(HEADLESS_LABEL.to_owned(), "".into());
        }
        match self.cache.get(&key) {
            None => {
                let mut made = json!({"apiVersion": "v1", "kind": "Endpoints",
                    "metadata": {"name": key.name, "namespace": key.namespace, "labels": labels}});
                if !subsets.is_empty() {
                    set(&mut made, "subsets", subsets);
                }
                match self.create(ENDPOINTS, &made).await {
                    Err(failure) if !failure.already_exists() && !is_ending(&failure) => Err(failure),
                    _ => Ok(()),
                }
            }
            Some(known) => {
                if list(&known, "subsets") == subsets.as_slice() && at(&known, "metadata.labels") == &labels {
                    return Ok(());
                }
                let mut next = (*known).clone();
                set(&mut next, "metadata.labels", labels);
                crate::control::path::remove(&mut next, "subsets");
                if !subsets.is_empty() {
                    set(&mut next, "subsets", subsets);
                }
                self.update(&key, "", &next).await.map(|_| ())
            }
        }
    }
}

/// Whether the namespace takes nothing new any more.
pub fn is_ending(failure: &ApiFailure) -> bool {
    matches!(failure, ApiFailure::Refused { code: 403 | 404, .. })
}

/// Whether a pod counts as ready for the service.
pub fn serves(service: &Value, pod: &Value) -> bool {
    flag(service, "spec.publishNotReadyAddresses") || is_ready(pod)
}

/// The service's ports as a pod has them: numbers as they are, names as its containers give them.
fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let resolved = list(service, "spec.ports").iter().filter_map(|port| {
        let number = match at(port, "targetPort") {
            Value::String(name) => container_port(pod, name, text(port, "protocol"))?,
            number => number.as_i64()?,
        };
        let mut entry = json!({"port": number, "protocol": text(port, "protocol")});
        for field in ["name", "appProtocol"] {
            if !text(port, field).is_empty() {
                set(&mut entry, field, text(port, field));
            }
        }
        Some(entry)
    });
    resolved.collect()
}

fn container_port(pod: &Value, name: &str, protocol: &str) -> Option<i64> {
    let ports = list(pod, "spec.containers").iter().flat_map(|container| list(container, "ports"));
    let mut named = ports.filter(|port| text(port, "name") == name && text(port, "protocol") == protocol);
    named.next().and_then(|port| int(port, "containerPort"))
}

/// Addresses with the same ports stand together, ready ones apart from the others.
fn subsets(service: &Value, backends: &[Backend]) -> Vec<Value> {
    let mut groups: BTreeMap<String, (Value, Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for backend in backends {
        let pod = &backend.pod;
        if is_terminating(pod) && !flag(service, "spec.publishNotReadyAddresses") {
            continue;
        }
        let mut address = json!({"ip": backend.address(), "targetRef": backend.target()});
        if !text(pod, "spec.nodeName").is_empty() {
            set(&mut address, "nodeName", text(pod, "spec.nodeName"));
        }
        if let Some(hostname) = backend.hostname(service) {
            set(&mut address, "hostname", hostname);
        }
        if backend.ports.is_empty() && !list(service, "spec.ports").is_empty() {
            continue;
        }
        let ports = Value::from(backend.ports.clone());
        let group = groups.entry(ports.to_string()).or_insert_with(|| (ports, Vec::new(), Vec::new()));
        if serves(service, pod) { group.1.push(address) } else { group.2.push(address) }
    }
    let subset = |(ports, mut ready, mut waiting): (Value, Vec<Value>, Vec<Value>)| {
        let mut subset = json!({});
        for (field, addresses) in [("addresses", &mut ready), ("notReadyAddresses", &mut waiting)] {
            addresses.sort_by_key(|address| text(address, "ip").to_owned());
            if !addresses.is_empty() {
                set(&mut subset, field, std::mem::take(addresses));
            }
        }
        if ports.as_array().is_some_and(|ports| !ports.is_empty()) {
            set(&mut subset, "ports", ports);
        }
        subset
    };
    groups.into_values().map(subset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_ports_are_those_of_the_pod() {
        let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [
            {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}, {"name": "metrics", "port": 90, "targetPort": "m", "protocol": "TCP"}]}});
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"ports": [{"name": "m", "containerPort": 7, "protocol": "TCP"}]}]},
            "status": {"podIP": "10.9.8.7", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        let backend = Backend { ports: ports(&service, &pod), pod: Arc::new(pod) };
        let subsets = subsets(&service, &[backend]);
        assert_eq!(
            subsets[0]["ports"],
            json!([{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "metrics", "port": 7, "protocol": "TCP"}])
        );
        assert_eq!(subsets[0]["addresses"][0]["ip"], "10.9.8.7");
    }
}
