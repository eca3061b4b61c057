//! The flow of a pass that every component with a StatefulSet has: suspension first, then Services, ConfigMap and
//! StatefulSet, and between reading and writing the set what is the component's own.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Service};
use tidepool_api::{
    labels,
    status::{CommonStatus, PdStatus, PdmsStatus, TidbStatus, TikvStatus},
};

use crate::{
    Failure, Plan, apply,
    build::config_map::{self, Data},
    live::{Live, LiveSet},
    ownership,
    suspend::{self, Suspension},
    wait::{self, Reason},
    world::{World, watch},
};

/// Whether a pass goes on after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// On to the next step.
    Done,
    /// Something must happen first: nothing more in this pass, and later components wait as well.
    Wait,
}

/// A component's status, as far as the flow writes it.
pub trait ComponentStatus {
    /// What all components have.
    fn common(&mut self) -> &mut CommonStatus;

    /// Forgets what was known of members: the pods of the suspended component are gone.
    fn forget_members(&mut self);
}

impl ComponentStatus for PdStatus {
    fn common(&mut self) -> &mut CommonStatus {
        &mut self.common
    }

    fn forget_members(&mut self) {
        self.synced = false;
        self.members.clear();
        self.leader = Default::default();
    }
}

impl ComponentStatus for PdmsStatus {
    fn common(&mut self) -> &mut CommonStatus {
        &mut self.common
    }

    fn forget_members(&mut self) {
        self.synced = false;
        self.members.clear();
    }
}

impl ComponentStatus for TikvStatus {
    fn common(&mut self) -> &mut CommonStatus {
        &mut self.common
    }

    fn forget_members(&mut self) {
        self.synced = false;
        self.stores.clear();
    }
}

impl ComponentStatus for TidbStatus {
    fn common(&mut self) -> &mut CommonStatus {
        &mut self.common
    }

    fn forget_members(&mut self) {
        self.members.clear();
    }
}

/// Brings the component closer to being suspended, or back, if the spec asks for it; otherwise `act` does its work. A
/// StatefulSet that does not belong to the cluster is left alone.
///
/// # Errors
/// As `act`.
pub fn run<S: ComponentStatus>(
    world: &World<'_>,
    status: &mut S,
    plan: &mut Plan,
    act: impl FnOnce(&mut S, &mut Plan) -> Result<Step, Failure>,
) -> Result<Step, Failure> {
    let set = world.set.as_ref();
    if let Some(waiting) = set.and_then(|set| ownership::foreign(world.cluster, &set.0)) {
        plan.wait(waiting);
        return Ok(Step::Wait);
    }
    match suspend::reconcile(world.cluster, world.component(), &mut status.common().phase, set, plan) {
        Suspension::None => return act(status, plan),
        Suspension::Changed => {}
        Suspension::Suspended if set.is_none() => {
            status.common().stateful_set = None;
            status.forget_members();
        }
        Suspension::Suspended => {}
    }
    Ok(Step::Done)
}

/// Later components wait, and this one is asked again soon: Kubernetes does not tell what happens inside of it.
pub fn hold(plan: &mut Plan, ask_again_ms: u32) {
    plan.hold_later();
    plan.requeue_after_ms(ask_again_ms);
}

/// Nothing is written while the cluster is paused.
pub fn paused(world: &World<'_>, plan: &mut Plan) -> Step {
    let message = format!("nothing is written for {} while the cluster is paused", world.component().title());
    plan.wait(wait::on(Reason::Paused, "spec.paused", message));
    Step::Done
}

/// Creates or updates the Services.
///
/// # Errors
/// When one could not be read.
pub fn services(world: &World<'_>, wanted: &[Service], plan: &mut Plan) -> Result<(), Failure> {
    for service in wanted {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        apply::service(plan, Live::read(world.snapshot, watch::SERVICE, name)?.as_ref(), service)?;
    }
    Ok(())
}

/// Writes the ConfigMap with this data, and answers with the StatefulSet that `build` makes for its name.
///
/// # Errors
/// When the spec does not fit together, or what exists could not be read.
pub fn configured(
    world: &World<'_>,
    data: Option<Data>,
    plan: &mut Plan,
    build: impl Fn(&str) -> Result<StatefulSet, Failure>,
) -> Result<StatefulSet, Failure> {
    let World { snapshot, cluster, view, set, .. } = world;
    let Some(data) = data else { return build(&legacy_config_map(world)) };
    let (config_map, wanted) =
        config_map::settle_for_set(snapshot, watch::CONFIG_MAP, cluster, view, set.as_ref(), data, build)?;
    let name = config_map.metadata.name.as_deref().unwrap_or_default();
    apply::object(plan, Live::read(snapshot, watch::CONFIG_MAP, name)?.as_ref(), &config_map, &["data"])?;
    Ok(wanted)
}

/// Name of the ConfigMap that nobody renders for a component without configuration: one that an older installation left.
fn legacy_config_map(world: &World<'_>) -> String {
    let base = world.name();
    match world.cluster.annotation(&labels::config_map_sha(world.component(), &base)) {
        Some(sha) if !sha.is_empty() => format!("{base}-{sha}"),
        _ => base,
    }
}

/// Creates the StatefulSet.
///
/// # Errors
/// When it does not serialise.
pub fn create(world: &World<'_>, wanted: &StatefulSet, plan: &mut Plan) -> Result<(), Failure> {
    apply::create_stateful_set(plan, wanted)?;
    let message = format!("the pods of {} are being created", world.component().title());
    plan.wait(wait::on(Reason::JustCreated, wait::stateful_set(&world.name()), message));
    Ok(())
}

/// Writes the StatefulSet, unless Kubernetes could make no pod from it.
///
/// # Errors
/// When it does not serialise.
pub fn write(world: &World<'_>, set: &LiveSet, wanted: &StatefulSet, plan: &mut Plan) -> Result<Step, Failure> {
    if let Some(volume) = apply::unknown_mount(set, wanted) {
        let message = format!("a container mounts volume {volume:?}, which neither the pod nor the StatefulSet has");
        plan.wait(wait::on(Reason::CannotApply, wait::stateful_set(set.0.name()), message));
        return Ok(Step::Wait);
    }
    apply::stateful_set(plan, set, wanted, world.generation())?;
    Ok(Step::Done)
}
