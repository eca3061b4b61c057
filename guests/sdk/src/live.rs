//! Objects as they are in the cluster. They stay JSON: what this version does not know of must survive a replace.

use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::Value;
use tidepool_api::labels::{LAST_APPLIED_CONFIG, STATEFUL_SET_DELETE_SLOTS};

use crate::{
    Failure, Precondition, Snapshot,
    slots::{self, Slots},
};

/// Reasons for which a container waits before it starts for the first time, as every one does.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// An object that was read.
#[derive(Clone, Debug)]
pub struct Live {
    value: Value,
}

impl Live {
    /// The object of this name, if it exists.
    ///
    /// # Errors
    /// When the host could not read it: unknown is not absent.
    pub fn read(snapshot: &Snapshot, watch: u32, name: &str) -> Result<Option<Self>, Failure> {
        Ok(snapshot.object(watch, name)?.map(|value| Self { value }))
    }

    /// An object that is at hand.
    pub fn from_value(value: Value) -> Self {
        Self { value }
    }

    /// All objects of a watch, ordered by name.
    ///
    /// # Errors
    /// When the host could not read them.
    pub fn all(snapshot: &Snapshot, watch: u32) -> Result<Vec<Self>, Failure> {
        let heads = snapshot.objects(watch)?;
        heads.iter().filter_map(|head| Self::read(snapshot, watch, &head.name).transpose()).collect()
    }

    /// The object as JSON.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The part at a JSON pointer, typed; none if it is absent or not of that type.
    pub fn at<T: DeserializeOwned>(&self, pointer: &str) -> Option<T> {
        serde_json::from_value(self.value.pointer(pointer)?.clone()).ok()
    }

    /// The text at a JSON pointer; empty if it is absent.
    pub fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The number at a JSON pointer; 0 if it is absent.
    pub fn number(&self, pointer: &str) -> i64 {
        self.value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    /// `metadata.deletionTimestamp` is set.
    pub fn deleting(&self) -> bool {
        !self.text("/metadata/deletionTimestamp").is_empty()
    }

    /// Value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.value["metadata"]["labels"][key].as_str()
    }

    /// Value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.value["metadata"]["annotations"][key].as_str()
    }

    /// The precondition "still this object in this version".
    pub fn unchanged(&self) -> Precondition {
        let version = self.text("/metadata/resourceVersion");
        Precondition { uid: Some(self.uid().to_owned()), resource_version: Some(version.to_owned()) }
    }

    /// What was last applied, from its annotation; none if that is absent or broken.
    pub fn last_applied(&self) -> Option<Value> {
        serde_json::from_str(self.annotation(LAST_APPLIED_CONFIG)?).ok()
    }
}

impl Live {
    /// Why a pod does not come up: it finds no node, or a container does not start. None if it is merely on its way.
    pub fn trouble(&self) -> Option<String> {
        let list = |pointer: &str| self.value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let told = |what: &str, said: &Value| match said["message"].as_str() {
            Some(message) if !message.is_empty() => format!("{what}: {message}"),
            _ => what.to_owned(),
        };
        let unscheduled = |c: &&Value| c["type"] == "PodScheduled" && c["status"] == "False";
        if let Some(condition) = list("/status/conditions").find(unscheduled) {
            return Some(told("it has no node", condition));
        }
        let containers = list("/status/initContainerStatuses").chain(list("/status/containerStatuses"));
        containers.into_iter().find_map(|container| {
            let waiting = &container["state"]["waiting"];
            let reason = waiting["reason"].as_str().filter(|reason| !ON_ITS_WAY.contains(reason))?;
            Some(told(&format!("container {}: {reason}", container["name"].as_str().unwrap_or_default()), waiting))
        })
    }
}

/// A StatefulSet that was read.
#[derive(Clone, Debug)]
pub struct LiveSet(pub Live);

impl LiveSet {
    /// The StatefulSet of this name, if it exists.
    ///
    /// # Errors
    /// When the host could not read it.
    pub fn read(snapshot: &Snapshot, watch: u32, name: &str) -> Result<Option<Self>, Failure> {
        Ok(Live::read(snapshot, watch, name)?.map(Self))
    }

    /// `spec.replicas`.
    pub fn replicas(&self) -> i32 {
        // Kubernetes' own default: a set without the field has one pod.
        self.0.at("/spec/replicas").unwrap_or(1)
    }

    /// Ordinals that are left empty.
    pub fn slots(&self) -> Slots {
        slots::parse(self.0.annotation(STATEFUL_SET_DELETE_SLOTS))
    }

    /// The partition of the rolling update; none if pods are not updated so.
    pub fn partition(&self) -> Option<i32> {
        self.0.at("/spec/updateStrategy/rollingUpdate/partition")
    }

    /// The strategy is a rolling update down to a partition: the operator decides when a pod restarts.
    pub fn partitioned(&self) -> bool {
        self.0.text("/spec/updateStrategy/type") != crate::build::set::ON_DELETE
            && self.0.value.pointer("/spec/updateStrategy/rollingUpdate").is_some_and(Value::is_object)
    }

    /// Names of the revision that pods had, and of the one that they are getting.
    pub fn revisions(&self) -> (&str, &str) {
        (self.0.text("/status/currentRevision"), self.0.text("/status/updateRevision"))
    }

    /// The controller has seen the newest spec.
    pub fn observed(&self) -> bool {
        self.0.number("/metadata/generation") <= self.0.number("/status/observedGeneration")
    }

    /// Pods that are ready.
    pub fn ready_replicas(&self) -> i32 {
        self.0.at("/status/readyReplicas").unwrap_or_default()
    }

    /// Image of a container in the template; empty without such a container.
    pub fn image(&self, container: &str) -> &str {
        let containers = self.0.value.pointer("/spec/template/spec/containers").and_then(Value::as_array);
        let found = containers.and_then(|all| all.iter().find(|c| c["name"] == container));
        found.and_then(|c| c["image"].as_str()).unwrap_or_default()
    }

    /// The template has a volume of this name.
    pub fn mounts(&self, volume: &str) -> bool {
        let volumes = self.0.value.pointer("/spec/template/spec/volumes").and_then(Value::as_array);
        volumes.into_iter().flatten().any(|known| known["name"] == volume)
    }

    /// Names of the ConfigMaps that the template mounts, in the order of its volumes.
    pub fn config_maps(&self) -> impl Iterator<Item = &str> {
        let volumes = self.0.value.pointer("/spec/template/spec/volumes").and_then(Value::as_array);
        volumes.into_iter().flatten().filter_map(|volume| volume["configMap"]["name"].as_str())
    }

    /// Whether a change of the StatefulSet has not reached every pod, given the revisions of its pods.
    pub fn upgrading<'a>(&self, pod_revisions: impl IntoIterator<Item = Option<&'a str>>) -> bool {
        let (current, update) = self.revisions();
        // The controller has made pods and not said of what revision: a set that is new upgrades nothing.
        if update.is_empty() {
            return false;
        }
        if current != update || (!self.observed() && self.replicas() == self.0.number("/status/replicas") as i32) {
            return true;
        }
        let mut behind = false;
        for revision in pod_revisions {
            match revision {
                // Whose pod it is cannot be said yet.
                None => return false,
                Some(revision) => behind |= revision != update,
            }
        }
        behind
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_keeps_a_pod_from_coming_up_is_told() {
        let trouble = |status: Value| Live::from_value(json!({ "status": status })).trouble();
        let scheduled = json!([{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]);
        let waiting = |waiting: Value| json!([{"name": "pd", "state": {"running": {}}}, {"name": "tikv", "state": {"waiting": waiting}}]);
        let rows = [
            (json!({"conditions": scheduled}), Some("it has no node: 0/3 nodes are available")),
            (json!({"containerStatuses": waiting(json!({"reason": "ContainerCreating"}))}), None),
            (
                json!({"containerStatuses": waiting(json!({"reason": "ImagePullBackOff", "message": "no such image"}))}),
                Some("container tikv: ImagePullBackOff: no such image"),
            ),
            (json!({}), None),
        ];
        for (status, expected) in rows {
            assert_eq!(trouble(status.clone()).as_deref(), expected, "{status}");
        }
    }
}
