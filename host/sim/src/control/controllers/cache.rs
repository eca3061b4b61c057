//! The view of the cluster: every watched object, and who owns what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::watch::Watched;
use crate::control::path::{list, text};

/// Names an object: its resource (`pods`, `statefulsets.apps`), namespace (empty for none) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub id: Arc<str>,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(id: &str, namespace: &str, name: &str) -> Self {
        Self { id: id.into(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub fn cluster(id: &str, name: &str) -> Self {
        Self::new(id, "", name)
    }

    pub fn of(id: &str, object: &Value) -> Self {
        Self::new(id, text(object, "metadata.namespace"), text(object, "metadata.name"))
    }

    fn place(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }
}

/// An object that changed, with what it was and what it is.
pub type Changed = (Key, Option<Arc<Value>>, Option<Arc<Value>>);

struct Kind {
    watched: Watched,
    synced: bool,
    objects: BTreeMap<(String, String), Arc<Value>>,
}

#[derive(Default)]
pub struct Cache {
    kinds: BTreeMap<Arc<str>, Kind>,
    by_uid: BTreeMap<String, Key>,
    dependents: BTreeMap<String, BTreeSet<Key>>,
}

impl Cache {
    /// Makes room for a resource; it is not synced before its list came.
    pub fn add(&mut self, watched: &Watched) {
        let kind = Kind { watched: watched.clone(), synced: false, objects: BTreeMap::new() };
        self.kinds.insert(watched.id.as_str().into(), kind);
    }

    /// Forgets a resource and returns what it had: its objects are gone with it.
    pub fn drop_resource(&mut self, id: &str) -> Vec<(Key, Arc<Value>)> {
        let Some(kind) = self.kinds.remove(id) else { return Vec::new() };
        let objects: Vec<_> = kind.objects.into_values().map(|object| (Key::of(id, &object), object)).collect();
        for (key, object) in &objects {
            self.unindex(key, object);
        }
        objects
    }

    /// Whether every resource was listed once.
    pub fn is_synced(&self) -> bool {
        self.kinds.values().all(|kind| kind.synced)
    }

    pub fn watched(&self, id: &str) -> Option<&Watched> {
        self.kinds.get(id).map(|kind| &kind.watched)
    }

    /// The watched resource of an `apiVersion` and kind, whatever the version.
    pub fn resource_of(&self, api_version: &str, kind: &str) -> Option<&Watched> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.kinds.values().map(|k| &k.watched).find(|w| w.kind == kind && w.group == group)
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.kinds.get(&key.id)?.objects.get(&key.place()).cloned()
    }

    pub fn by_uid(&self, uid: &str) -> Option<(Key, Arc<Value>)> {
        let key = self.by_uid.get(uid)?;
        Some((key.clone(), self.get(key)?))
    }

    /// Objects that name `uid` as an owner.
    pub fn dependents(&self, uid: &str) -> Vec<Key> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// The objects of a resource in a namespace, in order of name.
    pub fn in_namespace(&self, id: &str, namespace: &str) -> Vec<Arc<Value>> {
        let from = (namespace.to_owned(), String::new());
        let objects = self.kinds.get(id).into_iter().flat_map(|kind| kind.objects.range(from.clone()..));
        objects.take_while(|((found, _), _)| found == namespace).map(|(_, object)| object.clone()).collect()
    }

    /// All objects of a resource.
    pub fn all(&self, id: &str) -> Vec<Arc<Value>> {
        self.kinds.get(id).into_iter().flat_map(|kind| kind.objects.values()).cloned().collect()
    }

    /// Watched resources that live in namespaces.
    pub fn namespaced(&self) -> Vec<Watched> {
        self.kinds.values().map(|kind| &kind.watched).filter(|w| w.namespaced).cloned().collect()
    }

    /// Takes a newer version in. `None` if the view has it or a newer one.
    pub fn put(&mut self, key: &Key, object: Value) -> Option<(Option<Arc<Value>>, Arc<Value>)> {
        let kind = self.kinds.get_mut(&key.id)?;
        let old = kind.objects.get(&key.place()).cloned();
        if old.as_ref().is_some_and(|old| version(old) >= version(&object)) {
            return None;
        }
        let new = Arc::new(object);
        kind.objects.insert(key.place(), new.clone());
        if let Some(old) = &old {
            self.unindex(key, old);
        }
        self.index(key, &new);
        Some((old, new))
    }

    /// Replaces the known version by one that says more about it, for example that it is being deleted.
    pub fn mark(&mut self, key: &Key, object: Value) {
        if let Some(kind) = self.kinds.get_mut(&key.id)
            && let Some(known) = kind.objects.get_mut(&key.place())
        {
            *known = Arc::new(object);
        }
    }

    /// Takes an object out, unless the view has a newer one of that name.
    pub fn remove(&mut self, key: &Key, last: &Value) -> Option<Arc<Value>> {
        let kind = self.kinds.get_mut(&key.id)?;
        let known = kind.objects.get(&key.place())?;
        let newer = text(known, "metadata.uid") != text(last, "metadata.uid") && version(known) > version(last);
        if newer {
            return None;
        }
        let old = kind.objects.remove(&key.place())?;
        self.unindex(key, &old);
        Some(old)
    }

    /// Makes the view of a resource what a list says, and tells what that changed.
    pub fn replace(&mut self, id: &str, objects: Vec<Value>) -> Vec<Changed> {
        let mut changed = Vec::new();
        let listed: BTreeSet<Key> = objects.iter().map(|object| Key::of(id, object)).collect();
        for gone in self.all(id).into_iter().filter(|object| !listed.contains(&Key::of(id, object))) {
            let key = Key::of(id, &gone);
            if let Some(old) = self.remove(&key, &gone) {
                changed.push((key, Some(old), None));
            }
        }
        for object in objects {
            let key = Key::of(id, &object);
            if let Some((old, new)) = self.put(&key, object) {
                changed.push((key, old, Some(new)));
            }
        }
        if let Some(kind) = self.kinds.get_mut(id) {
            kind.synced = true;
        }
        changed
    }

    fn index(&mut self, key: &Key, object: &Value) {
        self.by_uid.insert(text(object, "metadata.uid").to_owned(), key.clone());
        for owner in list(object, "metadata.ownerReferences") {
            self.dependents.entry(text(owner, "uid").to_owned()).or_default().insert(key.clone());
        }
    }

    fn unindex(&mut self, key: &Key, object: &Value) {
        self.by_uid.remove(text(object, "metadata.uid"));
        for owner in list(object, "metadata.ownerReferences") {
            let uid = text(owner, "uid");
            if let Some(keys) = self.dependents.get_mut(uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(uid);
                }
            }
        }
    }
}

/// The version of an object; versions rise with every write of the server.
fn version(object: &Value) -> u64 {
    text(object, "metadata.resourceVersion").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods() -> Cache {
        let mut cache = Cache::default();
        cache.add(&super::super::watch::builtin().into_iter().find(|w| w.id == "pods").unwrap());
        cache
    }

    fn pod(version: u64, owner: &str) -> Value {
        json!({"metadata": {"namespace": "n", "name": "p", "uid": "u", "resourceVersion": version.to_string(), "ownerReferences": [{"uid": owner}]}})
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let (mut cache, key) = (pods(), Key::new("pods", "n", "p"));
        assert!(cache.put(&key, pod(5, "a")).is_some());
        assert!(cache.put(&key, pod(4, "b")).is_none());
        assert_eq!(cache.dependents("a"), std::slice::from_ref(&key));
        assert!(cache.put(&key, pod(6, "b")).is_some());
        assert!(cache.dependents("a").is_empty());
        assert_eq!(cache.dependents("b"), [key]);
    }

    #[test]
    fn what_a_list_does_not_have_is_gone() {
        let (mut cache, key) = (pods(), Key::new("pods", "n", "p"));
        assert!(!cache.is_synced());
        assert_eq!(cache.replace("pods", vec![pod(5, "a")]).len(), 1);
        assert!(cache.is_synced());
        assert_eq!(cache.replace("pods", vec![]).len(), 1);
        assert!(cache.get(&key).is_none() && cache.by_uid("u").is_none());
    }
}
