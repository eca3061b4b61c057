//! Pieces of a rolling upgrade that components share: which pods have the new template, when one of them is well, and
//! how a template is held back.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetUpdateStrategy};
use tidepool_api::{
    Component, TidbCluster,
    labels::{CONTROLLER_REVISION_HASH, min_ready_seconds},
    status::Phase,
};
use tidepool_model::{snapshot::PodRow, waiting::WaitingOn};

use crate::{
    Failure, Plan, Snapshot,
    build::set::rolling,
    flow::Step,
    live::{Live, LiveSet},
    slots,
    wait::{self, Reason},
    world::{World, watch},
};

/// How far a pod is in an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is not there, or its revision cannot be told yet.
    Missing,
    /// It has the new template.
    New,
    /// It has an old template, and the StatefulSet's controller may replace it already.
    Leaving,
    /// It has an old template and stays until the partition is lowered.
    Old,
}

/// How far the pod with an ordinal is. `watch` selects the component's pods.
///
/// # Errors
/// When the host could not read pods.
pub fn progress(snapshot: &Snapshot, watch: u32, set: &LiveSet, pod: &str, ordinal: i32) -> Result<Progress, Failure> {
    let Some(live) = Live::read(snapshot, watch, pod)? else { return Ok(Progress::Missing) };
    Ok(match live.label(CONTROLLER_REVISION_HASH) {
        None => Progress::Missing,
        Some(revision) if revision == set.revisions().1 => Progress::New,
        Some(_) if set.partition().is_some_and(|partition| ordinal >= partition) => Progress::Leaving,
        Some(_) => Progress::Old,
    })
}

/// Whether an upgrade has taken the pod of this name down or made it anew: what is wrong with it then began with that.
/// `phase` is that of the component.
///
/// # Errors
/// When the host could not read pods.
pub fn restarts(world: &World<'_>, set: &LiveSet, phase: &str, pod: &str) -> Result<bool, Failure> {
    if phase != Phase::UPGRADE {
        return Ok(false);
    }
    let Some(row) = world.pod(pod) else { return Ok(true) };
    Ok(progress(world.snapshot, watch::POD, set, pod, row.ordinal)? != Progress::Old)
}

/// What a pod with the new template still lacks before the next one may go; none if it is ready for long enough.
pub fn lacks(cluster: &TidbCluster, component: Component, pod: &PodRow, now_ms: u64) -> Option<WaitingOn> {
    let name = &pod.name;
    if !pod.ready {
        let message = format!("pod {name} has the new template and is not ready");
        return Some(wait::on(Reason::PodsNotReady, wait::pod(name), message));
    }
    let seconds = cluster.annotation(&min_ready_seconds(component)).and_then(|text| text.parse::<u64>().ok());
    let min_ready = seconds.unwrap_or_default();
    let ready_at = pod.ready_since_ms.saturating_add(min_ready.saturating_mul(1000));
    let early = min_ready > 0 && now_ms <= ready_at;
    let message = format!("pod {name} must be ready for {min_ready} s");
    early.then(|| wait::until(Reason::PodReadyTooShort, wait::pod(name), message, ready_at))
}

/// Begins an upgrade; true once pods may be replaced one by one. `changed` says that the template that is wanted is new: it
/// goes out first, and no pod restarts for it, since the partition is above them all.
pub fn begun(set: &LiveSet, wanted: &mut StatefulSet, phase: &mut String, changed: bool, plan: &mut Plan) -> bool {
    Phase::UPGRADE.clone_into(phase);
    if changed {
        return false;
    }
    if !set.partitioned() {
        plan.wait(keep_strategy(set, wanted));
        return false;
    }
    roll_down_to(wanted, set.partition().unwrap_or_default());
    true
}

/// Goes over the pods from the highest ordinal down. `may_go_on` says of one with the new template whether it is well, and
/// of the first with an old one whether it may be replaced now; where it says no, it has said what it waits for.
///
/// # Errors
/// When pods could not be read, or as `may_go_on`.
pub fn roll(
    world: &World<'_>,
    set: &LiveSet,
    wanted: &mut StatefulSet,
    plan: &mut Plan,
    mut may_go_on: impl FnMut(&Progress, i32, &PodRow, &mut Plan) -> Result<bool, Failure>,
) -> Result<Step, Failure> {
    for ordinal in slots::present(set.replicas()).into_iter().rev() {
        let name = world.pod_name(ordinal);
        let progress = match world.pod(&name) {
            Some(_) => progress(world.snapshot, watch::POD, set, &name, ordinal)?,
            None => Progress::Missing,
        };
        match (&progress, world.pod(&name)) {
            (Progress::New, Some(pod)) if may_go_on(&progress, ordinal, pod, plan)? => {}
            (Progress::Old, Some(pod)) if may_go_on(&progress, ordinal, pod, plan)? => {
                roll_down_to(wanted, ordinal);
                plan.wait(replaced(&name, &Progress::Leaving));
                return Ok(Step::Done);
            }
            (Progress::New | Progress::Old, _) => return Ok(Step::Wait),
            _ => {
                plan.wait(replaced(&name, &progress));
                return Ok(Step::Wait);
            }
        }
    }
    Ok(Step::Done)
}

/// Waits for a pod that is being made or replaced.
pub fn replaced(pod: &str, progress: &Progress) -> WaitingOn {
    match progress {
        Progress::Missing => wait::on(Reason::PodsNotReady, wait::pod(pod), format!("pod {pod} is being created")),
        _ => wait::on(Reason::Upgrading, wait::pod(pod), format!("pod {pod} is being replaced")),
    }
}

/// The first of these components that is upgrading or scaling.
pub fn busy(cluster: &TidbCluster, components: &[Component]) -> Option<Component> {
    let phase = |component: &Component| cluster.common_status(*component).map(|status| status.phase.as_str());
    let busy = |component: &&Component| matches!(phase(component), Some(Phase::UPGRADE | Phase::SCALE));
    components.iter().find(busy).copied()
}

/// Waits for another component before pods get a new template.
pub fn blocked(component: Component, by: Component) -> WaitingOn {
    let message = format!("{component} is upgraded once {by} is neither upgrading nor scaling");
    wait::on(Reason::OtherComponent, by.name(), message)
}

/// The template that the pods have stays for now; its labels and annotations may change.
///
/// # Errors
/// When the StatefulSet does not say what was last applied.
pub fn keep_pod_spec(set: &LiveSet, wanted: &mut StatefulSet) -> Result<(), Failure> {
    let last = set.0.last_applied().and_then(|last| last.pointer("/template/spec").cloned());
    let Some(last) = last else {
        return Err(Failure::Internal(format!("StatefulSet {} does not say what was last applied", set.0.name())));
    };
    wanted.spec.get_or_insert_default().template.spec = Some(serde_json::from_value(last)?);
    Ok(())
}

/// The strategy that somebody else has put on the set stays, and nothing rolls by itself.
pub fn keep_strategy(set: &LiveSet, wanted: &mut StatefulSet) -> WaitingOn {
    let strategy: StatefulSetUpdateStrategy = set.0.at("/spec/updateStrategy").unwrap_or_default();
    wanted.spec.get_or_insert_default().update_strategy = Some(strategy);
    let message = "pods get the new template when somebody deletes them: the update strategy says so";
    wait::on(Reason::Manual, wait::stateful_set(set.0.name()), message)
}

/// Pods from this ordinal on get the new template.
pub fn roll_down_to(wanted: &mut StatefulSet, ordinal: i32) {
    wanted.spec.get_or_insert_default().update_strategy = Some(rolling(ordinal));
}

/// The set gets this size, on its way to the size that `desired` says. Its partition is made for `desired`; while there are
/// more pods than that, it stays above them, or those which only wait for their turn to go would restart first.
pub fn resize(wanted: &mut StatefulSet, size: i32, desired: i32) {
    let spec = wanted.spec.get_or_insert_default();
    spec.replicas = Some(size);
    let rolling = spec.update_strategy.as_mut().and_then(|strategy| strategy.rolling_update.as_mut());
    if let Some(rolling) = rolling.filter(|_| size > desired) {
        rolling.partition = Some(size);
    }
}
