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

use k8s_openapi::api::apps::v1::StatefulSet;
use tidepool_sdk::{
    Descriptor, Failure, Plan, Policy, Snapshot,
    api::{Component, status::TidbStatus},
    apply,
    build::config_map,
    export_policy,
    live::{Live, LiveSet},
    suspend::{self, Suspension},
    wait::{self, Reason},
};

use crate::world::{World, watch};

/// The policy.
pub struct Tidb;

export_policy!(Tidb);

/// How soon TiDB is asked again while something is waited for: Kubernetes does not tell when a server answers.
const ASK_AGAIN_MS: u32 = 5_000;

/// Whether a pass goes on after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// On to the next step.
    Done,
    /// Something must happen first: nothing more in this pass, and later components wait as well.
    Wait,
}

impl Policy for Tidb {
    fn describe() -> Descriptor {
        world::descriptor()
    }

    fn reconcile(snapshot: &Snapshot, plan: &mut Plan) -> Result<(), Failure> {
        let cluster = tidepool_sdk::cluster(snapshot)?;
        let Some(world) = World::read(snapshot, &cluster)? else { return Ok(()) };
        let mut status = status::observe(&world)?;
        let set = world.set.as_ref();
        let step = match suspend::reconcile(&cluster, Component::Tidb, &mut status.common.phase, set, plan) {
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

/// Everything that is written for TiDB.
fn act(world: &World<'_>, status: &mut TidbStatus, plan: &mut Plan) -> Result<Step, Failure> {
    if !may_run(world, plan) {
        return Ok(Step::Wait);
    }
    if world.cluster.spec.paused {
        plan.wait(wait::on(Reason::Paused, "spec.paused", "nothing is written for TiDB while the cluster is paused"));
        return Ok(Step::Done);
    }
    services(world, plan)?;
    let mut wanted = configured(world, status, plan)?;
    let Some(set) = &world.set else { return create(world, &wanted, plan) };
    labels::sync(world, status, plan)?;
    if scale::scale(world, set, &mut wanted, plan)? == Step::Wait {
        return Ok(Step::Wait);
    }
    failover::failover(world, set, status, plan)?;
    if upgrade::upgrade(world, set, &mut wanted, status, plan)? == Step::Wait {
        return Ok(Step::Wait);
    }
    write(world, set, &wanted, plan)?;
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

fn services(world: &World<'_>, plan: &mut Plan) -> Result<(), Failure> {
    let World { snapshot, cluster, spec, .. } = world;
    let live = |name: &str| Live::read(snapshot, watch::SERVICE, name);
    apply::service(plan, live(&cluster.peer_service_name(Component::Tidb))?.as_ref(), &service::peer(cluster))?;
    if let Some(given) = &spec.service {
        apply::service(plan, live(&world.name())?.as_ref(), &service::client(cluster, given))?;
    }
    Ok(())
}

/// Writes the ConfigMap, and answers with the StatefulSet that uses it.
fn configured(world: &World<'_>, status: &TidbStatus, plan: &mut Plan) -> Result<StatefulSet, Failure> {
    let World { snapshot, cluster, view, spec, .. } = world;
    let size = (status::replicas(world, status), status.vol_replace_in_progress);
    let build = |config_map: &str| desired::stateful_set(cluster, view, spec, size, config_map);
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
    plan.wait(wait::on(Reason::JustCreated, wait::stateful_set(&world.name()), "the pods of TiDB are being created"));
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
