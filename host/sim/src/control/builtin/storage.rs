//! Claims, volumes and storage classes.

use serde_json::{Value, json};

use super::{diff, quantity};
use crate::control::{
    error::{ApiError, Cause},
    path::{at, entry, flag, list, object, remove, set, set_default, text},
    strategy::{Strategy, World},
};

const CLAIM_FIXED: &str =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
const RESIZE_REFUSED: &str =
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

pub fn claim() -> Strategy {
    Strategy {
        default: claim_default,
        prepare_create: claim_create,
        prepare_update: claim_update,
        validate: claim_validate,
        admit: claim_growth,
        delete_answers_object: true,
        ..Strategy::default()
    }
}

pub fn volume() -> Strategy {
    Strategy {
        default: volume_default,
        prepare_create: volume_create,
        validate: volume_validate,
        delete_answers_object: true,
        ..Strategy::default()
    }
}

pub fn class() -> Strategy {
    Strategy { default: class_default, validate: class_validate, ..Strategy::default() }
}

/// Adds `finalizer` where it is missing.
fn protect(value: &mut Value, finalizer: &str) {
    let finalizers = object(value, "metadata").entry("finalizers").or_insert_with(|| json!([]));
    if let Value::Array(items) = finalizers
        && !items.iter().any(|item| item == finalizer)
    {
        items.push(finalizer.into());
    }
}

pub(super) fn claim_default(claim: &mut Value) {
    object(claim, "spec");
    set_default(claim, "spec.volumeMode", "Filesystem");
    set_default(claim, "status.phase", "Pending");
    for path in ["spec.resources.requests", "spec.resources.limits", "status.capacity", "status.allocatedResources"] {
        quantity::canonicalize(claim, path);
    }
}

fn claim_create(claim: &mut Value, world: &dyn World) {
    set(claim, "status", json!({"phase": "Pending"}));
    protect(claim, "kubernetes.io/pvc-protection");
    if at(claim, "spec.storageClassName").is_null() {
        let classes = world.list("storage.k8s.io", "storageclasses", None);
        let default = classes.iter().find(|class| entry(class, "metadata.annotations", DEFAULT_CLASS) == Some("true"));
        if let Some(class) = default {
            set(claim, "spec.storageClassName", text(class, "metadata.name"));
        }
    }
}

fn claim_update(claim: &mut Value, old: &Value, _: &dyn World) {
    if at(claim, "status").is_null() || at(claim, "status.phase").is_null() {
        set(claim, "status.phase", at(old, "status.phase").clone());
    }
}

fn claim_validate(claim: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if list(claim, "spec.accessModes").is_empty() {
        causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
    }
    match quantity::of(claim, "spec.resources.requests", "storage") {
        None => causes.push(Cause::required("spec.resources[storage]", "")),
        Some(amount) if amount <= 0 => {
            let shown = at(claim, "spec.resources.requests.storage");
            causes.push(Cause::invalid("spec.resources[storage]", shown, "must be greater than zero"));
        }
        Some(_) => {}
    }
    if let Some(old) = old.filter(|_| causes.is_empty()) {
        causes.extend(claim_change(claim, old));
    }
    causes
}

fn claim_change(claim: &Value, old: &Value) -> Option<Cause> {
    let (mut after, mut before) = (at(claim, "spec").clone(), at(old, "spec").clone());
    if text(old, "spec.volumeName").is_empty() {
        // Binding: the one change that an unbound claim takes.
        remove(&mut after, "volumeName");
    }
    if at(old, "spec.storageClassName").is_null() {
        remove(&mut after, "storageClassName");
    }
    let bound = text(old, "status.phase") == "Bound";
    if bound {
        for spec in [&mut after, &mut before] {
            remove(spec, "resources.requests");
            remove(spec, "volumeAttributesClassName");
        }
    }
    if after != before {
        return Some(Cause::forbidden(
            "spec",
            &format!("{CLAIM_FIXED}\n{}", diff::claim_spec(at(old, "spec"), at(claim, "spec"))),
        ));
    }
    let amount = |value: &Value, path: &str| quantity::of(value, path, "storage");
    let (wanted, had) = (amount(claim, "spec.resources.requests"), amount(old, "spec.resources.requests"));
    let capacity = amount(old, "status.capacity");
    let shrinks = bound && wanted < had && wanted < capacity;
    shrinks.then(|| Cause::forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"))
}

/// A claim grows only if its class can make volumes grow.
fn claim_growth(claim: &Value, old: Option<&Value>, world: &dyn World) -> Result<(), ApiError> {
    let amount = |claim: &Value| quantity::of(claim, "spec.resources.requests", "storage");
    let Some(_) = old.filter(|old| amount(claim) > amount(old)) else { return Ok(()) };
    let class = text(claim, "spec.storageClassName");
    let classes = world.list("storage.k8s.io", "storageclasses", None);
    let grows =
        classes.iter().any(|found| text(found, "metadata.name") == class && flag(found, "allowVolumeExpansion"));
    if grows {
        return Ok(());
    }
    Err(ApiError::forbidden("", "persistentvolumeclaims", text(claim, "metadata.name"), RESIZE_REFUSED))
}

fn volume_default(volume: &mut Value) {
    object(volume, "spec");
    set_default(volume, "spec.volumeMode", "Filesystem");
    set_default(volume, "spec.persistentVolumeReclaimPolicy", "Retain");
    set_default(volume, "status.phase", "Pending");
    quantity::canonicalize(volume, "spec.capacity");
    if at(volume, "spec.hostPath").is_object() {
        set_default(volume, "spec.hostPath.type", "");
    }
}

fn volume_create(volume: &mut Value, _: &dyn World) {
    set(volume, "status", json!({"phase": "Pending"}));
    protect(volume, "kubernetes.io/pv-protection");
}

fn volume_validate(volume: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if list(volume, "spec.accessModes").is_empty() {
        causes.push(Cause::required("spec.accessModes", ""));
    }
    if at(volume, "spec.capacity").as_object().is_none_or(serde_json::Map::is_empty) {
        causes.push(Cause::required("spec.capacity", ""));
    }
    causes
}

fn class_default(class: &mut Value) {
    set_default(class, "reclaimPolicy", "Delete");
    set_default(class, "volumeBindingMode", "Immediate");
}

fn class_validate(class: &Value, _: Option<&Value>) -> Vec<Cause> {
    let missing = text(class, "provisioner").is_empty();
    missing.then(|| Cause::required("provisioner", "")).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> Value {
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "v"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}})
    }

    #[test]
    fn a_bound_claim_grows_but_does_not_shrink_below_its_capacity() {
        let resized = |amount: &str| {
            let mut claim = bound();
            set(&mut claim, "spec.resources.requests.storage", amount);
            claim
        };
        assert_eq!(claim_validate(&resized("2Gi"), Some(&bound())), []);
        assert_eq!(claim_validate(&resized("512Mi"), Some(&bound()))[0].field, "spec.resources.requests.storage");
    }

    #[test]
    fn an_unbound_claim_takes_a_volume_and_nothing_else() {
        let old = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Pending"}});
        let mut new = old.clone();
        set(&mut new, "spec.volumeName", "v");
        assert_eq!(claim_validate(&new, Some(&old)), []);
        set(&mut new, "spec.accessModes", json!(["ReadWriteMany"]));
        assert_eq!(claim_validate(&new, Some(&old)).len(), 1);
    }
}
