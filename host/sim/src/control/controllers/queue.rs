//! What is to be looked at: in the order in which it came up, each thing once, some of it later.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::cache::Key;

/// One thing for one controller to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    StatefulSet(Key),
    Deployment(Key),
    ReplicaSet(Key),
    /// An object whose owners or dependents changed.
    Garbage(Key),
    Namespace(String),
    /// A service, for both kinds of endpoints.
    Endpoints(Key),
    /// A namespace that must have its account.
    Account(String),
    NodeTtl(Key),
    /// A claim or volume that is being deleted.
    Protection(Key),
    EventExpiry(Key),
    /// A CustomResourceDefinition by name.
    Definition(String),
}

#[derive(Default)]
pub struct Queue {
    ready: VecDeque<Work>,
    queued: BTreeSet<Work>,
    later: BTreeSet<(Instant, Work)>,
    due: BTreeMap<Work, Instant>,
    failures: BTreeMap<Work, u32>,
}

impl Queue {
    /// Puts `work` at the end unless it waits already.
    pub fn add(&mut self, work: Work) {
        if self.queued.insert(work.clone()) {
            self.ready.push_back(work);
        }
    }

    /// Puts `work` into the queue at `when`; the earlier of two times holds.
    pub fn add_after(&mut self, work: Work, when: Instant) {
        if let Some(known) = self.due.get(&work).copied() {
            if known <= when {
                return;
            }
            self.later.remove(&(known, work.clone()));
        }
        self.due.insert(work.clone(), when);
        self.later.insert((when, work));
    }

    /// The next thing to look at, if there is one at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Work> {
        while let Some((_, work)) = self.later.first().filter(|(when, _)| *when <= now).cloned() {
            self.later.pop_first();
            self.due.remove(&work);
            self.add(work);
        }
        let work = self.ready.pop_front()?;
        self.queued.remove(&work);
        Some(work)
    }

    /// When the next delayed thing is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(when, _)| *when)
    }

    pub fn succeeded(&mut self, work: &Work) {
        self.failures.remove(work);
    }

    /// How long to wait before `work` is tried again.
    pub fn failed(&mut self, work: &Work, first: Duration, longest: Duration) -> Duration {
        let failures = self.failures.entry(work.clone()).or_insert(0);
        let wait = first.saturating_mul(1_u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(longest);
        *failures = failures.saturating_add(1).min(u32::BITS - 1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_comes_once_and_delayed_work_in_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let work = |name: &str| Work::Namespace(name.to_owned());
        queue.add(work("b"));
        queue.add(work("a"));
        queue.add(work("b"));
        queue.add_after(work("c"), now + Duration::from_secs(5));
        queue.add_after(work("c"), now + Duration::from_secs(9));
        assert_eq!([queue.pop(now), queue.pop(now), queue.pop(now)], [Some(work("b")), Some(work("a")), None]);
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(5)));
        assert_eq!(queue.pop(now + Duration::from_secs(5)), Some(work("c")));
        assert_eq!(queue.next_due(), None);
    }
}
