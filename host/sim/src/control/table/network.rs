//! Services and the addresses behind them.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, NAME, Printer, Row, cells, column, wide};
use crate::control::path::{int, list, text};

/// Addresses and ports shown before the rest is only counted.
const SHOWN_MAX: usize = 3;

pub const SERVICES: Printer = Printer {
    columns: &[
        NAME,
        column("Type", "How the service is reached."),
        column("Cluster-IP", "Its address inside the cluster."),
        column("External-IP", "Its addresses from outside."),
        column("Port(s)", "Its ports, with node ports after a colon."),
        AGE,
        wide("Selector", "Which pods are behind it."),
    ],
    row: service,
};

pub const ENDPOINTS: Printer =
    Printer { columns: &[NAME, column("Endpoints", "Ready addresses and ports."), AGE], row: endpoints };

pub const ENDPOINT_SLICES: Printer = Printer {
    columns: &[
        NAME,
        column("AddressType", "IPv4, IPv6 or FQDN."),
        column("Ports", "The ports of every address."),
        column("Endpoints", "The addresses."),
        AGE,
    ],
    row: endpoint_slice,
};

fn service(object: &Value, now: Timestamp) -> Row {
    let port = |port: &Value| {
        let (number, protocol) = (cells::count(port, "port"), cells::or(text(port, "protocol"), "TCP"));
        match int(port, "nodePort") {
            Some(node_port) if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
            _ => format!("{number}/{protocol}"),
        }
    };
    let ports: Vec<_> = list(object, "spec.ports").iter().map(port).collect();
    vec![
        cells::name(object),
        text(object, "spec.type").into(),
        cells::or(text(object, "spec.clusterIP"), "<none>").into(),
        external(object).into(),
        cells::or(&ports.join(","), "<none>").into(),
        cells::age(object, now),
        cells::labels(object, "spec.selector").into(),
    ]
    .into()
}

fn external(object: &Value) -> String {
    let fixed = cells::words(object, "spec.externalIPs");
    match text(object, "spec.type") {
        "ExternalName" => text(object, "spec.externalName").to_owned(),
        "LoadBalancer" => {
            let given = list(object, "status.loadBalancer.ingress").iter();
            let given = given.map(|i| cells::or(text(i, "ip"), text(i, "hostname")).to_owned());
            let all: Vec<_> = given.chain(fixed).collect();
            cells::or(&all.join(","), "<pending>").to_owned()
        }
        _ => cells::or(&fixed.join(","), "<none>").to_owned(),
    }
}

fn endpoints(object: &Value, now: Timestamp) -> Row {
    let mut shown = Vec::new();
    for subset in list(object, "subsets") {
        let (addresses, ports) = (list(subset, "addresses"), list(subset, "ports"));
        if ports.is_empty() {
            shown.extend(addresses.iter().map(|a| text(a, "ip").to_owned()));
        }
        for port in ports {
            shown.extend(addresses.iter().map(|a| format!("{}:{}", text(a, "ip"), cells::count(port, "port"))));
        }
    }
    let text = cells::some_of(&shown, SHOWN_MAX, " + {} more...");
    vec![cells::name(object), cells::or(&text, "<none>").into(), cells::age(object, now)].into()
}

fn endpoint_slice(object: &Value, now: Timestamp) -> Row {
    let ports: Vec<_> = list(object, "ports")
        .iter()
        .map(|p| int(p, "port").map_or_else(|| "*".to_owned(), |n| n.to_string()))
        .collect();
    let addresses: Vec<_> = list(object, "endpoints").iter().flat_map(|e| cells::words(e, "addresses")).collect();
    vec![
        cells::name(object),
        text(object, "addressType").into(),
        cells::or(&cells::some_of(&ports, SHOWN_MAX, " + {} more..."), "<unset>").into(),
        cells::or(&cells::some_of(&addresses, SHOWN_MAX, " + {} more..."), "<unset>").into(),
        cells::age(object, now),
    ]
    .into()
}
