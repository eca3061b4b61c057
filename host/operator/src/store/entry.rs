//! One object as the host keeps it: the model's view of it, and the few facts that the host itself reads.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidepool_api::{Component, certificates::tls_volumes, labels, names};
use tidepool_model::{
    descriptor::Kind,
    snapshot::{Object, PodPhase, PodRow},
};

use crate::cluster::Cluster;

/// An object and what the host reads of it.
#[derive(Debug)]
pub struct Entry {
    /// Empty for an object without one.
    pub namespace: String,
    /// As policies see it.
    pub object: Arc<Object>,
    /// What the host reads of it.
    pub detail: Detail,
}

/// What the host reads of the kinds that it knows.
#[derive(Debug)]
pub enum Detail {
    /// A TidbCluster.
    Cluster(Arc<Cluster>),
    /// A pod.
    Pod(PodDetail),
    /// A StatefulSet or Deployment.
    Workload {
        /// `spec.replicas`.
        replicas: u32,
        /// `status.updateRevision`.
        update_revision: String,
    },
    /// A PersistentVolumeClaim: `spec.volumeName`.
    Claim(String),
    /// Anything else.
    Other,
}

/// What the host reads of a pod.
#[derive(Clone, Debug, Default)]
pub struct PodDetail {
    /// Condition `Ready` is true.
    pub ready: bool,
    /// `status.phase`.
    pub phase: PodPhase,
    /// `spec.nodeName`.
    pub node: String,
    /// Host name below its Service: `spec.hostname` and `spec.subdomain`, or its IP where it has no such name.
    pub host: String,
    /// `spec.subdomain` is set, so that `host` is completed by the namespace.
    pub named: bool,
    /// Its HTTP API speaks TLS: it mounts the Secret with its component's certificate. What runs counts, not what the
    /// TidbCluster says by now (S30).
    pub tls: bool,
    ready_since_ms: u64,
    revision: String,
    set: String,
}

impl Entry {
    /// Reads an object. Fields that only the API server needs are dropped; of a Secret only the head is kept.
    ///
    /// # Errors
    /// When it is not an object with a name.
    pub fn read(kind: &Kind, mut value: Value) -> Result<Self, serde_json::Error> {
        if kind.api_version == "v1" && kind.kind == "Secret" {
            return Self::head(kind, &value["metadata"]);
        }
        value["apiVersion"] = json!(kind.api_version);
        value["kind"] = json!(kind.kind);
        if let Some(metadata) = value["metadata"].as_object_mut() {
            // As long as the rest, and nothing in it is for a policy; an update without it keeps it as it is.
            metadata.remove("managedFields");
        }
        Self::keep(kind, value)
    }

    /// Keeps the head of an object alone: no annotations either, for tools copy whole objects into them.
    ///
    /// # Errors
    /// When it has no name.
    pub fn head(kind: &Kind, metadata: &Value) -> Result<Self, serde_json::Error> {
        const KEPT: [&str; 7] =
            ["name", "namespace", "uid", "resourceVersion", "generation", "deletionTimestamp", "labels"];
        let kept = KEPT.iter().filter(|key| !metadata[**key].is_null());
        let metadata: Value = kept.map(|key| ((*key).to_owned(), metadata[*key].clone())).collect();
        Self::keep(kind, json!({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}))
    }

    fn keep(kind: &Kind, value: Value) -> Result<Self, serde_json::Error> {
        let object = Arc::new(Object::parse(serde_json::value::to_raw_value(&value)?)?);
        let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let detail = detail(kind, value, &object);
        Ok(Self { namespace, object, detail })
    }

    /// Value of the component label.
    pub fn component(&self) -> &str {
        self.object.labels.get(labels::COMPONENT).map_or("", String::as_str)
    }

    /// Whether it belongs to a component; to `*` every object does.
    pub fn is_of(&self, component: &str) -> bool {
        component == "*" || self.component() == component
    }

    /// The TidbCluster that it is.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        if let Detail::Cluster(cluster) = &self.detail { Some(cluster) } else { None }
    }

    /// Name of the object without a namespace that it uses: a claim's volume, a pod's node.
    pub fn uses(&self) -> Option<&str> {
        let name = match &self.detail {
            Detail::Claim(volume) => volume.as_str(),
            Detail::Pod(pod) => pod.node.as_str(),
            _ => "",
        };
        (!name.is_empty()).then_some(name)
    }

    /// `status.updateRevision` of a StatefulSet.
    pub fn update_revision(&self) -> Option<&str> {
        match &self.detail {
            Detail::Workload { update_revision, .. } if !update_revision.is_empty() => Some(update_revision),
            _ => None,
        }
    }

    /// The row of a pod; `revision` gives the update revision of a StatefulSet.
    pub fn pod_row<'a>(&self, revision: impl Fn(&str) -> Option<&'a str>) -> Option<PodRow> {
        let Detail::Pod(pod) = &self.detail else { return None };
        let name = self.object.head.name.clone();
        Some(PodRow {
            ordinal: names::ordinal(&name).unwrap_or(-1),
            ready: pod.ready,
            phase: pod.phase,
            updated: revision(&pod.set).is_some_and(|wanted| wanted == pod.revision),
            deleting: self.object.head.deleting,
            ready_since_ms: pod.ready_since_ms,
            name,
        })
    }
}

fn detail(kind: &Kind, value: Value, object: &Object) -> Detail {
    match (kind.api_version.as_str(), kind.kind.as_str()) {
        ("v1", "Pod") => Detail::Pod(pod(&value, object)),
        ("v1", "PersistentVolumeClaim") => Detail::Claim(text(&value["spec"]["volumeName"])),
        ("apps/v1", "StatefulSet" | "Deployment") => Detail::Workload {
            replicas: value["spec"]["replicas"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(1),
            update_revision: text(&value["status"]["updateRevision"]),
        },
        (api, "TidbCluster") if api == tidepool_api::cluster::API_VERSION => {
            let cluster = Cluster::read(value, Arc::from(object.json.clone()));
            cluster.map_or(Detail::Other, |cluster| Detail::Cluster(Arc::new(cluster)))
        }
        _ => Detail::Other,
    }
}

fn pod(value: &Value, object: &Object) -> PodDetail {
    let (spec, status) = (&value["spec"], &value["status"]);
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let owners = value["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let set = owners.iter().find(|owner| owner["kind"] == "StatefulSet");
    let named = spec["subdomain"].as_str().is_some_and(|subdomain| !subdomain.is_empty());
    let hostname = spec["hostname"].as_str().unwrap_or(&object.head.name);
    let host = if named { format!("{hostname}.{}", text(&spec["subdomain"])) } else { text(&status["podIP"]) };
    PodDetail {
        ready: ready.is_some(),
        ready_since_ms: ready.map_or(0, |condition| milliseconds(&condition["lastTransitionTime"])),
        phase: serde_json::from_value(status["phase"].clone()).unwrap_or_default(),
        node: text(&spec["nodeName"]),
        revision: object.labels.get(labels::CONTROLLER_REVISION_HASH).cloned().unwrap_or_default(),
        set: set.map(|owner| text(&owner["name"])).unwrap_or_default(),
        host,
        named,
        tls: speaks_tls(spec, object.labels.get(labels::COMPONENT).map_or("", String::as_str)),
    }
}

fn speaks_tls(spec: &Value, component: &str) -> bool {
    let known = component.parse::<Component>().map(tls_volumes).unwrap_or_default();
    let mut volumes = spec["volumes"].as_array().into_iter().flatten();
    volumes.any(|volume| volume["secret"].is_object() && known.iter().any(|name| volume["name"] == *name))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn milliseconds(time: &Value) -> u64 {
    let time: Option<Timestamp> = time.as_str().and_then(|text| text.parse().ok());
    time.and_then(|time| time.as_millisecond().try_into().ok()).unwrap_or(0)
}
