//! What a policy can wait for. The words are a fixed set: status, events and metrics use them.

use tidepool_model::waiting::WaitingOn;

/// Why nothing (more) happens now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An object was just written; its effect is not there yet.
    JustCreated,
    /// A pod is not there or not ready.
    PodsNotReady,
    /// A pod has just become ready and must stay so for a while.
    PodReadyTooShort,
    /// PD has no quorum, no leader, or not enough ready pods.
    PdUnavailable,
    /// PD's members could not be read.
    PdUnknown,
    /// A member is not healthy.
    MemberUnhealthy,
    /// Leadership of PD is moving.
    LeaderTransfer,
    /// A member is being removed from PD.
    MemberRemoval,
    /// Doing it now could cost a quorum.
    QuorumAtRisk,
    /// Nobody else can take over.
    NoCandidate,
    /// A store is not up.
    StoresNotUp,
    /// Stores could not be read from PD.
    StoresUnknown,
    /// A store is being emptied.
    StoreOffline,
    /// Region leaders are leaving a store.
    LeaderEviction,
    /// Region leaders are coming back to a store.
    LeadersReturning,
    /// The next pod is being replaced.
    Upgrading,
    /// The number of pods is changing.
    Scaling,
    /// Another component comes first.
    OtherComponent,
    /// Something uses what is to be removed.
    StillInUse,
    /// A claim is missing or going.
    ClaimNotReady,
    /// A node or pod is down for longer than failover waits.
    Failover,
    /// As many failovers as are allowed have happened.
    FailoverLimit,
    /// The user has paused the cluster.
    Paused,
    /// The user has suspended the component.
    Suspended,
    /// Something would be written that Kubernetes would not run.
    CannotApply,
    /// Something has the cluster's name and labels, and does not belong to it.
    NotOwned,
    /// Somebody has to act: the operator does not drive this.
    Manual,
}

impl Reason {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::JustCreated => "JustCreated",
            Self::PodsNotReady => "PodsNotReady",
            Self::PodReadyTooShort => "PodReadyTooShort",
            Self::PdUnavailable => "PdUnavailable",
            Self::PdUnknown => "PdUnknown",
            Self::MemberUnhealthy => "MemberUnhealthy",
            Self::LeaderTransfer => "LeaderTransfer",
            Self::MemberRemoval => "MemberRemoval",
            Self::QuorumAtRisk => "QuorumAtRisk",
            Self::NoCandidate => "NoCandidate",
            Self::StoresNotUp => "StoresNotUp",
            Self::StoresUnknown => "StoresUnknown",
            Self::StoreOffline => "StoreOffline",
            Self::LeaderEviction => "LeaderEviction",
            Self::LeadersReturning => "LeadersReturning",
            Self::Upgrading => "Upgrading",
            Self::Scaling => "Scaling",
            Self::OtherComponent => "OtherComponent",
            Self::StillInUse => "StillInUse",
            Self::ClaimNotReady => "ClaimNotReady",
            Self::Failover => "Failover",
            Self::FailoverLimit => "FailoverLimit",
            Self::Paused => "Paused",
            Self::Suspended => "Suspended",
            Self::CannotApply => "CannotApply",
            Self::NotOwned => "NotOwned",
            Self::Manual => "Manual",
        }
    }
}

/// Waits for `subject`, for example `pod/basic-pd-1`, until something changes.
pub fn on(reason: Reason, subject: impl Into<String>, message: impl Into<String>) -> WaitingOn {
    WaitingOn { reason: reason.word().to_owned(), subject: subject.into(), message: message.into(), deadline_ms: None }
}

/// Waits for `subject` until `deadline_ms` at most, milliseconds since the Unix epoch; then the policy acts differently.
pub fn until(reason: Reason, subject: impl Into<String>, message: impl Into<String>, deadline_ms: u64) -> WaitingOn {
    WaitingOn { deadline_ms: Some(deadline_ms), ..on(reason, subject, message) }
}

/// `pod/NAME`.
pub fn pod(name: &str) -> String {
    format!("pod/{name}")
}

/// `pd member/NAME`.
pub fn pd_member(name: &str) -> String {
    format!("pd member/{name}")
}

/// `statefulset/NAME`.
pub fn stateful_set(name: &str) -> String {
    format!("statefulset/{name}")
}
