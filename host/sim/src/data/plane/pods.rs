//! The kubelets' part of the data plane's task: look at a pod, write what changed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};

use super::{Matter, Plane};
use crate::data::{
    api,
    kubelet::{Needs, PodMachine, mounts, status},
    lookup,
    network::{Endpoint, Key},
    volumes::claim_keys,
};

/// Looks at one pod without waiting for time to pass: mounts, discovery and a few transitions.
const LOOKS_MAX: usize = 8;

impl Plane {
    /// Brings one pod up to date.
    pub(super) async fn look_at_pod(&mut self, key: &Key) -> Result<(), kube::Error> {
        let Some(pod) = self.pods.get(key).cloned() else {
            self.forget_pod(key);
            return Ok(());
        };
        if self.machines.get(key).is_some_and(|machine| Some(&machine.uid) != pod.metadata.uid.as_ref()) {
            self.forget_pod(key);
        }
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else {
            return self.place(key, &pod).await;
        };
        self.unplaced.remove(key);
        if self.nodes.get(&(String::new(), node.clone())).is_none() || self.losses.is_lost(&node) {
            self.show_endpoint(key, &pod);
            return Ok(());
        }
        if !self.machines.contains_key(key) {
            if is_ended(&pod) && pod.metadata.deletion_timestamp.is_none() {
                return Ok(());
            }
            let machine = PodMachine::new(&pod, &self.shared.world(), self.shared.clock.now_ms());
            self.machines.insert(key.clone(), machine);
        }
        let needs = self.move_machine(key, &pod).await;
        self.write_happenings(key).await;
        if needs.removal {
            return self.remove_pod(key, &pod).await;
        }
        self.write_status(key, &pod).await?;
        self.show_endpoint(key, &pod);
        if let Some(at) = needs.wake {
            self.schedule(Matter::Pod(key.clone()), at);
        }
        Ok(())
    }

    /// Moves the pod's machine as far as it can now, with what it needs from the API server.
    async fn move_machine(&mut self, key: &Key, pod: &Pod) -> Needs {
        for _ in 0..LOOKS_MAX {
            let now = self.shared.clock.now_ms();
            let Some(machine) = self.machines.get_mut(key) else { return Needs::default() };
            let needs = machine.step(pod, &mut self.shared.world(), now);
            if needs.mounts {
                self.mount(key, pod).await;
                continue;
            }
            // The address has to be known before others can answer under it.
            self.show_endpoint(key, pod);
            if !needs.discovery {
                return needs;
            }
            self.ask_discovery(key).await;
        }
        Needs { wake: Some(self.shared.clock.now_ms() + 1), ..Needs::default() }
    }

    async fn mount(&mut self, key: &Key, pod: &Pod) {
        let namespace = key.0.clone();
        let disks: BTreeMap<String, (String, u64)> = claim_keys(pod)
            .into_iter()
            .filter_map(|(_, claim)| Some((claim.clone(), self.volumes.disk(&namespace, &claim)?)))
            .collect();
        let mounted = mounts::gather(&self.client, pod, |claim| disks.get(claim).cloned()).await;
        let now = self.shared.clock.now_ms();
        if let Some(machine) = self.machines.get_mut(key) {
            machine.mounted(mounted, &mut self.shared.world(), now);
        }
    }

    async fn ask_discovery(&mut self, key: &Key) {
        let launch = self.shared.world().processes.get(key).map(|process| process.launch.clone());
        let Some(launch) = launch else { return };
        let answer = lookup::ask(&self.shared, &launch).await;
        let now = self.shared.clock.now_ms();
        if let Some(process) = self.shared.world().processes.get_mut(key) {
            process.told(answer, now);
        }
    }

    async fn write_happenings(&mut self, key: &Key) {
        let happenings = self.machines.get_mut(key).map(|machine| std::mem::take(&mut machine.happenings));
        for happening in happenings.into_iter().flatten() {
            self.recorder.record(happening).await;
        }
    }

    /// Writes the pod's status if it differs from what the API server has.
    async fn write_status(&mut self, key: &Key, pod: &Pod) -> Result<(), kube::Error> {
        let now = self.shared.clock.now_ms();
        let Some(machine) = self.machines.get_mut(key) else { return Ok(()) };
        let host_ip = host_ip(self.nodes.get(&(String::new(), machine.node.clone())));
        let wanted = status::build(machine, pod, &host_ip, now);
        if machine.written.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let reported = serde_json::to_value(&pod.status).unwrap_or_default();
        if covers(&reported, &wanted) {
            machine.written = Some(wanted);
            return Ok(());
        }
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": wanted});
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
        match pods.patch_status(&key.1, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(changed) => {
                self.pods.put(changed);
                if let Some(machine) = self.machines.get_mut(key) {
                    machine.written = Some(wanted);
                }
                Ok(())
            }
            // The pod is gone, or another one of its name: the watch will tell.
            Err(error) if api::is_not_found(&error) || api::is_conflict(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The pod has ended and nothing but its object is left.
    async fn remove_pod(&mut self, key: &Key, pod: &Pod) -> Result<(), kube::Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        match pods.delete(&key.1, &params).await {
            Err(error) if !api::is_not_found(&error) && !api::is_conflict(&error) => return Err(error),
            _ => {}
        }
        // A finalizer may keep the object; its machine stays ended until the watch tells that it is gone.
        self.show_endpoint(key, pod);
        Ok(())
    }

    fn forget_pod(&mut self, key: &Key) {
        self.unplaced.remove(key);
        let now = self.shared.clock.now_ms();
        {
            let mut world = self.shared.world();
            if let Some(mut machine) = self.machines.remove(key) {
                machine.forget_program(&mut world, now);
                world.wipe(now, &mounts::own_disk(&machine.uid));
            }
            world.network.remove_pod(key);
        }
        // There is room on a node again.
        self.mark_unplaced();
    }

    /// Tells the network what it can reach of the pod.
    fn show_endpoint(&self, key: &Key, pod: &Pod) {
        let machine = self.machines.get(key);
        let spec = pod.spec.as_ref();
        let ports =
            spec.iter().flat_map(|spec| &spec.containers).flat_map(|container| container.ports.iter().flatten());
        let named = ports.filter_map(|port| Some((port.name.clone()?, u16::try_from(port.container_port).ok()?)));
        let node = spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        let reported = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap_or_default();
        let endpoint = Endpoint {
            ip: machine.map_or(reported, |machine| machine.ip.clone()),
            hostname: spec.and_then(|spec| spec.hostname.clone()).unwrap_or_else(|| key.1.clone()),
            subdomain: spec.and_then(|spec| spec.subdomain.clone()).unwrap_or_default(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            ready: machine.is_some_and(PodMachine::is_ready) && pod.metadata.deletion_timestamp.is_none(),
            ports: named.collect(),
            reachable: !self.losses.is_lost(&node),
        };
        self.shared.world().network.put_pod(key.clone(), endpoint);
    }
}

/// Whether `reported` has everything that `wanted` sets, nulls meaning absence.
fn covers(reported: &Value, wanted: &Value) -> bool {
    match (reported, wanted) {
        (Value::Object(reported), Value::Object(wanted)) => wanted.iter().all(|(key, value)| match reported.get(key) {
            Some(has) => covers(has, value),
            None => value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty),
        }),
        (Value::Array(reported), Value::Array(wanted)) => {
            reported.len() == wanted.len() && reported.iter().zip(wanted).all(|(has, value)| covers(has, value))
        }
        _ => reported == wanted,
    }
}

fn is_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn host_ip(node: Option<&Node>) -> String {
    let addresses = node.and_then(|node| node.status.as_ref()?.addresses.as_ref());
    let internal = addresses.into_iter().flatten().find(|address| address.type_ == "InternalIP");
    internal.map(|address| address.address.clone()).unwrap_or_default()
}
