//! The policy of PD's services that run apart from PD (`pd.mode: ms`): `tso`, the cluster's clock, and `scheduling`, which
//! spreads its regions. Of each service one member acts, the primary; the others are there to take over.
//!
//! Each pass looks at what is, takes at most one member of a service out of it on purpose, and says what it waits for. PD comes
//! after its services in a round and in an upgrade, but they need PD to start: PD waits for them only where it answers.

mod desired;
mod primary;
mod retire;
mod scale;
mod script;
mod status;
mod upgrade;
mod world;

use tidepool_sdk::{
    Descriptor, Failure, Plan, Policy, Snapshot,
    api::{TidbCluster, status::PdmsStatus},
    apply, export_policy,
    flow::{self, Step},
};

use crate::world::{SERVICES, Service, World};

/// The policy.
pub struct Pdms;

export_policy!(Pdms);

/// How soon the services are asked again while something is waited for: Kubernetes does not tell who acts.
const ASK_AGAIN_MS: u32 = 2_000;

impl Policy for Pdms {
    fn describe() -> Descriptor {
        world::descriptor()
    }

    fn reconcile(snapshot: &Snapshot, plan: &mut Plan) -> Result<(), Failure> {
        let cluster = tidepool_sdk::cluster(snapshot)?;
        let mut all = cluster.status.as_ref().map(|status| status.pdms.clone()).unwrap_or_default();
        let mut step = Step::Done;
        for service in SERVICES {
            let part = service.part(snapshot, &cluster);
            let name = service.name();
            if cluster.runs_apart(service.component) {
                let status = all.entry(name.to_owned()).or_default();
                step = serve(&part, &cluster, service, status, step, plan)?;
            } else if let Some(status) = all.get_mut(name) {
                retire::retire(&part, &cluster, service, status, plan)?;
            }
        }
        if step == Step::Wait {
            flow::hold(plan, ASK_AGAIN_MS);
        }
        if all.is_empty() { Ok(()) } else { plan.set_status(&all) }
    }
}

/// One service. While an earlier one holds up the pass, nothing of it changes but what is known.
fn serve(
    part: &Snapshot,
    cluster: &TidbCluster,
    service: Service,
    status: &mut PdmsStatus,
    earlier: Step,
    plan: &mut Plan,
) -> Result<Step, Failure> {
    let Some(world) = World::read(part, cluster, service)? else { return Ok(earlier) };
    status::observe(&world, status)?;
    if earlier == Step::Wait {
        return Ok(earlier);
    }
    let step = flow::run(&world, status, plan, |status, plan| act(&world, status, plan))?;
    if step == Step::Done {
        return Ok(step);
    }
    plan.requeue_after_ms(ASK_AGAIN_MS);
    // A PD that does not answer, or does not know of services apart, has to be helped first.
    Ok(if world.pd_waits() { Step::Wait } else { Step::Done })
}

/// Everything that is written for a service. `Wait` means that PD, and what comes after it, stays as it is.
fn act(world: &World<'_>, status: &mut PdmsStatus, plan: &mut Plan) -> Result<Step, Failure> {
    if world.cluster.spec.paused {
        return Ok(flow::paused(world, plan));
    }
    flow::services(world, &desired::services(world), plan)?;
    let build = |config_map: &str| desired::stateful_set(world, config_map);
    let mut wanted = flow::configured(world, Some(desired::config_data(world)?), plan, build)?;
    let Some(set) = &world.set else {
        flow::create(world, &wanted, plan)?;
        plan.requeue_after_ms(ASK_AGAIN_MS);
        return Ok(Step::Done);
    };
    let outdated = apply::pod_spec_differs(set, &wanted);
    if scale::scale(world, set, &mut wanted, plan) == Step::Wait
        || upgrade::upgrade(world, set, &mut wanted, status, plan)? == Step::Wait
        || flow::write(world, set, &wanted, plan)? == Step::Wait
    {
        return Ok(Step::Wait);
    }
    if let Some(waiting) = status::lacks(world) {
        plan.wait(waiting);
        plan.requeue_after_ms(ASK_AGAIN_MS);
    }
    let rolls = set.partitioned() && (outdated || status::upgrades(status));
    Ok(if rolls { Step::Wait } else { Step::Done })
}
