//! Events as `kubectl describe` shows them, with repeats counted instead of written again.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::super::api;
use crate::clock::Clock;

/// Kinds of events remembered for counting; beyond that all is forgotten and counting starts again.
const REMEMBERED_MAX: usize = 4_096;

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// `Pod`, `PersistentVolumeClaim`, …
    pub kind: &'static str,
    /// Its namespace; `default` for cluster-scoped objects.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its apiVersion.
    pub api_version: &'static str,
    /// `spec.containers{pd}`, or empty.
    pub field: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The object.
    pub about: About,
    /// `Normal` or `Warning`.
    pub kind: &'static str,
    /// One word.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
    /// Who says so: `kubelet`, `default-scheduler`, …
    pub component: &'static str,
    /// The node of the kubelet, or empty.
    pub host: String,
}

/// Writes events.
pub struct Recorder {
    client: Client,
    clock: Clock,
    seen: BTreeMap<(About, &'static str, String), (String, i32)>,
    written: u64,
}

impl Recorder {
    /// A recorder that has seen nothing.
    pub fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, seen: BTreeMap::new(), written: 0 }
    }

    /// Writes an event, or counts it if the same was written before. Failures are only logged: events are a courtesy.
    pub async fn record(&mut self, happening: Happening) {
        let key = (happening.about.clone(), happening.reason, happening.message.clone());
        let events: Api<Event> = Api::namespaced(self.client.clone(), &happening.about.namespace);
        if let Some((name, count)) = self.seen.get_mut(&key) {
            *count += 1;
            let again = json!({"count": *count, "lastTimestamp": api::rfc3339(self.clock.now_ms())});
            let patched = events.patch(name, &PatchParams::default(), &Patch::Merge(&again)).await;
            match patched {
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, "failed to count an event"),
            }
        }
        if self.seen.len() >= REMEMBERED_MAX {
            self.seen.clear();
        }
        self.written += 1;
        let name = format!("{}.{:x}", happening.about.name, (self.clock.now_ms() << 20) + self.written % (1 << 20));
        match events.create(&PostParams::default(), &self.build(&name, &happening)).await {
            Ok(_) => {
                self.seen.insert(key, (name, 1));
            }
            Err(error) => tracing::debug!(%error, "failed to write an event"),
        }
    }

    fn build(&self, name: &str, happening: &Happening) -> Event {
        let now = api::rfc3339(self.clock.now_ms());
        let about = &happening.about;
        let mut involved = json!({
            "apiVersion": about.api_version, "kind": about.kind, "namespace": about.namespace,
            "name": about.name, "uid": about.uid,
        });
        if !about.field.is_empty() {
            involved["fieldPath"] = json!(about.field);
        }
        let mut source = json!({"component": happening.component});
        if !happening.host.is_empty() {
            source["host"] = json!(happening.host);
        }
        let event = json!({
            "metadata": {"name": name, "namespace": about.namespace},
            "involvedObject": involved, "type": happening.kind, "reason": happening.reason,
            "message": happening.message, "source": source, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now,
            "reportingComponent": happening.component, "reportingInstance": happening.host,
        });
        serde_json::from_value(event).unwrap_or_default()
    }
}
