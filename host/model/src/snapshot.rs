//! What one policy call sees, frozen.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    descriptor::Descriptor,
    known::{Known, Unknown},
};

/// The immutable input of one policy call. Large parts are shared, so building one copies next to nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The TidbCluster as the API server has it, with the status that earlier components wrote in this round.
    #[serde(with = "raw")]
    pub cluster: Arc<RawValue>,
    /// Settings of the policy; `{}` without.
    #[serde(default = "empty_object", with = "raw")]
    pub settings: Arc<RawValue>,
    /// One entry for each of the descriptor's `watches`, in its order; objects ordered by name.
    #[serde(default, with = "watched")]
    pub watches: Vec<Known<Arc<Objects>>>,
    /// The pods of this component, ordered by ordinal, then name.
    #[serde(default = "not_requested", with = "rows")]
    pub pods: Known<Arc<Vec<PodRow>>>,
    /// The cluster's PD.
    #[serde(default, with = "shared")]
    pub pd: Arc<PdView>,
    /// For each probe of the descriptor the answers by pod name.
    #[serde(default, with = "probed")]
    pub probes: Vec<BTreeMap<String, Known<ProbeAnswer>>>,
}

/// The objects that one watch selects, ordered by name.
pub type Objects = Vec<Arc<Object>>;

/// One Kubernetes object: the head parsed, the whole as the text that policies get.
#[derive(Clone, Debug)]
pub struct Object {
    /// Scalars that decide whether to look closer.
    pub head: ObjectHead,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// The whole object.
    pub json: Box<RawValue>,
}

/// Enough of an object to decide whether to look closer; fields as in the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectHead {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`; 0 where the kind has none.
    pub generation: i64,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

/// One pod of the component, scalars only; fields as in the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodRow {
    /// `metadata.name`.
    pub name: String,
    /// Number at the end of the name; -1 where there is none.
    pub ordinal: i32,
    /// Condition `Ready` is true.
    pub ready: bool,
    /// `status.phase`.
    pub phase: PodPhase,
    /// Its revision label is the update revision of its StatefulSet.
    pub updated: bool,
    /// `metadata.deletionTimestamp` is set.
    #[serde(default)]
    pub deleting: bool,
    /// When `Ready` became true, milliseconds since the Unix epoch; 0 while it is not.
    #[serde(default)]
    pub ready_since_ms: u64,
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    /// Accepted, not running yet.
    #[default]
    Pending,
    /// On a node, at least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, at least one badly.
    Failed,
    /// The node does not answer.
    Unknown,
}

/// What PD says about itself and its stores.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PdView {
    /// Members ordered by id.
    #[serde(default = "not_requested", with = "known")]
    pub members: Known<Vec<PdMember>>,
    /// Stores in every state, ordered by id.
    #[serde(default = "not_requested", with = "known")]
    pub stores: Known<Vec<Store>>,
    /// PD's own JSON by document name (`cluster`, `config`).
    #[serde(default, with = "documents")]
    pub documents: BTreeMap<String, Known<Box<RawValue>>>,
}

/// One member of PD; fields as in the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PdMember {
    /// Decimal; all 64 bits are used.
    pub id: String,
    /// Empty for a member that was added and has not started yet.
    pub name: String,
    /// First client URL; empty for a member that has not started yet.
    pub client_url: String,
    /// PD says that it answers.
    pub healthy: bool,
    /// It is PD's leader.
    pub leader: bool,
}

/// One store of PD.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Store {
    /// Scalars that every decision reads.
    pub row: StoreRow,
    /// PD's own JSON.
    pub json: Box<RawValue>,
}

/// Scalars of a store; fields as in the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreRow {
    /// Store id.
    pub id: u64,
    /// `host:port`, as registered.
    pub address: String,
    /// State as PD shows it.
    pub state: StoreState,
    /// Label `engine` is `tiflash`.
    pub tiflash: bool,
    /// Region leaders on it.
    pub leader_count: u32,
    /// Region peers on it.
    pub region_count: u32,
    /// Milliseconds since the Unix epoch; 0 if never.
    pub last_heartbeat_ms: u64,
    /// An evict-leader scheduler is set for it.
    pub evicting_leaders: bool,
}

/// State of a store as PD shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreState {
    /// Serving.
    #[default]
    Up,
    /// No heartbeat for 20 s.
    Disconnected,
    /// No heartbeat for `max-store-down-time`.
    Down,
    /// Being emptied.
    Offline,
    /// Being emptied, as PD names it in `node_state`.
    Removing,
    /// Empty and gone.
    Tombstone,
    /// One that this version has no name for.
    Other,
}

/// Answer of a component's own HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeAnswer {
    /// HTTP status.
    pub status: u16,
    /// Body; bytes that are not UTF-8 were replaced.
    pub body: String,
}

impl Snapshot {
    /// A snapshot in which nothing was read.
    pub fn nothing() -> Self {
        Self {
            now_ms: 0,
            cluster: empty_object(),
            settings: empty_object(),
            watches: Vec::new(),
            pods: not_requested(),
            pd: Arc::default(),
            probes: Vec::new(),
        }
    }

    /// The objects of watch `index`.
    pub fn objects(&self, index: u32) -> Known<&Objects> {
        match self.watches.get(index as usize) {
            Some(Ok(objects)) => Ok(objects),
            Some(Err(unknown)) => Err(unknown.clone()),
            None => Err(Unknown::NotRequested),
        }
    }

    /// One object of watch `index`; none if it does not exist.
    pub fn object(&self, index: u32, name: &str) -> Known<Option<&Object>> {
        let objects = self.objects(index)?;
        Ok(objects.binary_search_by(|o| o.head.name.as_str().cmp(name)).ok().map(|at| &*objects[at]))
    }

    /// How much there is to read: the unit in which fuel is granted.
    pub fn rows(&self) -> usize {
        let objects: usize = self.watches.iter().flatten().map(|o| o.len()).sum();
        let pods = self.pods.as_ref().map_or(0, |p| p.len());
        let stores = self.pd.stores.as_ref().map_or(0, Vec::len);
        let members = self.pd.members.as_ref().map_or(0, Vec::len);
        objects + pods + stores + members + self.probes.iter().map(BTreeMap::len).sum::<usize>()
    }

    /// Whether this snapshot has the shape that `descriptor` asks for.
    pub fn fits(&self, descriptor: &Descriptor) -> bool {
        self.watches.len() == descriptor.watches.len() && self.probes.len() == descriptor.probes.len()
    }
}

impl Object {
    /// Parses the text of an object once, for its head.
    ///
    /// # Errors
    /// When it is not an object with a name.
    pub fn parse(json: Box<RawValue>) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Outer {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            name: String,
            #[serde(default)]
            uid: String,
            #[serde(default)]
            resource_version: String,
            #[serde(default)]
            generation: i64,
            deletion_timestamp: Option<String>,
            #[serde(default)]
            labels: Option<BTreeMap<String, String>>,
            #[serde(default)]
            annotations: Option<BTreeMap<String, String>>,
        }
        let Outer { metadata } = serde_json::from_str(json.get())?;
        let head = ObjectHead {
            name: metadata.name,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            deleting: metadata.deletion_timestamp.is_some(),
        };
        let labels = metadata.labels.unwrap_or_default();
        Ok(Self { head, labels, annotations: metadata.annotations.unwrap_or_default(), json })
    }
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Box::<RawValue>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Default for PdView {
    fn default() -> Self {
        Self { members: Err(Unknown::NotRequested), stores: Err(Unknown::NotRequested), documents: BTreeMap::new() }
    }
}

fn empty_object() -> Arc<RawValue> {
    RawValue::from_string("{}".into()).expect("a constant that is JSON").into()
}

fn not_requested<T>() -> Known<T> {
    Err(Unknown::NotRequested)
}

/// `Known<T>` in JSON: `{"known": …}` or `{"unknown": …}`.
mod known {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::known::{Known, Unknown};

    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    pub(super) enum Out<'a, T> {
        Known(&'a T),
        Unknown(&'a Unknown),
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub(super) enum In<T> {
        Known(T),
        Unknown(Unknown),
    }

    impl<'a, T> From<&'a Known<T>> for Out<'a, T> {
        fn from(known: &'a Known<T>) -> Self {
            match known {
                Ok(value) => Self::Known(value),
                Err(unknown) => Self::Unknown(unknown),
            }
        }
    }

    impl<T> From<In<T>> for Known<T> {
        fn from(known: In<T>) -> Self {
            match known {
                In::Known(value) => Ok(value),
                In::Unknown(unknown) => Err(unknown),
            }
        }
    }

    pub fn serialize<T: Serialize, S: Serializer>(known: &Known<T>, serializer: S) -> Result<S::Ok, S::Error> {
        Out::from(known).serialize(serializer)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Known<T>, D::Error> {
        In::deserialize(deserializer).map(Into::into)
    }
}

mod watched {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{
        Object, Objects,
        known::{In, Out},
    };
    use crate::known::Known;

    pub fn serialize<S: Serializer>(watches: &[Known<Arc<Objects>>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(watches.iter().map(List))
    }

    struct List<'a>(&'a Known<Arc<Objects>>);

    impl Serialize for List<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                Ok(objects) => {
                    Out::Known(&objects.iter().map(|o| &**o).collect::<Vec<&Object>>()).serialize(serializer)
                }
                Err(unknown) => Out::<()>::Unknown(unknown).serialize(serializer),
            }
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Known<Arc<Objects>>>, D::Error> {
        let watches = Vec::<In<Vec<Object>>>::deserialize(deserializer)?;
        Ok(watches.into_iter().map(|w| Known::from(w).map(sorted)).collect())
    }

    /// A vector written by hand need not be in order; lookups rely on it.
    fn sorted(mut objects: Vec<Object>) -> Arc<Objects> {
        objects.sort_by(|a, b| a.head.name.cmp(&b.head.name));
        Arc::new(objects.into_iter().map(Arc::new).collect())
    }
}

/// A value behind an `Arc`, which serde reads and writes only with a feature that all of its users would pay for.
pub(crate) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
        (**value).serialize(serializer)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

/// JSON text behind an `Arc`.
mod raw {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::value::RawValue;

    pub fn serialize<S: Serializer>(value: &Arc<RawValue>, serializer: S) -> Result<S::Ok, S::Error> {
        (**value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<RawValue>, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Into::into)
    }
}

/// Rows that may be unknown, behind an `Arc`.
mod rows {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::known::{In, Out};
    use crate::known::Known;

    pub fn serialize<T: Serialize, S: Serializer>(rows: &Known<Arc<Vec<T>>>, serializer: S) -> Result<S::Ok, S::Error> {
        match rows {
            Ok(rows) => Out::Known(&**rows).serialize(serializer),
            Err(unknown) => Out::<()>::Unknown(unknown).serialize(serializer),
        }
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Known<Arc<Vec<T>>>, D::Error> {
        Ok(Known::from(In::<Vec<T>>::deserialize(deserializer)?).map(Arc::new))
    }
}

mod documents {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::value::RawValue;

    use super::known::{In, Out};
    use crate::known::Known;

    type Documents = BTreeMap<String, Known<Box<RawValue>>>;

    pub fn serialize<S: Serializer>(documents: &Documents, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(documents.iter().map(|(name, document)| (name, Out::from(document))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Documents, D::Error> {
        let documents = BTreeMap::<String, In<Box<RawValue>>>::deserialize(deserializer)?;
        Ok(documents.into_iter().map(|(name, document)| (name, document.into())).collect())
    }
}

mod probed {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{
        ProbeAnswer,
        known::{In, Out},
    };
    use crate::known::Known;

    type Probes = Vec<BTreeMap<String, Known<ProbeAnswer>>>;

    #[derive(Serialize)]
    #[serde(transparent)]
    struct Answers<'a>(BTreeMap<&'a String, Out<'a, ProbeAnswer>>);

    pub fn serialize<S: Serializer>(probes: &Probes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(probes.iter().map(|p| Answers(p.iter().map(|(pod, a)| (pod, Out::from(a))).collect())))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Probes, D::Error> {
        let probes = Vec::<BTreeMap<String, In<ProbeAnswer>>>::deserialize(deserializer)?;
        Ok(probes.into_iter().map(|p| p.into_iter().map(|(pod, answer)| (pod, answer.into())).collect()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAPSHOT: &str = r#"{
        "nowMs": 5, "cluster": {"kind": "TidbCluster"}, "settings": {},
        "watches": [
            {"known": [{"metadata": {"name": "b"}}, {"metadata": {"name": "a", "labels": {"x": "y"}}}]},
            {"unknown": "not-synced"}, {"unknown": {"failed": "timeout"}}],
        "pods": {"known": [{"name": "p-0", "ordinal": 0, "ready": true, "phase": "Running", "updated": true}]},
        "pd": {"members": {"known": []},
               "stores": {"known": [{"row": {"id": 1, "address": "", "state": "Up", "tiflash": false, "leaderCount": 0,
                   "regionCount": 0, "lastHeartbeatMs": 0, "evictingLeaders": false}, "json": {"store": {"id": 1}}}]},
               "documents": {"config": {"known": {"replication": {"max-replicas": 3}}}}},
        "probes": [{"p-0": {"known": {"status": 200, "body": "ok"}}}]}"#;

    #[test]
    fn reads_back_as_written_with_objects_in_order() {
        let snapshot: Snapshot = serde_json::from_str(SNAPSHOT).unwrap();
        let names: Vec<_> = snapshot.objects(0).unwrap().iter().map(|o| o.head.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(snapshot.objects(1).unwrap_err(), Unknown::NotSynced);
        assert_eq!(snapshot.objects(9).unwrap_err(), Unknown::NotRequested);
        assert_eq!(snapshot.rows(), 5);
        let written = serde_json::to_string(&snapshot).unwrap();
        let again: Snapshot = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), written);
    }

    #[test]
    fn what_is_missing_is_unknown_and_never_empty() {
        let snapshot: Snapshot = serde_json::from_str(r#"{"nowMs": 0, "cluster": {}}"#).unwrap();
        assert_eq!(snapshot.pods.unwrap_err(), Unknown::NotRequested);
        assert_eq!(snapshot.pd.stores.as_ref().unwrap_err(), &Unknown::NotRequested);
    }
}
