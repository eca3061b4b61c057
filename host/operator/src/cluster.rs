//! What the host itself reads of a TidbCluster: who it is, what it mentions, and where its PD is.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, value::RawValue};
use tidepool_api::labels;

/// Port of PD's HTTP API.
const PD_PORT: u16 = 2379;

/// `namespace/name` of a TidbCluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterKey {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl std::fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A TidbCluster as it was read, parsed once.
#[derive(Debug)]
pub struct Cluster {
    /// Namespace and name.
    pub key: ClusterKey,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Value of the instance label of its objects.
    pub instance: String,
    /// The whole object.
    pub value: Value,
    /// The same as text.
    pub text: Arc<RawValue>,
    /// Every string in `spec`: what it can refer to.
    mentions: BTreeSet<String>,
}

impl Cluster {
    /// Reads a TidbCluster; none if it has no name.
    pub fn read(value: Value, text: Arc<RawValue>) -> Option<Self> {
        let metadata = &value["metadata"];
        let string = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let key = ClusterKey { namespace: string("namespace"), name: string("name") };
        if key.name.is_empty() {
            return None;
        }
        let own = metadata["labels"][labels::INSTANCE].as_str().filter(|label| !label.is_empty());
        let mut mentions = BTreeSet::new();
        collect_strings(&value["spec"], &mut mentions);
        Some(Self {
            instance: own.unwrap_or(&key.name).to_owned(),
            uid: string("uid"),
            resource_version: string("resourceVersion"),
            generation: metadata["generation"].as_i64().unwrap_or(0),
            deleting: metadata["deletionTimestamp"].is_string(),
            key,
            mentions,
            text,
            value,
        })
    }

    /// `spec`.
    pub fn spec(&self) -> &Value {
        &self.value["spec"]
    }

    /// Whether the spec refers to a ConfigMap or Secret of this name: it mentions it, or implies it by the rule that
    /// certificates are in Secrets whose names begin with the cluster's.
    pub fn refers_to(&self, kind: &str, name: &str) -> bool {
        let implied = || name.strip_prefix(&self.key.name).is_some_and(|rest| rest.starts_with('-'));
        self.mentions.contains(name) || (kind == "Secret" && implied())
    }

    /// The spec wants TLS between the components. What a pod speaks tells the pod ([`crate::store::PodDetail::tls`]).
    pub fn wants_tls(&self) -> bool {
        self.spec()["tlsCluster"]["enabled"].as_bool().unwrap_or(false)
    }

    /// `.svc.DOMAIN` for a cluster with a domain, else nothing: what follows the namespace in host names.
    pub fn host_suffix(&self) -> String {
        suffix(&self.spec()["clusterDomain"])
    }

    /// Whether services of PD run apart from it, or did: the spec has some, or the status still does.
    pub fn has_services(&self) -> bool {
        let listed = self.spec()["pdms"].as_array().is_some_and(|services| !services.is_empty());
        listed || self.value["status"]["pdms"].as_object().is_some_and(|services| !services.is_empty())
    }

    /// Where the cluster's PD is, from names alone: the host never follows a URL that a custom resource has. None where
    /// the spec gives only addresses.
    pub fn pd_place(&self) -> Option<PdPlace> {
        let spec = self.spec();
        if spec["pd"].is_object() {
            let ClusterKey { namespace, name } = &self.key;
            let suffix = self.host_suffix();
            let service = format!("{name}-pd.{namespace}{suffix}:{PD_PORT}");
            return Some(PdPlace { owner: self.key.clone(), service, suffix, elsewhere: false });
        }
        let other = &spec["cluster"];
        let name = other["name"].as_str().filter(|name| !name.is_empty())?;
        let namespace = other["namespace"].as_str().filter(|name| !name.is_empty()).unwrap_or(&self.key.namespace);
        // A Service of another Kubernetes cluster is reached through its headless one.
        let elsewhere = spec["acrossK8s"].as_bool().unwrap_or(false);
        let service = if elsewhere { "pd-peer" } else { "pd" };
        let suffix = suffix(&other["clusterDomain"]);
        let service = format!("{name}-{service}.{namespace}{suffix}:{PD_PORT}");
        let owner = ClusterKey { namespace: namespace.to_owned(), name: name.to_owned() };
        Some(PdPlace { owner, service, suffix, elsewhere })
    }
}

/// Where a PD is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdPlace {
    /// The cluster that it belongs to.
    pub owner: ClusterKey,
    /// `host:port` of its Service.
    pub service: String,
    /// What follows the namespace in the host names of its pods.
    pub suffix: String,
    /// It may be in another Kubernetes cluster, so that its pods are not seen here.
    pub elsewhere: bool,
}

impl PdPlace {
    /// `host:port` of a pod, whose host is given below its namespace.
    pub fn pod(&self, host: &str) -> String {
        format!("{host}.{}{}:{PD_PORT}", self.owner.namespace, self.suffix)
    }
}

fn suffix(domain: &Value) -> String {
    match domain.as_str() {
        Some(domain) if !domain.is_empty() => format!(".svc.{domain}"),
        _ => String::new(),
    }
}

fn collect_strings(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            into.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect_strings(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect_strings(field, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(spec: Value) -> Cluster {
        let value = json!({"metadata": {"name": "basic", "namespace": "tidb"}, "spec": spec});
        let text = serde_json::value::to_raw_value(&value).expect("JSON");
        Cluster::read(value, text.into()).expect("it has a name")
    }

    #[test]
    fn pd_is_found_by_name_alone() {
        let place = |spec| cluster(spec).pd_place();
        let service = |spec| place(spec).map(|place| place.service);
        assert_eq!(service(json!({"pd": {}})).as_deref(), Some("basic-pd.tidb:2379"));
        let with_domain = place(json!({"pd": {}, "clusterDomain": "c.local"})).expect("a place");
        assert_eq!(with_domain.service, "basic-pd.tidb.svc.c.local:2379");
        assert_eq!(with_domain.pod("basic-pd-0.basic-pd-peer"), "basic-pd-0.basic-pd-peer.tidb.svc.c.local:2379");
        let other = json!({"cluster": {"name": "main", "namespace": "ns2"}, "acrossK8s": true});
        assert_eq!(service(other).as_deref(), Some("main-pd-peer.ns2:2379"));
        assert_eq!(place(json!({"pdAddresses": ["http://169.254.169.254:80"]})), None);
    }

    #[test]
    fn services_count_as_long_as_the_status_has_them() {
        assert!(!cluster(json!({"pd": {"mode": "ms"}, "pdms": []})).has_services());
        assert!(cluster(json!({"pd": {}, "pdms": [{"name": "tso"}]})).has_services());
        let value = json!({"metadata": {"name": "basic"}, "spec": {}, "status": {"pdms": {"tso": {}}}});
        let text = serde_json::value::to_raw_value(&value).expect("JSON");
        assert!(Cluster::read(value, text.into()).expect("it has a name").has_services());
    }

    #[test]
    fn a_cluster_refers_to_what_its_spec_mentions_and_to_its_own_certificates() {
        let cluster = cluster(json!({"tidb": {"env": [{"valueFrom": {"secretKeyRef": {"name": "password"}}}]}}));
        assert!(cluster.refers_to("Secret", "password"));
        assert!(cluster.refers_to("Secret", "basic-pd-cluster-secret"));
        assert!(!cluster.refers_to("ConfigMap", "basic-pd-cluster-secret"));
        assert!(!cluster.refers_to("Secret", "basically-other"));
    }
}
