//! Which cluster's round is next, and when: each cluster at most once at a time, the longest due first.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::cluster::ClusterKey;

/// Changes that come within this time lead to one round: pods and their volumes change in flocks.
const GATHER_MS: u64 = 50;

/// A round that only its own cluster's writes call for comes after this time, doubled each time in a row.
const AGAIN_MS_MIN: u64 = 20;

/// The longest such pause: a policy that undoes what it did cannot wear out the API server (P14).
const AGAIN_MS_MAX: u64 = 5_000;

/// After a failure the next round comes after this time, doubled each time in a row.
const RETRY_MS_MIN: u64 = 500;

/// The longest such pause.
const RETRY_MS_MAX: u64 = 30_000;

/// What calls for the next round after one has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: all is as it should be until this time.
    Rest(Duration),
    /// The round has written something, and what it wrote may lead to more.
    Again(Duration),
    /// The round failed for a reason that may pass.
    Retry,
}

/// Clusters and when their rounds are due.
#[derive(Default)]
pub struct Queue {
    clusters: Mutex<BTreeMap<ClusterKey, Entry>>,
    changed: Notify,
}

#[derive(Default)]
struct Entry {
    due: Option<Instant>,
    running: bool,
    /// Rounds in a row that ended with the same kind of [`Next`], apart from `Rest`.
    again: u32,
    retries: u32,
}

impl Queue {
    /// Something that the cluster's round looks at has changed.
    pub fn changed(&self, key: &ClusterKey) {
        let mut clusters = self.lock();
        let entry = clusters.entry(key.clone()).or_default();
        entry.again = 0;
        entry.due_by(Instant::now() + Duration::from_millis(GATHER_MS));
        self.changed.notify_one();
    }

    /// Waits until a round is due, and takes it.
    pub async fn next(&self) -> ClusterKey {
        loop {
            // Registered before looking, so that a change in between is not missed.
            let changed = self.changed.notified();
            let earliest = match self.take() {
                Ok(key) => return key,
                Err(earliest) => earliest,
            };
            match earliest {
                Some(due) => drop(tokio::time::timeout_at(due, changed).await),
                None => changed.await,
            }
        }
    }

    /// The cluster's round has ended.
    pub fn done(&self, key: &ClusterKey, next: Next) {
        let mut clusters = self.lock();
        let Some(entry) = clusters.get_mut(key) else { return };
        entry.running = false;
        let now = Instant::now();
        match next {
            Next::Rest(pause) => {
                (entry.again, entry.retries) = (0, 0);
                entry.due_by(now + pause);
            }
            Next::Again(limit) => {
                entry.retries = 0;
                entry.due_by(now + doubled(AGAIN_MS_MIN, AGAIN_MS_MAX, entry.again).min(limit));
                entry.again = entry.again.saturating_add(1);
            }
            Next::Retry => {
                // A change that came during the round does not shorten this pause: the failure itself may have caused it.
                entry.due = Some(now + doubled(RETRY_MS_MIN, RETRY_MS_MAX, entry.retries));
                entry.retries = entry.retries.saturating_add(1);
            }
        }
        self.changed.notify_one();
    }

    /// The cluster is gone.
    pub fn forget(&self, key: &ClusterKey) {
        self.lock().remove(key);
    }

    fn take(&self) -> Result<ClusterKey, Option<Instant>> {
        let mut clusters = self.lock();
        let waiting = clusters.iter().filter(|(_, entry)| !entry.running);
        let first = waiting.filter_map(|(key, entry)| Some((entry.due?, key.clone()))).min();
        let Some((due, key)) = first else { return Err(None) };
        if due > Instant::now() {
            return Err(Some(due));
        }
        if let Some(entry) = clusters.get_mut(&key) {
            entry.due = None;
            entry.running = true;
        }
        Ok(key)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ClusterKey, Entry>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn due_by(&mut self, due: Instant) {
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }
}

fn doubled(min_ms: u64, max_ms: u64, times: u32) -> Duration {
    Duration::from_millis(min_ms.saturating_mul(1u64.checked_shl(times.min(32)).unwrap_or(u64::MAX)).min(max_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ClusterKey {
        ClusterKey { namespace: "tidb".into(), name: name.into() }
    }

    async fn wait_for(queue: &Queue) -> (String, u64) {
        let start = Instant::now();
        let key = queue.next().await;
        (key.name, start.elapsed().as_millis().try_into().expect("short"))
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_gathered_and_the_longest_due_comes_first() {
        let queue = Queue::default();
        queue.changed(&key("b"));
        tokio::time::sleep(Duration::from_millis(30)).await;
        queue.changed(&key("a"));
        queue.changed(&key("b"));
        assert_eq!(wait_for(&queue).await, ("b".into(), 20));
        assert_eq!(wait_for(&queue).await, ("a".into(), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_during_a_round_leads_to_one_more() {
        let queue = Queue::default();
        queue.changed(&key("a"));
        wait_for(&queue).await;
        queue.changed(&key("a"));
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(queue.take().is_err(), "not twice at a time");
        queue.done(&key("a"), Next::Rest(Duration::from_secs(30)));
        assert_eq!(wait_for(&queue).await, ("a".into(), 0));
        queue.done(&key("a"), Next::Rest(Duration::from_secs(30)));
        assert_eq!(wait_for(&queue).await, ("a".into(), 30_000));
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_that_call_for_themselves_and_failures_slow_down() {
        let queue = Queue::default();
        queue.changed(&key("a"));
        wait_for(&queue).await;
        let mut pauses = Vec::new();
        for next in [
            Next::Again(Duration::MAX),
            Next::Again(Duration::MAX),
            Next::Retry,
            Next::Retry,
            Next::Again(Duration::MAX),
        ] {
            queue.done(&key("a"), next);
            pauses.push(wait_for(&queue).await.1);
        }
        assert_eq!(pauses, [20, 40, 500, 1000, 80]);
    }
}
