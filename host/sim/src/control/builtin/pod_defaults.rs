//! What the server fills in of a pod or a pod template.

use serde_json::{Value, json};

use super::quantity;
use crate::control::path::{at, flag, int, list_mut, object, set, set_default, text};

/// Permissions of files from ConfigMaps and Secrets: 0644.
const FILE_MODE: i64 = 0o644;
const TOKEN_SECONDS: i64 = 3600;
const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Defaults of a pod itself, which has some more than a template.
pub fn pod(pod: &mut Value) {
    object(pod, "spec");
    let spec = &mut pod["spec"];
    pod_spec(spec);
    set_default(spec, "enableServiceLinks", true);
    for containers in CONTAINER_LISTS {
        for container in list_mut(spec, containers).into_iter().flatten() {
            requests_from_limits(container);
        }
    }
}

/// Defaults of the template of a workload.
pub fn template(template: &mut Value) {
    object(template, "spec");
    pod_spec(&mut template["spec"]);
}

fn pod_spec(spec: &mut Value) {
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "terminationGracePeriodSeconds", 30);
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "securityContext", json!({}));
    set_default(spec, "schedulerName", "default-scheduler");
    quantity::canonicalize(spec, "overhead");
    // The older name of the field is kept equal.
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set_default(spec, "serviceAccount", account);
    }
    let host_network = flag(spec, "hostNetwork");
    for containers in CONTAINER_LISTS {
        list_mut(spec, containers).into_iter().flatten().for_each(|c| container(c, host_network));
    }
    list_mut(spec, "volumes").into_iter().flatten().for_each(volume);
}

fn container(container: &mut Value, host_network: bool) {
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    set_default(container, "resources", json!({}));
    let policy = if tag(text(container, "image")) == "latest" { "Always" } else { "IfNotPresent" };
    set_default(container, "imagePullPolicy", policy);
    quantity::canonicalize(container, "resources.requests");
    quantity::canonicalize(container, "resources.limits");
    for port in list_mut(container, "ports").into_iter().flatten() {
        set_default(port, "protocol", "TCP");
        if host_network && let Some(number) = int(port, "containerPort") {
            set_default(port, "hostPort", number);
        }
    }
    for env in list_mut(container, "env").into_iter().flatten() {
        if at(env, "valueFrom.fieldRef").is_object() {
            set_default(env, "valueFrom.fieldRef.apiVersion", "v1");
        }
    }
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = container.get_mut(kind).filter(|p| p.is_object()) {
            probe(found);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = container.get_mut("lifecycle").and_then(|l| l.get_mut(hook)) {
            http_get(handler);
        }
    }
}

/// The tag of an image: `latest` where none is given, the digest's absence of one otherwise.
fn tag(image: &str) -> &str {
    if image.contains('@') {
        return "";
    }
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    name.rsplit_once(':').map_or("latest", |(_, tag)| tag)
}

fn probe(probe: &mut Value) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if int(probe, field).unwrap_or(0) == 0 {
            set(probe, field, value);
        }
    }
    http_get(probe);
    if at(probe, "grpc").is_object() {
        set_default(probe, "grpc.service", "");
    }
}

fn http_get(handler: &mut Value) {
    if at(handler, "httpGet").is_object() {
        set_default(handler, "httpGet.path", "/");
        set_default(handler, "httpGet.scheme", "HTTP");
    }
}

fn volume(volume: &mut Value) {
    if volume.as_object().is_some_and(|v| v.keys().all(|key| key == "name")) {
        set(volume, "emptyDir", json!({}));
    }
    for kind in ["secret", "configMap", "downwardAPI", "projected"] {
        if at(volume, kind).is_object() {
            set_default(volume, &format!("{kind}.defaultMode"), FILE_MODE);
        }
    }
    if at(volume, "hostPath").is_object() {
        set_default(volume, "hostPath.type", "");
    }
    field_refs(volume, "downwardAPI.items");
    for source in list_mut(volume, "projected.sources").into_iter().flatten() {
        field_refs(source, "downwardAPI.items");
        if at(source, "serviceAccountToken").is_object() {
            set_default(source, "serviceAccountToken.expirationSeconds", TOKEN_SECONDS);
        }
    }
    if at(volume, "ephemeral.volumeClaimTemplate").is_object() {
        set_default(volume, "ephemeral.volumeClaimTemplate.spec.volumeMode", "Filesystem");
    }
}

fn field_refs(owner: &mut Value, path: &str) {
    for item in list_mut(owner, path).into_iter().flatten() {
        if at(item, "fieldRef").is_object() {
            set_default(item, "fieldRef.apiVersion", "v1");
        }
    }
}

fn requests_from_limits(container: &mut Value) {
    let Some(limits) = at(container, "resources.limits").as_object().cloned() else { return };
    let requests = object(container, "resources.requests");
    for (resource, amount) in limits {
        requests.entry(resource).or_insert(amount);
    }
    if requests.is_empty() {
        object(container, "resources").remove("requests");
    }
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        for (image, expected) in
            [("x", "latest"), ("x:latest", "latest"), ("x:1", "1"), ("host:5000/x", "latest"), ("x@sha256:aa", "")]
        {
            assert_eq!(tag(image), expected, "{image}");
        }
    }
}
