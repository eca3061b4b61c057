//! The account that every namespace has, and the hint that every node carries.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::{Manager, api::ApiFailure, cache::Key, owned::is_terminating, queue::Work, routing::EVENT_TTL};
use crate::control::path::{entry, text};

const ACCOUNT: &str = "default";
/// How long a kubelet may keep what it read, in seconds: nothing, in clusters as small as these.
const TTL_ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

impl Manager {
    /// Makes the default account of a namespace.
    pub(super) async fn account(&mut self, namespace: &str) -> Result<(), ApiFailure> {
        let alive =
            self.cache.get(&Key::cluster("namespaces", namespace)).is_some_and(|namespace| !is_terminating(&namespace));
        let there = self.cache.get(&Key::new("serviceaccounts", namespace, ACCOUNT)).is_some();
        if !alive || there {
            return Ok(());
        }
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": namespace}});
        match self.create("serviceaccounts", &account).await {
            Err(failure) if !failure.already_exists() => Err(failure),
            _ => Ok(()),
        }
    }

    pub(super) async fn node_ttl(&mut self, key: &Key) -> Result<(), ApiFailure> {
        let Some(node) = self.cache.get(key) else { return Ok(()) };
        if entry(&node, "metadata.annotations", TTL_ANNOTATION).is_some() {
            return Ok(());
        }
        match self.patch(key, "", &json!({"metadata": {"annotations": {TTL_ANNOTATION: "0"}}})).await {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }

    /// Deletes an event that has not been written for its time.
    pub(super) async fn expire_event(&mut self, key: &Key) -> Result<(), ApiFailure> {
        let Some(event) = self.cache.get(key) else { return Ok(()) };
        let times = ["series.lastObservedTime", "lastTimestamp", "eventTime", "metadata.creationTimestamp"];
        // An event may be written with a time of long ago; what counts is when it was written last.
        let last = times.iter().filter_map(|path| text(&event, path).parse::<Timestamp>().ok()).max();
        let age = last
            .map_or(EVENT_TTL, |last| Duration::try_from(self.clock.now().duration_since(last)).unwrap_or_default());
        if let Some(rest) = EVENT_TTL.checked_sub(age).filter(|rest| !rest.is_zero()) {
            self.queue.add_after(Work::EventExpiry(key.clone()), Instant::now() + rest);
            return Ok(());
        }
        self.delete(key, text(&event, "metadata.uid"), "Background").await
    }
}
