//! Defaults that are filled in memory before a decision. They are never written back to the API server, and they depend on
//! the spec alone, so that a policy renders the same pods whichever host runs it.

use crate::cluster::{TidbCluster, TlsCluster};
use crate::config::{Config, TablePath, to_toml};
use crate::kind::Component;

/// Pods that failover may add when nothing is given.
pub const MAX_FAILOVER_COUNT: i32 = 3;
/// Pods that a volume replacement may add when nothing is given.
pub const SPARE_VOL_REPLACE_REPLICAS: i32 = 1;
/// Log files that TiDB keeps when nothing is given.
pub const TIDB_LOG_MAX_BACKUPS: i64 = 3;

/// Fills what the user left open. Doing it twice changes nothing.
pub fn apply_defaults(cluster: &mut TidbCluster) {
    cluster_defaults(cluster);
    base_images(cluster);
    failover_counts(cluster);
    tidb_log_backups(cluster);
}

fn cluster_defaults(cluster: &mut TidbCluster) {
    let namespace = cluster.namespace().to_owned();
    let spec = &mut cluster.spec;
    if spec.image_pull_policy.is_empty() {
        spec.image_pull_policy = "IfNotPresent".to_owned();
    }
    spec.tls_cluster.get_or_insert_with(TlsCluster::default);
    spec.enable_pv_reclaim.get_or_insert(false);
    spec.pv_reclaim_policy.get_or_insert_with(|| "Retain".to_owned());
    if let Some(joined) = spec.cluster.as_mut().filter(|joined| !joined.name.is_empty() && joined.namespace.is_empty())
    {
        joined.namespace = namespace;
    }
}

/// A component whose version is known gets its usual image.
fn base_images(cluster: &mut TidbCluster) {
    let spec = &mut cluster.spec;
    let known = !spec.version.is_empty();
    macro_rules! base_image {
        ($($field:ident: $kind:ident),*) => { $(
            if let Some(component) = &mut spec.$field {
                if component.base_image.is_empty() && (known || component.component.version.is_some()) {
                    component.base_image = Component::$kind.default_base_image().unwrap_or_default().to_owned();
                }
            }
        )* };
    }
    base_image!(pd: Pd, tikv: Tikv, tidb: Tidb, pump: Pump, tiflash: Tiflash, ticdc: Ticdc, tiproxy: Tiproxy);
    for service in &mut spec.pdms {
        // An image that is absent stays so: the service then runs PD's own.
        if service.base_image.as_deref() == Some("") && (known || service.component.version.is_some()) {
            service.base_image = Component::Tso.default_base_image().map(str::to_owned);
        }
    }
}

fn failover_counts(cluster: &mut TidbCluster) {
    let spec = &mut cluster.spec;
    if let Some(pd) = &mut spec.pd {
        pd.max_failover_count.get_or_insert(MAX_FAILOVER_COUNT);
        pd.spare_vol_replace_replicas.get_or_insert(SPARE_VOL_REPLACE_REPLICAS);
    }
    if let Some(tikv) = &mut spec.tikv {
        tikv.max_failover_count.get_or_insert(MAX_FAILOVER_COUNT);
        tikv.spare_vol_replace_replicas.get_or_insert(SPARE_VOL_REPLACE_REPLICAS);
    }
    if let Some(tidb) = &mut spec.tidb {
        tidb.max_failover_count.get_or_insert(MAX_FAILOVER_COUNT);
    }
    if let Some(tiflash) = &mut spec.tiflash {
        tiflash.max_failover_count.get_or_insert(MAX_FAILOVER_COUNT);
    }
}

/// TiDB keeps a few log files. A configuration that cannot be parsed is left to validation.
fn tidb_log_backups(cluster: &mut TidbCluster) {
    let Some(config) = cluster.spec.tidb.as_mut().and_then(|tidb| tidb.config.as_mut()) else { return };
    let Ok(mut table) = config.table() else { return };
    if table.at("log.file.max-backups").is_none() && table.set("log.file.max-backups", TIDB_LOG_MAX_BACKUPS) {
        *config = Config::Text(to_toml(&table));
    }
}
