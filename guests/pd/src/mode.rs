//! TLS on or off. A PD with several members keeps its mode: a member of the other one could not talk to the rest, and the
//! rest would take it for lost. Its mode is that of most of its pods; a template that somebody edited is not what runs.

use tidepool_sdk::{
    Failure, Plan, Snapshot,
    api::{Component, TidbCluster},
    build::pd_server::CERTIFICATE,
    live::{Live, LiveSet},
    wait::{self, Reason},
};

use crate::world::watch;

/// The cluster as PD is to run it now; whether its mode is one that the spec does not want.
///
/// # Errors
/// When StatefulSet or pods could not be read.
pub fn settle(snapshot: &Snapshot, mut cluster: TidbCluster) -> Result<(TidbCluster, bool), Failure> {
    let name = cluster.member_name(Component::Pd);
    let Some(set) = LiveSet::read(snapshot, watch::STATEFUL_SET, &name)? else { return Ok((cluster, false)) };
    let wanted = cluster.tls_enabled();
    if set.replicas() <= 1 || (set.mounts(CERTIFICATE) == wanted && set.revisions().0 == set.revisions().1) {
        return Ok((cluster, false));
    }
    let runs = mode(snapshot, &set)?;
    if runs == wanted {
        return Ok((cluster, false));
    }
    cluster.spec.tls_cluster.get_or_insert_default().enabled = runs;
    Ok((cluster, true))
}

/// Whether PD runs with TLS: most of its pods do, or, where they are even, its template says so.
fn mode(snapshot: &Snapshot, set: &LiveSet) -> Result<bool, Failure> {
    let (mut with, mut without) = (0, 0);
    for row in snapshot.pods()? {
        let Some(pod) = Live::read(snapshot, watch::POD, &row.name)? else { continue };
        let volumes = pod.value()["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let encrypted = volumes.iter().any(|volume| volume["name"] == CERTIFICATE);
        *(if encrypted { &mut with } else { &mut without }) += 1;
    }
    Ok(if with == without { set.mounts(CERTIFICATE) } else { with > without })
}

/// Says why PD stays as it is, and holds the other components: they would not reach it.
pub fn say(cluster: &TidbCluster, plan: &mut Plan) {
    let message = "PD with more than one member cannot change between TLS and no TLS: set spec.pd.replicas to 1 first, or \
                   take the change of spec.tlsCluster back";
    plan.wait(wait::on(Reason::Manual, wait::stateful_set(&cluster.member_name(Component::Pd)), message));
    plan.hold_later();
}
