//! The policy of TiDB, the SQL server: pods without data of their own, of which clients need at least one.
//!
//! Each pass looks at what is, takes at most one server out of service on purpose, and says what it waits for.

mod desired;
mod failover;
mod labels;
mod scale;
mod script;
mod service;
mod status;
mod upgrade;
mod world;

use tidepool_sdk::{
    Descriptor, Failure, Plan, Policy, Snapshot,
    api::{Component, status::TidbStatus},
    export_policy,
    flow::{self, Step},
    volumes,
    wait::{self, Reason},
};

use crate::world::World;

/// The policy.
pub struct Tidb;

export_policy!(Tidb);

/// How soon TiDB is asked again while something is waited for: Kubernetes does not tell when a server answers.
const ASK_AGAIN_MS: u32 = 5_000;

impl Policy for Tidb {
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

/// Everything that is written for TiDB.
fn act(world: &World<'_>, status: &mut TidbStatus, plan: &mut Plan) -> Result<Step, Failure> {
    if !may_run(world, plan) {
        return Ok(Step::Wait);
    }
    if world.cluster.spec.paused {
        return Ok(flow::paused(world, plan));
    }
    flow::services(world, &service::all(world.cluster, world.spec), plan)?;
    let build = |config_map: &str| desired::stateful_set(world, status, config_map);
    let mut wanted = flow::configured(world, desired::config_data(world)?, plan, build)?;
    let Some(set) = &world.set else {
        flow::create(world, &wanted, plan)?;
        plan.requeue_after_ms(ASK_AGAIN_MS);
        return Ok(Step::Done);
    };
    labels::sync(world, status, plan)?;
    if scale::scale(world, set, &mut wanted, plan)? == Step::Wait {
        return Ok(Step::Wait);
    }
    failover::failover(world, set, status, plan)?;
    if upgrade::upgrade(world, set, &mut wanted, status, plan)? == Step::Wait
        || flow::write(world, set, &wanted, plan)? == Step::Wait
    {
        return Ok(Step::Wait);
    }
    volumes::grow(world, &status.common.phase, &desired::storage(world), plan)?;
    if !status::all_healthy(world, status) {
        plan.wait(status::unhealthy(world, status));
        plan.requeue_after_ms(ASK_AGAIN_MS);
    }
    Ok(Step::Done)
}

/// Whether what TiDB needs is there.
fn may_run(world: &World<'_>, plan: &mut Plan) -> bool {
    let cluster = world.cluster;
    let waiting = if cluster.spec.tikv.is_some() && !cluster.tikv_available() {
        let name = cluster.member_name(Component::Tikv);
        wait::on(Reason::StoresNotUp, name, "servers start when a TiKV store is up")
    } else if cluster.spec.recovery_mode {
        wait::on(Reason::Manual, "spec.recoveryMode", "servers start when the volumes are restored")
    } else if cluster.spec.pump.is_some() && !cluster.pump_available() {
        let name = cluster.member_name(Component::Pump);
        wait::on(Reason::OtherComponent, name, "servers start when Pump is online")
    } else {
        return true;
    };
    plan.wait(waiting);
    false
}
