//! Events that controllers write; the same event again counts up.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Manager, cache::Key};
use crate::control::path::text;

/// Events that are remembered for counting; the oldest half is forgotten beyond that.
const REMEMBERED_MAX: usize = 4_096;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// What has been said, to count repetitions.
#[derive(Default)]
pub struct Recorder {
    said: BTreeMap<String, Said>,
    next: u64,
}

struct Said {
    key: Key,
    count: u64,
    order: u64,
}

/// Who speaks, and how grave it is.
#[derive(Clone, Copy)]
pub struct Voice {
    pub component: &'static str,
    pub kind: &'static str,
}

impl Manager {
    /// Writes an event about `object`. An event that cannot be written is only logged: it must not stop a controller.
    pub(super) async fn say(&mut self, voice: Voice, object: &Value, reason: &str, message: &str) {
        let now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let id = format!("{} {} {reason} {message}", voice.component, text(object, "metadata.uid"));
        if let Some(said) = self.recorder.said.get_mut(&id) {
            said.count += 1;
            let (key, patch) = (said.key.clone(), json!({"count": said.count, "lastTimestamp": now}));
            match self.patch(&key, "", &patch).await {
                Ok(_) => return,
                Err(failure) => tracing::debug!(%failure, "failed to count an event"),
            }
        }
        let event = self.event(voice, object, reason, message, &now);
        match self.create("events", &event).await {
            Ok(made) => self.remember(id, Key::of("events", &made)),
            Err(failure) => tracing::debug!(%failure, "failed to write an event"),
        }
    }

    fn event(&mut self, voice: Voice, object: &Value, reason: &str, message: &str, now: &str) -> Value {
        // The last digits of the name's time tell events of one millisecond apart.
        self.recorder.next += 1;
        let stamp = self.clock.now_ms() * NANOS_PER_MILLI + self.recorder.next % NANOS_PER_MILLI;
        let namespace = match text(object, "metadata.namespace") {
            "" => "default",
            namespace => namespace,
        };
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{}.{stamp:016x}", text(object, "metadata.name")), "namespace": namespace},
            "involvedObject": {
                "apiVersion": text(object, "apiVersion"), "kind": text(object, "kind"), "name": text(object, "metadata.name"),
                "namespace": text(object, "metadata.namespace"), "resourceVersion": text(object, "metadata.resourceVersion"),
                "uid": text(object, "metadata.uid"),
            },
            "type": voice.kind, "reason": reason, "message": message, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now,
            "source": {"component": voice.component}, "reportingComponent": voice.component,
        })
    }

    fn remember(&mut self, id: String, key: Key) {
        let recorder = &mut self.recorder;
        if recorder.said.len() >= REMEMBERED_MAX {
            let mut orders: Vec<u64> = recorder.said.values().map(|said| said.order).collect();
            orders.sort_unstable();
            let middle = orders.get(orders.len() / 2).copied().unwrap_or(0);
            recorder.said.retain(|_, said| said.order >= middle);
        }
        recorder.said.insert(id, Said { key, count: 1, order: recorder.next });
    }
}
