//! Pods: readiness, the reason behind the phase, restarts.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, Printer, Row, cells, column, wide};
use crate::control::{
    age,
    path::{at, flag, int, list, text},
};

pub const PODS: Printer = Printer { columns: COLUMNS, row };

const COLUMNS: &[Column] = &[
    NAME,
    column("Ready", "Ready containers of all containers."),
    column("Status", "The phase, or the reason why it is not reached."),
    column("Restarts", "How often containers were started again."),
    AGE,
    wide("IP", "The pod's address."),
    wide("Node", "The node that it is bound to."),
    wide("Nominated Node", "The node that will be freed for it."),
    wide("Readiness Gates", "Passed gates of all gates."),
];

fn row(pod: &Value, now: Timestamp) -> Row {
    let shown = Shown::of(pod);
    let ready = format!("{}/{}", shown.ready, list(pod, "spec.containers").len());
    let ip = list(pod, "status.podIPs").first().map(|ip| text(ip, "ip")).filter(|ip| !ip.is_empty());
    let cells = json!([
        cells::name(pod),
        ready,
        shown.reason,
        shown.restarts_text(now),
        cells::age(pod, now),
        cells::or(ip.unwrap_or(text(pod, "status.podIP")), "<none>"),
        cells::or(text(pod, "spec.nodeName"), "<none>"),
        cells::or(text(pod, "status.nominatedNodeName"), "<none>"),
        gates(pod),
    ]);
    let conditions = match text(pod, "status.phase") {
        "Succeeded" => vec![completed("Succeeded", "The pod has completed successfully.")],
        "Failed" => vec![completed("Failed", "The pod failed.")],
        _ => Vec::new(),
    };
    Row { cells: cells.as_array().cloned().unwrap_or_default(), conditions }
}

fn completed(reason: &str, message: &str) -> Value {
    json!({"type": "Completed", "status": "True", "reason": reason, "message": message})
}

fn gates(pod: &Value) -> String {
    let gates = list(pod, "spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let passed = |gate: &&Value| condition(pod, text(gate, "conditionType")) == "True";
    format!("{}/{}", gates.iter().filter(passed).count(), gates.len())
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    list(pod, "status.conditions").iter().find(|c| text(c, "type") == kind).map_or("", |c| text(c, "status"))
}

#[derive(Default)]
struct Shown {
    ready: usize,
    reason: String,
    restarts: i64,
    last_restart: String,
}

impl Shown {
    fn of(pod: &Value) -> Self {
        let mut shown = Self {
            reason: cells::or(text(pod, "status.reason"), text(pod, "status.phase")).to_owned(),
            ..Self::default()
        };
        let gated = list(pod, "status.conditions")
            .iter()
            .any(|c| text(c, "type") == "PodScheduled" && text(c, "reason") == "SchedulingGated");
        if gated {
            shown.reason = "SchedulingGated".to_owned();
        }
        let sidecar_restarts = shown.initializing(pod);
        if let Some(restarts) = sidecar_restarts {
            shown.running(pod, restarts);
        }
        let terminal = matches!(text(pod, "status.phase"), "Succeeded" | "Failed");
        if !at(pod, "metadata.deletionTimestamp").is_null() {
            if text(pod, "status.reason") == "NodeLost" {
                shown.reason = "Unknown".to_owned();
            } else if !terminal {
                shown.reason = "Terminating".to_owned();
            }
        }
        shown
    }

    /// What the init containers say. `None` while they run; otherwise the restarts of those that stay.
    fn initializing(&mut self, pod: &Value) -> Option<i64> {
        let inits = list(pod, "spec.initContainers");
        let mut sidecar_restarts = 0;
        for (i, status) in list(pod, "status.initContainerStatuses").iter().enumerate() {
            self.count(status);
            let sidecar = inits.get(i).is_some_and(|c| text(c, "restartPolicy") == "Always");
            if sidecar {
                sidecar_restarts += cells::count(status, "restartCount");
            }
            let terminated = at(status, "state.terminated");
            if int(terminated, "exitCode") == Some(0) {
                continue;
            }
            if sidecar && flag(status, "started") {
                self.ready += usize::from(flag(status, "ready"));
                continue;
            }
            let waiting = text(status, "state.waiting.reason");
            self.reason = match () {
                () if !terminated.is_null() => format!("Init:{}", end_reason(terminated)),
                () if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
                () => format!("Init:{i}/{}", inits.len()),
            };
            return (condition(pod, "Initialized") == "True").then_some(sidecar_restarts);
        }
        Some(sidecar_restarts)
    }

    fn running(&mut self, pod: &Value, restarts: i64) {
        self.restarts = restarts;
        let mut running = false;
        for status in list(pod, "status.containerStatuses").iter().rev() {
            self.count(status);
            let (waiting, terminated) = (text(status, "state.waiting.reason"), at(status, "state.terminated"));
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if !terminated.is_null() {
                self.reason = end_reason(terminated);
            } else if flag(status, "ready") && !at(status, "state.running").is_null() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            self.reason = if condition(pod, "Ready") == "True" { "Running" } else { "NotReady" }.to_owned();
        }
    }

    fn count(&mut self, status: &Value) {
        self.restarts += cells::count(status, "restartCount");
        let finished = text(status, "lastState.terminated.finishedAt");
        if finished > self.last_restart.as_str() {
            self.last_restart = finished.to_owned();
        }
    }

    fn restarts_text(&self, now: Timestamp) -> String {
        if self.restarts != 0 && !self.last_restart.is_empty() {
            return format!("{} ({} ago)", self.restarts, age::since(&self.last_restart, now));
        }
        self.restarts.to_string()
    }
}

fn end_reason(terminated: &Value) -> String {
    match (text(terminated, "reason"), cells::count(terminated, "signal")) {
        ("", 0) => format!("ExitCode:{}", cells::count(terminated, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
