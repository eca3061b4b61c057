//! One container's life on a node: created, running, ended, restarted with back-off; and its readiness.

use k8s_openapi::api::core::v1::{Container, Probe};

/// First pause before a container that ended is started again. The first restart is immediate.
const BACK_OFF_FIRST_MS: u64 = 10_000;
/// The pause doubles up to this.
const BACK_OFF_MAX_MS: u64 = 300_000;
/// A container that ran this long starts over with the shortest pause.
const BACK_OFF_RESET_MS: u64 = 600_000;

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit code of its main process.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
    /// Last words, empty if none.
    pub message: String,
    /// Milliseconds since the Unix epoch.
    pub started_at: u64,
    /// Milliseconds since the Unix epoch.
    pub finished_at: u64,
}

/// What a container does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not started: `ContainerCreating`, `PodInitializing`, `ErrImagePull`, …
    Waiting {
        /// Why, in one word.
        reason: &'static str,
        /// Why, in a sentence; may be empty.
        message: String,
    },
    /// Its process runs.
    Running {
        /// Milliseconds since the Unix epoch.
        since: u64,
    },
    /// Its process ended and will be started again at `until`.
    BackOff {
        /// Milliseconds since the Unix epoch.
        until: u64,
    },
    /// Its process ended for good.
    Ended(Ended),
}

/// A container and what has happened to it.
#[derive(Clone, Debug)]
pub struct ContainerRun {
    /// Its name in the pod.
    pub name: String,
    /// Its image.
    pub image: String,
    /// What it does now.
    pub phase: Phase,
    /// How often it was started again.
    pub restarts: i32,
    /// How the run before this one ended.
    pub last: Option<Ended>,
    /// Passes its readiness probe.
    pub ready: bool,
    /// An init container that stays, or one that must end before the next.
    pub stays: bool,
    probe: ProbeClock,
    pauses: u32,
}

/// What the process behind a container shows to probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Its ports accept connections.
    pub listening: bool,
    /// It answers requests properly.
    pub serving: bool,
}

/// When the observed answer of a probe changed, and what it was.
#[derive(Clone, Debug, Default)]
struct ProbeClock {
    passing: bool,
    since: u64,
}

impl ContainerRun {
    /// A container that waits to be created.
    pub fn new(spec: &Container, stays: bool) -> Self {
        Self {
            name: spec.name.clone(),
            image: spec.image.clone().unwrap_or_default(),
            phase: Phase::Waiting { reason: "ContainerCreating", message: String::new() },
            restarts: 0,
            last: None,
            ready: false,
            stays,
            probe: ProbeClock::default(),
            pauses: 0,
        }
    }

    /// Its process was started.
    pub fn begin(&mut self, now: u64) {
        self.phase = Phase::Running { since: now };
        self.ready = false;
        self.probe = ProbeClock { passing: false, since: now };
    }

    /// Its process ended at `now`, to be started again or not.
    pub fn end(&mut self, now: u64, code: i32, reason: &str, message: &str, again: bool) {
        let started_at = match self.phase {
            Phase::Running { since } => since,
            _ => now,
        };
        let ended =
            Ended { code, reason: reason.to_owned(), message: message.to_owned(), started_at, finished_at: now };
        self.ready = false;
        if !again {
            self.phase = Phase::Ended(ended);
            return;
        }
        if now.saturating_sub(started_at) >= BACK_OFF_RESET_MS {
            self.pauses = 0;
        }
        let pause = match self.pauses {
            0 => 0,
            n => BACK_OFF_FIRST_MS.saturating_mul(1 << (n - 1).min(10)).min(BACK_OFF_MAX_MS),
        };
        self.pauses += 1;
        self.last = Some(ended);
        self.phase = Phase::BackOff { until: now + pause };
    }

    /// Started again after a back-off.
    pub fn begin_again(&mut self, now: u64) {
        self.restarts += 1;
        self.begin(now);
    }

    /// Brings readiness up to date with what the process shows; returns when to look again, if ever.
    pub fn observe(&mut self, probe: Option<&Probe>, shown: Shown, now: u64) -> Option<u64> {
        let Phase::Running { since } = self.phase else {
            self.ready = false;
            return None;
        };
        let Some(probe) = probe else {
            // Without a probe a container counts as ready as soon as it runs.
            self.ready = true;
            return None;
        };
        let passing = if probe.tcp_socket.is_some() { shown.listening } else { shown.serving };
        if passing != self.probe.passing {
            self.probe = ProbeClock { passing, since: now };
        }
        if passing == self.ready {
            // A container that is not ready yet is probed again; one that is ready is looked at when something happens.
            return (!passing).then(|| due_at(probe, since, &ProbeClock { passing: true, since: now + 1 }));
        }
        let due = due_at(probe, since, &self.probe);
        if due > now {
            return Some(due);
        }
        self.ready = passing;
        None
    }
}

/// When the kubelet notices: the first probe after the change, and as many more as the threshold wants.
fn due_at(probe: &Probe, started_at: u64, change: &ProbeClock) -> u64 {
    let seconds = |value: Option<i32>, default: u64| value.and_then(|v| u64::try_from(v).ok()).unwrap_or(default);
    let period = seconds(probe.period_seconds, 10).max(1) * 1_000;
    let first = started_at + seconds(probe.initial_delay_seconds, 0) * 1_000;
    let after = change.since.saturating_sub(first).div_ceil(period) * period + first;
    let threshold =
        if change.passing { seconds(probe.success_threshold, 1) } else { seconds(probe.failure_threshold, 3) };
    after + threshold.saturating_sub(1) * period
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn container() -> ContainerRun {
        let mut run =
            ContainerRun::new(&from_value(json!({"name": "pd", "image": "pingcap/pd:v8.5.0"})).unwrap(), false);
        run.begin(1_000);
        run
    }

    const SERVING: Shown = Shown { listening: true, serving: true };

    #[test]
    fn readiness_follows_the_probe_schedule() {
        let probe: Probe = from_value(json!({"tcpSocket": {"port": 4000}, "initialDelaySeconds": 10})).unwrap();
        let mut run = container();
        assert_eq!(run.observe(Some(&probe), SERVING, 5_000), Some(11_000));
        assert_eq!(run.observe(Some(&probe), SERVING, 11_000), None);
        assert!(run.ready);
        assert_eq!(run.observe(Some(&probe), SERVING, 11_500), None);
        let due = run.observe(Some(&probe), Shown::default(), 12_000);
        assert_eq!(due, Some(41_000), "three failures, ten seconds apart");
        assert!(run.ready);
        assert_eq!(run.observe(Some(&probe), Shown::default(), 41_000), None);
        assert!(!run.ready);
        assert_eq!(run.observe(Some(&probe), Shown::default(), 41_000), Some(51_000), "the next probe");
    }

    #[test]
    fn without_a_probe_running_is_ready() {
        let mut run = container();
        assert_eq!(run.observe(None, Shown::default(), 1_000), None);
        assert!(run.ready);
    }

    #[test]
    fn crash_loops_back_off() {
        let mut run = container();
        let mut pauses = Vec::new();
        let mut now = 2_000;
        for _ in 0..8 {
            run.end(now, 1, "Error", "", true);
            let Phase::BackOff { until } = run.phase else { panic!("must restart") };
            pauses.push((until - now) / 1_000);
            now = until;
            run.begin_again(now);
        }
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(run.restarts, 8);
        now += BACK_OFF_RESET_MS;
        run.end(now, 1, "Error", "", true);
        assert_eq!(run.phase, Phase::BackOff { until: now });
    }
}
