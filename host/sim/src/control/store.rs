//! The objects, their revisions and the history that watches read.
//!
//! One counter numbers all changes. Each resource keeps its latest changes, so that a watch can start in the past
//! and a paged list can be read as of its first page; what is older than the history's age or length is forgotten.

mod log;

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use tokio::sync::watch;

use self::log::Log;
use super::resources::CustomVersion;

/// Revisions start here, so that the small numbers which clients send by mistake lie in the forgotten past.
const FIRST_REVISION: u64 = 100;

/// Group and plural: one table for all versions.
pub(super) type TableKey = (String, String);

/// An object's JSON with its encodings, made once and shared by all who read it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) value: Arc<Value>,
    full: OnceLock<Bytes>,
    item: OnceLock<Bytes>,
}

impl View {
    pub(super) fn new(value: Arc<Value>) -> Arc<Self> {
        Arc::new(Self { value, full: OnceLock::new(), item: OnceLock::new() })
    }

    /// The whole object.
    pub(super) fn full(&self) -> &Bytes {
        self.full.get_or_init(|| serde_json::to_vec(&*self.value).unwrap_or_default().into())
    }

    /// Without apiVersion and kind, as items of lists of built-in types are.
    pub(super) fn item(&self) -> &Bytes {
        self.item.get_or_init(|| serde_json::to_vec(&Untyped(&self.value)).unwrap_or_default().into())
    }
}

struct Untyped<'a>(&'a Value);

impl Serialize for Untyped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0.as_object().into_iter().flatten() {
            if !matches!(key.as_str(), "apiVersion" | "kind") {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

/// An object at one revision.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) revision: u64,
    pub(super) raw: Arc<View>,
    /// As the custom version with this id shows it.
    custom: Mutex<Option<(u64, Arc<View>)>>,
}

impl Stored {
    fn new(revision: u64, value: Value) -> Arc<Self> {
        Arc::new(Self { revision, raw: View::new(Arc::new(value)), custom: Mutex::new(None) })
    }

    /// The view of a custom version, made by `make` unless it is at hand.
    pub(super) fn custom_view(&self, version: &CustomVersion, make: impl FnOnce(&Value) -> Value) -> Arc<View> {
        let mut slot = self.custom.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((id, view)) = &*slot
            && *id == version.id
        {
            return view.clone();
        }
        let view = View::new(Arc::new(make(&self.raw.value)));
        *slot = Some((version.id, view.clone()));
        view
    }
}

/// What happened to an object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) revision: u64,
    pub(super) key: String,
    /// The object before; `None` if it was created.
    pub(super) before: Option<Arc<Stored>>,
    /// The object after; for a removal the last content with the removal's revision.
    pub(super) object: Arc<Stored>,
    pub(super) removed: bool,
}

/// All objects of a resource.
#[derive(Debug)]
pub(super) struct Table {
    objects: BTreeMap<String, Arc<Stored>>,
    history: VecDeque<Arc<Change>>,
    /// Number of the first change in `history`.
    first: u64,
    /// The newest revision that `history` has lost.
    floor: u64,
    changed: watch::Sender<u64>,
}

impl Default for Table {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), history: VecDeque::new(), first: 0, floor: 0, changed: watch::Sender::new(0) }
    }
}

/// The state asked for has been forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expired;

/// Everything that is stored.
pub(super) struct State {
    revision: u64,
    tables: BTreeMap<TableKey, Table>,
    marks: VecDeque<(u64, u64)>,
    compacted: u64,
    history_events: usize,
    history_age_ms: u64,
    log: Option<Log>,
}

/// `namespace/name`, or the name alone.
pub(super) fn object_key(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |ns| format!("{ns}/{name}"))
}

impl State {
    /// An empty state, or what `folder` holds.
    pub(super) fn open(folder: Option<&Path>, history_events: usize, history_age_ms: u64) -> std::io::Result<Self> {
        let mut state = Self {
            revision: FIRST_REVISION,
            tables: BTreeMap::new(),
            marks: VecDeque::new(),
            compacted: FIRST_REVISION,
            history_events,
            history_age_ms,
            log: None,
        };
        if let Some(folder) = folder {
            let (log, records) = Log::open(folder)?;
            for record in records {
                state.restore(record);
            }
            state.compacted = state.revision;
            state.log = Some(log);
            state.rewrite_log()?;
        }
        Ok(state)
    }

    fn restore(&mut self, record: log::Record) {
        self.revision = self.revision.max(record.revision);
        let table = self.tables.entry((record.group, record.plural)).or_default();
        match record.object {
            Some(value) => table.objects.insert(record.key, Stored::new(record.revision, value)),
            None => table.objects.remove(&record.key),
        };
    }

    fn rewrite_log(&mut self) -> std::io::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let rows = self.tables.iter().flat_map(|((group, plural), table)| {
            table.objects.iter().map(move |(key, o)| log::Line {
                group,
                plural,
                key,
                revision: o.revision,
                object: Some(&*o.raw.value),
            })
        });
        log.rewrite(self.revision, rows)
    }

    /// The newest revision.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn get(&self, table: (&str, &str), key: &str) -> Option<Arc<Stored>> {
        self.table(table)?.objects.get(key).cloned()
    }

    fn table(&self, (group, plural): (&str, &str)) -> Option<&Table> {
        self.tables.get(&(group.to_owned(), plural.to_owned()))
    }

    fn table_mut(&mut self, (group, plural): (&str, &str)) -> &mut Table {
        self.tables.entry((group.to_owned(), plural.to_owned())).or_default()
    }

    /// The objects of a namespace, or all, in order of key.
    pub(super) fn list<'a>(
        &'a self,
        table: (&str, &str),
        namespace: Option<&str>,
    ) -> impl Iterator<Item = (&'a String, &'a Arc<Stored>)> + use<'a> {
        let prefix = namespace.map(|ns| format!("{ns}/")).unwrap_or_default();
        let from = prefix.clone();
        let objects = self.table(table).map(|t| t.objects.range(from..));
        objects.into_iter().flatten().take_while(move |(key, _)| key.starts_with(&prefix))
    }

    /// The objects as of `revision`.
    pub(super) fn list_at(
        &self,
        table: (&str, &str),
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<BTreeMap<String, Arc<Stored>>, Expired> {
        let mut out: BTreeMap<String, Arc<Stored>> =
            self.list(table, namespace).map(|(k, o)| (k.clone(), o.clone())).collect();
        let Some(found) = self.table(table) else { return Ok(out) };
        if revision < self.compacted.max(found.floor) {
            return Err(Expired);
        }
        let prefix = namespace.map(|ns| format!("{ns}/")).unwrap_or_default();
        for change in found.history.iter().rev().take_while(|c| c.revision > revision) {
            if !change.key.starts_with(&prefix) {
                continue;
            }
            match &change.before {
                Some(before) => out.insert(change.key.clone(), before.clone()),
                None => out.remove(&change.key),
            };
        }
        Ok(out)
    }

    /// Stores `value` under a new revision, which it gets as its resourceVersion.
    pub(super) fn put(&mut self, table: (&str, &str), key: &str, mut value: Value, now_ms: u64) -> Arc<Stored> {
        self.revision += 1;
        value["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Stored::new(self.revision, value);
        let before = self.table_mut(table).objects.insert(key.to_owned(), object.clone());
        self.note(table, key, before, object.clone(), false, now_ms);
        object
    }

    /// Removes an object; `last` is its final content.
    pub(super) fn remove(&mut self, table: (&str, &str), key: &str, mut last: Value, now_ms: u64) -> Arc<Stored> {
        self.revision += 1;
        last["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Stored::new(self.revision, last);
        let before = self.table_mut(table).objects.remove(key);
        self.note(table, key, before, object.clone(), true, now_ms);
        object
    }

    fn note(
        &mut self,
        table: (&str, &str),
        key: &str,
        before: Option<Arc<Stored>>,
        object: Arc<Stored>,
        removed: bool,
        now_ms: u64,
    ) {
        if let Some(log) = &mut self.log {
            let line = log::Line {
                group: table.0,
                plural: table.1,
                key,
                revision: self.revision,
                object: (!removed).then_some(&*object.raw.value),
            };
            log.append(&line);
        }
        self.compact(now_ms);
        let (compacted, limit, revision) = (self.compacted, self.history_events, self.revision);
        let change = Arc::new(Change { revision, key: key.to_owned(), before, object, removed });
        let found = self.table_mut(table);
        found.history.push_back(change);
        while found.history.len() > limit || found.history.front().is_some_and(|c| c.revision <= compacted) {
            if let Some(lost) = found.history.pop_front() {
                found.first += 1;
                found.floor = lost.revision;
            }
        }
        found.changed.send_replace(revision);
        if self.log.as_ref().is_some_and(Log::is_due)
            && let Err(error) = self.rewrite_log()
        {
            tracing::warn!(%error, "failed to shorten the state's log");
        }
    }

    /// Forgets what is older than the history's age.
    pub(super) fn compact(&mut self, now_ms: u64) {
        if self.marks.back().is_none_or(|(at, _)| at + 1000 <= now_ms) {
            self.marks.push_back((now_ms, self.revision));
        }
        while let Some((at, revision)) = self.marks.front().copied()
            && at + self.history_age_ms <= now_ms
        {
            self.compacted = self.compacted.max(revision);
            self.marks.pop_front();
        }
    }

    /// Where a watch from after `revision` starts to read.
    pub(super) fn cursor(&mut self, table: (&str, &str), revision: u64) -> Result<Cursor, Expired> {
        let compacted = self.compacted;
        let found = self.table_mut(table);
        if revision < compacted.max(found.floor) {
            return Err(Expired);
        }
        let at = found.history.partition_point(|c| c.revision <= revision);
        let next = found.first + u64::try_from(at).unwrap_or(u64::MAX);
        Ok(Cursor { table: (table.0.to_owned(), table.1.to_owned()), next, changed: found.changed.subscribe() })
    }

    /// The changes since the cursor, at most `limit`, and moves it.
    pub(super) fn read(&self, cursor: &mut Cursor, limit: usize) -> Result<Vec<Arc<Change>>, Expired> {
        let Some(table) = self.tables.get(&cursor.table) else { return Ok(Vec::new()) };
        let skip = cursor.next.checked_sub(table.first).ok_or(Expired)?;
        let skip = usize::try_from(skip).map_err(|_| Expired)?;
        let out: Vec<_> = table.history.iter().skip(skip).take(limit).cloned().collect();
        cursor.next += u64::try_from(out.len()).unwrap_or(0);
        Ok(out)
    }

    /// Wakes every watch of a table, so that those which must end see it.
    pub(super) fn wake(&mut self, table: (&str, &str)) {
        self.table_mut(table).changed.send_modify(|_| {});
    }
}

/// A watch's place in a table's history.
#[derive(Debug)]
pub(super) struct Cursor {
    table: TableKey,
    next: u64,
    changed: watch::Receiver<u64>,
}

impl Cursor {
    /// Waits for the next change.
    pub(super) async fn changed(&mut self) {
        if self.changed.changed().await.is_err() {
            // The table lives as long as the control plane; without it there is nothing to wait for.
            std::future::pending::<()>().await;
        }
    }
}
