//! Which change concerns which controller.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{
    Manager,
    cache::Key,
    owned::{controller, is_terminating, selects, selects_plain},
    queue::Work,
};
use crate::control::path::{at, list, text};

/// How long an event is kept after it was written last.
pub const EVENT_TTL: Duration = Duration::from_secs(3600);

/// How long a namespace that is going waits for more of its content to go before it looks again.
const CONTENT_WAIT: Duration = Duration::from_millis(500);

impl Manager {
    /// Queues what a change from `old` to `new` may concern.
    pub(super) fn route(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>) {
        let Some(object) = new.or(old) else { return };
        match &*key.id {
            "statefulsets.apps" => self.queue.add(Work::StatefulSet(key.clone())),
            "deployments.apps" => self.queue.add(Work::Deployment(key.clone())),
            "replicasets.apps" => {
                self.queue.add(Work::ReplicaSet(key.clone()));
                self.owner_of(object);
                self.chosen_by("deployments.apps", object);
            }
            "pods" => self.pod(key, old, new),
            "controllerrevisions.apps" => self.owner_of(object),
            "services" => self.queue.add(Work::Endpoints(key.clone())),
            "endpoints" => self.queue.add(Work::Endpoints(Key::new("services", &key.namespace, &key.name))),
            "endpointslices.discovery.k8s.io" => {
                if let Some(service) =
                    at(object, "metadata.labels").get("kubernetes.io/service-name").and_then(Value::as_str)
                {
                    self.queue.add(Work::Endpoints(Key::new("services", &key.namespace, service)));
                }
            }
            "namespaces" if is_terminating(object) => self.queue.add(Work::Namespace(key.name.clone())),
            "namespaces" if new.is_some() => self.queue.add(Work::Account(key.name.clone())),
            "serviceaccounts" if new.is_none() => self.queue.add(Work::Account(key.namespace.clone())),
            "nodes" if new.is_some() => self.queue.add(Work::NodeTtl(key.clone())),
            "persistentvolumeclaims" | "persistentvolumes" if new.is_some_and(is_terminating) => {
                self.queue.add(Work::Protection(key.clone()))
            }
            "events" if new.is_some() => {
                self.queue.add_after(Work::EventExpiry(key.clone()), Instant::now() + EVENT_TTL)
            }
            "customresourcedefinitions.apiextensions.k8s.io" => self.queue.add(Work::Definition(key.name.clone())),
            _ => {}
        }
        self.garbage_concerns(key, old, new);
        self.namespace_concerns(key, new);
    }

    fn pod(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>) {
        for pod in [old, new].into_iter().flatten() {
            self.owner_of(pod);
            self.services_of(pod);
        }
        let Some(pod) = new.or(old) else { return };
        if controller(pod).is_none() && new.is_some() {
            self.chosen_by("statefulsets.apps", pod);
            self.chosen_by("replicasets.apps", pod);
        }
        let over = new.is_none() || matches!(text(pod, "status.phase"), "Succeeded" | "Failed");
        for volume in list(pod, "spec.volumes").iter().filter(|_| over) {
            let claim =
                Key::new("persistentvolumeclaims", &key.namespace, text(volume, "persistentVolumeClaim.claimName"));
            if self.cache.get(&claim).is_some_and(|claim| is_terminating(&claim)) {
                self.queue.add(Work::Protection(claim));
            }
        }
    }

    fn owner_of(&mut self, object: &Value) {
        let Some(owner) = controller(object) else { return };
        let key = |id: &str| Key::new(id, text(object, "metadata.namespace"), text(owner, "name"));
        match text(owner, "kind") {
            "StatefulSet" => self.queue.add(Work::StatefulSet(key("statefulsets.apps"))),
            "Deployment" => self.queue.add(Work::Deployment(key("deployments.apps"))),
            "ReplicaSet" => self.queue.add(Work::ReplicaSet(key("replicasets.apps"))),
            _ => {}
        }
    }

    /// Workloads that may adopt an object that nobody controls.
    fn chosen_by(&mut self, id: &str, object: &Value) {
        if controller(object).is_some() {
            return;
        }
        for owner in self.cache.in_namespace(id, text(object, "metadata.namespace")) {
            if selects(at(&owner, "spec.selector"), at(object, "metadata.labels")) {
                let key = Key::of(id, &owner);
                self.queue.add(match id {
                    "statefulsets.apps" => Work::StatefulSet(key),
                    "deployments.apps" => Work::Deployment(key),
                    _ => Work::ReplicaSet(key),
                });
            }
        }
    }

    fn services_of(&mut self, pod: &Value) {
        for service in self.cache.in_namespace("services", text(pod, "metadata.namespace")) {
            if selects_plain(at(&service, "spec.selector"), at(pod, "metadata.labels")) {
                self.queue.add(Work::Endpoints(Key::of("services", &service)));
            }
        }
    }

    /// The collector looks at objects with owners or that wait for their dependents, and at those around one that went.
    fn garbage_concerns(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>) {
        if let Some(object) = new {
            let owned = !list(object, "metadata.ownerReferences").is_empty();
            let waits = list(object, "metadata.finalizers").iter().any(|f| f == "foregroundDeletion" || f == "orphan");
            let same_owners =
                old.is_some_and(|old| at(old, "metadata.ownerReferences") == at(object, "metadata.ownerReferences"));
            let same_end = old.is_some_and(|old| is_terminating(old) == is_terminating(object));
            if (owned && !same_owners) || (waits && is_terminating(object)) || (owned && !same_end) {
                self.queue.add(Work::Garbage(key.clone()));
            }
        }
        let Some(before) = old else { return };
        if new.is_none() {
            for dependent in self.cache.dependents(text(before, "metadata.uid")) {
                self.queue.add(Work::Garbage(dependent));
            }
        }
        for owner in list(before, "metadata.ownerReferences") {
            if let Some((owner, found)) = self.cache.by_uid(text(owner, "uid"))
                && is_terminating(&found)
            {
                self.queue.add(Work::Garbage(owner));
            }
        }
    }

    fn namespace_concerns(&mut self, key: &Key, new: Option<&Value>) {
        if key.namespace.is_empty() {
            return;
        }
        let namespace = Key::cluster("namespaces", &key.namespace);
        let going = self.cache.get(&namespace).is_some_and(|namespace| is_terminating(&namespace));
        if going && new.is_none_or(|object| !is_terminating(object)) {
            self.queue.add_after(Work::Namespace(key.namespace.clone()), Instant::now() + CONTENT_WAIT);
        }
    }
}
