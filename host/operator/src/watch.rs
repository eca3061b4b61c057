//! One watch of the API server, feeding one table of the store.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client,
    api::{DynamicObject, PartialObjectMeta},
    core::DynamicResourceScope,
    discovery::ApiResource,
    runtime::watcher::{self, Event},
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tidepool_api::labels;
use tidepool_model::descriptor::{Kind, Scope};

use crate::{
    kinds::{self, Resource},
    policies::Policy,
    store::{Change, Entry, Selection, Store, WatchKey},
};

/// After the first failure a watch waits this long, doubled with each further one. Without randomness: a simulation
/// repeats itself, and one operator is no herd.
const RETRY_MS_MIN: u64 = 500;

/// A watch that keeps failing is tried again at least this often.
const RETRY_MS_MAX: u64 = 30_000;

/// The status of an API server that does not know any more what came after a version.
const GONE: u16 = 410;

/// What the host itself needs to see, whatever the policies ask for: it builds pod rows and checks plans from these, and
/// follows owners through them.
const NEEDED: [(&str, &str); 5] = [
    ("v1", "Pod"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
];

/// The watches that these policies, and the host's own checks, need.
pub fn wanted(policies: &[Arc<dyn Policy>]) -> BTreeSet<WatchKey> {
    let mut keys = BTreeSet::from([WatchKey { kind: kinds::tidb_cluster(), selection: Selection::All }]);
    // When a client's certificate changes tells its head; what is in it is read by name, and only where TLS is spoken.
    keys.insert(WatchKey { kind: kinds::secret(), selection: Selection::Heads });
    keys.extend(NEEDED.iter().map(|(api, kind)| of_kind(kinds::kind(api, kind))));
    for policy in policies {
        let descriptor = policy.descriptor();
        keys.extend(descriptor.writes.iter().cloned().map(of_kind));
        for watch in &descriptor.watches {
            let kind = kinds::kind(&watch.api_version, &watch.kind);
            keys.insert(match watch.of {
                Scope::Referenced => WatchKey { kind, selection: Selection::Heads },
                _ => of_kind(kind),
            });
        }
    }
    keys
}

fn of_kind(kind: Kind) -> WatchKey {
    let all = !kinds::namespaced(&kind) || kind == kinds::tidb_cluster();
    WatchKey { selection: if all { Selection::All } else { Selection::Managed }, kind }
}

/// Watches for ever, in one namespace or in all.
pub async fn watch(client: Client, key: WatchKey, namespace: Option<String>, store: Arc<Store>) {
    let resource = resolve(&client, &key.kind).await;
    let config = watcher::Config::default();
    let config = match key.selection {
        Selection::Managed => config.labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGED_BY_VALUE)),
        Selection::All | Selection::Heads => config,
    };
    if key.selection == Selection::Heads || key.kind == kinds::secret() {
        // The API server sends the heads alone, so that contents of Secrets never reach this process.
        let api: Api<PartialObjectMeta<DynamicObject>> = api(client, &resource, namespace.as_deref());
        let read = |kind: &Kind, head: PartialObjectMeta<DynamicObject>| {
            Entry::head(kind, &serde_json::to_value(head.metadata)?)
        };
        follow(watcher::watcher(api, config), &key, &store, read).await;
    } else {
        let api: Api<Raw> = api(client, &resource, namespace.as_deref());
        follow(watcher::watcher(api, config), &key, &store, |kind, raw| Entry::read(kind, raw.value)).await;
    }
}

async fn resolve(client: &Client, kind: &Kind) -> Resource {
    let mut retry = Retry::default();
    loop {
        match kinds::resolve(client, kind).await {
            Ok(resource) => return resource,
            Err(error) => {
                tracing::warn!(kind = kind.kind, %error, "failed to find a kind at the API server");
                retry.wait().await;
            }
        }
    }
}

fn api<K>(client: Client, resource: &Resource, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    match namespace {
        Some(namespace) if resource.namespaced => Api::namespaced_with(client, namespace, &resource.api),
        _ => Api::all_with(client, &resource.api),
    }
}

async fn follow<T>(
    events: impl Stream<Item = watcher::Result<Event<T>>>,
    key: &WatchKey,
    store: &Store,
    read: impl Fn(&Kind, T) -> Result<Entry, serde_json::Error>,
) {
    let mut events = std::pin::pin!(events);
    let mut retry = Retry::default();
    let mut listed = Vec::new();
    let read = |object| match read(&key.kind, object) {
        Ok(entry) => Some(entry),
        Err(error) => {
            tracing::error!(kind = key.kind.kind, %error, "failed to read an object from the API server");
            None
        }
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                retry = Retry::default();
                match event {
                    Event::Init => listed.clear(),
                    Event::InitApply(object) => listed.extend(read(object)),
                    Event::InitDone => store.replace(key, std::mem::take(&mut listed)),
                    Event::Apply(object) => {
                        if let Some(entry) = read(object) {
                            store.change(key, Change::Apply(Box::new(entry)));
                        }
                    }
                    Event::Delete(object) => {
                        if let Some(entry) = read(object) {
                            store.change(key, Change::Delete(Box::new(entry)));
                        }
                    }
                }
            }
            Err(error) => {
                retry.tell(&key.kind, &error);
                retry.wait().await;
            }
        }
    }
}

fn chain(error: &watcher::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

/// The pause after a failure.
struct Retry {
    ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { ms: RETRY_MS_MIN }
    }
}

impl Retry {
    /// Warns of the first failure in a row. That the API server has forgotten where a watch was is usual after a pause.
    fn tell(&self, kind: &Kind, error: &watcher::Error) {
        let kind = kind.kind.as_str();
        if self.ms == RETRY_MS_MIN && !matches!(error, watcher::Error::WatchError(status) if status.code == GONE) {
            tracing::warn!(kind, error = chain(error), "failed to watch; trying again until it works");
        } else {
            tracing::debug!(kind, error = chain(error), "failed to watch");
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.ms)).await;
        self.ms = (self.ms * 2).min(RETRY_MS_MAX);
    }
}

/// Any object, as JSON.
#[derive(Clone, Debug)]
struct Raw {
    meta: ObjectMeta,
    value: Value,
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |key: &str| value["metadata"][key].as_str().map(ToOwned::to_owned);
        let meta = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, value })
    }
}

impl kube::Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(api: &ApiResource) -> Cow<'_, str> {
        api.kind.as_str().into()
    }

    fn group(api: &ApiResource) -> Cow<'_, str> {
        api.group.as_str().into()
    }

    fn version(api: &ApiResource) -> Cow<'_, str> {
        api.version.as_str().into()
    }

    fn plural(api: &ApiResource) -> Cow<'_, str> {
        api.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
