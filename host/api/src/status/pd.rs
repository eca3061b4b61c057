//! Status of PD and of its services that run apart.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::common::{CommonStatus, UidSet};

object! {
    /// Status of PD.
    pub struct PdStatus + (common: CommonStatus) {
        /// The members were read in the last pass.
        "synced" => synced: bool { always() },
        /// Members of this cluster, by name.
        "members" => members: BTreeMap<String, PdMember>,
        /// Members of other clusters that joined, by name.
        "peerMembers" => peer_members: BTreeMap<String, PdMember>,
        /// The leader; all empty when unknown.
        "leader" => leader: PdMember,
        /// Members replaced by failover, by pod.
        "failureMembers" => failure_members: BTreeMap<String, PdFailureMember>,
        /// Pods that did not join, by pod.
        "unjoinedMembers" => unjoined_members: BTreeMap<String, UnjoinedMember>,
        /// Image in the StatefulSet.
        "image" => image: String,
        /// Volumes are being replaced.
        "volReplaceInProgress" => vol_replace_in_progress: bool,
    }

    /// One PD member.
    pub struct PdMember {
        /// Name.
        "name" => name: String { required() },
        /// Number of the member, as text since it may need 64 bits.
        "id" => id: String { required() },
        /// Address for clients.
        "clientURL" => client_url: String { required() },
        /// Healthy.
        "health" => health: bool { required() },
        /// When health last changed.
        "lastTransitionTime" => last_transition_time: Option<Time>,
    }

    /// A member replaced by failover.
    pub struct PdFailureMember {
        /// Pod.
        "podName" => pod_name: String,
        /// Number of the member.
        "memberID" => member_id: String,
        /// UID of the pod's claim.
        "pvcUID" => pvc_uid: String,
        /// UIDs of the pod's claims.
        "pvcUIDSet" => pvc_uid_set: UidSet,
        /// The member was removed from PD.
        "memberDeleted" => member_deleted: bool,
        /// The node is down.
        "hostDown" => host_down: bool,
        /// When failover began.
        "createdAt" => created_at: Option<Time>,
    }

    /// A pod that did not join PD.
    pub struct UnjoinedMember {
        /// Pod.
        "podName" => pod_name: String,
        /// UID of the pod's claim.
        "pvcUID" => pvc_uid: String,
        /// UIDs of the pod's claims.
        "pvcUIDSet" => pvc_uid_set: UidSet,
        /// When it was first seen.
        "createdAt" => created_at: Option<Time>,
    }

    /// Status of one of PD's services that run apart.
    pub struct PdmsStatus + (common: CommonStatus) {
        /// Name of the service.
        "name" => name: String,
        /// The members were read in the last pass.
        "synced" => synced: bool,
        /// Addresses of the members.
        "members" => members: Vec<String>,
        /// Image in the StatefulSet.
        "image" => image: String,
    }
}
