//! The policy of PD, the placement driver: a small set of members that elect a leader and must keep a quorum.
//!
//! Each pass looks at what is, does at most one thing that could cost a member, and says what it waits for.

mod desired;
mod failover;
mod members;
mod scale;
mod script;
mod status;
mod upgrade;
mod world;

use k8s_openapi::api::apps::v1::StatefulSet;
use tidepool_sdk::{
    Descriptor, Failure, Plan, Policy, Snapshot,
    api::{Component, status::PdStatus},
    apply,
    build::config_map,
    export_policy,
    live::{Live, LiveSet},
    suspend::{self, Suspension},
    wait::{self, Reason},
};

use crate::world::{World, watch};

/// The policy.
pub struct Pd;

export_policy!(Pd);

/// How soon PD is asked again while it is waited for.
const ASK_AGAIN_MS: u32 = 2_000;

/// Whether a pass goes on after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// On to the next step.
    Done,
    /// Something must happen first: nothing more in this pass, and later components wait as well.
    Wait,
}

impl Policy for Pd {
    fn describe() -> Descriptor {
        world::descriptor()
    }

    fn reconcile(snapshot: &Snapshot, plan: &mut Plan) -> Result<(), Failure> {
        let cluster = tidepool_sdk::cluster(snapshot)?;
        let Some(world) = World::read(snapshot, &cluster)? else { return Ok(()) };
        let mut status = status::observe(&world)?;
        let set = world.set.as_ref();
        let step = match suspend::reconcile(&cluster, Component::Pd, &mut status.pd.common.phase, set, plan) {
            Suspension::None if cluster.spec.paused => paused(plan),
            Suspension::None => act(&world, &mut status.pd, plan)?,
            Suspension::Changed => Step::Done,
            Suspension::Suspended => {
                status::suspended(&mut status.pd, set);
                Step::Done
            }
        };
        if step == Step::Wait {
            hold(plan);
        }
        finish(&world, &status, plan)
    }
}

/// Everything that is written for PD.
fn act(world: &World<'_>, status: &mut PdStatus, plan: &mut Plan) -> Result<Step, Failure> {
    let World { snapshot, cluster, spec, .. } = world;
    let service = |name: &str| Live::read(snapshot, watch::SERVICE, name);
    let client = desired::client_service(cluster, spec);
    apply::service(plan, service(&cluster.member_name(Component::Pd))?.as_ref(), &client)?;
    let peer = desired::peer_service(cluster);
    apply::service(plan, service(&cluster.peer_service_name(Component::Pd))?.as_ref(), &peer)?;
    let mut wanted = configured(world, status, plan)?;
    let Some(set) = &world.set else { return create(world, &wanted, plan) };
    if upgrade::force(world, set, &mut wanted, status) {
        return force(world, set, &wanted, plan);
    }
    if scale::scale(world, set, &mut wanted, plan)? == Step::Wait
        || failover::failover(world, set, status, plan)? == Step::Wait
        || upgrade::upgrade(world, set, &mut wanted, status, plan)? == Step::Wait
    {
        return Ok(Step::Wait);
    }
    write(world, set, &wanted, plan)
}

/// Writes the ConfigMap, and answers with the StatefulSet that uses it.
fn configured(world: &World<'_>, status: &PdStatus, plan: &mut Plan) -> Result<StatefulSet, Failure> {
    let World { snapshot, cluster, view, spec, .. } = world;
    let build = |config_map: &str| desired::stateful_set(cluster, view, spec, status, config_map);
    let Some(data) = desired::config_data(cluster, view, spec)? else {
        return build(&desired::legacy_config_map(cluster));
    };
    let set = world.set.as_ref();
    let (config_map, wanted) =
        config_map::settle_for_set(snapshot, watch::CONFIG_MAP, cluster, view, set, data, build)?;
    let name = config_map.metadata.name.as_deref().unwrap_or_default();
    apply::object(plan, Live::read(snapshot, watch::CONFIG_MAP, name)?.as_ref(), &config_map, &["data"])?;
    Ok(wanted)
}

fn create(world: &World<'_>, wanted: &StatefulSet, plan: &mut Plan) -> Result<Step, Failure> {
    apply::create_stateful_set(plan, wanted)?;
    let name = world.cluster.member_name(Component::Pd);
    plan.wait(wait::on(Reason::JustCreated, wait::stateful_set(&name), "the pods of PD are being created"));
    Ok(Step::Wait)
}

fn force(world: &World<'_>, set: &LiveSet, wanted: &StatefulSet, plan: &mut Plan) -> Result<Step, Failure> {
    apply::stateful_set(plan, set, wanted, world.generation())?;
    let message = "PD does not serve: its pods get the new template without waiting for their members";
    plan.wait(wait::on(Reason::PdUnavailable, wait::stateful_set(set.0.name()), message));
    Ok(Step::Wait)
}

fn write(world: &World<'_>, set: &LiveSet, wanted: &StatefulSet, plan: &mut Plan) -> Result<Step, Failure> {
    if let Some(volume) = apply::unknown_mount(set, wanted) {
        let message = format!("a container mounts volume {volume:?}, which neither the pod nor the StatefulSet has");
        plan.wait(wait::on(Reason::CannotApply, wait::stateful_set(set.0.name()), message));
        return Ok(Step::Wait);
    }
    apply::stateful_set(plan, set, wanted, world.generation())?;
    Ok(Step::Done)
}

fn paused(plan: &mut Plan) -> Step {
    plan.wait(wait::on(Reason::Paused, "spec.paused", "nothing is written for PD while the cluster is paused"));
    Step::Done
}

/// Writes the status, and holds later components while PD does not serve.
fn finish(world: &World<'_>, status: &status::Written, plan: &mut Plan) -> Result<(), Failure> {
    if !status.pd_available(world) && !world.cluster.spec.paused && world.set.is_some() && !world.view.suspend() {
        plan.wait(status::unavailable(world, &status.pd));
        hold(plan);
    }
    plan.set_status(status)
}

/// Later components wait, and PD is asked again soon: Kubernetes does not tell when a member is well.
fn hold(plan: &mut Plan) {
    plan.hold_later();
    plan.requeue_after_ms(ASK_AGAIN_MS);
}
