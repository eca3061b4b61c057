//! Decide (pure): asks one policy, on a thread that may block.

use std::sync::Arc;

use tidepool_model::{Snapshot, record::Outcome};
use tidepool_policy::Decision;
use tokio::sync::Semaphore;

use crate::policies::Policy;

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

fn fault(text: &str) -> Decision {
    Decision { outcome: Outcome::Fault(text.to_owned()), fuel: 0, log: Vec::new(), duration: std::time::Duration::ZERO }
}
