//! Adding and removing servers. They hold no data, so a server that goes needs nobody's leave.

use k8s_openapi::api::apps::v1::StatefulSet;
use tidepool_sdk::{Failure, Plan, api::Component, claims, flow::Step, live::LiveSet, rollout, slots};

use crate::world::{World, watch};

/// The next steps towards the replicas that `wanted` has; `wanted` gets the size that the set is to have after this pass.
///
/// # Errors
/// When claims could not be read.
pub fn scale(world: &World<'_>, set: &LiveSet, wanted: &mut StatefulSet, plan: &mut Plan) -> Result<Step, Failure> {
    let (actual, desired) = (set.replicas(), wanted.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default());
    // Until steps are made, the set keeps its size.
    wanted.spec.get_or_insert_default().replicas = Some(actual);
    slots::keep(set, wanted);
    if let (true, Some(waiting)) = (actual != desired, slots::refusal(world.cluster, Component::Tidb)) {
        rollout::resize(wanted, actual, desired);
        plan.wait(waiting);
        return Ok(Step::Done);
    }
    let batch = slots::batch(actual, desired, slots::parallelism(world.spec.scale_policy.as_ref(), desired > actual));
    let mut finished = actual;
    for step in &batch {
        let (done, after) = match step {
            slots::Step::None => (Step::Done, finished),
            slots::Step::Out(ordinal) => (scale_out(world, set, &world.pod_name(*ordinal), plan)?, ordinal + 1),
            slots::Step::In(ordinal) => (scale_in(world, set, &world.pod_name(*ordinal), plan)?, *ordinal),
        };
        if done == Step::Wait {
            break;
        }
        finished = after;
    }
    rollout::resize(wanted, finished, desired);
    Ok(if finished == actual && !batch.is_empty() { Step::Wait } else { Step::Done })
}

fn scale_out(world: &World<'_>, set: &LiveSet, pod: &str, plan: &mut Plan) -> Result<Step, Failure> {
    let left = claims::of_pod(world.snapshot, watch::CLAIM, set, pod)?;
    match claims::clear(plan, pod, &left) {
        Some(waiting) => {
            plan.wait(waiting);
            Ok(Step::Wait)
        }
        None => Ok(Step::Done),
    }
}

fn scale_in(world: &World<'_>, set: &LiveSet, pod: &str, plan: &mut Plan) -> Result<Step, Failure> {
    let left = claims::of_pod(world.snapshot, watch::CLAIM, set, pod)?;
    claims::defer_all(plan, &left, world.snapshot.now_ms());
    Ok(Step::Done)
}
