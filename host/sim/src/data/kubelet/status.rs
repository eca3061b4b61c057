//! The status that a kubelet reports for a pod: a pure function of its [`PodMachine`].

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    PodMachine, Stage,
    container::{ContainerRun, Ended, Phase},
};
use crate::data::{api::rfc3339, network::Key, world::World};

/// Third octet of the first pod address, 10.78.16.1; nodes live below.
const POD_NET_FIRST: u32 = 16;

/// Since when each condition of a pod has its value.
#[derive(Debug, Default)]
pub struct Conditions {
    since: BTreeMap<String, (bool, u64)>,
}

impl Conditions {
    /// As the pod's status has them.
    pub fn of(pod: &Pod, now: u64) -> Self {
        let reported = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let since = reported.map(|condition| {
            let at = condition.last_transition_time.as_ref().map_or(now, |time| milliseconds(time, now));
            (condition.type_.clone(), (condition.status == "True", at))
        });
        Self { since: since.collect() }
    }

    /// When the condition got this value: now, if it had another.
    fn since(&mut self, kind: &str, value: bool, now: u64) -> u64 {
        let entry = self.since.entry(kind.to_owned()).or_insert((value, now));
        if entry.0 != value {
            *entry = (value, now);
        }
        entry.1
    }
}

/// Milliseconds since the Unix epoch of a time in an object; `or` if it lies before.
pub fn milliseconds(time: &Time, or: u64) -> u64 {
    u64::try_from(time.0.as_millisecond()).unwrap_or(or)
}

/// The status of `machine`'s pod at `now`, whole.
pub fn build(machine: &mut PodMachine, pod: &Pod, host_ip: &str, now: u64) -> Value {
    let initialized =
        !matches!(machine.stage, Stage::Mounting { .. } | Stage::Pulling { .. } | Stage::Initialising { .. })
            || machine.init.is_empty();
    let all_ready = machine.main.iter().all(|run| run.ready) && machine.stage != Stage::Ended;
    let ready = all_ready && gates_open(pod);
    let sandbox = !machine.ip.is_empty();
    let unready: Vec<&str> = machine.main.iter().filter(|run| !run.ready).map(|run| run.name.as_str()).collect();
    let unready = format!("containers with unready status: [{}]", unready.join(" "));
    let incomplete: Vec<&str> = machine.init.iter().filter(|run| !run.ready).map(|run| run.name.as_str()).collect();
    let incomplete = format!("containers with incomplete status: [{}]", incomplete.join(" "));
    let clock = &mut machine.conditions;
    let mut conditions = vec![
        condition(clock, "PodReadyToStartContainers", sandbox, "", "", now),
        condition(clock, "Initialized", initialized, "ContainersNotInitialized", &incomplete, now),
        condition(clock, "Ready", ready, "ContainersNotReady", &unready, now),
        condition(clock, "ContainersReady", all_ready, "ContainersNotReady", &unready, now),
        condition(clock, "PodScheduled", true, "", "", now),
    ];
    conditions.extend(foreign_conditions(pod, &conditions));
    let ips = if sandbox { json!([{"ip": machine.ip}]) } else { Value::Null };
    let mut status = json!({
        "phase": phase(machine), "conditions": conditions, "hostIP": host_ip, "hostIPs": [{"ip": host_ip}],
        "podIP": if sandbox { json!(machine.ip) } else { Value::Null }, "podIPs": ips,
        "startTime": rfc3339(machine.seen_at),
        "containerStatuses": machine.main.iter().map(|run| container_status(run, &machine.uid)).collect::<Vec<_>>(),
        "qosClass": qos_class(pod),
    });
    if !machine.init.is_empty() {
        let init = machine.init.iter().map(|run| container_status(run, &machine.uid));
        status["initContainerStatuses"] = init.collect();
    }
    status
}

fn condition(clock: &mut Conditions, kind: &str, value: bool, reason: &str, message: &str, now: u64) -> Value {
    let mut condition = json!({
        "type": kind, "status": if value { "True" } else { "False" }, "lastProbeTime": null,
        "lastTransitionTime": rfc3339(clock.since(kind, value, now)),
    });
    if !value && !reason.is_empty() {
        condition["reason"] = json!(reason);
        condition["message"] = json!(message);
    }
    condition
}

/// Conditions that others wrote, which stay.
fn foreign_conditions(pod: &Pod, own: &[Value]) -> Vec<Value> {
    let reported = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let foreign = reported.filter(|condition| !own.iter().any(|mine| mine["type"] == condition.type_.as_str()));
    foreign.filter_map(|condition| serde_json::to_value(condition).ok()).collect()
}

fn gates_open(pod: &Pod) -> bool {
    let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let conditions: Vec<_> = pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).collect();
    gates.into_iter().all(|gate| conditions.iter().any(|c| c.type_ == gate.condition_type && c.status == "True"))
}

fn phase(machine: &PodMachine) -> &'static str {
    match machine.stage {
        Stage::Mounting { .. } | Stage::Pulling { .. } | Stage::Initialising { .. } => "Pending",
        Stage::Running | Stage::Stopping { .. } => "Running",
        Stage::Ended => {
            let failed = |run: &ContainerRun| matches!(&run.phase, Phase::Ended(ended) if ended.code != 0);
            if machine.main.iter().any(failed) { "Failed" } else { "Succeeded" }
        }
    }
}

fn container_status(run: &ContainerRun, uid: &str) -> Value {
    let id = container_id(uid, &run.name, run.restarts);
    let started = matches!(run.phase, Phase::Running { .. });
    let created = started || matches!(run.phase, Phase::Ended(_) | Phase::BackOff { .. });
    let state = match &run.phase {
        Phase::Waiting { reason, message } => waiting(reason, message),
        Phase::Running { since } => json!({"running": {"startedAt": rfc3339(*since)}}),
        Phase::Ended(ended) => terminated(ended, &id),
        Phase::BackOff { .. } => {
            waiting("CrashLoopBackOff", &format!("back-off restarting failed container {}", run.name))
        }
    };
    let last = run.last.as_ref().map_or_else(
        || json!({}),
        |ended| terminated(ended, &container_id(uid, &run.name, if started { run.restarts - 1 } else { run.restarts })),
    );
    json!({
        "name": run.name, "image": run.image, "imageID": if created { image_id(&run.image) } else { String::new() },
        "containerID": if created { json!(id) } else { Value::Null }, "ready": run.ready, "started": started,
        "restartCount": run.restarts, "state": state, "lastState": last,
    })
}

fn waiting(reason: &str, message: &str) -> Value {
    let mut waiting = json!({"reason": reason});
    if !message.is_empty() {
        waiting["message"] = json!(message);
    }
    json!({"waiting": waiting})
}

fn terminated(ended: &Ended, id: &str) -> Value {
    let mut state = json!({
        "exitCode": ended.code, "reason": ended.reason, "startedAt": rfc3339(ended.started_at),
        "finishedAt": rfc3339(ended.finished_at), "containerID": id,
    });
    if !ended.message.is_empty() {
        state["message"] = json!(ended.message);
    }
    json!({"terminated": state})
}

fn image_id(image: &str) -> String {
    let path = image.split('@').next().unwrap_or(image);
    let name = path.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(path, |(name, _)| name);
    format!("{name}@sha256:{}", hex(image))
}

fn container_id(uid: &str, name: &str, restarts: i32) -> String {
    format!("simulated://{}", hex(&format!("{uid}/{name}/{restarts}")))
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
fn qos_class(pod: &Pod) -> &'static str {
    let spec = pod.spec.iter();
    let containers: Vec<_> =
        spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten())).collect();
    let mut any = false;
    let mut guaranteed = true;
    for container in containers {
        let resources = container.resources.as_ref();
        for resource in ["cpu", "memory"] {
            let limit = resources.and_then(|r| r.limits.as_ref()?.get(resource));
            let request = resources.and_then(|r| r.requests.as_ref()?.get(resource));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// An address that no other pod has, the same one each time for the same history.
pub fn allocate_ip(pod: &Pod, world: &World, key: &Key) -> String {
    let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    let known = world.network.pod(key).map(|endpoint| endpoint.ip.clone()).filter(|ip| !ip.is_empty());
    if let (false, Some(ip)) = (host_network, known) {
        return ip;
    }
    let taken = world.network.addresses();
    let digest = Sha256::digest(pod.metadata.uid.as_deref().unwrap_or_default());
    let start = u32::from_be_bytes([0, 0, digest[0], digest[1]]);
    let room = (256 - POD_NET_FIRST) << 8;
    let candidates = (0..room).map(|offset| {
        let host = (POD_NET_FIRST << 8) + (start + offset) % room;
        format!("10.78.{}.{}", host >> 8, host & 0xff)
    });
    let usable = |ip: &String| !ip.ends_with(".0") && !ip.ends_with(".255") && !taken.contains(ip.as_str());
    candidates.into_iter().find(usable).unwrap_or_default()
}

/// Takes over what the pod's status says runs already; true if it does.
pub fn restore(pod: &Pod, init: &mut [ContainerRun], main: &mut [ContainerRun]) -> bool {
    let Some(status) = pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Running")) else {
        return false;
    };
    for (runs, statuses) in [(init, &status.init_container_statuses), (main, &status.container_statuses)] {
        for run in runs {
            if let Some(reported) = statuses.iter().flatten().find(|reported| reported.name == run.name) {
                restore_container(run, reported);
            }
        }
    }
    true
}

fn restore_container(run: &mut ContainerRun, reported: &ContainerStatus) {
    run.restarts = reported.restart_count;
    run.last = reported.last_state.as_ref().and_then(|state| state.terminated.as_ref()).map(ended_of);
    let Some(state) = &reported.state else { return };
    if let Some(running) = &state.running {
        run.begin(running.started_at.as_ref().map_or(0, |time| milliseconds(time, 0)));
    } else if let Some(terminated) = &state.terminated {
        run.phase = Phase::Ended(ended_of(terminated));
    }
    run.ready = reported.ready;
}

fn ended_of(state: &k8s_openapi::api::core::v1::ContainerStateTerminated) -> Ended {
    let at = |time: &Option<Time>| time.as_ref().map_or(0, |time| milliseconds(time, 0));
    Ended {
        code: state.exit_code,
        reason: state.reason.clone().unwrap_or_default(),
        message: state.message.clone().unwrap_or_default(),
        started_at: at(&state.started_at),
        finished_at: at(&state.finished_at),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::from_value;

    use super::*;

    fn pod(resources: Value) -> Pod {
        from_value(json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})).unwrap()
    }

    #[test]
    fn quality_of_service_follows_the_resources() {
        assert_eq!(qos_class(&pod(json!({}))), "BestEffort");
        assert_eq!(qos_class(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        assert_eq!(qos_class(&pod(json!({"limits": {"cpu": "1", "memory": "1Gi"}}))), "Guaranteed");
    }

    #[test]
    fn image_ids_keep_the_name_and_drop_the_tag() {
        assert!(image_id("registry:5000/pingcap/pd:v8.5.0").starts_with("registry:5000/pingcap/pd@sha256:"));
        assert!(image_id("registry:5000/pingcap/pd").starts_with("registry:5000/pingcap/pd@sha256:"));
    }
}
