//! What a policy wants to be done: actions in order, status, and what it waits on.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::waiting::WaitingOn;

/// The answer of one policy call. Every prefix of `actions` must be safe: the host may die between any two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// In the order in which they are to be carried out.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// The component's new status; without it, it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
    /// What is waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingOn>,
    /// Later components are not reconciled in this round.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold_later: bool,
    /// Ask again after this many milliseconds at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requeue_after_ms: Option<u32>,
}

/// What must still hold when an action is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Precondition {
    /// `metadata.uid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// `metadata.resourceVersion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// An object of the cluster's namespace, or one without a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectRef {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `StatefulSet`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

/// `type` of a Kubernetes event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventType {
    /// For information.
    Normal,
    /// Something needs attention.
    Warning,
}

/// One intent. The host checks it, carries it out and records it; names and meaning as in `wit/policy.wit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Action {
    /// Create this object.
    Create {
        /// The object; its namespace is the cluster's.
        object: Value,
    },
    /// Replace the object of this kind and name.
    Replace {
        /// The whole new object.
        object: Value,
        /// Needed: a replace without one is refused.
        expect: Precondition,
    },
    /// Apply an RFC 7396 merge patch.
    MergePatch {
        /// The object to change.
        target: ObjectRef,
        /// The patch.
        patch: Value,
        /// Needed: a patch without one is refused.
        expect: Precondition,
    },
    /// Delete an object.
    Delete {
        /// The object to delete.
        target: ObjectRef,
        /// Needed, with the uid.
        expect: Precondition,
    },
    /// Move PD's leadership to the member of this name.
    TransferPdLeader {
        /// Member name.
        to: String,
    },
    /// Remove a member from PD.
    DeletePdMember {
        /// Member id, decimal.
        id: String,
    },
    /// Have PD empty and bury a store.
    DeleteStore {
        /// Store id.
        id: u64,
    },
    /// Set labels of a store.
    SetStoreLabels {
        /// Store id.
        id: u64,
        /// JSON object of strings.
        labels: Value,
    },
    /// Have PD move the region leaders off a store.
    BeginEvictLeader {
        /// Store id.
        store: u64,
    },
    /// Take back `BeginEvictLeader`.
    EndEvictLeader {
        /// Store id.
        store: u64,
    },
    /// Change PD's replication settings.
    SetPdReplication {
        /// JSON object as for PD's `config/replicate`.
        config: Value,
    },
    /// Call the API of one pod.
    ComponentCall {
        /// Index into the descriptor's `calls`.
        call: u32,
        /// Pod name.
        pod: String,
        /// Request body.
        body: String,
    },
    /// Publish an event on the TidbCluster.
    Event {
        /// Normal or Warning.
        kind: EventType,
        /// CamelCase word.
        reason: String,
        /// A sentence for people.
        message: String,
    },
}

impl Action {
    /// The method name of this action in the contract, for example `delete-store`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Replace { .. } => "replace",
            Self::MergePatch { .. } => "merge-patch",
            Self::Delete { .. } => "delete",
            Self::TransferPdLeader { .. } => "transfer-pd-leader",
            Self::DeletePdMember { .. } => "delete-pd-member",
            Self::DeleteStore { .. } => "delete-store",
            Self::SetStoreLabels { .. } => "set-store-labels",
            Self::BeginEvictLeader { .. } => "begin-evict-leader",
            Self::EndEvictLeader { .. } => "end-evict-leader",
            Self::SetPdReplication { .. } => "set-pd-replication",
            Self::ComponentCall { .. } => "component-call",
            Self::Event { .. } => "event",
        }
    }

    /// The Kubernetes object that the action writes, if it writes one.
    pub fn target(&self) -> Option<ObjectRef> {
        match self {
            Self::Create { object } | Self::Replace { object, .. } => Some(ObjectRef::of(object)),
            Self::MergePatch { target, .. } | Self::Delete { target, .. } => Some(target.clone()),
            _ => None,
        }
    }

    /// What the action is about, for people: `statefulset/basic-pd`, `store/4`, …
    pub fn subject(&self) -> String {
        match self {
            Self::TransferPdLeader { to } => format!("pd member/{to}"),
            Self::DeletePdMember { id } => format!("pd member/{id}"),
            Self::DeleteStore { id } | Self::SetStoreLabels { id, .. } => format!("store/{id}"),
            Self::BeginEvictLeader { store } | Self::EndEvictLeader { store } => format!("store/{store}"),
            Self::SetPdReplication { .. } => "pd".into(),
            Self::ComponentCall { pod, .. } => format!("pod/{pod}"),
            Self::Event { reason, .. } => format!("event/{reason}"),
            Self::Create { .. } | Self::Replace { .. } | Self::MergePatch { .. } | Self::Delete { .. } => {
                self.target().map(|t| t.to_string()).unwrap_or_default()
            }
        }
    }
}

impl ObjectRef {
    /// The reference of `object`; parts that it lacks are empty.
    pub fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            api_version: text(&object["apiVersion"]),
            kind: text(&object["kind"]),
            name: text(&object["metadata"]["name"]),
        }
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.to_lowercase(), self.name)
    }
}
