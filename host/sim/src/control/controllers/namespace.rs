//! The end of a namespace: its content is deleted, and when nothing is left the namespace goes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Manager, api::ApiFailure, cache::Key, owned::is_terminating};
use crate::control::path::{at, list, set, text};

/// Namespaced content that is not followed: it has to be asked for.
const UNFOLLOWED: [&str; 1] = ["/apis/coordination.k8s.io/v1/namespaces/{}/leases"];

/// What is left, by resource, and by finalizer.
#[derive(Default)]
struct Remaining {
    resources: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
}

impl Manager {
    pub(super) async fn namespace(&mut self, name: &str) -> Result<(), ApiFailure> {
        let key = Key::cluster("namespaces", name);
        let Some(namespace) = self.cache.get(&key).filter(|namespace| is_terminating(namespace)) else { return Ok(()) };
        if list(&namespace, "spec.finalizers").is_empty() {
            return Ok(());
        }
        let remaining = self.delete_content(name).await?;
        let mut status = at(&namespace, "status").clone();
        set(&mut status, "phase", "Terminating");
        set(
            &mut status,
            "conditions",
            conditions(&remaining, &namespace, &self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        );
        let mut next = (*namespace).clone();
        if &status != at(&namespace, "status") {
            set(&mut next, "status", status);
            next = match self.update(&key, "/status", &next).await {
                Ok(updated) => updated,
                Err(failure) if failure.is_not_found() => return Ok(()),
                Err(failure) => return Err(failure),
            };
        }
        if !remaining.resources.is_empty() {
            return Ok(());
        }
        let finalizers: Vec<_> =
            list(&next, "spec.finalizers").iter().filter(|f| *f != "kubernetes").cloned().collect();
        set(&mut next, "spec.finalizers", finalizers);
        match self.api.put(&format!("{}/finalize", self.path(&key)?), &next).await {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }

    /// Deletes everything in the namespace that is not being deleted already, and counts what stays.
    async fn delete_content(&mut self, name: &str) -> Result<Remaining, ApiFailure> {
        let mut remaining = Remaining::default();
        for path in UNFOLLOWED {
            self.api.delete(&path.replace("{}", name), &json!({})).await?;
        }
        for resource in self.cache.namespaced() {
            let objects = self.cache.in_namespace(&resource.id, name);
            if objects.is_empty() {
                continue;
            }
            let path = resource.path(name, "");
            if objects.iter().any(|object| !is_terminating(object)) {
                self.api.delete(&path, &json!({"propagationPolicy": "Background"})).await?;
            }
            let left = self.api.get(&path).await?;
            for object in list(&left, "items") {
                *remaining.resources.entry(resource.id.clone()).or_default() += 1;
                for finalizer in list(object, "metadata.finalizers").iter().filter_map(Value::as_str) {
                    *remaining.finalizers.entry(finalizer.to_owned()).or_default() += 1;
                }
            }
        }
        Ok(remaining)
    }
}

fn conditions(remaining: &Remaining, namespace: &Value, now: &str) -> Value {
    let mut conditions = vec![
        (
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".to_owned(),
        ),
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".to_owned(),
        ),
    ];
    conditions.push(if remaining.resources.is_empty() {
        ("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed".to_owned())
    } else {
        let all: Vec<_> =
            remaining.resources.iter().map(|(id, count)| format!("{id} has {count} resource instances")).collect();
        (
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            format!("Some resources are remaining: {}", all.join(", ")),
        )
    });
    conditions.push(if remaining.finalizers.is_empty() {
        (
            "NamespaceFinalizersRemaining",
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".to_owned(),
        )
    } else {
        let all: Vec<_> =
            remaining.finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
        (
            "NamespaceFinalizersRemaining",
            "True",
            "SomeFinalizersRemain",
            format!("Some content in the namespace has finalizers remaining: {}", all.join(", ")),
        )
    });
    let conditions = conditions.into_iter().map(|(kind, status, reason, message)| {
        let before = list(namespace, "status.conditions")
            .iter()
            .find(|c| text(c, "type") == kind && text(c, "status") == status);
        let since = before.map_or(now, |before| text(before, "lastTransitionTime"));
        json!({"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message})
    });
    conditions.collect()
}
