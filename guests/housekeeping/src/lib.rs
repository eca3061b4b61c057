//! The policy of what belongs to no component: labels that tie pods, claims and volumes to PD's ids, the reclaim policy of
//! volumes, claims of those who left, pods that wait for a claim that is gone, and whether the cluster is ready.
//!
//! It runs last, and in every round, also in one that an earlier component holds up.

mod claims;
mod conditions;
mod ids;
mod orphans;
mod volumes;
mod world;

use tidepool_sdk::{Descriptor, Failure, Plan, Policy, Snapshot, export_policy};

use crate::world::World;

/// The policy.
pub struct Housekeeping;

export_policy!(Housekeeping);

impl Policy for Housekeeping {
    fn describe() -> Descriptor {
        world::descriptor()
    }

    fn reconcile(snapshot: &Snapshot, plan: &mut Plan) -> Result<(), Failure> {
        let cluster = tidepool_sdk::cluster(snapshot)?;
        let world = World::read(snapshot, &cluster)?;
        orphans::delete(&world, plan)?;
        ids::label(&world, plan)?;
        volumes::reclaim(&world, plan);
        claims::clean(&world, plan)?;
        conditions::judge(&world, plan)
    }
}
