//! A read that may not have succeeded. Unknown is never empty (safety rule S33).

use serde::{Deserialize, Serialize};

/// A value that was read, or why it was not.
pub type Known<T> = Result<T, Unknown>;

/// Why a read has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// The host's cache has not seen a complete list yet.
    #[error("not read yet")]
    NotSynced,
    /// The read was tried and failed; the text is for people.
    #[error("failed to read: {0}")]
    Failed(String),
    /// The policy's descriptor did not ask for this.
    #[error("not requested by the policy's descriptor")]
    NotRequested,
}
