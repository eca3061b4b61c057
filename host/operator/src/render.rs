//! Every object that the policies would create for a cluster from nothing.
//!
//! The loop itself runs, in a pretended world: what is written exists, its pods run and are ready, PD is healthy. It
//! ends when a round has nothing left to do. Same policies and same cluster give the same objects.

mod pretend;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::Value;
use tidepool_model::WaitingOn;

use crate::{
    decide::Executor,
    policies::Policies,
    preview::{PreviewError, empty_store, engine, put_cluster},
    render::pretend::Pretended,
    round::Failure,
};

/// When rendering takes place: 2026-01-01T00:00:00Z, so that the day shows nowhere.
const NOW_MS: u64 = 1_767_225_600_000;

/// Between two rounds this much time passes, so that waits for time end.
const ROUND_MS: u64 = 60_000;

/// A bring-up takes a few rounds for each component. Policies that are not done after so many never will be.
const ROUNDS_MAX: usize = 100;

/// What was rendered.
#[derive(Debug)]
pub struct Rendered {
    /// The objects as the policies wrote them last, in the order in which they were first created.
    pub objects: Vec<Value>,
    /// What is waited for in the end, by component: what keeps the rest from being created.
    pub waiting: Vec<(String, WaitingOn)>,
    /// Policies that found the spec invalid, or failed, and what they said.
    pub failures: Vec<(String, Failure)>,
}

/// Renders `cluster`, a TidbCluster with name and namespace.
///
/// # Errors
/// When the TidbCluster cannot be read.
pub async fn render(policies: Arc<dyn Policies>, executor: Executor, cluster: Value) -> Result<Rendered, PreviewError> {
    let store = empty_store(&*policies);
    let key = put_cluster(&store, cluster)?;
    let clock = Arc::new(AtomicU64::new(NOW_MS));
    let time = clock.clone();
    let now_ms = Arc::new(move || time.load(Ordering::Relaxed));
    let pretended = Arc::new(Pretended::new(store.clone(), now_ms.clone()));
    let engine = engine(store, pretended.clone(), pretended.clone(), policies, executor, now_ms);
    let mut steps = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let Some(report) = engine.round(&key).await else { break };
        let idle = !report.status_written && report.steps.iter().all(|step| step.done == 0);
        steps = report.steps;
        if idle {
            break;
        }
        clock.fetch_add(ROUND_MS, Ordering::Relaxed);
    }
    let (mut waiting, mut failures) = (Vec::new(), Vec::new());
    for step in steps {
        match step.failure {
            Some(failure) => failures.push((step.component, failure)),
            None => waiting.extend(step.waiting.into_iter().map(|on| (step.component.clone(), on))),
        }
    }
    Ok(Rendered { objects: pretended.created(), waiting, failures })
}
