//! Faults that any component can have: replicas, environment, containers, resources, services.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource};

use super::cluster::one_of;
use crate::component::Resources;
use crate::fault::{Fault, FaultKind, Faults};
use crate::kind::Component;
use crate::shared::ScalePolicy;
use crate::view::View;
use crate::{quantity, syntax};

/// Pull policies of images.
pub(super) const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];

pub(super) fn check(view: &View<'_>, path: &str, faults: &mut Faults) {
    if view.replicas() < 0 {
        faults.invalid(format!("{path}.replicas"), "must be at least 0", view.replicas().to_string());
    }
    let own = view.own();
    let strategy = own.config_update_strategy.as_deref().unwrap_or_default();
    one_of(&format!("{path}.configUpdateStrategy"), strategy, &["InPlace", "RollingUpdate"], faults);
    let pull = own.image_pull_policy.as_deref().unwrap_or_default();
    one_of(&format!("{path}.imagePullPolicy"), pull, PULL_POLICIES, faults);
    for (at, variable) in own.env.iter().enumerate() {
        env(variable, &format!("{path}.env[{at}]"), faults);
    }
    for (at, container) in own.additional_containers.iter().enumerate() {
        // One that is merged into a container of the operator has that one's image.
        let absent = container.image.as_deref().unwrap_or_default().is_empty();
        if absent && !is_built_in(view.kind(), &container.name) {
            faults.required(format!("{path}.additionalContainers[{at}].image"), "required");
        }
    }
    resources(view.resources(), path, faults);
}

/// Whether the operator makes a container of this name in the component's pods.
fn is_built_in(kind: Component, container: &str) -> bool {
    let tailers: &[&str] = match kind {
        Component::Tikv => &["raftlog", "rocksdblog"],
        Component::Tidb => &["slowlog"],
        Component::Tiflash => &["serverlog", "errorlog", "clusterlog"],
        _ => &[],
    };
    container == kind.name() || tailers.contains(&container)
}

fn env(variable: &EnvVar, path: &str, faults: &mut Faults) {
    if variable.name.is_empty() {
        faults.required(format!("{path}.name"), "required");
    } else if !syntax::is_env_name(&variable.name) {
        faults.invalid(format!("{path}.name"), "not a name of an environment variable", &variable.name);
    }
    if let Some(source) = &variable.value_from {
        let has_value = variable.value.as_deref().is_some_and(|value| !value.is_empty());
        env_source(source, has_value, &format!("{path}.valueFrom"), faults);
    }
}

fn env_source(source: &EnvVarSource, has_value: bool, path: &str, faults: &mut Faults) {
    let refused = [("fieldRef", source.field_ref.is_some()), ("resourceFieldRef", source.resource_field_ref.is_some())];
    let mut any_refused = false;
    for (name, _) in refused.iter().filter(|(_, given)| *given) {
        any_refused = true;
        let message = "only configMapKeyRef and secretKeyRef are allowed";
        faults.add(Fault::new(format!("{path}.{name}"), FaultKind::Invalid, message));
    }
    let config_map = source.config_map_key_ref.as_ref().map(|r| ("configMapKeyRef", r.name.as_str(), r.key.as_str()));
    let secret = source.secret_key_ref.as_ref().map(|r| ("secretKeyRef", r.name.as_str(), r.key.as_str()));
    let given: Vec<_> = config_map.into_iter().chain(secret).collect();
    if has_value {
        faults.add(Fault::new(path, FaultKind::Invalid, "value and valueFrom exclude each other"));
    } else if given.len() > 1 || (given.is_empty() && !any_refused) {
        faults.add(Fault::new(path, FaultKind::Invalid, "exactly one of configMapKeyRef and secretKeyRef is needed"));
    }
    for (kind, name, key) in given {
        if !syntax::is_dns_subdomain(name) {
            faults.invalid(format!("{path}.{kind}.name"), "not a name of an object", name);
        }
        if key.is_empty() {
            faults.required(format!("{path}.{kind}.key"), "required");
        } else if !syntax::is_config_map_key(key) {
            faults.invalid(format!("{path}.{kind}.key"), "not a key of a ConfigMap or Secret", key);
        }
    }
}

/// Notes amounts that are no quantities.
pub(super) fn resources(resources: &Resources, path: &str, faults: &mut Faults) {
    for (list, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        for (name, amount) in amounts {
            if quantity::amount(amount).is_none() {
                faults.invalid(format!("{path}.{list}.{name}"), "not a quantity", &amount.0);
            }
        }
    }
}

/// Notes ranges that are no CIDRs.
pub(super) fn source_ranges(ranges: &[String], path: &str, faults: &mut Faults) {
    for (at, range) in ranges.iter().enumerate().filter(|(_, range)| !syntax::is_cidr(range)) {
        faults.invalid(format!("{path}.loadBalancerSourceRanges[{at}]"), "not a CIDR", range);
    }
}

/// Notes parallelisms below one.
pub(super) fn scale_policy(policy: Option<&ScalePolicy>, path: &str, faults: &mut Faults) {
    let Some(policy) = policy else { return };
    let both =
        [("scaleInParallelism", policy.scale_in_parallelism), ("scaleOutParallelism", policy.scale_out_parallelism)];
    for (name, value) in both {
        if let Some(value) = value.filter(|value| *value <= 0) {
            faults.invalid(format!("{path}.scalePolicy.{name}"), "must be at least 1", value.to_string());
        }
    }
}
