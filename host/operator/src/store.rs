//! What the watches have seen, shared by all rounds: each object parsed once, when it changed.
//!
//! A table holds one watch. Until its first list is complete it is not synced, and every question to it is answered
//! with "not read yet", never with "nothing there" (S33). Objects are grouped by cluster, so that a snapshot of a
//! cluster that did not change costs a few pointer copies.

mod entry;
mod table;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tidepool_api::labels;
use tidepool_model::{
    descriptor::{Kind, Scope, Watch},
    known::{Known, Unknown},
    snapshot::{Object, Objects, PodRow},
};
use tokio::sync::Notify;

pub use entry::{Detail, Entry, PodDetail};
use table::Table;

use crate::{
    cluster::{Cluster, ClusterKey},
    kinds,
};

/// What a watch asks the API server for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchKey {
    /// The kind.
    pub kind: Kind,
    /// Which objects of it.
    pub selection: Selection,
}

/// Which objects of a kind a watch delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selection {
    /// Those with the label `app.kubernetes.io/managed-by=tidb-operator`.
    Managed,
    /// All.
    All,
    /// All, without their contents.
    Heads,
}

/// The tables of all watches.
#[derive(Default)]
pub struct Store {
    inner: Mutex<Inner>,
    listener: Mutex<Option<Listener>>,
    listed: Notify,
}

#[derive(Default)]
struct Inner {
    tables: BTreeMap<WatchKey, Table>,
    rows: BTreeMap<(ClusterKey, String), Rows>,
}

/// A descriptor that asks for these pods gets those of every component.
const ALL_COMPONENTS: &str = "*";

/// The rows of a component's pods, and the versions of the groups that they were made from.
struct Rows {
    versions: (u64, u64),
    rows: Arc<Vec<PodRow>>,
}

type Listener = Arc<dyn Fn(&ClusterKey) + Send + Sync>;

/// What happened to an object.
pub enum Change {
    /// It is now so.
    Apply(Box<Entry>),
    /// It is gone.
    Delete(Box<Entry>),
}

impl Store {
    /// Calls `listener` for each cluster that a change concerns.
    pub fn on_change(&self, listener: impl Fn(&ClusterKey) + Send + Sync + 'static) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(listener));
    }

    /// Makes room for a watch.
    pub fn open(&self, key: &WatchKey) {
        self.lock().tables.entry(key.clone()).or_default();
    }

    /// Whether every watch has seen a complete list.
    pub fn synced(&self) -> bool {
        let inner = self.lock();
        !inner.tables.is_empty() && inner.tables.values().all(|table| table.synced)
    }

    /// The watches that have not.
    pub fn unsynced(&self) -> Vec<WatchKey> {
        let inner = self.lock();
        inner.tables.iter().filter(|(_, table)| !table.synced).map(|(key, _)| key.clone()).collect()
    }

    /// Waits until every watch has seen a complete list.
    pub async fn wait_synced(&self) {
        loop {
            let listed = self.listed.notified();
            if self.synced() {
                return;
            }
            listed.await;
        }
    }

    /// Replaces the contents of a table by a complete list.
    pub fn replace(&self, key: &WatchKey, entries: Vec<Entry>) {
        let concerned = {
            let mut inner = self.lock();
            let changed = inner.tables.entry(key.clone()).or_default().replace(entries);
            inner.concerned(key, &changed)
        };
        self.listed.notify_waiters();
        self.tell(&concerned);
    }

    /// Takes a change that a watch delivered.
    pub fn change(&self, key: &WatchKey, change: Change) {
        let concerned = {
            let mut inner = self.lock();
            let table = inner.tables.entry(key.clone()).or_default();
            let changed = match change {
                Change::Apply(entry) => table.apply(*entry),
                Change::Delete(entry) => {
                    table.delete(&entry.namespace, &entry.object.head.name, &entry.object.head.uid)
                }
            };
            changed.map(|entry| inner.concerned(key, &[entry])).unwrap_or_default()
        };
        self.tell(&concerned);
    }

    /// Takes the answer to a write of our own, so that the next round sees it although the watch has not yet told.
    pub fn wrote(&self, kind: &Kind, object: Value) {
        let mut inner = self.lock();
        let keys: Vec<_> = inner.tables.keys().filter(|key| key.kind == *kind).cloned().collect();
        for key in keys {
            let Ok(entry) = Entry::read(kind, object.clone()) else { continue };
            let ours = entry.object.labels.get(labels::MANAGED_BY).is_some_and(|by| by == labels::MANAGED_BY_VALUE);
            if let Some(table) = inner.tables.get_mut(&key)
                && (key.selection != Selection::Managed || ours)
            {
                table.apply(entry);
            }
        }
    }

    /// Takes the answer to a deletion of our own that left nothing behind.
    pub fn deleted(&self, kind: &Kind, namespace: &str, name: &str, uid: &str) {
        let mut inner = self.lock();
        for (_, table) in inner.tables.iter_mut().filter(|(key, _)| key.kind == *kind) {
            table.delete(namespace, name, uid);
        }
    }

    /// All clusters, in order.
    pub fn clusters(&self) -> Vec<ClusterKey> {
        self.lock().clusters().map(|cluster| cluster.key.clone()).collect()
    }

    /// One cluster.
    pub fn cluster(&self, key: &ClusterKey) -> Option<Arc<Cluster>> {
        self.lock().cluster(key)
    }

    /// The objects that a policy's watch selects for a cluster.
    ///
    /// # Errors
    /// When no complete list has been seen.
    pub fn watched(&self, cluster: &Cluster, component: &str, watch: &Watch) -> Known<Arc<Objects>> {
        let kind = kinds::kind(&watch.api_version, &watch.kind);
        let mut inner = self.lock();
        match &watch.of {
            Scope::Component => inner.group(&kind, cluster, Some(component)),
            Scope::Cluster => inner.group(&kind, cluster, None),
            Scope::Label(component) => inner.group(&kind, cluster, Some(component)),
            Scope::Referenced => inner.referenced(kind, cluster),
            Scope::Used => inner.used(kind, cluster),
        }
    }

    /// All objects of a kind that carry a cluster's instance label.
    ///
    /// # Errors
    /// When no complete list has been seen, or nobody asked for the kind.
    pub fn labelled(&self, cluster: &Cluster, kind: &Kind) -> Known<Arc<Objects>> {
        self.lock().group(kind, cluster, None)
    }

    /// One object of a cluster's namespace, or one without a namespace.
    ///
    /// # Errors
    /// When no complete list has been seen, or nobody asked for the kind.
    pub fn object(&self, cluster: &Cluster, kind: &Kind, name: &str) -> Known<Option<Arc<Object>>> {
        let namespaced = kinds::namespaced(kind);
        let selection = if namespaced { Selection::Managed } else { Selection::All };
        let namespace = if namespaced { cluster.key.namespace.as_str() } else { "" };
        let inner = self.lock();
        Ok(inner.table(kind.clone(), selection)?.get(namespace, name).map(|entry| entry.object.clone()))
    }

    /// `metadata.resourceVersion` of a Secret, none if there is no such Secret.
    ///
    /// # Errors
    /// When no complete list has been seen.
    pub fn secret_version(&self, namespace: &str, name: &str) -> Known<Option<String>> {
        let inner = self.lock();
        let heads = inner.table(kinds::secret(), Selection::Heads)?;
        Ok(heads.get(namespace, name).map(|entry| entry.object.head.resource_version.clone()))
    }

    /// The rows of a component's pods, or of all pods (`*`), ordered by ordinal, then name.
    ///
    /// # Errors
    /// When no complete list of pods and StatefulSets has been seen.
    pub fn pods(&self, cluster: &Cluster, component: &str) -> Known<Arc<Vec<PodRow>>> {
        self.lock().pod_rows(cluster, component)
    }

    /// The pods of a component by name, as far as the host itself reads them.
    ///
    /// # Errors
    /// When no complete list of pods has been seen.
    pub fn pod_details(&self, cluster: &Cluster, component: &str) -> Known<Vec<(String, PodDetail)>> {
        let inner = self.lock();
        let pods = inner.table(kinds::kind("v1", "Pod"), Selection::Managed)?.entries(cluster);
        let detail = |entry: &Arc<Entry>| match &entry.detail {
            Detail::Pod(pod) if entry.is_of(component) => Some((entry.object.head.name.clone(), pod.clone())),
            _ => None,
        };
        Ok(pods.filter_map(detail).collect())
    }

    /// How many pods the StatefulSets and Deployments of a component want.
    pub fn desired(&self, cluster: &Cluster, component: &str) -> u32 {
        let inner = self.lock();
        let kinds = [kinds::kind("apps/v1", "StatefulSet"), kinds::kind("apps/v1", "Deployment")];
        let tables = kinds.into_iter().filter_map(|kind| inner.table(kind, Selection::Managed).ok());
        let entries = tables.flat_map(|table| table.entries(cluster)).filter(|entry| entry.component() == component);
        entries.map(|entry| if let Detail::Workload { replicas, .. } = entry.detail { replicas } else { 0 }).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, concerned: &[ClusterKey]) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(listener) = listener {
            concerned.iter().for_each(|key| listener(key));
        }
    }
}

impl Inner {
    fn table(&self, kind: Kind, selection: Selection) -> Known<&Table> {
        let table = self.tables.get(&WatchKey { kind, selection }).ok_or(Unknown::NotRequested)?;
        if table.synced { Ok(table) } else { Err(Unknown::NotSynced) }
    }

    fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        let table = self.tables.get(&WatchKey { kind: kinds::tidb_cluster(), selection: Selection::All });
        table.into_iter().flat_map(Table::all).filter_map(|entry| entry.cluster())
    }

    fn cluster(&self, key: &ClusterKey) -> Option<Arc<Cluster>> {
        let table = self.tables.get(&WatchKey { kind: kinds::tidb_cluster(), selection: Selection::All })?;
        table.get(&key.namespace, &key.name)?.cluster().cloned()
    }

    fn group(&mut self, kind: &Kind, cluster: &Cluster, component: Option<&str>) -> Known<Arc<Objects>> {
        let key = WatchKey { kind: kind.clone(), selection: Selection::Managed };
        let table = self.tables.get_mut(&key).ok_or(Unknown::NotRequested)?;
        if table.synced { Ok(table.list(cluster, component)) } else { Err(Unknown::NotSynced) }
    }

    fn referenced(&self, kind: Kind, cluster: &Cluster) -> Known<Arc<Objects>> {
        let name = kind.kind.clone();
        let table = self.table(kind, Selection::Heads)?;
        let heads = table.of_namespace(&cluster.key.namespace);
        let referenced = heads.filter(|entry| cluster.refers_to(&name, &entry.object.head.name));
        Ok(Arc::new(referenced.map(|entry| entry.object.clone()).collect()))
    }

    fn used(&self, kind: Kind, cluster: &Cluster) -> Known<Arc<Objects>> {
        let users = match kind.kind.as_str() {
            "PersistentVolume" => kinds::kind("v1", "PersistentVolumeClaim"),
            "Node" => kinds::kind("v1", "Pod"),
            _ => return Err(Unknown::NotRequested),
        };
        let users = self.table(users, Selection::Managed)?.entries(cluster);
        let mut names: Vec<&str> = users.filter_map(|entry| entry.uses()).collect();
        names.sort_unstable();
        names.dedup();
        let table = self.table(kind, Selection::All)?;
        let used = names.into_iter().filter_map(|name| table.get("", name));
        Ok(Arc::new(used.map(|entry| entry.object.clone()).collect()))
    }

    fn pod_rows(&mut self, cluster: &Cluster, component: &str) -> Known<Arc<Vec<PodRow>>> {
        let pods = self.table(kinds::kind("v1", "Pod"), Selection::Managed)?;
        let sets = self.table(kinds::kind("apps/v1", "StatefulSet"), Selection::Managed)?;
        let versions = (pods.version(cluster), sets.version(cluster));
        let key = (cluster.key.clone(), component.to_owned());
        if let Some(known) = self.rows.get(&key).filter(|known| known.versions == versions) {
            return Ok(known.rows.clone());
        }
        let revision = |set: &str| sets.get(&cluster.key.namespace, set).and_then(|set| set.update_revision());
        let members = pods.entries(cluster).filter(|e| component == ALL_COMPONENTS || e.component() == component);
        let mut rows: Vec<PodRow> = members.filter_map(|entry| entry.pod_row(revision)).collect();
        rows.sort_by(|a, b| (a.ordinal, &a.name).cmp(&(b.ordinal, &b.name)));
        let rows = Arc::new(rows);
        self.rows.insert(key, Rows { versions, rows: rows.clone() });
        Ok(rows)
    }

    /// The clusters whose round may turn out otherwise because of these changes.
    fn concerned(&self, key: &WatchKey, changed: &[Arc<Entry>]) -> Vec<ClusterKey> {
        let mut concerned = Vec::new();
        for entry in changed {
            match (&entry.detail, key.selection) {
                (Detail::Cluster(cluster), _) => concerned.push(cluster.key.clone()),
                (_, Selection::Managed) => {
                    let Some(instance) = entry.object.labels.get(labels::INSTANCE) else { continue };
                    let own = |c: &&Arc<Cluster>| c.key.namespace == entry.namespace && c.instance == *instance;
                    concerned.extend(self.clusters().filter(own).map(|cluster| cluster.key.clone()));
                }
                (_, Selection::Heads) => {
                    let name = &entry.object.head.name;
                    let own =
                        |c: &&Arc<Cluster>| c.key.namespace == entry.namespace && c.refers_to(&key.kind.kind, name);
                    concerned.extend(self.clusters().filter(own).map(|cluster| cluster.key.clone()));
                }
                // Nodes and volumes serve many clusters and change for many reasons; the next resync sees them.
                (_, Selection::All) => {}
            }
        }
        concerned.sort();
        concerned.dedup();
        concerned
    }
}

#[cfg(test)]
mod tests;
