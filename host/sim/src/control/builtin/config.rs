//! ConfigMaps, Secrets, leases and roles.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::names;
use crate::control::{
    error::Cause,
    path::{at, flag, int, list_mut, object, remove, set, set_default, strings, text},
    strategy::{NameRule, Strategy, World},
};

const RBAC: &str = "rbac.authorization.k8s.io";
const FIXED: &str = "field is immutable when `immutable` is set";

pub fn config_map() -> Strategy {
    Strategy { validate: |map, old| entries_faults(map, old, &["data", "binaryData"]), ..Strategy::default() }
}

pub fn secret() -> Strategy {
    Strategy {
        default: secret_default,
        prepare_update: secret_update,
        validate: secret_validate,
        ..Strategy::default()
    }
}

pub fn lease() -> Strategy {
    Strategy { validate: lease_validate, unconditional_update: false, ..Strategy::default() }
}

pub fn role() -> Strategy {
    Strategy {
        default: |role| {
            if role.get("rules").is_none() {
                set(role, "rules", Value::Null);
            }
        },
        validate: role_validate,
        name: NameRule::PathSegment,
        ..Strategy::default()
    }
}

pub fn role_binding() -> Strategy {
    Strategy {
        default: binding_default,
        validate: binding_validate,
        name: NameRule::PathSegment,
        ..Strategy::default()
    }
}

fn entries_faults(object: &Value, old: Option<&Value>, places: &[&str]) -> Vec<Cause> {
    let mut causes = Vec::new();
    for place in places {
        for key in at(object, place).as_object().into_iter().flatten().map(|(key, _)| key) {
            causes.extend(names::config_key(&format!("{place}[{key}]"), key));
        }
    }
    let Some(old) = old.filter(|old| flag(old, "immutable")) else { return causes };
    if !flag(object, "immutable") {
        causes.push(Cause::forbidden("immutable", FIXED));
    }
    for place in places.iter().filter(|place| at(object, place) != at(old, place)) {
        causes.push(Cause::forbidden(*place, FIXED));
    }
    causes
}

fn secret_default(secret: &mut Value) {
    set_default(secret, "type", "Opaque");
    let plain = strings(secret, "stringData");
    remove(secret, "stringData");
    if !plain.is_empty() {
        let data = object(secret, "data");
        for (key, value) in plain {
            data.insert(key, STANDARD.encode(value).into());
        }
    }
}

/// A type that was left out stays.
fn secret_update(secret: &mut Value, old: &Value, _: &dyn World) {
    if text(secret, "type").is_empty() {
        set(secret, "type", text(old, "type"));
    }
}

fn secret_validate(secret: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = entries_faults(secret, old, &["data"]);
    if old.is_some_and(|old| at(old, "type") != at(secret, "type")) {
        causes.push(Cause::invalid("type", at(secret, "type"), "field is immutable"));
    }
    causes
}

fn lease_validate(lease: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(seconds) = int(lease, "spec.leaseDurationSeconds").filter(|s| *s <= 0) {
        causes.push(Cause::invalid("spec.leaseDurationSeconds", &seconds.into(), "must be greater than 0"));
    }
    if let Some(count) = int(lease, "spec.leaseTransitions").filter(|n| *n < 0) {
        causes.push(Cause::invalid("spec.leaseTransitions", &count.into(), "must be greater than or equal to 0"));
    }
    causes
}

fn role_validate(role: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, rule) in crate::control::path::list(role, "rules").iter().enumerate() {
        let empty = |field: &str| crate::control::path::list(rule, field).is_empty();
        if empty("verbs") {
            causes.push(Cause::required(format!("rules[{i}].verbs"), "verbs must contain at least one value"));
        }
        if empty("nonResourceURLs") && empty("apiGroups") {
            causes.push(Cause::required(
                format!("rules[{i}].apiGroups"),
                "resource rules must supply at least one api group",
            ));
        }
        if empty("nonResourceURLs") && empty("resources") {
            causes.push(Cause::required(
                format!("rules[{i}].resources"),
                "resource rules must supply at least one resource",
            ));
        }
    }
    causes
}

fn binding_default(binding: &mut Value) {
    set_default(binding, "roleRef.apiGroup", RBAC);
    for subject in list_mut(binding, "subjects").into_iter().flatten() {
        if matches!(text(subject, "kind"), "User" | "Group") {
            set_default(subject, "apiGroup", RBAC);
        }
    }
}

fn binding_validate(binding: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let role = text(binding, "roleRef.kind");
    if !["ClusterRole", "Role"].contains(&role) {
        causes.push(Cause::not_supported("roleRef.kind", &role.into(), &["Role", "ClusterRole"]));
    }
    if text(binding, "roleRef.name").is_empty() {
        causes.push(Cause::required("roleRef.name", ""));
    }
    if old.is_some_and(|old| at(old, "roleRef") != at(binding, "roleRef")) {
        let shown = json!({"APIGroup": RBAC, "Kind": role, "Name": text(binding, "roleRef.name")});
        causes.push(Cause::invalid("roleRef", &shown, "cannot change roleRef"));
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_entries_of_a_secret_are_encoded() {
        let mut secret = json!({"stringData": {"a": "b"}});
        secret_default(&mut secret);
        assert_eq!(secret, json!({"data": {"a": "Yg=="}, "type": "Opaque"}));
    }

    #[test]
    fn an_immutable_map_stays_as_it_is() {
        let old = json!({"immutable": true, "data": {"a": "1"}});
        assert_eq!(entries_faults(&old, Some(&old), &["data"]), []);
        assert_eq!(entries_faults(&json!({"data": {"a": "2"}}), Some(&old), &["data"]).len(), 2);
        assert_eq!(entries_faults(&json!({"data": {"bad key!": "2"}}), None, &["data"])[0].field, "data[bad key!]");
    }
}
