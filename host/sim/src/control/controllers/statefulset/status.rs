//! What a StatefulSet's status counts.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Round, revision_of};
use crate::control::{
    controllers::{Manager, api::ApiFailure, owned::is_terminating},
    path::{at, int, list, set, text},
};

/// Pods by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub replicas: i64,
    pub ready: i64,
    pub available: i64,
    pub current: i64,
    pub updated: i64,
}

impl Counts {
    pub fn of(round: &Round) -> Self {
        let mut counts = Self::default();
        for pod in round.pods().filter(|pod| is_created(pod)) {
            counts.replicas += 1;
            if is_ready(pod) {
                counts.ready += 1;
                counts.available += i64::from(is_available(pod, round.min_ready_seconds, Timestamp::MAX).is_ok());
            }
            if !is_terminating(pod) {
                counts.current += i64::from(revision_of(pod) == round.revisions.current_name());
                counts.updated += i64::from(revision_of(pod) == round.revisions.newest_name());
            }
        }
        counts
    }
}

/// Whether the server has the pod.
pub fn is_created(pod: &Value) -> bool {
    !text(pod, "metadata.uid").is_empty()
}

fn ready_condition(pod: &Value) -> Option<&Value> {
    list(pod, "status.conditions").iter().find(|c| text(c, "type") == "Ready" && text(c, "status") == "True")
}

/// Whether the pod runs and is ready.
pub fn is_ready(pod: &Value) -> bool {
    text(pod, "status.phase") == "Running" && ready_condition(pod).is_some()
}

pub fn is_healthy(pod: &Value) -> bool {
    is_ready(pod) && !is_terminating(pod)
}

/// Whether the pod has been ready for long enough at `now`; otherwise how many seconds are missing.
pub fn is_available(pod: &Value, min_ready_seconds: i64, now: Timestamp) -> Result<(), u64> {
    let Some(condition) = ready_condition(pod).filter(|_| min_ready_seconds > 0) else { return Ok(()) };
    let Ok(since) = text(condition, "lastTransitionTime").parse::<Timestamp>() else { return Ok(()) };
    let missing = min_ready_seconds - (now.as_second() - since.as_second());
    if missing <= 0 { Ok(()) } else { Err(missing.unsigned_abs()) }
}

impl Manager {
    /// Writes the status if it says something new.
    pub(super) async fn statefulset_status(&mut self, round: &Round, counts: Counts) -> Result<(), ApiFailure> {
        let counts = Counts { available: self.available(round), ..counts };
        let wanted = int(&round.set, "spec.replicas").unwrap_or(1);
        let rolling = text(&round.set, "spec.updateStrategy.type") == "RollingUpdate";
        let complete = rolling && [counts.updated, counts.ready, counts.replicas].iter().all(|count| *count == wanted);
        let newest = round.revisions.newest_name();
        let (current, current_name) =
            if complete { (counts.updated, newest) } else { (counts.current, round.revisions.current_name()) };
        let mut status = json!({
            "observedGeneration": int(&round.set, "metadata.generation").unwrap_or(0),
            "replicas": counts.replicas, "availableReplicas": counts.available,
            "currentRevision": current_name, "updateRevision": newest, "collisionCount": round.revisions.collisions,
        });
        // Zero counters are left out, but for the two above.
        for (field, count) in
            [("readyReplicas", counts.ready), ("currentReplicas", current), ("updatedReplicas", counts.updated)]
        {
            if count != 0 {
                set(&mut status, field, count);
            }
        }
        if let Some(conditions) = at(&round.set, "status").get("conditions") {
            set(&mut status, "conditions", conditions.clone());
        }
        if &status == at(&round.set, "status") {
            return Ok(());
        }
        let mut next = (*round.set).clone();
        set(&mut next, "status", status);
        match self.update(&round.key, "/status", &next).await {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }

    fn available(&self, round: &Round) -> i64 {
        let now = self.clock.now();
        let available =
            |pod: &&std::sync::Arc<Value>| is_ready(pod) && is_available(pod, round.min_ready_seconds, now).is_ok();
        i64::try_from(round.pods().filter(|pod| is_created(pod)).filter(available).count()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_available_when_it_was_ready_long_enough() {
        let pod = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(is_available(&pod, 10, at("2026-01-01T00:00:04Z")), Err(6));
        assert_eq!(is_available(&pod, 10, at("2026-01-01T00:00:10Z")), Ok(()));
        assert_eq!(is_available(&pod, 0, at("2026-01-01T00:00:00Z")), Ok(()));
        assert!(is_ready(&pod) && is_healthy(&pod));
    }
}
