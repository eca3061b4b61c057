//! The objects of one watch, grouped by cluster.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use tidepool_api::labels;
use tidepool_model::snapshot::Objects;

use super::Entry;
use crate::cluster::Cluster;

/// The objects of one watch.
#[derive(Default)]
pub(super) struct Table {
    /// A complete list has been seen.
    pub(super) synced: bool,
    objects: BTreeMap<(String, String), Arc<Entry>>,
    groups: BTreeMap<(String, String), Group>,
    /// Counts changes; a group takes its version from it, so that no version comes twice.
    changes: u64,
}

/// The objects of one cluster: those of a namespace with the same instance label.
#[derive(Default)]
struct Group {
    names: BTreeMap<String, Arc<Entry>>,
    version: u64,
    lists: BTreeMap<Option<String>, Arc<Objects>>,
}

impl Table {
    /// Takes a newer state of an object and returns it; none if what is kept is as new.
    pub(super) fn apply(&mut self, entry: Entry) -> Option<Arc<Entry>> {
        let key = (entry.namespace.clone(), entry.object.head.name.clone());
        if self.objects.get(&key).is_some_and(|kept| !newer(&entry, kept)) {
            return None;
        }
        if let Some(old) = self.objects.remove(&key) {
            self.ungroup(&old);
        }
        let entry = Arc::new(entry);
        self.objects.insert(key, entry.clone());
        let group = self.touch(&entry);
        group.names.insert(entry.object.head.name.clone(), entry.clone());
        Some(entry)
    }

    /// Drops an object and returns its last state; none if it is not kept, or is another of the same name.
    pub(super) fn delete(&mut self, namespace: &str, name: &str, uid: &str) -> Option<Arc<Entry>> {
        let key = (namespace.to_owned(), name.to_owned());
        if self.objects.get(&key)?.object.head.uid != uid {
            return None;
        }
        let old = self.objects.remove(&key)?;
        self.ungroup(&old);
        Some(old)
    }

    /// Takes a complete list, whatever its version: after a restore of the API server older is right. Returns what is
    /// new, otherwise or gone.
    pub(super) fn replace(&mut self, entries: Vec<Entry>) -> Vec<Arc<Entry>> {
        let mut gone = std::mem::take(&mut self.objects);
        let mut changed = Vec::new();
        for entry in entries {
            let key = (entry.namespace.clone(), entry.object.head.name.clone());
            let same = gone.remove(&key).filter(|kept| unchanged(&entry, kept));
            let entry = same.unwrap_or_else(|| {
                let entry = Arc::new(entry);
                changed.push(entry.clone());
                entry
            });
            self.objects.insert(key, entry);
        }
        self.groups.clear();
        let all: Vec<_> = self.objects.values().cloned().collect();
        for entry in all {
            self.touch(&entry).names.insert(entry.object.head.name.clone(), entry.clone());
        }
        // What is left is gone, or was in another state, which its new state has reported already.
        let left = gone.into_iter().filter(|(key, _)| !self.objects.contains_key(key));
        changed.extend(left.map(|(_, entry)| entry).collect::<Vec<_>>());
        self.synced = true;
        changed
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Entry>> {
        self.objects.get(&(namespace.to_owned(), name.to_owned()))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.objects.values()
    }

    pub(super) fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<Entry>> {
        let start = (namespace.to_owned(), String::new());
        let range = self.objects.range((Bound::Included(start), Bound::Unbounded));
        let namespace = namespace.to_owned();
        range.take_while(move |(key, _)| key.0 == namespace).map(|(_, entry)| entry)
    }

    /// The objects of a cluster, ordered by name.
    pub(super) fn entries(&self, cluster: &Cluster) -> impl Iterator<Item = &Arc<Entry>> {
        self.groups.get(&group_of(cluster)).into_iter().flat_map(|group| group.names.values())
    }

    /// Changes whenever an object of the cluster does.
    pub(super) fn version(&self, cluster: &Cluster) -> u64 {
        self.groups.get(&group_of(cluster)).map_or(0, |group| group.version)
    }

    /// The objects of a cluster, all or those of one component; the list is made once for each change.
    pub(super) fn list(&mut self, cluster: &Cluster, component: Option<&str>) -> Arc<Objects> {
        let Some(group) = self.groups.get_mut(&group_of(cluster)) else { return Arc::default() };
        let component = component.map(ToOwned::to_owned);
        if let Some(list) = group.lists.get(&component) {
            return list.clone();
        }
        let wanted = |entry: &&Arc<Entry>| component.as_deref().is_none_or(|name| entry.component() == name);
        let list: Objects = group.names.values().filter(wanted).map(|entry| entry.object.clone()).collect();
        let list = Arc::new(list);
        group.lists.insert(component, list.clone());
        list
    }

    fn ungroup(&mut self, entry: &Entry) {
        self.touch(entry).names.remove(&entry.object.head.name);
    }

    /// The group of an object, marked as changed.
    fn touch(&mut self, entry: &Entry) -> &mut Group {
        self.changes += 1;
        let instance = entry.object.labels.get(labels::INSTANCE).cloned().unwrap_or_default();
        let group = self.groups.entry((entry.namespace.clone(), instance)).or_default();
        group.version = self.changes;
        group.lists.clear();
        group
    }
}

fn group_of(cluster: &Cluster) -> (String, String) {
    (cluster.key.namespace.clone(), cluster.instance.clone())
}

fn unchanged(entry: &Entry, kept: &Entry) -> bool {
    let (new, old) = (&entry.object.head, &kept.object.head);
    new.uid == old.uid && new.resource_version == old.resource_version
}

/// Whether `entry` is to take the place of `kept`. Versions of one object are compared as numbers, which every API
/// server's are; where they are not, the last to come wins.
fn newer(entry: &Entry, kept: &Entry) -> bool {
    let (new, old) = (&entry.object.head, &kept.object.head);
    match (new.resource_version.parse::<u64>(), old.resource_version.parse::<u64>()) {
        (Ok(new_version), Ok(old_version)) if new.uid == old.uid => new_version > old_version,
        _ => !unchanged(entry, kept),
    }
}
