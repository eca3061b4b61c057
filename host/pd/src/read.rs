//! From PD's JSON to the model's rows. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use tidepool_model::snapshot::{PdMember, Store, StoreRow, StoreState};

use crate::wire::{EvictLeaderConfig, Health, Member, StoreInfo};

/// The one scheduler that evicts leaders, for all its stores.
pub const EVICT_LEADER: &str = "evict-leader-scheduler";

/// What PD says, word for word and with the newline, while it has no store.
const NOT_BOOTSTRAPPED: &str = "TiKV cluster not bootstrapped, please start TiKV first\"\n";

/// Nanoseconds in a millisecond.
const NANOS_PER_MS: i64 = 1_000_000;

/// Whether an error body says that no store has bootstrapped PD yet, which proves that there are no stores.
pub fn not_bootstrapped(status: u16, body: &[u8]) -> bool {
    // 406 is what scheduler routes answer, 500 all others.
    matches!(status, 406 | 500) && std::str::from_utf8(body).is_ok_and(|text| text.ends_with(NOT_BOOTSTRAPPED))
}

/// Members by id; the leader marked by its id.
pub fn members(health: Vec<Health>, leader: Option<&Member>) -> Vec<PdMember> {
    let mut health = health;
    health.sort_by_key(|member| member.member_id);
    let leader = leader.map(|member| member.member_id);
    let row = |member: Health| PdMember {
        leader: leader == Some(member.member_id),
        id: member.member_id.to_string(),
        name: member.name,
        client_url: member.client_urls.into_iter().next().unwrap_or_default(),
        healthy: member.health,
    };
    health.into_iter().map(row).collect()
}

/// Stores by id, each with PD's own text.
pub fn stores(body: &[u8], evicting: &BTreeSet<u64>) -> Result<Vec<Store>, serde_json::Error> {
    #[derive(Deserialize)]
    struct List {
        stores: Option<Vec<Box<RawValue>>>,
    }
    let list: List = serde_json::from_slice(body)?;
    let store = |json: Box<RawValue>| {
        let info: StoreInfo = serde_json::from_str(json.get())?;
        Ok(Store { row: row(info, evicting), json: one_line(json) })
    };
    let mut stores = list.stores.unwrap_or_default().into_iter().map(store).collect::<Result<Vec<_>, _>>()?;
    stores.sort_by_key(|store| store.row.id);
    Ok(stores)
}

/// PD indents its JSON, and a record is one line. Between tokens a blank is as good as the end of a line, and strings of
/// JSON have none inside.
pub fn one_line(json: Box<RawValue>) -> Box<RawValue> {
    let text = json.get().replace(['\n', '\r'], " ");
    RawValue::from_string(text).unwrap_or(json)
}

/// Whether PD's list of a service's members names one. What a PD says that runs the service itself is no list.
pub fn lists_somebody(members: &RawValue) -> bool {
    serde_json::from_str::<Vec<IgnoredAny>>(members.get()).is_ok_and(|list| !list.is_empty())
}

/// PD's own JSON for the address of nobody.
pub fn nobody() -> Box<RawValue> {
    serde_json::value::to_raw_value("").unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn row(info: StoreInfo, evicting: &BTreeSet<u64>) -> StoreRow {
    let StoreInfo { store, status } = info;
    StoreRow {
        id: store.id,
        state: state(&store.state_name, store.node_state),
        tiflash: store.labels.iter().any(|label| label.key == "engine" && label.value == "tiflash"),
        leader_count: status.leader_count,
        region_count: status.region_count,
        last_heartbeat_ms: u64::try_from(store.last_heartbeat / NANOS_PER_MS).unwrap_or(0),
        evicting_leaders: evicting.contains(&store.id),
        address: store.address,
    }
}

fn state(name: &str, node_state: u8) -> StoreState {
    match (name, node_state) {
        ("Up", _) => StoreState::Up,
        ("Disconnected", _) => StoreState::Disconnected,
        ("Down", _) => StoreState::Down,
        ("Offline", _) => StoreState::Offline,
        ("Tombstone", _) | (_, 3) => StoreState::Tombstone,
        (_, 2) => StoreState::Removing,
        _ => StoreState::Other,
    }
}

/// Stores whose ids are in the names of schedulers, as very old PDs list them.
pub fn evicting_by_name(schedulers: &[String]) -> BTreeSet<u64> {
    let id = |name: &String| name.strip_prefix(EVICT_LEADER)?.strip_prefix('-')?.parse().ok();
    schedulers.iter().filter_map(id).collect()
}

/// Stores in the scheduler's configuration.
pub fn evicting_by_config(config: &EvictLeaderConfig) -> BTreeSet<u64> {
    config.store_id_ranges.keys().filter_map(|id| id.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_ordered_by_number_and_one_leads() {
        let health = |id: u64, name: &str| Health { name: name.into(), member_id: id, ..Health::default() };
        let leader = Member { member_id: 9, ..Member::default() };
        let rows = members(vec![health(10, "b"), health(9, "a"), health(u64::MAX, "")], Some(&leader));
        let seen: Vec<_> = rows.iter().map(|row| (row.id.as_str(), row.leader)).collect();
        assert_eq!(seen, [("9", true), ("10", false), ("18446744073709551615", false)]);
    }

    #[test]
    fn stores_keep_pds_text_and_absent_fields_are_zero() {
        let body = br#"{"count": 2, "stores": [
            {"store": {"id": 4, "address": "b:20160", "state": 1, "node_state": 2, "state_name": "Offline",
                       "labels": [{"key": "engine", "value": "tiflash"}]}, "status": {"region_count": 7}},
            {"store": {"id": 1, "address": "a:20160", "last_heartbeat": 1777603600123456789, "state_name": "Up"}}]}"#;
        let stores = stores(body, &BTreeSet::from([1])).expect("PD's JSON");
        assert_eq!(stores[0].row.id, 1);
        assert_eq!(stores[0].row.last_heartbeat_ms, 1_777_603_600_123);
        assert!(stores[0].row.evicting_leaders);
        assert_eq!(stores[1].row.state, StoreState::Offline);
        assert!(stores[1].row.tiflash);
        assert_eq!(stores[1].row.region_count, 7);
        assert!(stores[1].json.get().contains("\"node_state\": 2"));
        assert!(!stores[1].json.get().contains('\n'), "a record is one line");
    }

    #[test]
    fn only_pds_own_words_mean_not_bootstrapped() {
        let body = b"\"[PD:cluster:ErrNotBootstrapped]TiKV cluster not bootstrapped, please start TiKV first\"\n";
        assert!(not_bootstrapped(500, body));
        assert!(!not_bootstrapped(503, body));
        assert!(!not_bootstrapped(500, b"[PD:server:ErrServerNotStarted]server not started\n"));
    }

    #[test]
    fn a_state_without_a_name_is_told_by_its_number() {
        assert_eq!(state("", 2), StoreState::Removing);
        assert_eq!(state("Whatever", 3), StoreState::Tombstone);
        assert_eq!(state("Whatever", 1), StoreState::Other);
    }
}
