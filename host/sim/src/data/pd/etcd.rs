//! The membership of the etcd inside PD and the rules by which it may change (strict reconfiguration check).

use super::{TimeMs, timing::ACTIVE_AFTER};

/// A voter.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Member {
    pub id: u64,
    /// Empty until the member has started for the first time.
    pub name: String,
    pub peer_url: String,
    /// Empty until the member has started.
    pub client_url: String,
    pub version: String,
    /// A member with a higher priority than the leader takes over at the next check.
    pub leader_priority: i64,
    /// Since when its etcd is connected to the others, if it is.
    pub connected_since: Option<TimeMs>,
}

impl Member {
    pub fn started(&self) -> bool {
        !self.name.is_empty()
    }
}

/// Why etcd refuses a change of its membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChangeRefusal {
    #[error("etcdserver: member not found")]
    NotFound,
    #[error("etcdserver: re-configuration failed due to not enough started members")]
    NotEnoughStarted,
    #[error("etcdserver: unhealthy cluster")]
    Unhealthy,
    #[error("etcdserver: Peer URLs already exists")]
    DuplicateUrl,
}

/// Voters that must agree among `voters` of them.
pub(super) fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// May the member with this `id` be removed? `observer_since` is when the etcd that decides came up itself.
pub(super) fn check_remove(
    members: &[Member],
    id: u64,
    observer: u64,
    observer_since: TimeMs,
    now: TimeMs,
) -> Result<(), ChangeRefusal> {
    let target = members.iter().find(|member| member.id == id).ok_or(ChangeRefusal::NotFound)?;
    let started_others = members.iter().filter(|member| member.id != id && member.started()).count();
    if started_others < quorum(members.len() - 1) {
        return Err(ChangeRefusal::NotEnoughStarted);
    }
    // Removing a member that is away cannot cost the quorum.
    if id != observer && target.connected_since.is_none() {
        return Ok(());
    }
    let active = members.iter().filter(|member| is_active(member, observer, observer_since, now)).count();
    if active.saturating_sub(1) < 1 + (members.len() - 1) / 2 {
        return Err(ChangeRefusal::Unhealthy);
    }
    Ok(())
}

/// May a member with this peer URL be added?
pub(super) fn check_add(
    members: &[Member],
    peer_url: &str,
    observer: u64,
    observer_since: TimeMs,
    now: TimeMs,
) -> Result<(), ChangeRefusal> {
    if members.iter().any(|member| member.peer_url == peer_url) {
        return Err(ChangeRefusal::DuplicateUrl);
    }
    let started = members.iter().filter(|member| member.started()).count();
    if members.len() > 1 && started < quorum(members.len() + 1) {
        return Err(ChangeRefusal::NotEnoughStarted);
    }
    if members.iter().all(|member| is_active(member, observer, observer_since, now)) {
        Ok(())
    } else {
        Err(ChangeRefusal::Unhealthy)
    }
}

fn is_active(member: &Member, observer: u64, observer_since: TimeMs, now: TimeMs) -> bool {
    member.id == observer
        || member.connected_since.is_some_and(|since| now.saturating_sub(since.max(observer_since)) >= ACTIVE_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = 100_000;

    /// Members 1, 2, …; a state is `u` up for long, `n` up since a moment ago, `d` down, `j` joined but not started.
    fn members(states: &str) -> Vec<Member> {
        states
            .chars()
            .zip(1..)
            .map(|(state, id)| Member {
                id,
                name: if state == 'j' { String::new() } else { format!("pd-{id}") },
                peer_url: format!("http://pd-{id}:2380"),
                client_url: String::new(),
                version: String::new(),
                leader_priority: 0,
                connected_since: match state {
                    'u' => Some(0),
                    'n' => Some(NOW - 1_000),
                    _ => None,
                },
            })
            .collect()
    }

    fn remove(states: &str, id: u64) -> Result<(), ChangeRefusal> {
        check_remove(&members(states), id, 1, 0, NOW)
    }

    #[test]
    fn removal_needs_an_active_quorum_of_the_rest() {
        assert_eq!(remove("uuu", 3), Ok(()));
        assert_eq!(remove("uud", 2), Err(ChangeRefusal::Unhealthy));
        assert_eq!(remove("uud", 1), Err(ChangeRefusal::Unhealthy));
        assert_eq!(remove("uud", 3), Ok(()));
        assert_eq!(remove("uun", 2), Err(ChangeRefusal::Unhealthy));
        assert_eq!(remove("uu", 2), Ok(()));
        assert_eq!(remove("uuuud", 2), Ok(()));
        assert_eq!(remove("uuudd", 2), Err(ChangeRefusal::Unhealthy));
    }

    #[test]
    fn the_last_started_member_stays() {
        assert_eq!(remove("u", 1), Err(ChangeRefusal::NotEnoughStarted));
        assert_eq!(remove("uj", 1), Err(ChangeRefusal::NotEnoughStarted));
        assert_eq!(remove("uj", 2), Ok(()));
        assert_eq!(remove("u", 9), Err(ChangeRefusal::NotFound));
    }

    #[test]
    fn a_member_is_added_when_all_are_active_for_five_seconds() {
        let add = |states: &str| check_add(&members(states), "http://new:2380", 1, 0, NOW);
        assert_eq!(add("u"), Ok(()));
        assert_eq!(add("uu"), Ok(()));
        assert_eq!(add("un"), Err(ChangeRefusal::Unhealthy));
        assert_eq!(add("uud"), Err(ChangeRefusal::Unhealthy));
        assert_eq!(add("uj"), Err(ChangeRefusal::NotEnoughStarted));
        assert_eq!(check_add(&members("u"), "http://pd-1:2380", 1, 0, NOW), Err(ChangeRefusal::DuplicateUrl));
    }

    #[test]
    fn after_its_own_restart_a_member_counts_nobody_as_active() {
        assert_eq!(check_remove(&members("uuu"), 3, 1, NOW - 2_000, NOW), Err(ChangeRefusal::Unhealthy));
    }
}
