//! Faults of volumes: missing or wrong sizes, names that nothing has.

use std::collections::BTreeSet;

use crate::fault::{Fault, FaultKind, Faults};
use crate::view::{STORAGE, View};
use crate::{quantity, syntax};

pub(super) fn check(view: &View<'_>, path: &str, faults: &mut Faults) {
    if super::has_data_volume(view) && view.storage_request().is_none() {
        faults.required(format!("{path}.requests.{STORAGE}"), "required");
    }
    let mut names = BTreeSet::new();
    for (at, volume) in view.storage_volumes().iter().enumerate() {
        let path = format!("{path}.storageVolumes[{at}]");
        if volume.name.is_empty() {
            faults.required(format!("{path}.name"), "required");
        } else if !syntax::is_dns_label(&volume.name) {
            faults.invalid(format!("{path}.name"), "not a DNS label", &volume.name);
        } else if !names.insert(&volume.name) {
            faults
                .add(Fault::new(format!("{path}.name"), FaultKind::Duplicate, "listed twice").with_value(&volume.name));
        }
        if volume.storage_size.is_empty() {
            faults.required(format!("{path}.storageSize"), "required");
        } else if quantity::parse(&volume.storage_size).is_none() {
            faults.invalid(format!("{path}.storageSize"), "not a quantity", &volume.storage_size);
        }
    }
}

/// Notes a volume that a log is to go to and that the pods do not have.
pub(super) fn log_volume(view: &View<'_>, separate: bool, volume: &str, path: &str, faults: &mut Faults) {
    if !separate || volume.is_empty() {
        return;
    }
    let own = view.own();
    let stored = view.storage_volumes().iter().any(|v| v.name == volume);
    let added = own.additional_volumes.iter().any(|v| v.name == volume)
        && own.additional_volume_mounts.iter().any(|m| m.name == volume);
    if !stored && !added {
        faults.invalid(path, "no volume of this name in storageVolumes or additionalVolumes", volume);
    }
}
