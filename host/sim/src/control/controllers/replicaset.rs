//! ReplicaSets: as many pods as wanted, all alike.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Manager,
    api::ApiFailure,
    cache::Key,
    owned::{is_terminating, pod_from_template},
    queue::Work,
    recorder::Voice,
    statefulset::{is_available, is_ready},
};
use crate::control::path::{at, int, list, set, text};

const COMPONENT: &str = "replicaset-controller";
const NORMAL: Voice = Voice { component: COMPONENT, kind: "Normal" };
/// Pods made in one round; the rest comes in the next, so that a wrong template does not flood the server.
const PODS_PER_ROUND_MAX: usize = 500;

impl Manager {
    pub(super) async fn replicaset(&mut self, key: &Key) -> Result<(), ApiFailure> {
        let Some(set) = self.cache.get(key) else { return Ok(()) };
        let pods = self.claim("pods", &set, |_, _| true).await?;
        let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).cloned().collect();
        let wanted = usize::try_from(int(&set, "spec.replicas").unwrap_or(1)).unwrap_or(0);
        let result = if is_terminating(&set) { Ok(()) } else { self.adjust(&set, &active, wanted).await };
        let pods = self.claim("pods", &set, |_, _| true).await?;
        self.replicaset_status(key, &set, &pods).await?;
        result
    }

    async fn adjust(&mut self, set: &Arc<Value>, active: &[Arc<Value>], wanted: usize) -> Result<(), ApiFailure> {
        for _ in active.len()..wanted.min(active.len() + PODS_PER_ROUND_MAX) {
            let made = self.create("pods", &pod_from_template(set, at(set, "spec.template"))).await?;
            self.say(NORMAL, set, "SuccessfulCreate", &format!("Created pod: {}", text(&made, "metadata.name"))).await;
        }
        let mut ranked = active.to_vec();
        ranked.sort_by_key(|pod| usefulness(pod));
        for pod in ranked.iter().take(active.len().saturating_sub(wanted)) {
            self.delete(&Key::of("pods", pod), text(pod, "metadata.uid"), "Background").await?;
            self.say(NORMAL, set, "SuccessfulDelete", &format!("Deleted pod: {}", text(pod, "metadata.name"))).await;
        }
        Ok(())
    }

    async fn replicaset_status(&mut self, key: &Key, object: &Value, pods: &[Arc<Value>]) -> Result<(), ApiFailure> {
        let (now, min_ready) = (self.clock.now(), int(object, "spec.minReadySeconds").unwrap_or(0));
        let active = || pods.iter().filter(|pod| is_active(pod));
        let count = |matches: &dyn Fn(&Value) -> bool| active().filter(|pod| matches(pod)).count();
        let labels = at(object, "spec.template.metadata.labels").as_object();
        let labelled = |pod: &Value| {
            labels.is_none_or(|labels| labels.iter().all(|(k, v)| at(pod, "metadata.labels").get(k) == Some(v)))
        };
        let missing =
            active().filter(|pod| is_ready(pod)).filter_map(|pod| is_available(pod, min_ready, now).err()).min();
        if let Some(seconds) = missing {
            self.queue.add_after(Work::ReplicaSet(key.clone()), Instant::now() + Duration::from_secs(seconds));
        }
        let mut status = json!({"replicas": active().count(), "observedGeneration": int(object, "metadata.generation").unwrap_or(0)});
        let counters = [
            ("fullyLabeledReplicas", count(&labelled)),
            ("readyReplicas", count(&is_ready)),
            ("availableReplicas", count(&|pod| is_ready(pod) && is_available(pod, min_ready, now).is_ok())),
        ];
        for (field, count) in counters.into_iter().filter(|(_, count)| *count > 0) {
            set(&mut status, field, count);
        }
        set(&mut status, "terminatingReplicas", pods.iter().filter(|pod| is_terminating(pod)).count());
        if &status == at(object, "status") {
            return Ok(());
        }
        let mut next = object.clone();
        set(&mut next, "status", status);
        match self.update(key, "/status", &next).await {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }
}

/// Whether the pod counts as a replica.
fn is_active(pod: &Value) -> bool {
    !is_terminating(pod) && !matches!(text(pod, "status.phase"), "Succeeded" | "Failed")
}

/// The pods that are missed least come first: not on a node, not running, not ready; then the youngest.
fn usefulness(pod: &Value) -> (bool, bool, bool, std::cmp::Reverse<String>, String) {
    let restarts: i64 = list(pod, "status.containerStatuses").iter().filter_map(|c| int(c, "restartCount")).sum();
    let placed = !text(pod, "spec.nodeName").is_empty();
    let made = text(pod, "metadata.creationTimestamp").to_owned();
    let name = format!("{:020}{}", u64::MAX - restarts.unsigned_abs(), text(pod, "metadata.name"));
    (placed, text(pod, "status.phase") == "Running", is_ready(pod), std::cmp::Reverse(made), name)
}
