//! PD's own JSON, as far as the host reads it. Zero values are absent on the wire, so every field has a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One entry of `GET /pd/api/v1/health`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Empty for a member that was added and has not started yet.
    #[serde(default)]
    pub name: String,
    /// Uses all 64 bits.
    pub member_id: u64,
    /// `null` for a member that has not started yet.
    #[serde(default, deserialize_with = "null_is_default")]
    pub client_urls: Vec<String>,
    /// It answers HTTP; says nothing about quorum or data.
    #[serde(default)]
    pub health: bool,
}

/// A member as in `members` and `leader`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Empty for a member that was added and has not started yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Uses all 64 bits.
    #[serde(default)]
    pub member_id: u64,
    /// Peer URLs.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub peer_urls: Vec<String>,
    /// Client URLs.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub client_urls: Vec<String>,
}

/// `GET /pd/api/v1/members`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Ordered by id.
    #[serde(default, deserialize_with = "null_is_default")]
    pub members: Vec<Member>,
    /// PD's leader, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Member>,
}

/// One element of `GET /pd/api/v1/stores`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreInfo {
    /// What is registered.
    pub store: Store,
    /// What heartbeats brought.
    #[serde(default)]
    pub status: StoreStatus,
}

/// The registered part of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// Never used twice.
    pub id: u64,
    /// `host:port`.
    #[serde(default)]
    pub address: String,
    /// Labels; TiFlash has `engine=tiflash`.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// Nanoseconds since the Unix epoch.
    #[serde(default)]
    pub last_heartbeat: i64,
    /// 0 preparing, 1 serving, 2 removing, 3 removed.
    #[serde(default)]
    pub node_state: u8,
    /// `Up`, `Disconnected`, `Down`, `Offline` or `Tombstone`.
    #[serde(default)]
    pub state_name: String,
}

/// A label of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(default)]
    pub value: String,
}

/// The part of a store that heartbeats bring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Region leaders.
    #[serde(default)]
    pub leader_count: u32,
    /// Region peers.
    #[serde(default)]
    pub region_count: u32,
}

/// `GET /pd/api/v1/scheduler-config/evict-leader-scheduler/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EvictLeaderConfig {
    /// Key ranges by store id in decimal.
    #[serde(default, deserialize_with = "null_is_default")]
    pub store_id_ranges: BTreeMap<String, serde_json::Value>,
}

/// `null` is a legal body where PD means "none".
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
