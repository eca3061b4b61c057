//! Status of TiDB, TiCDC, TiProxy and Pump.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::common::CommonStatus;

object! {
    /// Status of TiDB.
    pub struct TidbStatus + (common: CommonStatus) {
        /// Servers, by pod.
        "members" => members: BTreeMap<String, TidbMember>,
        /// Servers replaced by failover, by pod.
        "failureMembers" => failure_members: BTreeMap<String, TidbFailureMember>,
        /// Not used.
        "resignDDLOwnerRetryCount" => resign_ddl_owner_retry_count: i32,
        /// Image in the StatefulSet.
        "image" => image: String,
        /// The random root password was set.
        "passwordInitialized" => password_initialized: Option<bool>,
        /// Volumes are being replaced.
        "volReplaceInProgress" => vol_replace_in_progress: bool,
    }

    /// One TiDB server.
    pub struct TidbMember {
        /// Pod.
        "name" => name: String { required() },
        /// Healthy.
        "health" => health: bool { required() },
        /// When health last changed.
        "lastTransitionTime" => last_transition_time: Option<Time>,
        /// Node of the pod.
        "node" => node: String,
    }

    /// A server replaced by failover.
    pub struct TidbFailureMember {
        /// Pod.
        "podName" => pod_name: String,
        /// When failover began.
        "createdAt" => created_at: Option<Time>,
    }

    /// Status of TiCDC.
    pub struct TicdcStatus + (common: CommonStatus) {
        /// The captures were read in the last pass.
        "synced" => synced: bool,
        /// Captures, by pod.
        "captures" => captures: BTreeMap<String, TicdcCapture>,
    }

    /// One capture.
    pub struct TicdcCapture {
        /// Pod.
        "podName" => pod_name: String,
        /// Id of the capture.
        "id" => id: String,
        /// Version of the program.
        "version" => version: String,
        /// This capture is the owner.
        "isOwner" => is_owner: bool,
        /// Ready.
        "ready" => ready: bool,
    }

    /// Status of TiProxy.
    pub struct TiproxyStatus + (common: CommonStatus) {
        /// The proxies were read in the last pass.
        "synced" => synced: bool,
        /// Proxies, by pod.
        "members" => members: BTreeMap<String, TiproxyMember>,
    }

    /// One proxy.
    pub struct TiproxyMember {
        /// Pod.
        "name" => name: String { required() },
        /// Healthy.
        "health" => health: bool { required() },
        /// What the proxy says of itself.
        "info" => info: String { always() },
        /// When health last changed.
        "lastTransitionTime" => last_transition_time: Option<Time>,
    }

    /// Status of Pump.
    pub struct PumpStatus + (common: CommonStatus) {
        /// Servers.
        "members" => members: Vec<PumpNode>,
    }

    /// One Pump server.
    pub struct PumpNode {
        /// Id.
        "nodeId" => node_id: String { required() },
        /// Address.
        "host" => host: String { required() },
        /// online, or another state.
        "state" => state: String { required() },
    }
}
