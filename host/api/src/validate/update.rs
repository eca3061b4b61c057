//! Faults of a change: what may not become of a cluster that exists.

use crate::cluster::TidbCluster;
use crate::config::{Config, Table, TablePath, Value};
use crate::fault::{Fault, FaultKind, Faults};

/// Tables of PD's configuration that PD keeps itself; they are changed by its own API.
const PD_OWN_TABLES: [&str; 2] = ["schedule", "replication"];

/// All faults of the change from one cluster to another, beside those of the new cluster itself.
pub fn validate_update(old: &TidbCluster, new: &TidbCluster) -> Vec<Fault> {
    let mut faults = Faults::default();
    if old.instance_name() != new.instance_name() {
        forbidden("metadata.labels", "the instance may not change", &mut faults);
    }
    pd_config(old, new, &mut faults);
    bootstrap_sql(old, new, &mut faults);
    unset(old, new, &mut faults);
    faults.into_vec()
}

fn pd_config(old: &TidbCluster, new: &TidbCluster, faults: &mut Faults) {
    let table = |cluster: &TidbCluster| cluster.spec.pd.as_ref()?.config.as_ref()?.table().ok();
    let (Some(old), Some(new)) = (table(old), table(new)) else { return };
    if let Some(names) = new.at("security.cert-allowed-cn") {
        let fits = names.as_array().is_some_and(|names| names.len() <= 1 && names.iter().all(Value::is_str));
        if !fits {
            faults.invalid(
                "spec.pd.config.security.cert-allowed-cn",
                "not a list of at most one name",
                names.to_string(),
            );
        }
    }
    let part = |table: &Table, key: &str| table.get(key).cloned().unwrap_or_else(|| Value::Table(Table::new()));
    for key in PD_OWN_TABLES.into_iter().filter(|key| part(&old, key) != part(&new, key)) {
        forbidden(&format!("spec.pd.config.{key}"), "PD keeps these settings itself; change them by its API", faults);
    }
}

fn bootstrap_sql(old: &TidbCluster, new: &TidbCluster, faults: &mut Faults) {
    let (Some(old), Some(new)) = (&old.spec.tidb, &new.spec.tidb) else { return };
    let name = &new.bootstrap_sql_config_map_name;
    if name.is_some() && *name != old.bootstrap_sql_config_map_name {
        forbidden("spec.tidb.bootstrapSQLConfigMapName", "it is used once, when the cluster is created", faults);
    }
}

fn unset(old: &TidbCluster, new: &TidbCluster, faults: &mut Faults) {
    if !old.spec.version.is_empty() && new.spec.version.is_empty() {
        forbidden("spec.version", "once set it must stay set", faults);
    }
    macro_rules! component {
        ($($field:ident),*) => { $(
            if let (Some(old), Some(new)) = (&old.spec.$field, &new.spec.$field) {
                let path = concat!("spec.", stringify!($field));
                component_unset(path, (&old.base_image, &new.base_image), (old.config.as_ref(), new.config.as_ref()), faults);
            }
        )* };
    }
    component!(pd, tikv, tidb);
}

fn component_unset(path: &str, image: (&str, &str), config: (Option<&Config>, Option<&Config>), faults: &mut Faults) {
    if !image.0.is_empty() && image.1.is_empty() {
        forbidden(&format!("{path}.baseImage"), "once set it must stay set", faults);
    }
    if config.0.is_some() && config.1.is_none() {
        forbidden(&format!("{path}.config"), "once set it must stay set", faults);
    }
}

fn forbidden(path: &str, message: &str, faults: &mut Faults) {
    faults.add(Fault::new(path, FaultKind::Forbidden, message));
}
