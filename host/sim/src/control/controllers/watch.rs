//! Following one resource: a list, then its changes, again from the start when the history is gone.

use std::time::Duration;

use futures::StreamExt as _;
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::sync::mpsc;

use super::api::{Api, ApiFailure};
use crate::control::{
    path::{at, flag, list, set, text},
    resources::Registry,
};

/// How long to wait before a list or watch that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Resources that no controller looks at and that nobody owns anything by; leases change every few seconds.
const LEFT_OUT: [&str; 2] = ["leases.coordination.k8s.io", "events.events.k8s.io"];

/// A resource that is followed, in one of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// `pods`, `statefulsets.apps`.
    pub id: String,
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
}

impl Watched {
    fn new(group: &str, version: &str, kind: &str, plural: &str, namespaced: bool) -> Self {
        let id = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
        let [group, version, kind, plural] = [group, version, kind, plural].map(str::to_owned);
        Self { id, group, version, kind, plural, namespaced }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of an object, or of the collection for an empty name; of all namespaces for an empty namespace.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if !namespace.is_empty() {
            path += &format!("/namespaces/{namespace}");
        }
        path += &format!("/{}", self.plural);
        if !name.is_empty() {
            path += &format!("/{name}");
        }
        path
    }
}

/// What a watch tells.
pub enum Change {
    /// All there is.
    Listed { id: String, objects: Vec<Value> },
    /// An object came or changed.
    Put { id: String, object: Value },
    /// An object went.
    Deleted { id: String, object: Value },
}

/// The built-in resources that are followed, each in its preferred version.
pub fn builtin() -> Vec<Watched> {
    let mut found: Vec<Watched> = Vec::new();
    for resource in Registry::builtin().all().filter(|resource| resource.verbs.contains(&"watch")) {
        let watched =
            Watched::new(&resource.group, &resource.version, &resource.kind, &resource.plural, resource.namespaced);
        let new = !LEFT_OUT.contains(&watched.id.as_str()) && !found.iter().any(|known| known.id == watched.id);
        if new {
            found.push(watched);
        }
    }
    found
}

/// The resource of a CustomResourceDefinition, in a served version.
pub fn custom(crd: &Value) -> Option<Watched> {
    let served = list(crd, "spec.versions").iter().filter(|version| flag(version, "served"));
    let version = served.clone().find(|version| flag(version, "storage")).or_else(|| served.clone().next())?;
    let namespaced = text(crd, "spec.scope") == "Namespaced";
    let (group, names) = (text(crd, "spec.group"), at(crd, "spec.names"));
    Some(Watched::new(group, text(version, "name"), text(names, "kind"), text(names, "plural"), namespaced))
}

/// Follows a resource until the receiver goes.
pub async fn follow(api: Api, watched: Watched, changes: mpsc::Sender<Change>) {
    loop {
        if let Ok(version) = list_all(&api, &watched, &changes).await {
            watch_from(&api, &watched, &changes, version).await;
        }
        if changes.is_closed() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn list_all(api: &Api, watched: &Watched, changes: &mpsc::Sender<Change>) -> Result<String, ()> {
    let found = match api.get(&watched.path("", "")).await {
        Ok(found) => found,
        Err(failure) => {
            tracing::debug!(%failure, id = watched.id, "failed to list");
            // A resource that the server refuses has nothing for the controllers; they must not wait for it.
            if matches!(failure, ApiFailure::Refused { .. }) {
                changes.send(Change::Listed { id: watched.id.clone(), objects: Vec::new() }).await.map_err(|_| ())?;
            }
            return Err(());
        }
    };
    let version = text(&found, "metadata.resourceVersion").to_owned();
    let objects = match found {
        Value::Object(mut fields) => fields.remove("items"),
        _ => None,
    };
    let objects =
        objects.and_then(|items| if let Value::Array(items) = items { Some(items) } else { None }).unwrap_or_default();
    let objects = objects.into_iter().map(|object| typed(object, watched)).collect();
    changes.send(Change::Listed { id: watched.id.clone(), objects }).await.map_err(|_| ())?;
    Ok(version)
}

/// Items of a list leave out what type they are.
fn typed(mut object: Value, watched: &Watched) -> Value {
    set(&mut object, "apiVersion", watched.api_version());
    set(&mut object, "kind", watched.kind.as_str());
    object
}

/// Follows changes from a version on; ends when the server cannot continue from where it was.
async fn watch_from(api: &Api, watched: &Watched, changes: &mpsc::Sender<Change>, mut version: String) {
    loop {
        let path = format!("{}?watch=1&resourceVersion={version}", watched.path("", ""));
        let Ok(mut events) = api.watch(&path).await else { return };
        while let Some(event) = events.next().await {
            let id = watched.id.clone();
            let change = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => Change::Put { id, object },
                Ok(WatchEvent::Deleted(object)) => Change::Deleted { id, object },
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    version = bookmark.metadata.resource_version;
                    continue;
                }
                Ok(WatchEvent::Error(_)) | Err(_) => return,
            };
            if let Change::Put { object, .. } | Change::Deleted { object, .. } = &change {
                version = text(object, "metadata.resourceVersion").to_owned();
            }
            if changes.send(change).await.is_err() {
                return;
            }
        }
    }
}
