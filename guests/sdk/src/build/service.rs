//! Services: the headless one of the members, and the one for clients.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tidepool_api::{
    Component, TidbCluster,
    labels::{USED_BY, USED_BY_END_USER, USED_BY_PEER, component_labels},
    shared,
};

use crate::build::{meta, some_map, some_text};

/// `clusterIP` of a headless Service.
pub const HEADLESS: &str = "None";

/// A TCP port.
pub fn port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::Int(number)),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}

/// The headless Service: names for all pods of the component, ready or not.
pub fn headless(cluster: &TidbCluster, component: Component, ports: Vec<ServicePort>) -> Service {
    let spec = ServiceSpec {
        cluster_ip: Some(HEADLESS.to_owned()),
        publish_not_ready_addresses: Some(true),
        ..base(cluster, component, ports)
    };
    service(cluster, component, cluster.peer_service_name(component), USED_BY_PEER, spec)
}

/// The Service for clients, with what the user says of it. Its port is `default_port` under the user's name for it.
pub fn client(
    cluster: &TidbCluster,
    component: Component,
    given: Option<&shared::ServiceSpec>,
    default_port: ServicePort,
) -> Service {
    let port_name = given.and_then(|given| given.port_name.as_deref()).filter(|name| !name.is_empty());
    let port = ServicePort { name: port_name.map(str::to_owned).or(default_port.name.clone()), ..default_port };
    let spec = ServiceSpec {
        type_: Some(service_type(cluster, component, given)),
        load_balancer_ip: given.and_then(|given| given.load_balancer_ip.clone()),
        cluster_ip: given.and_then(|given| given.cluster_ip.clone()),
        ..base(cluster, component, vec![port])
    };
    let mut service = service(cluster, component, cluster.member_name(component), USED_BY_END_USER, spec);
    if let Some(given) = given {
        let own = service.metadata.labels.take().unwrap_or_default();
        let mut labels = given.labels.clone();
        labels.extend(own);
        service.metadata.labels = Some(labels);
        service.metadata.annotations = some_map(given.annotations.clone());
    }
    service
}

/// The user's type for a Service: its own, else that of the deprecated list `spec.services`, else `ClusterIP`.
pub fn service_type(cluster: &TidbCluster, component: Component, given: Option<&shared::ServiceSpec>) -> String {
    let own = given.and_then(|given| some_text(&given.service_type));
    let legacy = || cluster.spec.services.iter().find(|service| service.name == component.name());
    let known = |legacy: &&tidepool_api::cluster::LegacyService| {
        matches!(legacy.service_type.as_str(), "NodePort" | "LoadBalancer")
    };
    own.or_else(|| legacy().filter(known).map(|legacy| legacy.service_type.clone()))
        .unwrap_or_else(|| "ClusterIP".to_owned())
}

/// Selector, ports and address family of every Service of a component.
pub fn base(cluster: &TidbCluster, component: Component, ports: Vec<ServicePort>) -> ServiceSpec {
    ServiceSpec {
        selector: Some(component_labels(cluster, component)),
        ports: Some(ports),
        ip_family_policy: cluster.spec.prefer_ipv6.then(|| "PreferDualStack".to_owned()),
        ..ServiceSpec::default()
    }
}

/// A Service with the component's labels and one that says for whom it is.
pub fn service(cluster: &TidbCluster, component: Component, name: String, used_by: &str, spec: ServiceSpec) -> Service {
    let mut metadata = meta(cluster, component, name);
    metadata.labels.get_or_insert_default().insert(USED_BY.to_owned(), used_by.to_owned());
    Service { metadata, spec: Some(spec), status: None }
}
