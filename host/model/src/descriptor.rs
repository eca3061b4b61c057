//! What a policy says about itself before it is ever asked to decide.

use serde::{Deserialize, Serialize};

/// A policy's answer to `describe`, in JSON so that it can grow.
///
/// Unknown fields are refused: a policy that asks for something this host does not offer must not run half-fed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Descriptor {
    /// The component that it decides for, for example `pd`; also its key in the cluster's status.
    pub component: String,
    /// The policy's own version, for people.
    pub version: String,
    /// Components whose policies run before this one in a round, if they are present.
    #[serde(default)]
    pub after: Vec<String>,
    /// Kinds of objects that it reads.
    #[serde(default)]
    pub watches: Vec<Watch>,
    /// Value of the label `app.kubernetes.io/component` of the pods in `snapshot.pods`; `*` for all of the cluster's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<String>,
    /// HTTP reads that the host does on pods.
    #[serde(default)]
    pub probes: Vec<Probe>,
    /// HTTP calls that a plan may ask for.
    #[serde(default)]
    pub calls: Vec<ComponentCall>,
    /// Parts of PD's view that it reads.
    #[serde(default)]
    pub pd: Vec<PdRead>,
    /// Kinds of actions that its plans may hold (names as in [`crate::plan::Action::verb`]).
    #[serde(default)]
    pub actions: Vec<String>,
    /// Kinds of objects that its plans may write.
    #[serde(default)]
    pub writes: Vec<Kind>,
    /// Keys of the cluster's status that it may set: a plan's status is then an object of these keys. Where this is
    /// empty, it is the value of the component's own key.
    #[serde(default)]
    pub status: Vec<String>,
}

/// `apiVersion` and `kind` of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kind {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `StatefulSet`.
    pub kind: String,
}

/// One kind of objects that a policy reads, always of the cluster's own namespace where the kind has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Watch {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `StatefulSet`.
    pub kind: String,
    /// Which of them.
    #[serde(default)]
    pub of: Scope,
}

/// Which objects of a kind a watch selects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// Labelled as this cluster's and as the policy's own component.
    #[default]
    Component,
    /// Labelled as this cluster's, whatever the component.
    Cluster,
    /// Labelled as this cluster's and as this component.
    Label(String),
    /// Every name that the TidbCluster's spec mentions in a reference of this kind (user's ConfigMaps, Secrets: heads only).
    Referenced,
    /// Those without a namespace that this cluster's objects use: PersistentVolumes of its claims, Nodes of its pods.
    Used,
}

/// A read of the HTTP API of every pod of `Descriptor::pods`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    /// Path and query, for example `/status`.
    pub path: String,
    /// TCP port.
    pub port: u16,
}

/// A call to the HTTP API of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentCall {
    /// `POST`, `PUT` or `DELETE`.
    pub method: String,
    /// Path and query, for example `/api/v1/drain`.
    pub path: String,
    /// TCP port.
    pub port: u16,
    /// Value of the label `app.kubernetes.io/component` of the pods that it may go to, for a policy of several kinds of
    /// pods; those of `Descriptor::pods` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<String>,
}

/// A part of PD's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PdRead {
    /// Members, health and leader.
    Members,
    /// Stores in every state, evict-leader schedulers.
    Stores,
    /// Document `cluster`: the cluster id.
    Cluster,
    /// Document `config`: PD's configuration.
    Config,
    /// Documents `ms/members/…` and `ms/primary/…`: who runs PD's services apart from PD, and which of them acts. A text
    /// instead of a list of members is what a PD says that runs its services itself.
    Services,
}

/// PD's services that can run apart from it.
pub const SERVICES: [&str; 2] = ["tso", "scheduling"];

impl PdRead {
    /// Names of the documents in `snapshot.pd-document`; none for the parts that have getters of their own.
    pub fn documents(self) -> &'static [&'static str] {
        match self {
            Self::Members | Self::Stores => &[],
            Self::Cluster => &["cluster"],
            Self::Config => &["config"],
            Self::Services => &["ms/members/tso", "ms/primary/tso", "ms/members/scheduling", "ms/primary/scheduling"],
        }
    }
}

/// Name of the document with the members of one of [`SERVICES`].
pub fn members_document(service: &str) -> String {
    format!("ms/members/{service}")
}

/// Name of the document with the primary of one of [`SERVICES`].
pub fn primary_document(service: &str) -> String {
    format!("ms/primary/{service}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_documents() {
        let named = SERVICES.iter().flat_map(|service| [members_document(service), primary_document(service)]);
        assert_eq!(named.collect::<Vec<_>>(), PdRead::Services.documents());
    }
}
