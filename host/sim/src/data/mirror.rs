//! A local copy of all objects of one kind, fed by a watch.

use std::collections::{BTreeMap, BTreeSet};

use kube::{Resource, runtime::watcher::Event};

use super::network::Key;

/// The objects of one kind, by namespace and name.
#[derive(Debug)]
pub struct Mirror<K> {
    objects: BTreeMap<Key, K>,
    listing: Option<BTreeSet<Key>>,
    complete: bool,
}

impl<K> Default for Mirror<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), listing: None, complete: false }
    }
}

impl<K: Resource> Mirror<K> {
    /// Takes in an event; returns the keys of objects that changed or went.
    pub fn apply(&mut self, event: Event<K>) -> Vec<Key> {
        match event {
            Event::Apply(object) => self.put(object).into_iter().collect(),
            Event::Delete(object) => {
                let key = key(&object);
                self.objects.remove(&key);
                vec![key]
            }
            Event::Init => {
                self.listing = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(key(&object));
                }
                self.put(object).into_iter().collect()
            }
            Event::InitDone => {
                self.complete = true;
                let listed = self.listing.take().unwrap_or_default();
                let gone: Vec<Key> = self.objects.keys().filter(|key| !listed.contains(*key)).cloned().collect();
                gone.iter().for_each(|key| {
                    self.objects.remove(key);
                });
                gone
            }
        }
    }

    /// Stores `object` unless a newer version is known; returns its key if it was stored. The answer of a write
    /// goes in here too, so that the next decision does not wait for the watch.
    pub fn put(&mut self, object: K) -> Option<Key> {
        let key = key(&object);
        let newer = |known: &K| known.meta().uid == object.meta().uid && version(known) > version(&object);
        if self.objects.get(&key).is_some_and(newer) {
            return None;
        }
        self.objects.insert(key.clone(), object);
        Some(key)
    }

    /// Forgets an object whose deletion is known before the watch tells.
    pub fn remove(&mut self, key: &Key) {
        self.objects.remove(key);
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&K> {
        self.objects.get(key)
    }

    /// All objects, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &K)> {
        self.objects.iter()
    }

    /// Whether everything that existed at the start has been seen.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Namespace and name; the namespace is empty for cluster-scoped objects.
pub fn key<K: Resource>(object: &K) -> Key {
    (object.meta().namespace.clone().unwrap_or_default(), object.meta().name.clone().unwrap_or_default())
}

/// Versions are numbers in every API server there is; whatever else is treated as old.
fn version<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::{from_value, json};

    use super::*;

    fn object(name: &str, version: &str) -> ConfigMap {
        from_value(json!({"metadata": {"name": name, "namespace": "ns", "uid": "u", "resourceVersion": version}}))
            .unwrap()
    }

    fn own(name: &str) -> Key {
        ("ns".to_owned(), name.to_owned())
    }

    #[test]
    fn older_versions_do_not_replace_newer_ones() {
        let mut mirror = Mirror::default();
        assert_eq!(mirror.put(object("a", "10")), Some(own("a")));
        assert!(mirror.apply(Event::Apply(object("a", "9"))).is_empty());
        assert_eq!(mirror.get(&own("a")).unwrap().metadata.resource_version.as_deref(), Some("10"));
    }

    #[test]
    fn a_new_list_drops_what_it_does_not_hold() {
        let mut mirror = Mirror::default();
        mirror.put(object("a", "1"));
        mirror.put(object("b", "2"));
        mirror.apply(Event::Init);
        mirror.apply(Event::InitApply(object("b", "2")));
        assert_eq!(mirror.apply(Event::InitDone), [own("a")]);
        assert!(mirror.is_complete());
    }
}
