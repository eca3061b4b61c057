//! Faults that belong to one component: PD, TiKV, TiFlash, TiDB, TiCDC.

use super::{component, config, volumes};
use crate::cluster::TidbCluster;
use crate::duration;
use crate::fault::Faults;
use crate::kind::Component;
use crate::quantity;
use crate::tiflash::TiflashSpec;
use crate::view::STORAGE;

pub(super) fn check(cluster: &TidbCluster, faults: &mut Faults) {
    pd(cluster, faults);
    tikv(cluster, faults);
    tidb(cluster, faults);
    if let Some(spec) = &cluster.spec.tiflash {
        tiflash(spec, faults);
    }
    if let Some(spec) = &cluster.spec.ticdc {
        timeout(spec.graceful_shutdown_timeout.as_deref(), "spec.ticdc.gracefulShutdownTimeout", faults);
    }
}

fn pd(cluster: &TidbCluster, faults: &mut Faults) {
    if let Some(service) = cluster.spec.pd.as_ref().and_then(|pd| pd.service.as_ref()) {
        component::source_ranges(&service.load_balancer_source_ranges, "spec.pd.service", faults);
    }
}

fn tikv(cluster: &TidbCluster, faults: &mut Faults) {
    let (Some(spec), Some(view)) = (&cluster.spec.tikv, cluster.component(Component::Tikv)) else { return };
    if spec.data_sub_dir.starts_with('/') || spec.data_sub_dir.split('/').any(|part| part == "..") {
        faults.invalid("spec.tikv.dataSubDir", "not a path inside the volume", &spec.data_sub_dir);
    }
    let raft = spec.separate_raft_log.unwrap_or(false);
    volumes::log_volume(&view, raft, &spec.raft_log_volume_name, "spec.tikv.raftLogVolumeName", faults);
    let rocks = spec.separate_rocks_db_log.unwrap_or(false);
    volumes::log_volume(&view, rocks, &spec.rocks_db_log_volume_name, "spec.tikv.rocksDBLogVolumeName", faults);
    timeout(spec.evict_leader_timeout.as_deref(), "spec.tikv.evictLeaderTimeout", faults);
    timeout(spec.wait_leader_transfer_back_timeout.as_deref(), "spec.tikv.waitLeaderTransferBackTimeout", faults);
    component::scale_policy(spec.scale_policy.as_ref(), "spec.tikv", faults);
}

fn tidb(cluster: &TidbCluster, faults: &mut Faults) {
    let (Some(spec), Some(view)) = (&cluster.spec.tidb, cluster.component(Component::Tidb)) else { return };
    let slow = spec.separate_slow_log.unwrap_or(true);
    volumes::log_volume(&view, slow, &spec.slow_log_volume_name, "spec.tidb.slowLogVolumeName", faults);
    if let Some(service) = &spec.service {
        component::source_ranges(&service.service.load_balancer_source_ranges, "spec.tidb.service", faults);
    }
    component::scale_policy(spec.scale_policy.as_ref(), "spec.tidb", faults);
}

fn tiflash(spec: &TiflashSpec, faults: &mut Faults) {
    if spec.storage_claims.is_empty() {
        faults.required("spec.tiflash.storageClaims", "required: at least one volume");
    }
    for (at, claim) in spec.storage_claims.iter().enumerate() {
        let path = format!("spec.tiflash.storageClaims[{at}].resources");
        match claim.resources.as_ref().and_then(|resources| resources.requests.get(STORAGE)) {
            None => faults.required(format!("{path}.requests.{STORAGE}"), "required"),
            Some(size) if quantity::amount(size).is_none() => {
                faults.invalid(format!("{path}.requests.{STORAGE}"), "not a quantity", &size.0);
            }
            Some(_) => {}
        }
    }
    config::tiflash(spec, "spec.tiflash", faults);
    component::scale_policy(spec.scale_policy.as_ref(), "spec.tiflash", faults);
}

fn timeout(text: Option<&str>, path: &str, faults: &mut Faults) {
    let Some(text) = text else { return };
    if duration::parse(text).is_none_or(|duration| duration.is_zero()) {
        faults.invalid(path, "not a duration greater than zero, such as 1h30m", text);
    }
}
