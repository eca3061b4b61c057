//! Containers: ports, probes, the main container of a component, and what the user lays over it.

use k8s_openapi::{
    api::core::v1::{Container, ContainerPort, Probe, SecurityContext, TCPSocketAction, VolumeMount},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde_json::{Map, Value};
use tidepool_api::{Resources, TidbCluster, View, shared};

use crate::{
    Failure,
    build::{env, some_list, some_text},
};

/// Seconds before the first probe when nothing is given.
pub const INITIAL_DELAY_SECONDS: i32 = 10;

/// A named TCP port.
pub fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        container_port: number,
        name: Some(name.to_owned()),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// A probe that connects.
pub fn tcp_probe(port: i32, initial_delay_seconds: Option<i32>, period_seconds: Option<i32>) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction { host: None, port: IntOrString::Int(port) }),
        initial_delay_seconds,
        period_seconds,
        ..Probe::default()
    }
}

/// The readiness probe of a component whose probe is a connection, if the user wants one.
pub fn readiness(given: Option<&shared::Probe>, port: i32) -> Option<Probe> {
    let given = given?;
    let delay = given.initial_delay_seconds.unwrap_or(INITIAL_DELAY_SECONDS);
    Some(tcp_probe(port, Some(delay), given.period_seconds))
}

/// Completes the main container of a component: image, resources, and the user's environment and mounts after its own.
pub fn main(view: &View<'_>, own: Container) -> Container {
    let mut variables = own.env.unwrap_or_default();
    env::append(&mut variables, &view.own().env);
    let mut mounts = own.volume_mounts.unwrap_or_default();
    mounts.extend(view.own().additional_volume_mounts.iter().cloned());
    Container {
        image: own.image.or_else(|| Some(view.image())),
        image_pull_policy: Some(view.image_pull_policy().to_owned()),
        resources: Some(view.container_resources()),
        env: some_list(variables),
        env_from: some_list(view.own().env_from.clone()),
        volume_mounts: some_list(mounts),
        security_context: own.security_context.or_else(|| view.own().security_context.clone()),
        ..own
    }
}

/// A container that shows a log file, made if it is not there yet.
pub fn tailer(
    cluster: &TidbCluster,
    name: &str,
    file: &str,
    mount: Option<VolumeMount>,
    resources: Option<&Resources>,
    security_context: Option<&SecurityContext>,
) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(cluster.helper_image().to_owned()),
        image_pull_policy: some_text(cluster.helper_image_pull_policy()),
        command: Some(vec!["sh".to_owned(), "-c".to_owned(), format!("touch {file}; tail -n0 -F {file};")]),
        resources: Some(resources.map(Resources::for_container).unwrap_or_default()),
        security_context: security_context.cloned(),
        volume_mounts: mount.map(|mount| vec![mount]),
        ..Container::default()
    }
}

/// The init container that sets kernel parameters, if the pods are to have one.
pub fn sysctl_init(cluster: &TidbCluster, view: &View<'_>) -> Option<Container> {
    if view.annotations().get(tidepool_api::labels::SYSCTL_INIT).is_none_or(|value| value != "true") {
        return None;
    }
    let sysctls = view.pod_security_context()?.sysctls.as_ref().filter(|sysctls| !sysctls.is_empty())?;
    let settings: Vec<String> = sysctls.iter().map(|s| format!("{}={}", s.name, s.value)).collect();
    Some(Container {
        name: "init".to_owned(),
        image: Some(cluster.helper_image().to_owned()),
        image_pull_policy: None,
        command: Some(vec!["sh".to_owned(), "-c".to_owned(), format!("sysctl -w {}", settings.join(" "))]),
        security_context: Some(SecurityContext { privileged: Some(true), ..SecurityContext::default() }),
        resources: Some(view.container_resources()),
        ..Container::default()
    })
}

/// Lays the user's additional containers over those of the operator: one with a name that is there is merged into it as
/// Kubernetes merges a strategic patch, the others follow in their order.
///
/// # Errors
/// When a merged container no longer reads as one.
pub fn with_additional(own: Vec<Container>, additional: &[Container]) -> Result<Vec<Container>, Failure> {
    let mut all = Vec::with_capacity(own.len() + additional.len());
    for container in own {
        match additional.iter().find(|patch| patch.name == container.name) {
            Some(patch) => all.push(merged(&container, patch)?),
            None => all.push(container),
        }
    }
    let names: Vec<String> = all.iter().map(|c| c.name.clone()).collect();
    all.extend(additional.iter().filter(|extra| !names.contains(&extra.name)).cloned());
    Ok(all)
}

fn merged(base: &Container, patch: &Container) -> Result<Container, Failure> {
    let mut result = serde_json::to_value(base)?;
    merge(&mut result, serde_json::to_value(patch)?);
    Ok(serde_json::from_value(result)?)
}

/// The key by which the items of a list of a container are told apart; none for a list that is replaced as a whole.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "env" => Some("name"),
        "ports" => Some("containerPort"),
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        _ => None,
    }
}

fn merge(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => patch.into_iter().for_each(|(key, value)| {
            merge_field(base, key, value);
        }),
        (base, patch) => *base = patch,
    }
}

fn merge_field(base: &mut Map<String, Value>, key: String, patch: Value) {
    match (base.get_mut(&key), merge_key(&key), patch) {
        (Some(Value::Array(old)), Some(by), Value::Array(new)) => *old = merged_list(std::mem::take(old), new, by),
        (Some(old @ Value::Object(_)), _, patch @ Value::Object(_)) => merge(old, patch),
        (_, _, patch) => {
            base.insert(key, patch);
        }
    }
}

/// Kubernetes' order for a merged list: the patch's items in their order; an item that only the base has comes before
/// the first patched item that followed it in the base, else last.
fn merged_list(base: Vec<Value>, patch: Vec<Value>, by: &str) -> Vec<Value> {
    let place = |item: &Value| base.iter().position(|b| b[by] == item[by]);
    let kept: Vec<usize> = (0..base.len()).filter(|at| !patch.iter().any(|p| p[by] == base[*at][by])).collect();
    let mut untouched = kept.into_iter().peekable();
    let mut all = Vec::with_capacity(base.len() + patch.len());
    for item in patch {
        let at = place(&item);
        while let (Some(next), Some(at)) = (untouched.peek(), at) {
            if *next >= at {
                break;
            }
            all.push(base[*next].clone());
            untouched.next();
        }
        let mut result = at.map_or(Value::Null, |at| base[at].clone());
        merge(&mut result, item);
        all.push(result);
    }
    all.extend(untouched.map(|at| base[at].clone()));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patched_container_keeps_what_the_patch_does_not_name() {
        let mut base = json!({"name": "pd", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B"}]});
        merge(&mut base, json!({"name": "pd", "image": "b", "lifecycle": {"preStop": {}}, "command": ["x"]}));
        assert_eq!(base["image"], "b");
        assert_eq!(base["command"], json!(["x"]));
        assert_eq!(base["env"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn new_items_come_first_and_patched_items_keep_their_place() {
        let base = vec![json!({"name": "A"}), json!({"name": "B", "value": "old"}), json!({"name": "C"})];
        let patch = vec![json!({"name": "X"}), json!({"name": "B", "value": "new"})];
        let names: Vec<_> = merged_list(base, patch, "name").iter().map(|i| i["name"].clone()).collect();
        assert_eq!(names, ["X", "A", "B", "C"]);
    }

    #[test]
    fn sidecars_follow_in_order() {
        let named = |name: &str| Container { name: name.into(), ..Container::default() };
        let all = with_additional(vec![named("pd")], &[named("z"), named("pd"), named("a")]).expect("containers");
        assert_eq!(all.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["pd", "z", "a"]);
    }
}
