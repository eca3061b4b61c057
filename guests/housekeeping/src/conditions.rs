//! Whether the cluster is ready.

use serde_json::json;
use tidepool_sdk::{
    Failure, Plan,
    api::{
        Component,
        conditions::{self, READY},
        status::{ClusterCondition, Phase},
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
/// was not, or could not be, read again is not ready either, and neither is what is just being changed.
fn ready(world: &World<'_>) -> ClusterCondition {
    let condition = conditions::ready(world.cluster);
    if condition.status != "True" {
        return condition;
    }
    match unknown(world).or_else(|| changing(world)).or_else(|| unready(world)) {
        None => condition,
        Some((reason, message)) => ClusterCondition {
            condition_type: READY.to_owned(),
            status: "False".to_owned(),
            reason: reason.to_owned(),
            message,
            ..ClusterCondition::default()
        },
    }
}

/// Pods are being replaced, added or taken away.
fn changing(world: &World<'_>) -> Option<(&'static str, String)> {
    let change = |component: Component| {
        let phase = world.cluster.common_status(component)?.phase.as_str();
        let (reason, what) = match phase {
            Phase::UPGRADE => ("Upgrading", "replaced"),
            Phase::SCALE => ("Scaling", "added or taken away"),
            _ => return None,
        };
        Some((reason, format!("pods of {} are being {what}", component.name())))
    };
    wanted(world).find_map(change)
}

/// Fewer pods than wanted are ready.
fn unready(world: &World<'_>) -> Option<(&'static str, String)> {
    let short = wanted(world).find(|component| ready_pods(world, *component) < desired(world, *component))?;
    let (ready, desired) = (ready_pods(world, short), desired(world, short));
    Some(("PodsNotReady", format!("{ready} of {desired} pods of {} are ready", short.name())))
}

/// A component whose part of the status is older than this round: an earlier component held it back, or PD was asked
/// about it and did not say.
fn unknown(world: &World<'_>) -> Option<(&'static str, String)> {
    let status = world.cluster.status.as_ref()?;
    let silent = match (&status.pd, &status.tikv) {
        (Some(pd), _) if !pd.synced && world.cluster.component(Component::Pd).is_some() => Some(Component::Pd),
        (_, Some(tikv)) if !tikv.synced && world.cluster.component(Component::Tikv).is_some() => Some(Component::Tikv),
        _ => None,
    };
    if let Some(component) = silent {
        return Some(("Unknown", format!("PD does not say how {} is", component.name())));
    }
    let held = status.held.first()?;
    Some(("Unknown", format!("how {held} is was not looked at: an earlier component holds it back")))
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
