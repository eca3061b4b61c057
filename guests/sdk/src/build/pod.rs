//! The pod template of a component: its own containers and volumes, with the settings of cluster and component.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, PodSecurityContext, PodSpec, PodTemplateSpec, Volume},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use tidepool_api::{
    TidbCluster, View,
    labels::{component_labels, prometheus},
};

use crate::{
    Failure,
    build::{
        container::{sysctl_init, with_additional},
        some_list, some_map, some_text,
    },
};

/// What a component adds to the settings that every pod has.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Containers; the user's additional ones are laid over them.
    pub containers: Vec<Container>,
    /// Init containers, before the user's.
    pub init_containers: Vec<Container>,
    /// Volumes, before the user's.
    pub volumes: Vec<Volume>,
    /// Annotations where the user gave none of that key.
    pub annotations: BTreeMap<String, String>,
    /// Kernel parameters are set in an init container where the user wants that.
    pub sysctl: bool,
    /// Name of the service account instead of the user's.
    pub service_account: Option<String>,
}

/// The template.
///
/// # Errors
/// When the user's additional containers do not fit.
pub fn template(cluster: &TidbCluster, view: &View<'_>, parts: Parts) -> Result<PodTemplateSpec, Failure> {
    let mut labels = view.labels();
    labels.extend(component_labels(cluster, view.kind()));
    let mut annotations = parts.annotations.clone();
    annotations.extend(view.annotations());
    Ok(PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: some_map(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(spec(cluster, view, parts)?),
    })
}

/// Annotations that tell Prometheus where a component's metrics are.
pub fn prometheus_annotations(port: i32) -> BTreeMap<String, String> {
    BTreeMap::from([
        (prometheus::SCRAPE.to_owned(), "true".to_owned()),
        (prometheus::PATH.to_owned(), "/metrics".to_owned()),
        (prometheus::PORT.to_owned(), port.to_string()),
    ])
}

fn spec(cluster: &TidbCluster, view: &View<'_>, parts: Parts) -> Result<PodSpec, Failure> {
    let own = view.own();
    let sysctl = parts.sysctl.then(|| sysctl_init(cluster, view)).flatten();
    let security_context = security_context(view, sysctl.is_some());
    let init = sysctl.into_iter().chain(parts.init_containers).chain(own.init_containers.iter().cloned()).collect();
    let volumes = parts.volumes.into_iter().chain(own.additional_volumes.iter().cloned()).collect();
    Ok(PodSpec {
        affinity: view.affinity().cloned(),
        automount_service_account_token: own.automount_service_account_token,
        containers: with_additional(parts.containers, &own.additional_containers)?,
        dns_config: view.dns_config().cloned(),
        dns_policy: Some(view.dns_policy().to_owned()),
        host_network: view.host_network().then_some(true),
        image_pull_secrets: some_list(view.image_pull_secrets().to_vec()),
        init_containers: some_list(init),
        node_selector: some_map(view.node_selector()),
        priority_class_name: view.priority_class_name().and_then(some_text),
        restart_policy: Some("Always".to_owned()),
        scheduler_name: some_text(view.scheduler_name()),
        security_context,
        service_account_name: parts.service_account.or_else(|| some_text(view.service_account())),
        termination_grace_period_seconds: own.termination_grace_period_seconds,
        tolerations: some_list(view.tolerations().to_vec()),
        topology_spread_constraints: some_list(view.topology_spread_constraints()),
        volumes: some_list(volumes),
        ..PodSpec::default()
    })
}

/// The pod's security context; kernel parameters that an init container sets must not be in it as well.
fn security_context(view: &View<'_>, sysctls_set: bool) -> Option<PodSecurityContext> {
    let mut context = view.pod_security_context()?.clone();
    if sysctls_set {
        context.sysctls = None;
    }
    Some(context)
}
