//! PD's members: whose they are, how many make a quorum, who can lead.

use std::collections::BTreeMap;

use tidepool_sdk::{
    PdMember as Member, Plan,
    api::{Component, TidbCluster, names, status::PdMember},
    wait::{self, Reason},
};

/// With fewer members there is no redundancy to protect: any restart is an outage.
const REDUNDANT_MEMBERS_MIN: usize = 3;

/// Members that must be healthy for PD to serve.
pub fn quorum(members: usize) -> usize {
    members / 2 + 1
}

/// Name of the pod in which a member runs. Clusters that got long names later have members of both kinds.
pub fn pod_of(member: &str) -> &str {
    member.split('.').next().unwrap_or_default()
}

/// The member that runs in a pod, under either name.
pub fn in_pod<'a>(members: &'a BTreeMap<String, PdMember>, pod: &str) -> Option<&'a PdMember> {
    members.iter().find(|(name, _)| pod_of(name) == pod).map(|(_, member)| member)
}

/// Whether a member is one of this cluster's own pods, by its address: `PEER` members belong to other clusters that
/// share the PD.
pub fn is_own(cluster: &TidbCluster, client_url: &str) -> bool {
    let host = client_url.split_once("://").map_or(client_url, |(_, rest)| rest);
    let host = host.split([':', '/']).next().unwrap_or_default();
    let Some((pod, domain)) = host.split_once('.') else { return false };
    let own_pod = names::ordinal(pod).is_some_and(|ordinal| cluster.pod_name(Component::Pd, ordinal) == pod);
    let service = format!("{}.{}.svc", cluster.peer_service_name(Component::Pd), cluster.namespace());
    own_pod && (domain == service || domain == format!("{service}{}", cluster.domain_suffix()))
}

/// Whether the member in `pod` may go down on purpose: the others are still a quorum. One that is down already costs
/// nothing.
pub fn can_spare(members: &[Member], pod: &str) -> bool {
    let Some(member) = members.iter().find(|member| pod_of(&member.name) == pod) else { return true };
    let others = members.iter().filter(|other| other.id != member.id && other.healthy).count();
    let total = members.len();
    let needed = if total >= REDUNDANT_MEMBERS_MIN { quorum(total) } else { total.saturating_sub(1) };
    !member.healthy || others >= needed
}

/// Whether the member can be removed for good: the healthy ones that stay are a quorum of those that stay.
pub fn can_remove(members: &[Member], id: &str) -> bool {
    let stay = members.iter().filter(|member| member.id != id);
    let (total, healthy) = stay.fold((0, 0), |(total, healthy), m| (total + 1, healthy + usize::from(m.healthy)));
    healthy >= quorum(total)
}

/// Whether a member can be added: while one is down, the healthy ones must still be a quorum of one more.
pub fn can_add(members: &[Member]) -> bool {
    let healthy = members.iter().filter(|member| member.healthy).count();
    healthy == members.len() || healthy >= quorum(members.len() + 1)
}

/// The pod among `ordinals` that takes over when the leader in the pod with ordinal `from` is restarted: the highest
/// healthy one above it, which has the new template, else the lowest healthy one below it.
pub fn successor(
    cluster: &TidbCluster,
    members: &BTreeMap<String, PdMember>,
    ordinals: impl IntoIterator<Item = i32>,
    from: i32,
) -> Option<String> {
    let name_of = |ordinal: i32| in_pod(members, &cluster.pod_name(Component::Pd, ordinal));
    let healthy: Vec<(i32, &PdMember)> = ordinals
        .into_iter()
        .filter_map(|ordinal| name_of(ordinal).filter(|member| member.health).map(|member| (ordinal, member)))
        .collect();
    let above = healthy.iter().filter(|(ordinal, _)| *ordinal > from).max_by_key(|(ordinal, _)| *ordinal);
    let below = healthy.iter().filter(|(ordinal, _)| *ordinal < from).min_by_key(|(ordinal, _)| *ordinal);
    above.or(below).map(|(_, member)| member.name.clone())
}

/// A healthy member of another cluster that takes over where no own member can.
pub fn peer_successor(peers: &BTreeMap<String, PdMember>, leader: &str) -> Option<String> {
    peers.values().find(|peer| peer.health && peer.name != leader).map(|peer| peer.name.clone())
}

/// Who leads next when the member `leaving` is not to lead any more: the healthy one in the first of `pods`, else a healthy
/// one of another cluster.
pub fn heir<'a>(
    cluster: &TidbCluster,
    pods: impl IntoIterator<Item = String>,
    all: &'a [Member],
    leaving: &Member,
) -> Option<&'a Member> {
    let healthy = || all.iter().filter(|member| member.healthy && member.id != leaving.id && !member.name.is_empty());
    let own = |member: &Member| is_own(cluster, &member.client_url);
    let in_pod = |pod: String| healthy().find(|member| pod_of(&member.name) == pod && own(member));
    pods.into_iter().filter_map(in_pod).next().or_else(|| healthy().find(|member| !own(member)))
}

/// Moves leadership. That it has moved is seen in PD later.
pub fn hand_over(plan: &mut Plan, from: &str, to: &str, why: &str) {
    plan.transfer_pd_leader(to);
    let message = format!("leadership moves from {from} to {to} {why}");
    plan.wait(wait::on(Reason::LeaderTransfer, wait::pd_member(to), message));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> TidbCluster {
        let mut cluster = TidbCluster::default();
        cluster.metadata.name = Some("upgrader".into());
        cluster.metadata.namespace = Some("default".into());
        cluster
    }

    fn members(unhealthy: &[i32]) -> BTreeMap<String, PdMember> {
        let member = |ordinal: i32| {
            let name = format!("upgrader-pd-{ordinal}");
            let health = !unhealthy.contains(&ordinal);
            (name.clone(), PdMember { name, health, ..PdMember::default() })
        };
        (0..3).map(member).collect()
    }

    /// Rows T1 to T9 of the specification.
    #[test]
    fn the_successor_is_above_first_then_the_lowest_below() {
        let rows: [(&[i32], i32, Option<i32>); 9] = [
            (&[], 2, Some(0)),
            (&[0], 2, Some(1)),
            (&[0, 1], 2, None),
            (&[], 1, Some(2)),
            (&[2], 1, Some(0)),
            (&[0, 2], 1, None),
            (&[], 0, Some(2)),
            (&[2], 0, Some(1)),
            (&[1, 2], 0, None),
        ];
        for (unhealthy, from, expected) in rows {
            let chosen = successor(&cluster(), &members(unhealthy), 0..3, from);
            assert_eq!(chosen, expected.map(|o| format!("upgrader-pd-{o}")), "{unhealthy:?} down, from {from}");
        }
    }

    #[test]
    fn members_of_other_clusters_are_told_apart_by_address() {
        let mut cluster = cluster();
        assert!(is_own(&cluster, "http://upgrader-pd-0.upgrader-pd-peer.default.svc:2379"));
        assert!(!is_own(&cluster, "http://upgrader-pd-0.upgrader-pd-peer.other.svc:2379"));
        assert!(!is_own(&cluster, "http://upgrader-pd-0.upgrader-pd-peer.default.svc.x.local:2379"));
        assert!(!is_own(&cluster, "http://upgrader-pd-x.upgrader-pd-peer.default.svc:2379"));
        cluster.spec.cluster_domain = "x.local".into();
        assert!(is_own(&cluster, "https://upgrader-pd-0.upgrader-pd-peer.default.svc.x.local:2379"));
        assert!(is_own(&cluster, "https://upgrader-pd-0.upgrader-pd-peer.default.svc:2379"));
    }

    fn seen(health: &[bool]) -> Vec<Member> {
        let member = |(at, healthy): (usize, &bool)| Member {
            id: at.to_string(),
            name: format!("upgrader-pd-{at}"),
            healthy: *healthy,
            ..Member::default()
        };
        health.iter().enumerate().map(member).collect()
    }

    #[test]
    fn nothing_is_done_that_could_cost_the_quorum() {
        assert!(can_spare(&seen(&[true, true, true]), "upgrader-pd-1"));
        assert!(!can_spare(&seen(&[true, true, false]), "upgrader-pd-1"));
        assert!(can_spare(&seen(&[true, true, false]), "upgrader-pd-2"));
        assert!(can_spare(&seen(&[true]), "upgrader-pd-0"));
        assert!(can_remove(&seen(&[true, true, true]), "2"));
        assert!(!can_remove(&seen(&[true, false, true]), "2"));
        assert!(!can_remove(&seen(&[true]), "0"));
        assert!(can_add(&seen(&[true])));
        assert!(!can_add(&seen(&[true, true, false])));
        assert!(can_add(&seen(&[true, true, true, true, false])));
    }
}
