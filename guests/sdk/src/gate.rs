//! Conditions of one component that others wait for, judged from the status that its policy wrote.

use std::collections::BTreeMap;

use tidepool_api::{
    TidbCluster,
    status::{PdMember, PdStatus, Phase},
};

/// Whether PD serves. True without a PD of the cluster's own.
pub fn pd_available(cluster: &TidbCluster) -> bool {
    let Some(spec) = &cluster.spec.pd else { return true };
    let status = cluster.status.as_ref().and_then(|status| status.pd.as_ref());
    status.is_some_and(|status| pd_serves(spec.replicas, status))
}

/// Whether a PD with this status serves: a quorum of its members is healthy and enough of its pods are ready.
pub fn pd_serves(replicas: i32, status: &PdStatus) -> bool {
    let peers = status.peer_members.len();
    let limit = (usize::try_from(replicas).unwrap_or_default() + peers) / 2 + 1;
    let healthy_peers = healthy(&status.peer_members);
    let ready = status.common.stateful_set.as_ref().map(|set| set.ready_replicas.unwrap_or_default());
    let ready = ready.and_then(|ready| usize::try_from(ready).ok());
    status.members.len() + peers >= limit
        && healthy(&status.members) + healthy_peers >= limit
        && ready.is_some_and(|ready| ready + healthy_peers >= limit)
        && status.common.phase != Phase::SUSPEND
}

fn healthy(members: &BTreeMap<String, PdMember>) -> usize {
    members.values().filter(|member| member.health).count()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSetStatus;

    use super::*;

    fn members(name: &str, health: &[bool]) -> BTreeMap<String, PdMember> {
        let member = |(at, health): (usize, &bool)| {
            (format!("{name}-{at}"), PdMember { health: *health, ..PdMember::default() })
        };
        health.iter().enumerate().map(member).collect()
    }

    fn status(own: &[bool], peers: &[bool], ready: i32, phase: &str) -> PdStatus {
        let mut status = PdStatus { members: members("pd", own), ..PdStatus::default() };
        status.peer_members = members("peer", peers);
        status.common.phase = phase.to_owned();
        status.common.stateful_set = Some(StatefulSetStatus { ready_replicas: Some(ready), ..Default::default() });
        status
    }

    /// Rows A02 to A08 of the specification.
    #[test]
    fn pd_serves_with_a_quorum_of_healthy_members_and_ready_pods() {
        let serves = |own: &[bool], peers: &[bool], ready, phase| pd_serves(3, &status(own, peers, ready, phase));
        assert!(!serves(&[true], &[], 1, "Normal"));
        assert!(!serves(&[true, false], &[], 2, "Normal"));
        assert!(!serves(&[true, true, true], &[], 1, "Normal"));
        assert!(serves(&[true, true, true], &[], 3, "Normal"));
        assert!(serves(&[true, false, false], &[true, true, true], 6, "Normal"));
        assert!(!serves(&[true, false, false], &[true, true, false], 6, "Normal"));
        assert!(!serves(&[true, true, true], &[], 3, "Suspend"));
    }
}
