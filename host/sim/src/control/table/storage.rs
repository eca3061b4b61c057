//! Volumes, claims and storage classes.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, NAME, Printer, Row, cells, column, wide};
use crate::control::path::{at, entry, flag, text};

const UNSET: &str = "<unset>";

pub const CLAIMS: Printer = Printer {
    columns: &[
        NAME,
        column("Status", "Pending, Bound, Lost or Terminating."),
        column("Volume", "The volume it is bound to."),
        column("Capacity", "What the volume holds."),
        column("Access Modes", "How the volume may be mounted."),
        column("StorageClass", "Where volumes come from."),
        column("VolumeAttributesClass", "How fast the volume is."),
        AGE,
        wide("VolumeMode", "Filesystem or Block."),
    ],
    row: claim,
};

pub const VOLUMES: Printer = Printer {
    columns: &[
        NAME,
        column("Capacity", "What it holds."),
        column("Access Modes", "How it may be mounted."),
        column("Reclaim Policy", "What happens when its claim goes."),
        column("Status", "Available, Bound, Released, Failed or Terminating."),
        column("Claim", "The claim that it is bound to."),
        column("StorageClass", "Where it came from."),
        column("VolumeAttributesClass", "How fast it is."),
        column("Reason", "Why it failed."),
        AGE,
        wide("VolumeMode", "Filesystem or Block."),
    ],
    row: volume,
};

pub const CLASSES: Printer = Printer {
    columns: &[
        NAME,
        column("Provisioner", "Who makes volumes."),
        column("ReclaimPolicy", "What happens when a claim goes."),
        column("VolumeBindingMode", "When a claim is bound."),
        column("AllowVolumeExpansion", "Whether volumes may grow."),
        AGE,
    ],
    row: class,
};

/// `RWO,RWX` and so on.
fn access_modes(object: &Value, path: &str) -> String {
    let given = cells::words(object, path);
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    short
        .into_iter()
        .filter(|(long, _)| given.iter().any(|mode| mode == long))
        .map(|(_, short)| short)
        .collect::<Vec<_>>()
        .join(",")
}

fn phase(object: &Value) -> String {
    let going = !at(object, "metadata.deletionTimestamp").is_null();
    if going { "Terminating".to_owned() } else { text(object, "status.phase").to_owned() }
}

fn claim(object: &Value, now: Timestamp) -> Row {
    let volume = text(object, "spec.volumeName");
    let (capacity, modes) = if volume.is_empty() {
        (String::new(), String::new())
    } else {
        (cells::or(text(object, "status.capacity.storage"), "0").to_owned(), access_modes(object, "status.accessModes"))
    };
    let annotated = entry(object, "metadata.annotations", "volume.beta.kubernetes.io/storage-class");
    vec![
        cells::name(object),
        phase(object).into(),
        volume.into(),
        capacity.into(),
        modes.into(),
        annotated.unwrap_or(text(object, "spec.storageClassName")).into(),
        cells::or(text(object, "spec.volumeAttributesClassName"), UNSET).into(),
        cells::age(object, now),
        cells::or(text(object, "spec.volumeMode"), UNSET).into(),
    ]
    .into()
}

fn volume(object: &Value, now: Timestamp) -> Row {
    let claim = match at(object, "spec.claimRef") {
        Value::Null => String::new(),
        claim => format!("{}/{}", text(claim, "namespace"), text(claim, "name")),
    };
    vec![
        cells::name(object),
        cells::or(text(object, "spec.capacity.storage"), "0").into(),
        access_modes(object, "spec.accessModes").into(),
        text(object, "spec.persistentVolumeReclaimPolicy").into(),
        phase(object).into(),
        claim.into(),
        text(object, "spec.storageClassName").into(),
        cells::or(text(object, "spec.volumeAttributesClassName"), UNSET).into(),
        text(object, "status.reason").into(),
        cells::age(object, now),
        cells::or(text(object, "spec.volumeMode"), UNSET).into(),
    ]
    .into()
}

fn class(object: &Value, now: Timestamp) -> Row {
    let default = entry(object, "metadata.annotations", "storageclass.kubernetes.io/is-default-class") == Some("true");
    let name = format!("{}{}", text(object, "metadata.name"), if default { " (default)" } else { "" });
    vec![
        name.into(),
        text(object, "provisioner").into(),
        cells::or(text(object, "reclaimPolicy"), "Delete").into(),
        cells::or(text(object, "volumeBindingMode"), "Immediate").into(),
        flag(object, "allowVolumeExpansion").into(),
        cells::age(object, now),
    ]
    .into()
}
