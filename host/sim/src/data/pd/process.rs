//! One `pd-server` process: what it was started with, how far it is, and the faults a scenario gives it.

use super::{TimeMs, etcd::Member, fleet::StartArgs, timing::ZOMBIE_FORWARDS};

/// How far a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Phase {
    /// Its etcd does not take part yet.
    Booting,
    /// Its etcd takes part, or would if it could; HTTP requests hang until etcd has a leader.
    WaitsForEtcd,
    /// It answers "server not started".
    Starting,
    /// It answers.
    Serving,
    /// It was told to terminate.
    Closing,
    /// It has ended.
    Gone,
}

/// What a scenario does to a process. All fields may be set at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Faults {
    /// Every answer comes so much later.
    pub slow_ms: u64,
    /// Every request is answered with this status (5xx) and not handled.
    pub fail_status: Option<u16>,
    /// Requests are handled, but the answer is lost.
    pub drop_answers: bool,
}

/// A process that was started.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Process {
    pub args: StartArgs,
    pub member: u64,
    pub phase: Phase,
    pub started_at: TimeMs,
    pub listen_at: TimeMs,
    /// Distinguishes this life from earlier ones under the same key.
    pub life: u64,
    pub paused: bool,
    /// A former leader that was paused believes until then that it leads.
    pub believes_until: TimeMs,
    /// Regions are loaded, once per life: what `/ready` tells.
    pub ready: bool,
    /// Has the regions from following a leader, so that it needs no prepare window when it leads.
    pub synced: bool,
    /// Removed from etcd while running: when, the leader it knew, and the members as it saw them.
    pub removed: Option<Removal>,
    /// Elections won in this life.
    pub campaigns: Vec<TimeMs>,
    pub faults: Faults,
    /// `initial-cluster` as its configuration shows it.
    pub initial_cluster: String,
}

/// What a removed member knows.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Removal {
    pub at: TimeMs,
    pub leader: Option<u64>,
    pub members: Vec<Member>,
}

impl Process {
    /// Its etcd takes part.
    pub fn votes(&self) -> bool {
        matches!(self.phase, Phase::WaitsForEtcd | Phase::Starting | Phase::Serving)
            && !self.paused
            && self.removed.is_none()
    }

    /// It could answer a request of PD.
    pub fn serves(&self) -> bool {
        self.phase == Phase::Serving && !self.paused
    }

    pub fn running(&self) -> bool {
        self.phase != Phase::Gone
    }

    /// The leader it knows after its removal, while it still knows one.
    pub fn remembered_leader(&self, now: TimeMs) -> Option<u64> {
        let removal = self.removed.as_ref()?;
        removal.leader.filter(|leader| *leader != self.member && now < removal.at + ZOMBIE_FORWARDS)
    }
}
