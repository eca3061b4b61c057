//! "Not now" as data: what is waited for, and until when.

use serde::{Deserialize, Serialize};

/// Why nothing (more) happens now. Status, events, CLI and metrics all show this value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingOn {
    /// CamelCase word from a fixed set, for example `PodsNotReady`.
    pub reason: String,
    /// What is waited for, for example `pod/basic-pd-1`.
    pub subject: String,
    /// A sentence for people.
    pub message: String,
    /// When the policy will act differently, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}
