//! The scheduler's part of the data plane's task: place a pod, bind its claims, bind it.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::Plane;
use crate::data::{
    api,
    kubelet::events::{About, Happening},
    network::Key,
    scheduler::{self, View, ZONE_LABEL},
    volumes::Claims,
};

/// The scheduler that we are.
const OWN_NAME: &str = "default-scheduler";

impl Plane {
    /// Gives `pod` a node, or says why it has none.
    pub(super) async fn place(&mut self, key: &Key, pod: &Pod) -> Result<(), kube::Error> {
        let spec = pod.spec.as_ref();
        let gated = spec.is_some_and(|spec| spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()));
        let ours = spec.and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or(OWN_NAME) == OWN_NAME;
        if !ours || gated || pod.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        match self.choose(pod) {
            Ok((node, zone)) => {
                self.volumes.bind_for(pod, &node, zone.as_deref()).await?;
                if !self.volumes.all_bound(pod) {
                    self.unplaced.insert(key.clone(), String::new());
                    return Ok(());
                }
                self.bind(key, pod, &node).await
            }
            Err(reason) => self.report_unplaced(key, pod, reason).await,
        }
    }

    /// A node and its zone.
    fn choose(&self, pod: &Pod) -> Result<(String, Option<String>), String> {
        let nodes = self.nodes.iter().map(|(key, node)| (key.1.clone(), node.clone())).collect();
        let zone_of = |node: &k8s_openapi::api::core::v1::Node| node.metadata.labels.as_ref()?.get(ZONE_LABEL).cloned();
        let mut zones: Vec<String> = self.nodes.iter().filter_map(|(_, node)| zone_of(node)).collect();
        zones.sort();
        zones.dedup();
        let volume_zones = match self.volumes.placement(pod, &zones) {
            Claims::Placeable(zones) => zones,
            Claims::Blocked(reason) => {
                let count = self.nodes.iter().count();
                return Err(format!("0/{count} nodes are available: {reason}."));
            }
        };
        let ended = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        };
        let placed = |pod: &&Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) && !ended(pod);
        let placed = self.pods.iter().map(|(_, pod)| pod).filter(placed).collect();
        let view = View { nodes: &nodes, placed, volume_zones };
        let name = scheduler::choose(pod, &view).map_err(|error| error.to_string())?;
        let zone = nodes.get(&name).and_then(zone_of);
        Ok((name, zone))
    }

    async fn bind(&mut self, key: &Key, pod: &Pod, node: &str) -> Result<(), kube::Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": key.1, "namespace": key.0, "uid": pod.metadata.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let bound: Result<Value, _> =
            pods.create_subresource("binding", &key.1, &PostParams::default(), &binding).await;
        match bound {
            Err(error) if api::is_not_found(&error) || api::is_conflict(&error) => return Ok(()),
            other => other?,
        };
        self.unplaced.remove(key);
        let mut placed = pod.clone();
        if let Some(spec) = &mut placed.spec {
            spec.node_name = Some(node.to_owned());
        }
        self.pods.put(placed);
        self.dirty.insert(super::Matter::Pod(key.clone()));
        let message = format!("Successfully assigned {}/{} to {node}", key.0, key.1);
        self.recorder.record(happening(pod, "Normal", "Scheduled", message)).await;
        Ok(())
    }

    async fn report_unplaced(&mut self, key: &Key, pod: &Pod, reason: String) -> Result<(), kube::Error> {
        if self.unplaced.get(key) == Some(&reason) {
            return Ok(());
        }
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": reason,
            "lastProbeTime": null, "lastTransitionTime": api::rfc3339(self.shared.clock.now_ms()),
        });
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
        match pods.patch_status(&key.1, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(changed) => {
                self.pods.put(changed);
            }
            Err(error) if api::is_not_found(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.recorder.record(happening(pod, "Warning", "FailedScheduling", reason.clone())).await;
        self.unplaced.insert(key.clone(), reason);
        Ok(())
    }
}

fn happening(pod: &Pod, kind: &'static str, reason: &'static str, message: String) -> Happening {
    Happening {
        about: About {
            kind: "Pod",
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            api_version: "v1",
            field: String::new(),
        },
        kind,
        reason,
        message,
        component: OWN_NAME,
        host: String::new(),
    }
}
