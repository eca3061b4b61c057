//! TLS on or off. A PD with several members keeps its mode: a member of the other one could not talk to the rest, and the
//! rest would take it for lost.

use tidepool_sdk::{
    Failure, Plan, Snapshot,
    api::{Component, TidbCluster},
    live::LiveSet,
    wait::{self, Reason},
};

use crate::world::watch;

/// The volume with PD's certificate.
const CERTIFICATE: &str = "pd-tls";

/// The cluster as PD is to run it now; whether its mode is one that the spec does not want.
///
/// # Errors
/// When the StatefulSet could not be read.
pub fn settle(snapshot: &Snapshot, mut cluster: TidbCluster) -> Result<(TidbCluster, bool), Failure> {
    let name = cluster.member_name(Component::Pd);
    let Some(set) = LiveSet::read(snapshot, watch::STATEFUL_SET, &name)? else { return Ok((cluster, false)) };
    let runs = set.mounts(CERTIFICATE);
    if runs == cluster.tls_enabled() || set.replicas() <= 1 {
        return Ok((cluster, false));
    }
    cluster.spec.tls_cluster.get_or_insert_default().enabled = runs;
    Ok((cluster, true))
}

/// Says why PD stays as it is, and holds the other components: they would not reach it.
pub fn say(cluster: &TidbCluster, plan: &mut Plan) {
    let message = "PD with more than one member cannot change between TLS and no TLS: set spec.pd.replicas to 1 first, or \
                   take the change of spec.tlsCluster back";
    plan.wait(wait::on(Reason::Manual, wait::stateful_set(&cluster.member_name(Component::Pd)), message));
    plan.hold_later();
}
