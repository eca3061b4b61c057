//! What a policy read of its snapshot. It has no other input, so where all of that is the same, so is its decision.

use std::sync::Arc;

use tidepool_model::{Known, Snapshot, snapshot::Objects};

/// One part of a snapshot, as far as it is read by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The time.
    Now,
    /// The TidbCluster.
    Cluster,
    /// The policy's settings.
    Settings,
    /// Objects, their heads, labels or annotations.
    Watches,
    /// Rows of pods.
    Pods,
    /// PD's members.
    Members,
    /// Rows of PD's stores.
    Stores,
    /// A store in PD's own JSON.
    StoreJson,
    /// PD's documents.
    Documents,
    /// Answers of pods.
    Probes,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Now,
        Self::Cluster,
        Self::Settings,
        Self::Watches,
        Self::Pods,
        Self::Members,
        Self::Stores,
        Self::StoreJson,
        Self::Documents,
        Self::Probes,
    ];

    /// Whether two snapshots have the same in this part.
    fn is_same(self, one: &Snapshot, other: &Snapshot) -> bool {
        match self {
            Self::Now => one.now_ms == other.now_ms,
            Self::Cluster => one.cluster.get() == other.cluster.get(),
            Self::Settings => one.settings.get() == other.settings.get(),
            Self::Watches => {
                one.watches.len() == other.watches.len()
                    && one.watches.iter().zip(&other.watches).all(|(one, other)| same_objects(one, other))
            }
            Self::Pods => one.pods == other.pods,
            Self::Members => one.pd.members == other.pd.members,
            Self::Stores => same_stores(one, other, |one, other| one.row == other.row),
            Self::StoreJson => {
                same_stores(one, other, |one, other| one.row.id == other.row.id && one.json.get() == other.json.get())
            }
            Self::Documents => {
                let text = |snapshot: &Snapshot| -> Vec<_> {
                    let documents = snapshot.pd.documents.iter();
                    documents
                        .map(|(name, text)| {
                            (name.clone(), text.as_ref().map(|t| t.get().to_owned()).map_err(Clone::clone))
                        })
                        .collect()
                };
                text(one) == text(other)
            }
            Self::Probes => one.probes == other.probes,
        }
    }
}

/// The parts that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads(u16);

impl Reads {
    /// What can be said of a policy that is not watched.
    pub fn everything() -> Self {
        let mut reads = Self::default();
        Part::ALL.into_iter().for_each(|part| reads.note(part));
        reads
    }

    /// This part was read.
    pub fn note(&mut self, part: Part) {
        self.0 |= 1 << part as u16;
    }

    /// Whether this part was read.
    pub fn has(self, part: Part) -> bool {
        self.0 & (1 << part as u16) != 0
    }

    /// Whether two snapshots have the same in all parts that were read.
    pub fn are_same(self, one: &Snapshot, other: &Snapshot) -> bool {
        Part::ALL.into_iter().filter(|part| self.has(*part)).all(|part| part.is_same(one, other))
    }
}

/// Objects are shared as long as they do not change, so that none has to be looked into.
fn same_objects(one: &Known<Arc<Objects>>, other: &Known<Arc<Objects>>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            Arc::ptr_eq(one, other)
                || one.len() == other.len() && one.iter().zip(&**other).all(|(one, other)| Arc::ptr_eq(one, other))
        }
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

fn same_stores(
    one: &Snapshot,
    other: &Snapshot,
    same: impl Fn(&tidepool_model::snapshot::Store, &tidepool_model::snapshot::Store) -> bool,
) -> bool {
    match (&one.pd.stores, &other.pd.stores) {
        (Ok(one), Ok(other)) => one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other)),
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidepool_model::snapshot::PdView;

    use super::*;

    fn snapshot() -> Value {
        json!({
            "nowMs": 1, "cluster": {"a": 1}, "settings": {"b": 1},
            "watches": [{"known": [{"metadata": {"name": "o"}}]}, {"unknown": "not-synced"}],
            "pods": {"known": [{"name": "p-0", "ordinal": 0, "ready": true, "phase": "Running", "updated": true}]},
            "pd": {
                "members": {"known": [{"id": "1", "name": "m", "clientUrl": "", "healthy": true, "leader": true}]},
                "stores": {"known": [{"row": {"id": 1, "address": "", "state": "Up", "tiflash": false, "leaderCount": 0,
                    "regionCount": 0, "lastHeartbeatMs": 0, "evictingLeaders": false}, "json": {"x": 1}}]},
                "documents": {"config": {"known": {"c": 1}}}},
            "probes": [{"p-0": {"known": {"status": 200, "body": "ok"}}}],
        })
    }

    fn read(value: &Value) -> Snapshot {
        serde_json::from_str(&value.to_string()).expect("a snapshot")
    }

    /// Each change with the parts that it is a change of.
    #[test]
    fn a_change_is_seen_in_its_own_part_and_in_no_other() {
        let changes: [(&str, Value, &[Part]); 12] = [
            ("/nowMs", json!(2), &[Part::Now]),
            ("/cluster/a", json!(2), &[Part::Cluster]),
            ("/settings/b", json!(2), &[Part::Settings]),
            ("/watches/1", json!({"unknown": {"failed": "timeout"}}), &[Part::Watches]),
            ("/watches/1", json!({"known": []}), &[Part::Watches]),
            ("/pods/known/0/ready", json!(false), &[Part::Pods]),
            ("/pd/members/known/0/healthy", json!(false), &[Part::Members]),
            ("/pd/stores", json!({"unknown": {"failed": "timeout"}}), &[Part::Stores, Part::StoreJson]),
            ("/pd/stores/known/0/row/lastHeartbeatMs", json!(7), &[Part::Stores]),
            ("/pd/stores/known/0/json/x", json!(2), &[Part::StoreJson]),
            ("/pd/documents/config/known/c", json!(2), &[Part::Documents]),
            ("/probes/0/p-0/known/body", json!("bad"), &[Part::Probes]),
        ];
        let before = read(&snapshot());
        for (path, value, parts) in changes {
            let mut changed = snapshot();
            *changed.pointer_mut(path).expect(path) = value;
            let mut after = read(&changed);
            if path.starts_with("/watches") {
                // Objects that did not change are the same ones, as the host keeps them.
                after.watches[0] = before.watches[0].clone();
            } else {
                after.watches = before.watches.clone();
            }
            for part in Part::ALL {
                let mut reads = Reads::default();
                reads.note(part);
                assert_eq!(reads.are_same(&before, &after), !parts.contains(&part), "{path}: {part:?}");
            }
            assert!(!Reads::everything().are_same(&before, &after), "{path}");
        }
    }

    #[test]
    fn another_object_of_the_same_name_is_another() {
        let (before, mut after) = (read(&snapshot()), read(&snapshot()));
        let mut reads = Reads::default();
        reads.note(Part::Watches);
        assert!(!reads.are_same(&before, &after));
        let objects = before.watches[0].as_ref().expect("objects").iter().cloned().collect();
        after.watches[0] = Ok(Arc::new(objects));
        assert!(reads.are_same(&before, &after), "another list of the same objects");
    }

    #[test]
    fn what_was_not_read_does_not_matter() {
        let (before, mut after) = (read(&snapshot()), Snapshot::nothing());
        assert!(Reads::default().are_same(&before, &after));
        after.pd = Arc::new(PdView { members: before.pd.members.clone(), ..PdView::default() });
        let mut reads = Reads::default();
        reads.note(Part::Members);
        assert!(reads.are_same(&before, &after));
    }
}
