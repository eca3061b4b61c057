//! What policies would create for a cluster from nothing, if nothing went wrong.

use std::sync::Arc;

use serde_json::{Value, value::RawValue};

use crate::{
    check::{Facts, Violation},
    descriptor::Descriptor,
    plan::Plan,
    pretend::World,
    snapshot::Snapshot,
};

/// Rounds after which policies that still write are held to go round in circles. A cluster with every component needs
/// about two for each of them.
const ROUNDS_MAX: usize = 64;

/// One policy: what it says of itself, its settings, and how it is asked.
pub struct Deciding<'a> {
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// Its settings; `{}` without.
    pub settings: Box<RawValue>,
    /// Asks it. The error is for people.
    #[allow(clippy::type_complexity)]
    pub decide: Box<dyn Fn(Arc<Snapshot>) -> Result<Plan, String> + 'a>,
}

/// Why nothing is rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A policy gave no plan.
    #[error("policy {component} gave no plan: {reason}")]
    NoPlan {
        /// Its component.
        component: String,
        /// What it said.
        reason: String,
    },
    /// The host would refuse a plan.
    #[error("the plan of policy {component} is refused: {reason}")]
    Refused {
        /// Its component.
        component: String,
        /// The rules that it breaks.
        reason: String,
    },
    /// The policies do not come to rest.
    #[error("policies still write after {ROUNDS_MAX} rounds, the last one {component}")]
    NoRest {
        /// Component that wrote last.
        component: String,
    },
}

/// The objects that `policies`, in the order of a round, create for `cluster`, in the order of their creation.
///
/// # Errors
/// When a policy gives no plan, one that the host refuses, or the policies do not come to rest.
pub fn render(cluster: Value, policies: &[Deciding<'_>]) -> Result<Vec<Value>, RenderError> {
    let mut world = World::new(cluster);
    rest(&mut world, policies)?;
    Ok(world.written())
}

/// Lets the policies work on the world until none of them writes any more.
///
/// # Errors
/// As [`render`].
pub fn rest(world: &mut World, policies: &[Deciding<'_>]) -> Result<(), RenderError> {
    let mut last = String::new();
    for _ in 0..ROUNDS_MAX {
        world.settle();
        match round(world, policies)?.wrote {
            None => return Ok(()),
            Some(component) => last = component,
        }
    }
    Err(RenderError::NoRest { component: last })
}

/// What happened in one round.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// The plans, each with its component, in order.
    pub plans: Vec<(String, Plan)>,
    /// Component that wrote last; none if nothing was written.
    pub wrote: Option<String>,
}

/// One round: every policy in its turn, until one holds the later ones back.
///
/// # Errors
/// As [`render`].
pub fn round(world: &mut World, policies: &[Deciding<'_>]) -> Result<Round, RenderError> {
    let mut round = Round::default();
    for policy in policies {
        let component = &policy.descriptor.component;
        let snapshot = Arc::new(world.snapshot(&policy.descriptor, &policy.settings));
        let plan = (policy.decide)(snapshot.clone())
            .map_err(|reason| RenderError::NoPlan { component: component.clone(), reason })?;
        let facts: &dyn Facts = world;
        crate::check(facts, &policy.descriptor, &snapshot, &plan).map_err(|violations: Vec<Violation>| {
            let reason = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            RenderError::Refused { component: component.clone(), reason }
        })?;
        let before = world.cluster["status"].clone();
        world.apply(&policy.descriptor, &plan);
        if !plan.actions.is_empty() || world.cluster["status"] != before {
            round.wrote = Some(component.clone());
        }
        let hold_later = plan.hold_later;
        round.plans.push((component.clone(), plan));
        if hold_later {
            break;
        }
    }
    Ok(round)
}
