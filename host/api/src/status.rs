//! `status`: what the operator saw and decided. Written by the operator alone.

mod common;
mod pd;
mod stateless;
mod store;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use common::{CommonStatus, Phase, UidSet, VolumeStatus};
pub use pd::{PdFailureMember, PdMember, PdStatus, PdmsStatus, UnjoinedMember};
pub use stateless::{
    PumpNode, PumpStatus, TicdcCapture, TicdcStatus, TidbFailureMember, TidbMember, TidbStatus, TiproxyMember,
    TiproxyStatus,
};
pub use store::{EvictLeader, FailureStore, Store, TiflashStatus, TikvStatus};

object! {
    /// What the operator saw and decided.
    pub struct TidbClusterStatus {
        /// PD's number of the cluster.
        "clusterID" => cluster_id: String,
        /// PD.
        "pd" => pd: Option<PdStatus>,
        /// PD's services that run apart, by name.
        "pdms" => pdms: BTreeMap<String, PdmsStatus>,
        /// TiKV.
        "tikv" => tikv: Option<TikvStatus>,
        /// TiDB.
        "tidb" => tidb: Option<TidbStatus>,
        /// Pump.
        "pump" => pump: Option<PumpStatus>,
        /// TiFlash.
        "tiflash" => tiflash: Option<TiflashStatus>,
        /// TiProxy.
        "tiproxy" => tiproxy: Option<TiproxyStatus>,
        /// TiCDC.
        "ticdc" => ticdc: Option<TicdcStatus>,
        /// Conditions of the cluster; the only type is Ready.
        "conditions" => conditions: Vec<ClusterCondition> { nullable() },
        /// What the operator waits for now.
        "waiting" => waiting: Vec<Waiting>,
        /// Components that were not looked at in the last round, since an earlier one held them back: what the status says of
        /// them is older.
        "held" => held: Vec<String>,
        /// Digest of the policy that decides, by component.
        "policies" => policies: BTreeMap<String, String>,
    }

    /// A condition of the cluster.
    pub struct ClusterCondition {
        /// Type.
        "type" => condition_type: String { required() },
        /// True, False or Unknown.
        "status" => status: String { required() },
        /// When it was last looked at.
        "lastUpdateTime" => last_update_time: Option<Time>,
        /// When status last changed.
        "lastTransitionTime" => last_transition_time: Option<Time>,
        /// Why, in one word.
        "reason" => reason: String,
        /// Why, for people.
        "message" => message: String,
    }

    /// One thing the operator waits for before it goes on.
    pub struct Waiting {
        /// Component that waits.
        "component" => component: String { required() },
        /// What kind of wait, in one word.
        "reason" => reason: String { required() },
        /// The thing waited for: a pod, a member, a store.
        "subject" => subject: String,
        /// For people.
        "message" => message: String,
        /// Since when.
        "since" => since: Option<Time>,
        /// When the wait ends by itself; absent means never.
        "deadline" => deadline: Option<Time>,
    }
}
