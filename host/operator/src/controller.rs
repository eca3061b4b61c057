//! The loop over all clusters: takes what is due from the queue and lets rounds run beside each other.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    cluster::ClusterKey,
    queue::{Next, Queue},
    round::Engine,
};

/// A round that takes longer is dropped between two actions, which is always safe, and tried again: a PD that swallows
/// requests costs its own cluster time, and no other one a place.
const ROUND_SECONDS_MAX: u64 = 120;

/// When told to stop, rounds that are under way get this long to end.
const STOP_SECONDS_MAX: u64 = 5;

/// Walks rounds, at most `at_once` at a time, until `stop` is ready.
pub(crate) async fn run(engine: Arc<Engine>, queue: Arc<Queue>, at_once: usize, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut rounds = JoinSet::new();
    loop {
        // In this order, not at random: a simulation repeats itself.
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = rounds.join_next() => {}
            key = queue.next(), if rounds.len() < at_once.max(1) => {
                rounds.spawn(one(engine.clone(), queue.clone(), key));
            }
        }
    }
    let ended = async { while rounds.join_next().await.is_some() {} };
    if timeout(Duration::from_secs(STOP_SECONDS_MAX), ended).await.is_err() {
        tracing::info!("rounds that did not end in time are dropped");
    }
}

async fn one(engine: Arc<Engine>, queue: Arc<Queue>, key: ClusterKey) {
    // A bug in one round must neither end the operator nor leave its cluster marked as running for ever.
    let round = AssertUnwindSafe(engine.round(&key)).catch_unwind();
    match timeout(Duration::from_secs(ROUND_SECONDS_MAX), round).await {
        Ok(Ok(Some(report))) => queue.done(&key, report.next),
        Ok(Ok(None)) if engine.store.cluster(&key).is_some() => queue.done(&key, Next::Rest(engine.resync)),
        Ok(Ok(None)) => {
            queue.forget(&key);
            engine.forget(&key);
        }
        Ok(Err(_)) => {
            tracing::error!(cluster = %key, "a round panicked");
            queue.done(&key, Next::Retry);
        }
        Err(_) => {
            tracing::warn!(cluster = %key, seconds = ROUND_SECONDS_MAX, "a round took too long and was dropped");
            queue.done(&key, Next::Retry);
        }
    }
}
