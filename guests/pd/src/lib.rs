//! The policy of PD, the placement driver: a small set of members that elect a leader and must keep a quorum.
//!
//! Each pass looks at what is, does at most one thing that could cost a member, and says what it waits for.

mod desired;
mod failover;
pub mod members;
mod mode;
mod requests;
mod scale;
mod script;
mod status;
mod upgrade;
mod world;

use tidepool_sdk::{
    Descriptor, Failure, Plan, Policy, Snapshot,
    api::status::PdStatus,
    export_policy,
    flow::{self, Step},
    volumes,
};

use crate::world::World;

/// The policy.
pub struct Pd;

export_policy!(Pd);

/// How soon PD is asked again while it is waited for.
const ASK_AGAIN_MS: u32 = 2_000;

impl Policy for Pd {
    fn describe() -> Descriptor {
        world::descriptor()
    }

    fn reconcile(snapshot: &Snapshot, plan: &mut Plan) -> Result<(), Failure> {
        let (cluster, keeps_mode) = mode::settle(snapshot, tidepool_sdk::cluster(snapshot)?)?;
        let Some(world) = World::read(snapshot, &cluster)? else { return Ok(()) };
        let mut status = status::observe(&world)?;
        let step = flow::run(&world, &mut status.pd, plan, |status, plan| act(&world, status, plan))?;
        if keeps_mode {
            mode::say(&cluster, plan);
        }
        finish(&world, step, &status, plan)
    }
}

/// Everything that is written for PD.
fn act(world: &World<'_>, status: &mut PdStatus, plan: &mut Plan) -> Result<Step, Failure> {
    if world.cluster.spec.paused {
        return Ok(flow::paused(world, plan));
    }
    flow::services(world, &desired::services(world), plan)?;
    let build = |config_map: &str| desired::stateful_set(world, status, config_map);
    let mut wanted = flow::configured(world, desired::config_data(world)?, plan, build)?;
    let Some(set) = &world.set else {
        flow::create(world, &wanted, plan)?;
        return Ok(Step::Wait);
    };
    if upgrade::force(world, set, &mut wanted, status, plan)?
        || scale::scale(world, set, &mut wanted, plan)? == Step::Wait
        || failover::failover(world, set, status, plan)? == Step::Wait
        || requests::serve(world, set, status, plan)? == Step::Wait
        || upgrade::upgrade(world, set, &mut wanted, status, plan)? == Step::Wait
    {
        return Ok(Step::Wait);
    }
    if flow::write(world, set, &wanted, plan)? == Step::Wait {
        return Ok(Step::Wait);
    }
    volumes::grow(world, &status.common.phase, &volumes::with_data(&world.view, desired::class(world.spec)), plan)?;
    Ok(Step::Done)
}

/// Writes the status, and holds later components while PD does not serve.
fn finish(world: &World<'_>, step: Step, status: &status::Written, plan: &mut Plan) -> Result<(), Failure> {
    let expected = !world.cluster.spec.paused && world.set.is_some() && !world.view.suspend();
    let serves = status.pd_available(world);
    if expected && (!serves || (step == Step::Done && !status.pd.synced)) {
        plan.wait(status::unavailable(world, &status.pd));
        plan.requeue_after_ms(ASK_AGAIN_MS);
    }
    if step == Step::Wait || (expected && !serves) {
        flow::hold(plan, ASK_AGAIN_MS);
    }
    plan.set_status(status)
}
