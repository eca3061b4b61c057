//! Kubernetes Events on a TidbCluster: equal ones counted instead of repeated, and no more than a reader can follow.
//!
//! An event tells a person; nothing depends on it. So a failed write is logged and forgotten.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tidepool_model::{plan::EventType, record::digest};
use tokio::time::{Instant, timeout};

use crate::{
    apply::FIELD_MANAGER,
    cluster::{Cluster, ClusterKey},
    status::timestamp,
};

/// New events of one cluster at once: a whole bring-up fits.
const BURST_MAX: u32 = 50;

/// After a burst, one more event in this time.
const REFILL_SECONDS: u64 = 10;

/// The count of an event that goes on happening is written at most this often.
const COUNT_WRITE_SECONDS: u64 = 300;

/// Different events of one cluster that are remembered for counting.
const REMEMBERED_MAX: usize = 256;

/// What the API server takes as a message.
const MESSAGE_CHARS_MAX: usize = 1024;

/// What the API server takes as a reason.
const REASON_CHARS_MAX: usize = 128;

/// A round waits no longer for an API server that does not answer: an event is a courtesy, and what the round is about
/// may be leaders that wait to come back.
const WRITE_SECONDS_MAX: u64 = 5;

/// Writes events.
pub struct Events {
    client: Client,
    instance: String,
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    clusters: Mutex<BTreeMap<ClusterKey, Seen>>,
}

/// The events of one cluster.
struct Seen {
    tokens: u32,
    refilled: Instant,
    events: BTreeMap<(bool, String, String), Counted>,
}

#[derive(Clone)]
struct Counted {
    name: String,
    count: u32,
    written: Instant,
}

/// What to do about an event.
enum Write {
    Nothing,
    Create(String),
    Count(String, u32),
}

impl Events {
    /// Writes as `instance` of the operator.
    pub fn new(client: Client, instance: String, now_ms: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self { client, instance, now_ms, clusters: Mutex::default() }
    }

    /// Publishes an event on a cluster.
    pub async fn publish(&self, cluster: &Cluster, kind: EventType, reason: &str, message: &str) {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &cluster.key.namespace);
        let write = async {
            match self.note(cluster, kind, &reason, &message) {
                Write::Nothing => Ok(()),
                Write::Create(name) => self.create(&api, cluster, &name, kind, &reason, &message).await,
                Write::Count(name, count) => {
                    let patch = json!({"count": count, "lastTimestamp": timestamp((self.now_ms)())});
                    api.patch(&name, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch)).await.map(drop)
                }
            }
        };
        let failed = match timeout(Duration::from_secs(WRITE_SECONDS_MAX), write).await {
            Ok(written) => written.err().map(|error| error.to_string()),
            Err(_) => Some(format!("no answer within {WRITE_SECONDS_MAX} s")),
        };
        if let Some(error) = failed {
            tracing::warn!(cluster = %cluster.key, reason, error, "failed to publish an event");
        }
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, cluster: &ClusterKey) {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner).remove(cluster);
    }

    fn note(&self, cluster: &Cluster, kind: EventType, reason: &str, message: &str) -> Write {
        let now = Instant::now();
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Seen { tokens: BURST_MAX, refilled: now, events: BTreeMap::new() };
        let seen = clusters.entry(cluster.key.clone()).or_insert_with(fresh);
        let key = (kind == EventType::Warning, reason.to_owned(), message.to_owned());
        if let Some(counted) = seen.events.get_mut(&key) {
            counted.count = counted.count.saturating_add(1);
            if now.duration_since(counted.written) < Duration::from_secs(COUNT_WRITE_SECONDS) {
                return Write::Nothing;
            }
            counted.written = now;
            return Write::Count(counted.name.clone(), counted.count);
        }
        if !seen.take_token(now) {
            return Write::Nothing;
        }
        if seen.events.len() >= REMEMBERED_MAX {
            seen.forget_oldest();
        }
        let hash = digest(format!("{}/{kind:?}/{reason}/{message}/{}", cluster.uid, (self.now_ms)()).as_bytes());
        let hash: String = hash.chars().skip("sha256:".len()).take(16).collect();
        let name = format!("{}.{hash}", cluster.key.name);
        seen.events.insert(key, Counted { name: name.clone(), count: 1, written: now });
        Write::Create(name)
    }

    async fn create(
        &self,
        api: &Api<Event>,
        cluster: &Cluster,
        name: &str,
        kind: EventType,
        reason: &str,
        message: &str,
    ) -> kube::Result<()> {
        let now = timestamp((self.now_ms)());
        let event = json!({
            "metadata": {"name": name, "namespace": cluster.key.namespace},
            "involvedObject": {
                "apiVersion": tidepool_api::cluster::API_VERSION,
                "kind": tidepool_api::cluster::KIND,
                "name": cluster.key.name,
                "namespace": cluster.key.namespace,
                "uid": cluster.uid,
                "resourceVersion": cluster.resource_version,
            },
            "type": kind, "reason": reason, "message": message, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now,
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER, "reportingInstance": self.instance,
        });
        let event: Event = serde_json::from_value(event).map_err(kube::Error::SerdeError)?;
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        api.create(&parameters, &event).await.map(drop)
    }
}

impl Seen {
    fn take_token(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.refilled).as_secs() / REFILL_SECONDS;
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned.try_into().unwrap_or(u32::MAX)).min(BURST_MAX);
            self.refilled += Duration::from_secs(earned * REFILL_SECONDS);
        }
        let some = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        some
    }

    fn forget_oldest(&mut self) {
        let oldest = self.events.iter().min_by_key(|(_, counted)| counted.written).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.events.remove(&key);
        }
    }
}
