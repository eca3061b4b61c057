//! One decision as it happened, enough to replay it offline.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{plan::Plan, snapshot::Snapshot};

/// One decision: which policy saw what and answered what.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// `namespace/name` of the TidbCluster.
    pub cluster: String,
    /// Component that was decided for.
    pub component: String,
    /// `sha256:…` of the policy's component file.
    pub policy: String,
    /// `sha256:…` of the snapshot's JSON.
    pub snapshot_digest: String,
    /// What the policy saw.
    #[serde(with = "crate::snapshot::shared")]
    pub snapshot: Arc<Snapshot>,
    /// What it answered.
    pub outcome: Outcome,
    /// Fuel that the call burnt: the same snapshot and digest burn the same.
    pub fuel: u64,
}

/// How a policy call ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A plan.
    Plan(Plan),
    /// The user must change the TidbCluster.
    InvalidSpec(String),
    /// The policy failed: its own error, a trap, a limit, or a plan that could not be read.
    Fault(String),
}

/// `sha256:` and the digest of `bytes` in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"))
}
