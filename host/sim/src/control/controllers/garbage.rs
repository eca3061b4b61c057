//! The garbage collector: what has lost its owners goes, what is deleted in the foreground waits for its dependents,
//! what is orphaned lets them go.

use serde_json::{Value, json};

use super::{Manager, api::ApiFailure, cache::Key, owned::is_terminating, queue::Work};
use crate::control::path::{at, flag, list, text};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What the owners of an object are doing.
#[derive(Default)]
struct Owners {
    /// They live on.
    solid: Vec<Value>,
    /// They are gone.
    dangling: Vec<Value>,
    /// They wait for their dependents to go first.
    waiting: Vec<Value>,
}

fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    list(object, "metadata.finalizers").iter().any(|found| found == finalizer)
}

fn waits_for_dependents(object: &Value) -> bool {
    is_terminating(object) && has_finalizer(object, FOREGROUND)
}

impl Manager {
    pub(super) async fn garbage(&mut self, key: &Key) -> Result<(), ApiFailure> {
        let Some(object) = self.cache.get(key) else { return Ok(()) };
        if is_terminating(&object) && has_finalizer(&object, ORPHAN) {
            return self.orphan(key, &object).await;
        }
        if waits_for_dependents(&object) {
            return self.finish_foreground(key, &object).await;
        }
        if list(&object, "metadata.ownerReferences").is_empty() || is_terminating(&object) {
            return Ok(());
        }
        let owners = self.owners(&object).await?;
        if owners.dangling.is_empty() && owners.waiting.is_empty() {
            return Ok(());
        }
        let uid = text(&object, "metadata.uid").to_owned();
        if !owners.solid.is_empty() {
            // Still wanted by somebody: only the references to the others go.
            let patch = json!({"metadata": {"uid": uid, "resourceVersion": text(&object, "metadata.resourceVersion"), "ownerReferences": owners.solid}});
            return gone_is_done(self.patch(key, "", &patch).await);
        }
        let has_dependents = !self.cache.dependents(&uid).is_empty();
        let policy = match () {
            () if !owners.waiting.is_empty() && has_dependents => "Foreground",
            () if has_finalizer(&object, ORPHAN) => "Orphan",
            () if has_finalizer(&object, FOREGROUND) => "Foreground",
            () => "Background",
        };
        self.delete(key, &uid, policy).await
    }

    /// Sorts the owners. An owner that the view does not have is asked for, so that a view behind the server deletes nothing.
    async fn owners(&mut self, object: &Value) -> Result<Owners, ApiFailure> {
        let mut owners = Owners::default();
        for reference in list(object, "metadata.ownerReferences") {
            let found = match self.cache.by_uid(text(reference, "uid")) {
                Some((key, owner)) => self.in_reach(object, &key).then(|| (*owner).clone()),
                None => self.ask_for_owner(object, reference).await?,
            };
            match found {
                None => owners.dangling.push(reference.clone()),
                Some(owner) if waits_for_dependents(&owner) => owners.waiting.push(reference.clone()),
                Some(_) => owners.solid.push(reference.clone()),
            }
        }
        Ok(owners)
    }

    /// An owner lives in the same namespace or in none.
    fn in_reach(&self, object: &Value, owner: &Key) -> bool {
        owner.namespace.is_empty() || owner.namespace == text(object, "metadata.namespace")
    }

    async fn ask_for_owner(&mut self, object: &Value, reference: &Value) -> Result<Option<Value>, ApiFailure> {
        let Some(resource) = self.cache.resource_of(text(reference, "apiVersion"), text(reference, "kind")).cloned()
        else {
            // Its type may come back; nothing is deleted for a type that is not known.
            return Ok(Some(Value::Null));
        };
        let namespace = if resource.namespaced { text(object, "metadata.namespace") } else { "" };
        match self.api.get(&resource.path(namespace, text(reference, "name"))).await {
            Ok(owner) => Ok((text(&owner, "metadata.uid") == text(reference, "uid")).then_some(owner)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Takes the references to `object` out of its dependents, then lets it go.
    async fn orphan(&mut self, key: &Key, object: &Value) -> Result<(), ApiFailure> {
        let uid = text(object, "metadata.uid");
        for dependent in self.cache.dependents(uid) {
            let Some(found) = self.cache.get(&dependent) else { continue };
            let kept: Vec<_> =
                list(&found, "metadata.ownerReferences").iter().filter(|owner| text(owner, "uid") != uid).collect();
            let references = if kept.is_empty() { Value::Null } else { json!(kept) };
            let patch = json!({"metadata": {"resourceVersion": text(&found, "metadata.resourceVersion"), "ownerReferences": references}});
            gone_is_done(self.patch(&dependent, "", &patch).await)?;
        }
        self.remove_finalizer(key, object, ORPHAN).await
    }

    /// Deletes the dependents and lets the object go when none that blocks is left.
    async fn finish_foreground(&mut self, key: &Key, object: &Value) -> Result<(), ApiFailure> {
        let uid = text(object, "metadata.uid");
        let mut blocked = false;
        for dependent in self.cache.dependents(uid) {
            let Some(found) = self.cache.get(&dependent) else { continue };
            let blocks = |owner: &&Value| text(owner, "uid") == uid && flag(owner, "blockOwnerDeletion");
            blocked |= list(&found, "metadata.ownerReferences").iter().find(blocks).is_some();
            if !is_terminating(&found) {
                self.queue.add(Work::Garbage(dependent));
            }
        }
        if blocked {
            return Ok(());
        }
        self.remove_finalizer(key, object, FOREGROUND).await
    }

    pub(super) async fn remove_finalizer(
        &mut self,
        key: &Key,
        object: &Value,
        finalizer: &str,
    ) -> Result<(), ApiFailure> {
        let kept: Vec<_> = list(object, "metadata.finalizers").iter().filter(|found| *found != finalizer).collect();
        if kept.len() == list(object, "metadata.finalizers").len() {
            return Ok(());
        }
        let finalizers = if kept.is_empty() { Value::Null } else { json!(kept) };
        let patch =
            json!({"metadata": {"resourceVersion": at(object, "metadata.resourceVersion"), "finalizers": finalizers}});
        gone_is_done(self.patch(key, "", &patch).await)
    }
}

/// What is gone needs no change any more.
fn gone_is_done(result: Result<Value, ApiFailure>) -> Result<(), ApiFailure> {
    match result {
        Ok(_) => Ok(()),
        Err(failure) if failure.is_not_found() => Ok(()),
        Err(failure) => Err(failure),
    }
}
