//! What the host knows by itself, whatever the policy asked for.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    known::Known,
    plan::ObjectRef,
    snapshot::{Object, Objects, PdView, Snapshot},
};

/// The host's own view of a cluster. Policies cannot narrow it.
pub trait Facts {
    /// One object of the cluster's namespace, or one without a namespace.
    ///
    /// # Errors
    /// When the host does not know.
    fn object(&self, target: &ObjectRef) -> Known<Option<Arc<Object>>>;

    /// All objects of a kind that carry this cluster's instance label, ordered by name.
    ///
    /// # Errors
    /// When the host does not know.
    fn objects(&self, api_version: &str, kind: &str) -> Known<Arc<Objects>>;

    /// The cluster's PD.
    fn pd(&self) -> &PdView;
}

/// Who the cluster is and what its spec allows.
#[derive(Clone, Debug)]
pub struct ClusterFacts {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Value of the instance label of its objects.
    pub instance: String,
    /// `spec`.
    pub spec: Value,
}

impl ClusterFacts {
    /// Reads them from the snapshot's TidbCluster.
    ///
    /// # Errors
    /// When it has no name.
    pub fn of(snapshot: &Snapshot) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Cluster {
            metadata: Metadata,
            #[serde(default)]
            spec: Value,
        }
        #[derive(Deserialize)]
        struct Metadata {
            name: String,
            #[serde(default)]
            namespace: String,
            #[serde(default)]
            uid: String,
            #[serde(default)]
            labels: Value,
        }
        let Cluster { metadata, spec } = serde_json::from_str(snapshot.cluster.get())?;
        let instance = metadata.labels["app.kubernetes.io/instance"].as_str().unwrap_or(&metadata.name).to_owned();
        Ok(Self { name: metadata.name, namespace: metadata.namespace, uid: metadata.uid, instance, spec })
    }

    /// The user asked for this component to be suspended, so its pods may all go.
    pub fn suspends(&self, component: &str) -> bool {
        let wanted = |spec: &Value| spec["suspendAction"]["suspendStatefulSet"].as_bool();
        let service = self.spec["pdms"].as_array().into_iter().flatten().find(|service| service["name"] == component);
        wanted(service.unwrap_or(&self.spec[component])).or_else(|| wanted(&self.spec)).unwrap_or(false)
    }

    /// PD's services that run apart from it, with their replicas. Where PD runs them itself there are none.
    pub fn services(&self) -> impl Iterator<Item = (&str, u64)> {
        let apart = self.spec["pd"]["mode"] == "ms";
        let services = self.spec["pdms"].as_array().into_iter().flatten().filter(move |_| apart);
        services.filter_map(|service| Some((service["name"].as_str()?, service["replicas"].as_u64()?)))
    }

    /// `spec.paused`.
    pub fn paused(&self) -> bool {
        self.spec["paused"].as_bool().unwrap_or(false)
    }
}

/// Name of the pod that a PD member or a store's address belongs to: the text before the first dot.
pub(super) fn pod_of(name: &str) -> &str {
    name.split(['.', ':']).next().unwrap_or(name)
}

/// Value of the component label of an object.
pub(super) fn component(object: &Object) -> &str {
    object.labels.get("app.kubernetes.io/component").map_or("", String::as_str)
}

/// The whole object; `null` if its text is broken, which no field of it survives.
pub(super) fn value(object: &Object) -> Value {
    serde_json::from_str(object.json.get()).unwrap_or_default()
}
