//! Faults of configurations: no TOML, or values that a component refuses at its start.

use crate::config::{Config, Table, TablePath, Value};
use crate::fault::Faults;
use crate::tiflash::TiflashSpec;
use crate::view::View;

/// Log files of TiFlash, whose directory the pod's containers share.
const TIFLASH_LOGS: [&str; 4] = ["flash.flash_cluster.log", "flash.proxy.log-file", "logger.log", "logger.errorlog"];

pub(super) fn check(view: &View<'_>, path: &str, faults: &mut Faults) {
    if let Some(config) = view.config() {
        table(config, &format!("{path}.config"), faults);
    }
}

fn table(config: &Config, path: &str, faults: &mut Faults) -> Option<Table> {
    config
        .table()
        .map_err(|error| {
            faults.add(crate::fault::Fault::new(path, crate::fault::FaultKind::Invalid, error.to_string()))
        })
        .ok()
}

/// TiFlash has two configurations, and of one of them values are checked.
pub(super) fn tiflash(spec: &TiflashSpec, path: &str, faults: &mut Faults) {
    let Some(config) = &spec.config else { return };
    if let Some(proxy) = &config.proxy {
        table(proxy, &format!("{path}.config.proxy"), faults);
    }
    let path = format!("{path}.config.config");
    let Some(server) = config.config.as_ref().and_then(|config| table(config, &path, faults)) else { return };
    if let Some(threshold) = server.at("flash.overlap_threshold") {
        let fits = threshold.as_float().is_some_and(|threshold| (0.0..=1.0).contains(&threshold));
        if !fits {
            let field = format!("{path}.flash.overlap_threshold");
            faults.invalid(field, "not a number with a point between 0.0 and 1.0", threshold.to_string());
        }
    }
    for log in TIFLASH_LOGS {
        let Some(value) = server.at(log) else { continue };
        if value.as_str().is_none_or(|file| file.matches('/').count() < 2) {
            faults.invalid(format!("{path}.{log}"), "not a file in a directory (/directory/file)", shown(value));
        }
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
