//! The simulated machines.
//!
//! What every default node has, so that people know what they can select by:
//!
//! | property | value |
//! |---|---|
//! | name, label `kubernetes.io/hostname` | `node-0`, `node-1`, … |
//! | label `topology.kubernetes.io/zone` | `z0`, `z1`, `z2` in turn |
//! | label `topology.kubernetes.io/region` | `r0` |
//! | label `node.kubernetes.io/pool` | `database` |
//! | label `node.kubernetes.io/instance-type` | `simulated` |
//! | labels `kubernetes.io/arch`, `kubernetes.io/os` | `amd64`, `linux` |
//! | taints | none |
//! | capacity | 128 cpu, 1 TiB memory, 16 TiB ephemeral storage, 250 pods |

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Namespace, Node},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::api;
use crate::clock::Clock;

/// Namespace of the nodes' leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// How many machines there are and how their zones repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodesOptions {
    /// Number of nodes.
    pub count: usize,
    /// Number of zones that the nodes are spread over in turn.
    pub zones: usize,
}

impl Default for NodesOptions {
    /// Nine nodes in three zones: room for eight pods that may not share a node, and one to lose.
    fn default() -> Self {
        Self { count: 9, zones: 3 }
    }
}

const NOT_READY_TAINT: &str = "node.kubernetes.io/not-ready";

/// Creates the nodes that are missing and marks all of them ready.
///
/// # Errors
/// When the API server refuses.
pub async fn install(client: &Client, clock: Clock, options: NodesOptions) -> Result<(), kube::Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE}});
    api::ensure::<Namespace>(&Api::all(client.clone()), &namespace).await?;
    for index in 0..options.count {
        let node = build_node(index, options.zones, clock);
        api::ensure(&nodes, &node).await?;
        let name = node_name(index);
        let status = json!({"status": node["status"]});
        let node = nodes.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
        admit_pods(&nodes, &node).await?;
    }
    Ok(())
}

/// The API server taints a node until it is known to be ready; taking that back is the node lifecycle controller's part.
async fn admit_pods(nodes: &Api<Node>, node: &Node) -> Result<(), kube::Error> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let others: Vec<_> = taints.iter().filter(|taint| taint.key != NOT_READY_TAINT).collect();
    if others.len() < taints.len() {
        let patch = json!({"spec": {"taints": others}});
        nodes.patch(&node.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await?;
    }
    Ok(())
}

/// The name of the `index`th node.
pub fn node_name(index: usize) -> String {
    format!("node-{index}")
}

/// Writes each node's lease, as its kubelet's sign of life. `seconds_between` goes into the lease, so that a
/// reader knows when to worry.
pub async fn renew_leases(client: &Client, clock: Clock, names: &[String], seconds_between: u64) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let now = clock.now();
    for name in names {
        let spec = json!({
            "holderIdentity": name, "leaseDurationSeconds": seconds_between.saturating_mul(4),
            "renewTime": format!("{now:.6}"),
        });
        let patch = json!({"spec": spec});
        match leases.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {}
            Err(error) if api::is_not_found(&error) => {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": name, "namespace": LEASE_NAMESPACE}, "spec": spec,
                });
                if let Ok(lease) = serde_json::from_value(lease)
                    && let Err(error) = leases.create(&PostParams::default(), &lease).await
                {
                    tracing::debug!(%error, %name, "failed to create a node's lease");
                }
            }
            Err(error) => tracing::debug!(%error, %name, "failed to renew a node's lease"),
        }
    }
}

/// The condition and taints of a node that is there, or that nobody hears from any more.
pub fn readiness_patch(ready: bool, clock: Clock) -> Value {
    let now = api::rfc3339(clock.now_ms());
    if ready {
        return json!({"status": {"conditions": conditions(&now)}});
    }
    let unknown = |kind: &str| {
        json!({
            "type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.", "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    let all = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"].map(unknown);
    json!({"status": {"conditions": all}})
}

fn build_node(index: usize, zones: usize, clock: Clock) -> Value {
    let name = node_name(index);
    let zone = format!("z{}", index % zones.max(1));
    let capacity = json!({"cpu": "128", "memory": "1Ti", "ephemeral-storage": "16Ti", "pods": "250"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": zone, "topology.kubernetes.io/region": "r0",
            "node.kubernetes.io/pool": "database", "node.kubernetes.io/instance-type": "simulated",
        }},
        "spec": {"providerID": format!("simulated://{name}")},
        "status": {
            "capacity": capacity, "allocatable": capacity,
            "conditions": conditions(&api::rfc3339(clock.now_ms())),
            "addresses": [
                {"type": "InternalIP", "address": node_ip(index)}, {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "6.8.0", "operatingSystem": "linux",
                "osImage": "Tidepool simulator", "containerRuntimeVersion": "simulated://1.0.0", "architecture": "amd64",
                "kubeletVersion": "v1.36.2", "kubeProxyVersion": "",
            },
        },
    })
}

fn conditions(now: &str) -> Value {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    json!([
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ])
}

/// Addresses of nodes lie in 10.78.0.0/20, those of pods above.
fn node_ip(index: usize) -> String {
    format!("10.78.{}.{}", index / 200, 10 + index % 200)
}
