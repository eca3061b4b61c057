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

use tidepool_sdk::{
    Descriptor, Failure, Plan, Policy, Snapshot,
    api::{
        Component,
        labels::TIKV_VOLUMES_READY,
        status::{Phase, TikvStatus},
    },
    export_policy,
    flow::{self, Step},
    volumes,
    wait::{self, Reason},
};

use crate::world::World;

/// The policy.
pub struct Tikv;

export_policy!(Tikv);

/// How soon TiKV is asked again while something is waited for: Kubernetes does not tell when leaders move or a store changes.
const ASK_AGAIN_MS: u32 = 5_000;

impl Policy for Tikv {
    fn describe() -> Descriptor {
        world::descriptor()
    }

    fn reconcile(snapshot: &Snapshot, plan: &mut Plan) -> Result<(), Failure> {
        let cluster = tidepool_sdk::cluster(snapshot)?;
        let Some(world) = World::read(snapshot, &cluster)? else { return Ok(()) };
        let mut status = status::observe(&world)?;
        let step = flow::run(&world, &mut status, plan, |status, plan| act(&world, status, plan))?;
        if step == Step::Wait {
            flow::hold(plan, ASK_AGAIN_MS);
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
        return Ok(flow::paused(world, plan));
    }
    flow::services(world, &[desired::peer_service(world.cluster)], plan)?;
    failover::recover(world, status);
    let build = |config_map: &str| desired::stateful_set(world, status, config_map);
    let mut wanted = flow::configured(world, desired::config_data(world)?, plan, build)?;
    let Some(set) = &world.set else {
        flow::create(world, &wanted, plan)?;
        plan.requeue_after_ms(ASK_AGAIN_MS);
        return Ok(Step::Done);
    };
    if labels::sync(world, plan)? == Step::Wait || scale::scale(world, set, &mut wanted, status, plan)? == Step::Wait {
        return Ok(Step::Wait);
    }
    failover::failover(world, set, status, plan)?;
    if upgrade::upgrade(world, set, &mut wanted, status, plan)? == Step::Wait
        || flow::write(world, set, &wanted, plan)? == Step::Wait
    {
        return Ok(Step::Wait);
    }
    volumes::grow(world, &status.common.phase, &desired::storage(world), plan)?;
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
    if let (Some(service), None) = (cluster.service_without_members(), &world.set) {
        let message = format!("stores start when {service} has a member");
        plan.wait(wait::on(Reason::OtherComponent, service.name(), message));
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
