//! Whether the cluster is ready.

use serde_json::json;
use tidepool_sdk::{
    Failure, Plan,
    api::{
        Component,
        conditions::{self, READY},
        status::ClusterCondition,
    },
    time,
};

use crate::world::World;

/// Components whose pods must all be ready, whatever their own view says.
const COMPONENTS: [Component; 9] = [
    Component::Pd,
    Component::Tso,
    Component::Scheduling,
    Component::Tikv,
    Component::Tidb,
    Component::Tiflash,
    Component::Ticdc,
    Component::Tiproxy,
    Component::Pump,
];

/// Sets the condition, if it changed.
///
/// # Errors
/// When the conditions do not serialise.
pub fn judge(world: &World<'_>, plan: &mut Plan) -> Result<(), Failure> {
    let before = world.cluster.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let mut after = before.clone();
    conditions::set(&mut after, ready(world), || time::at(world.snapshot.now_ms()));
    if after != before {
        plan.set_status(&json!({ "conditions": after }))?;
    }
    Ok(())
}

/// What spec and status say, and, where that is "ready", what the pods themselves say (S29). What was known once and
/// cannot be read any more is not ready either.
fn ready(world: &World<'_>) -> ClusterCondition {
    let condition = conditions::ready(world.cluster);
    if condition.status != "True" {
        return condition;
    }
    if let Some(component) = unknown(world) {
        return ClusterCondition {
            condition_type: READY.to_owned(),
            status: "False".to_owned(),
            reason: "Unknown".to_owned(),
            message: format!("PD does not say how {} is", component.name()),
            ..ClusterCondition::default()
        };
    }
    let unready = wanted(world).find(|component| ready_pods(world, *component) < desired(world, *component));
    match unready {
        None => condition,
        Some(component) => ClusterCondition {
            condition_type: READY.to_owned(),
            status: "False".to_owned(),
            reason: "PodsNotReady".to_owned(),
            message: format!(
                "{} of {} pods of {} are ready",
                ready_pods(world, component),
                desired(world, component),
                component.name()
            ),
            ..ClusterCondition::default()
        },
    }
}

/// A component whose part of the status is older than this round: PD was asked about it, and did not say.
fn unknown(world: &World<'_>) -> Option<Component> {
    let cluster = world.cluster;
    let status = cluster.status.as_ref()?;
    let synced = |component: &Component| match component {
        Component::Pd => status.pd.as_ref().is_none_or(|pd| pd.synced),
        Component::Tikv => status.tikv.as_ref().is_none_or(|tikv| tikv.synced),
        _ => true,
    };
    [Component::Pd, Component::Tikv]
        .into_iter()
        .find(|component| cluster.component(*component).is_some() && !synced(component))
}

/// The components that the spec has. PD's services count while PD does not run them itself.
fn wanted(world: &World<'_>) -> impl Iterator<Item = Component> {
    let cluster = world.cluster;
    let has = move |component: &Component| match component {
        Component::Tso | Component::Scheduling => cluster.runs_apart(*component),
        _ => cluster.component(*component).is_some(),
    };
    COMPONENTS.into_iter().filter(has)
}

fn desired(world: &World<'_>, component: Component) -> usize {
    usize::try_from(world.cluster.desired_replicas(component)).unwrap_or_default()
}

fn ready_pods(world: &World<'_>, component: Component) -> usize {
    let prefix = format!("{}-", world.cluster.member_name(component));
    let own =
        world.pods.values().filter(|pod| pod.name.strip_prefix(&prefix).is_some_and(|n| n.parse::<u32>().is_ok()));
    own.filter(|pod| pod.ready && !pod.deleting).count()
}
