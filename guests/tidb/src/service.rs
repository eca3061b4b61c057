//! The Services of TiDB: names of the servers, and the address of SQL clients.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tidepool_sdk::{
    api::{
        Component, TidbCluster,
        names::ports::{TIDB, TIDB_STATUS},
        tidb::{TidbServiceSpec, TidbSpec},
    },
    build::{service as services, some_text},
};

/// The headless Service, and the one for SQL clients if the spec asks for it.
pub fn all(cluster: &TidbCluster, spec: &TidbSpec) -> Vec<Service> {
    let given = spec.service.as_ref();
    std::iter::once(peer(cluster)).chain(given.map(|given| client(cluster, given))).collect()
}

/// The headless Service: names of the servers, also before they are ready.
fn peer(cluster: &TidbCluster) -> Service {
    services::headless(cluster, Component::Tidb, vec![services::port("status", TIDB_STATUS)])
}

/// The Service for SQL clients.
fn client(cluster: &TidbCluster, given: &TidbServiceSpec) -> Service {
    let sql = ServicePort {
        port: given.service.port.filter(|port| *port > 0).unwrap_or(TIDB),
        target_port: Some(IntOrString::Int(TIDB)),
        node_port: node_port(given.mysql_node_port),
        ..services::port("mysql-client", TIDB)
    };
    let mut service = services::client(cluster, Component::Tidb, Some(&given.service), sql);
    let spec = service.spec.get_or_insert_default();
    let ports = spec.ports.get_or_insert_default();
    ports.extend(given.additional_ports.iter().cloned());
    if given.expose_status != Some(false) {
        let node_port = node_port(given.status_node_port);
        ports.push(ServicePort { node_port, ..services::port("status", TIDB_STATUS) });
    }
    spec.external_traffic_policy = given.external_traffic_policy.as_deref().and_then(some_text);
    if spec.type_.as_deref() == Some("LoadBalancer") {
        let ranges = given.service.load_balancer_source_ranges.clone();
        spec.load_balancer_source_ranges = (!ranges.is_empty()).then_some(ranges);
        spec.load_balancer_class = given.service.load_balancer_class.as_deref().and_then(some_text);
    } else {
        spec.load_balancer_ip = None;
    }
    service
}

fn node_port(given: Option<i64>) -> Option<i32> {
    given.and_then(|port| i32::try_from(port).ok()).filter(|port| *port > 0)
}
