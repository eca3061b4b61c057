//! Decide (pure): asks one policy, on a thread that may block; or knows what it would say.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tidepool_model::{Snapshot, record::Outcome};
use tidepool_policy::{Decision, Reads};
use tokio::sync::Semaphore;

use crate::{cluster::ClusterKey, policies::Policy};

/// Where policies run.
#[derive(Clone)]
pub enum Executor {
    /// On the calling thread. For virtual time: a thread of its own would let the clock run on during a decision.
    Inline,
    /// On threads for blocking work, so many at a time.
    Pool(Arc<Semaphore>),
}

impl Executor {
    /// At most `at_once` decisions at a time.
    pub fn pool(at_once: usize) -> Self {
        Self::Pool(Arc::new(Semaphore::new(at_once.max(1))))
    }

    /// Asks `policy` what to do about `snapshot`.
    pub async fn decide(&self, policy: Arc<dyn Policy>, snapshot: Arc<Snapshot>) -> Decision {
        match self {
            Self::Inline => policy.decide(snapshot),
            Self::Pool(permits) => {
                // The permit goes with the call: a cancelled round does not let more calls run than there are permits.
                let Ok(permit) = permits.clone().acquire_owned().await else { return fault("the pool is closed") };
                let call = tokio::task::spawn_blocking(move || {
                    let decision = policy.decide(snapshot);
                    drop(permit);
                    decision
                });
                call.await.unwrap_or_else(|error| fault(&format!("the call was lost: {error}")))
            }
        }
    }
}

/// The last decision for each component of each cluster, and what it was made from.
///
/// A policy has no input but what it reads of its snapshot, and no state. So where all that it read is as it was, it
/// would decide the same again, word for word, and is not asked. That is what a cluster at rest mostly costs.
#[derive(Default)]
pub struct Memory {
    last: Mutex<BTreeMap<(ClusterKey, String), Remembered>>,
}

struct Remembered {
    policy: String,
    snapshot: Arc<Snapshot>,
    decision: Decision,
}

impl Memory {
    /// What the policy would decide, if that is known.
    pub fn recall(&self, cluster: &ClusterKey, policy: &dyn Policy, snapshot: &Snapshot) -> Option<Decision> {
        let last = self.last();
        let known = last.get(&(cluster.clone(), policy.descriptor().component.clone()))?;
        let same = known.policy == policy.digest() && known.decision.reads.are_same(&known.snapshot, snapshot);
        // It takes no time and says nothing this time.
        same.then(|| Decision { log: Vec::new(), duration: Duration::ZERO, ..known.decision.clone() })
    }

    /// Remembers a decision. A failure is forgotten: a limit of time may have caused it.
    pub fn keep(&self, cluster: &ClusterKey, policy: &dyn Policy, snapshot: &Arc<Snapshot>, decision: &Decision) {
        let key = (cluster.clone(), policy.descriptor().component.clone());
        if !matches!(decision.outcome, Outcome::Plan(_)) {
            self.last().remove(&key);
            return;
        }
        let (policy, snapshot) = (policy.digest().to_owned(), snapshot.clone());
        self.last().insert(key, Remembered { policy, snapshot, decision: decision.clone() });
    }

    /// Drops what is kept of a cluster that is gone.
    pub fn forget(&self, cluster: &ClusterKey) {
        self.last().retain(|(key, _), _| key != cluster);
    }

    fn last(&self) -> MutexGuard<'_, BTreeMap<(ClusterKey, String), Remembered>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fault(text: &str) -> Decision {
    let outcome = Outcome::Fault(text.to_owned());
    Decision { outcome, reads: Reads::everything(), fuel: 0, log: Vec::new(), duration: Duration::ZERO }
}
