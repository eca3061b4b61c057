//! Faults of a pod's spec, also inside the template of a workload.

use serde_json::Value;

use super::{names, quantity};
use crate::control::{
    error::Cause,
    path::{at, int, list, text},
};

const IMAGE_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

/// Faults of the spec at `field` (`spec`, `spec.template.spec`).
pub fn pod_spec(field: &str, spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let volumes = volumes(field, spec, &mut causes);
    if list(spec, "containers").is_empty() {
        causes.push(Cause::required(format!("{field}.containers"), ""));
    }
    let mut names_seen = Vec::new();
    for kind in ["initContainers", "containers"] {
        for (i, container) in list(spec, kind).iter().enumerate() {
            let at_field = format!("{field}.{kind}[{i}]");
            let name = text(container, "name");
            if names_seen.contains(&name) {
                causes.push(Cause::duplicate(format!("{at_field}.name"), &name.into()));
            }
            names_seen.push(name);
            causes.extend(self::container(&at_field, container, &volumes));
        }
    }
    let restart = text(spec, "restartPolicy");
    if !["Always", "OnFailure", "Never"].contains(&restart) {
        causes.push(Cause::not_supported(
            format!("{field}.restartPolicy"),
            &restart.into(),
            &["Always", "OnFailure", "Never"],
        ));
    }
    if let Some(seconds) = int(spec, "terminationGracePeriodSeconds").filter(|s| *s < 0) {
        causes.push(not_negative(&format!("{field}.terminationGracePeriodSeconds"), seconds));
    }
    causes
}

/// The fault of a negative number, `None` for others and for a missing one.
pub fn negative(object: &Value, path: &str) -> Option<Cause> {
    int(object, path).filter(|n| *n < 0).map(|n| not_negative(path, n))
}

fn not_negative(field: &str, number: i64) -> Cause {
    Cause::invalid(field, &number.into(), "must be greater than or equal to 0")
}

fn volumes<'a>(field: &str, spec: &'a Value, causes: &mut Vec<Cause>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for (i, volume) in list(spec, "volumes").iter().enumerate() {
        let name = text(volume, "name");
        let at_field = format!("{field}.volumes[{i}].name");
        match name {
            "" => causes.push(Cause::required(at_field, "")),
            name if seen.contains(&name) => causes.push(Cause::duplicate(at_field, &name.into())),
            name => causes.extend(names::label(&at_field, name)),
        }
        seen.push(name);
    }
    seen
}

fn container(field: &str, container: &Value, volumes: &[&str]) -> Vec<Cause> {
    let mut causes = match text(container, "name") {
        "" => vec![Cause::required(format!("{field}.name"), "")],
        name => names::label(&format!("{field}.name"), name),
    };
    if text(container, "image").is_empty() {
        causes.push(Cause::required(format!("{field}.image"), ""));
    }
    let policy = text(container, "imagePullPolicy");
    if !policy.is_empty() && !IMAGE_POLICIES.contains(&policy) {
        causes.push(Cause::not_supported(format!("{field}.imagePullPolicy"), &policy.into(), &IMAGE_POLICIES));
    }
    for (i, port) in list(container, "ports").iter().enumerate() {
        match int(port, "containerPort") {
            None | Some(0) => causes.push(Cause::required(format!("{field}.ports[{i}].containerPort"), "")),
            Some(number) => causes.extend(names::port(format!("{field}.ports[{i}].containerPort"), number)),
        }
    }
    for (i, env) in list(container, "env").iter().enumerate() {
        causes.extend(environment(&format!("{field}.env[{i}]"), env));
    }
    for (i, mount) in list(container, "volumeMounts").iter().enumerate() {
        causes.extend(volume_mount(&format!("{field}.volumeMounts[{i}]"), mount, volumes));
    }
    causes.extend(resources(field, container));
    causes
}

fn environment(field: &str, env: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if text(env, "name").is_empty() {
        causes.push(Cause::required(format!("{field}.name"), ""));
    }
    if !text(env, "value").is_empty() && at(env, "valueFrom").is_object() {
        causes.push(Cause::invalid(
            format!("{field}.valueFrom"),
            &"".into(),
            "may not be specified when `value` is not empty",
        ));
    }
    causes
}

fn volume_mount(field: &str, mount: &Value, volumes: &[&str]) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = text(mount, "name");
    if name.is_empty() {
        causes.push(Cause::required(format!("{field}.name"), ""));
    } else if !volumes.contains(&name) {
        let message = format!("Not found: {}", Value::from(name));
        causes.push(Cause { reason: "FieldValueNotFound", message, field: format!("{field}.name") });
    }
    if text(mount, "mountPath").is_empty() {
        causes.push(Cause::required(format!("{field}.mountPath"), ""));
    }
    causes
}

fn resources(field: &str, container: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (resource, request) in at(container, "resources.requests").as_object().into_iter().flatten() {
        let limit = at(container, "resources.limits").get(resource).and_then(Value::as_str);
        let (Some(limit), Some(request)) = (limit, request.as_str()) else { continue };
        if quantity::nanos(request) > quantity::nanos(limit) {
            let detail = format!("must be less than or equal to {resource} limit of {limit}");
            causes.push(Cause::invalid(format!("{field}.resources.requests"), &request.into(), detail));
        }
    }
    causes
}
