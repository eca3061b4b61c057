//! The policy of TiKV, the row store: pods that are stores of PD, full of replicas of regions.
//!
//! Each pass looks at what is, takes at most one store out of service on purpose, and says what it waits for.

mod desired;
mod failover;
mod labels;
mod scale;
mod script;
mod status;
mod upgrade;
mod world;

use k8s_openapi::api::apps::v1::StatefulSet;
use tidepool_sdk::{
    Descriptor, Failure, Plan, Policy, Snapshot,
    api::{
        Component,
        labels::TIKV_VOLUMES_READY,
        status::{Phase, TikvStatus},
    },
    apply,
    build::config_map,
    export_policy,
    live::{Live, LiveSet},
    suspend::{self, Suspension},
    wait::{self, Reason},
};

use crate::world::{World, watch};

/// The policy.
pub struct Tikv;

export_policy!(Tikv);

/// How soon TiKV is asked again while something is waited for: Kubernetes does not tell when leaders move or a store changes.
const ASK_AGAIN_MS: u32 = 5_000;

/// Whether a pass goes on after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// On to the next step.
    Done,
    /// Something must happen first: nothing more in this pass, and later components wait as well.
    Wait,
}

impl Policy for Tikv {
    fn describe() -> Descriptor {
        world::descriptor()
    }

    fn reconcile(snapshot: &Snapshot, plan: &mut Plan) -> Result<(), Failure> {
        let cluster = tidepool_sdk::cluster(snapshot)?;
        let Some(world) = World::read(snapshot, &cluster)? else { return Ok(()) };
        let mut status = status::observe(&world)?;
        let set = world.set.as_ref();
        let step = match suspend::reconcile(&cluster, Component::Tikv, &mut status.common.phase, set, plan) {
            Suspension::None => act(&world, &mut status, plan)?,
            Suspension::Changed => Step::Done,
            Suspension::Suspended => {
                status::suspended(&mut status, set);
                Step::Done
            }
        };
        if step == Step::Wait {
            plan.hold_later();
            plan.requeue_after_ms(ASK_AGAIN_MS);
        }
        plan.set_status(&status)
    }
}

/// Everything that is written for TiKV.
fn act(world: &World<'_>, status: &mut TikvStatus, plan: &mut Plan) -> Result<Step, Failure> {
    if !may_run(world, plan) {
        return Ok(Step::Wait);
    }
    phase(world, status, plan)?;
    if world.cluster.spec.paused {
        upgrade::stand_down(world, status, plan)?;
        plan.wait(wait::on(Reason::Paused, "spec.paused", "nothing is written for TiKV while the cluster is paused"));
        return Ok(Step::Done);
    }
    let World { snapshot, cluster, .. } = world;
    let service = Live::read(snapshot, watch::SERVICE, &cluster.peer_service_name(Component::Tikv))?;
    apply::service(plan, service.as_ref(), &desired::peer_service(cluster))?;
    failover::recover(world, status);
    let mut wanted = configured(world, status, plan)?;
    let Some(set) = &world.set else { return create(world, &wanted, plan) };
    if labels::sync(world, plan)? == Step::Wait || scale::scale(world, set, &mut wanted, status, plan)? == Step::Wait {
        return Ok(Step::Wait);
    }
    failover::failover(world, set, status, plan)?;
    if upgrade::upgrade(world, set, &mut wanted, status, plan)? == Step::Wait {
        return Ok(Step::Wait);
    }
    write(world, set, &wanted, plan)?;
    if !status::all_up(world, status) {
        plan.wait(status::not_up(world, status));
        plan.requeue_after_ms(ASK_AGAIN_MS);
    }
    Ok(Step::Done)
}

/// Whether what TiKV needs is there.
fn may_run(world: &World<'_>, plan: &mut Plan) -> bool {
    let cluster = world.cluster;
    if !cluster.pd_available() {
        let message = "stores start when PD serves";
        plan.wait(wait::on(Reason::PdUnavailable, cluster.member_name(Component::Pd), message));
        return false;
    }
    if cluster.spec.recovery_mode && cluster.annotation(TIKV_VOLUMES_READY).is_none() {
        let message = "stores start when their volumes are restored";
        plan.wait(wait::on(Reason::Manual, "spec.recoveryMode", message));
        return false;
    }
    true
}

/// Sets the phase. An upgrade ends only when what it did to stores is taken back.
fn phase(world: &World<'_>, status: &mut TikvStatus, plan: &mut Plan) -> Result<(), Failure> {
    let Some(set) = &world.set else { return Ok(()) };
    let upgrading = status::upgrading(world, set)?;
    if status.common.phase == Phase::UPGRADE && !upgrading {
        if !upgrade::is_over(world, set, status)? {
            return Ok(());
        }
        upgrade::forget(world, plan)?;
    }
    status.common.phase = status::phase(world, set, status, upgrading).to_owned();
    Ok(())
}

/// Writes the ConfigMap, and answers with the StatefulSet that uses it.
fn configured(world: &World<'_>, status: &TikvStatus, plan: &mut Plan) -> Result<StatefulSet, Failure> {
    let World { snapshot, cluster, view, spec, .. } = world;
    let size = (status::replicas(world, status), status.vol_replace_in_progress);
    let build = |config_map: &str| desired::stateful_set(cluster, view, spec, size, config_map);
    let Some(data) = desired::config_data(cluster, view)? else {
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
    plan.wait(wait::on(Reason::JustCreated, wait::stateful_set(&world.name()), "the pods of TiKV are being created"));
    plan.requeue_after_ms(ASK_AGAIN_MS);
    Ok(Step::Done)
}

fn write(world: &World<'_>, set: &LiveSet, wanted: &StatefulSet, plan: &mut Plan) -> Result<(), Failure> {
    if let Some(volume) = apply::unknown_mount(set, wanted) {
        let message = format!("a container mounts volume {volume:?}, which neither the pod nor the StatefulSet has");
        plan.wait(wait::on(Reason::CannotApply, wait::stateful_set(set.0.name()), message));
        plan.hold_later();
        return Ok(());
    }
    apply::stateful_set(plan, set, wanted, world.generation())?;
    Ok(())
}
