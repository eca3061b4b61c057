//! Services: addresses and node ports are given by the server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::names;
use crate::control::{
    error::Cause,
    path::{at, int, list, list_mut, object, remove, set, set_default, text},
    strategy::{NameRule, Strategy, World},
};

/// Addresses are given in order from here; the ones before are the control plane's own.
const FIRST_ADDRESS: [u8; 4] = [10, 96, 0, 10];
/// Addresses of the range 10.96.0.0/12.
const ADDRESSES_MAX: u32 = 1 << 20;
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;
const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITY_SECONDS: i64 = 10_800;

pub fn strategy() -> Strategy {
    Strategy {
        default,
        prepare_create,
        prepare_update,
        validate,
        delete_answers_object: true,
        name: NameRule::Label1035,
        ..Strategy::default()
    }
}

fn default(service: &mut Value) {
    object(service, "spec");
    let spec = &mut service["spec"];
    set_default(spec, "type", "ClusterIP");
    set_default(spec, "sessionAffinity", "None");
    let kind = text(spec, "type").to_owned();
    if text(spec, "sessionAffinity") == "ClientIP" {
        set_default(spec, "sessionAffinityConfig.clientIP.timeoutSeconds", AFFINITY_SECONDS);
    }
    if kind != "ExternalName" {
        set_default(spec, "internalTrafficPolicy", "Cluster");
    }
    if has_node_ports(&kind) {
        set_default(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
    }
    for port in list_mut(spec, "ports").into_iter().flatten() {
        set_default(port, "protocol", "TCP");
        let unset = matches!(at(port, "targetPort"), Value::Null)
            || at(port, "targetPort") == &json!(0)
            || at(port, "targetPort").as_str().is_some_and(str::is_empty);
        if unset && let Some(number) = int(port, "port") {
            set(port, "targetPort", number);
        }
    }
}

fn has_node_ports(kind: &str) -> bool {
    matches!(kind, "NodePort" | "LoadBalancer")
}

fn prepare_create(service: &mut Value, world: &dyn World) {
    set(service, "status", json!({"loadBalancer": {}}));
    allocate(service, None, world);
}

fn prepare_update(service: &mut Value, old: &Value, world: &dyn World) {
    let kept = ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"];
    let (before, after) = (at(old, "spec.clusterIP"), at(service, "spec.clusterIP"));
    // The single address leads: changed alone it changes the list, taken away it takes the list along.
    if before != after && at(old, "spec.clusterIPs") == at(service, "spec.clusterIPs") {
        match after.as_str() {
            Some("") | None => _ = remove(service, "spec.clusterIPs"),
            Some(address) => set(service, "spec.clusterIPs", json!([address])),
        }
    }
    if text(service, "spec.clusterIP").is_empty() {
        remove(service, "spec.clusterIP");
    }
    if text(service, "spec.type") != "ExternalName" && text(old, "spec.type") != "ExternalName" {
        for field in kept {
            if let Some(value) = old["spec"].get(field) {
                set_default(service, &format!("spec.{field}"), value.clone());
            }
        }
    }
    keep_node_ports(service, old);
    if at(service, "status").is_null() {
        set(service, "status", json!({"loadBalancer": {}}));
    }
    allocate(service, Some(old), world);
}

/// Ports that name no node port keep the one of the same port before; a type without node ports loses them.
fn keep_node_ports(service: &mut Value, old: &Value) {
    let wanted = has_node_ports(text(service, "spec.type"));
    for port in list_mut(service, "spec.ports").into_iter().flatten() {
        let before = list(old, "spec.ports")
            .iter()
            .find(|p| at(p, "port") == at(port, "port") && at(p, "protocol") == at(port, "protocol"));
        let before = before.and_then(|p| int(p, "nodePort"));
        if !wanted && before == int(port, "nodePort") {
            remove(port, "nodePort");
        } else if let (true, Some(number)) = (wanted, before) {
            set_default(port, "nodePort", number);
        }
    }
}

fn allocate(service: &mut Value, old: Option<&Value>, world: &dyn World) {
    if text(service, "spec.type") == "ExternalName" {
        return;
    }
    let others = world.list("", "services", None);
    let uid = old.map_or("", |old| text(old, "metadata.uid"));
    let others = || others.iter().filter(|other| uid.is_empty() || text(other, "metadata.uid") != uid);
    if text(service, "spec.clusterIP").is_empty() {
        let used: BTreeSet<&str> = others().map(|other| text(other, "spec.clusterIP")).collect();
        set(service, "spec.clusterIP", free_address(&used));
    }
    let address = text(service, "spec.clusterIP").to_owned();
    set_default(service, "spec.clusterIPs", json!([address]));
    set_default(service, "spec.ipFamilies", json!(["IPv4"]));
    set_default(service, "spec.ipFamilyPolicy", "SingleStack");
    if has_node_ports(text(service, "spec.type")) {
        let ports = others().flat_map(|other| list(other, "spec.ports"));
        let mut used: BTreeSet<i64> = ports.filter_map(|port| int(port, "nodePort")).collect();
        used.extend(list(service, "spec.ports").iter().filter_map(|port| int(port, "nodePort")));
        for port in list_mut(service, "spec.ports").into_iter().flatten() {
            let free = NODE_PORTS.clone().find(|number| !used.contains(number));
            if let (None | Some(0), Some(free)) = (int(port, "nodePort"), free) {
                used.insert(free);
                set(port, "nodePort", free);
            }
        }
    }
}

fn free_address(used: &BTreeSet<&str>) -> String {
    let first = u32::from_be_bytes(FIRST_ADDRESS);
    let addresses = (first..first + ADDRESSES_MAX).map(|n| std::net::Ipv4Addr::from(n).to_string());
    addresses.into_iter().find(|address| !used.contains(address.as_str())).unwrap_or_default()
}

fn validate(service: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let kind = text(service, "spec.type");
    if !TYPES.contains(&kind) {
        causes.push(Cause::not_supported("spec.type", &kind.into(), &TYPES));
    }
    let ports = list(service, "spec.ports");
    if ports.is_empty() && kind != "ExternalName" && text(service, "spec.clusterIP") != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (i, port) in ports.iter().enumerate() {
        causes.extend(port_faults(&format!("spec.ports[{i}]"), port, ports));
    }
    if let Some(old) = old {
        let (before, after) = (at(old, "spec.clusterIPs"), at(service, "spec.clusterIPs"));
        let fixed = !list(old, "spec.clusterIPs").is_empty()
            && kind != "ExternalName"
            && text(old, "spec.type") != "ExternalName";
        if fixed && before.get(0) != after.get(0) {
            causes.push(Cause::invalid("spec.clusterIPs[0]", after, "may not change once set"));
        }
    }
    causes
}

fn port_faults(field: &str, port: &Value, all: &[Value]) -> Vec<Cause> {
    let mut causes = Vec::new();
    match text(port, "name") {
        "" if all.len() > 1 => causes.push(Cause::required(format!("{field}.name"), "")),
        "" => {}
        name => {
            causes.extend(names::label(&format!("{field}.name"), name));
            let first = all.iter().find(|p| text(p, "name") == name);
            if first.is_some_and(|first| !std::ptr::eq(first, port)) {
                causes.push(Cause::duplicate(format!("{field}.name"), &name.into()));
            }
        }
    }
    causes.extend(names::port(format!("{field}.port"), int(port, "port").unwrap_or(0)));
    if let Some(number) = int(port, "targetPort") {
        causes.extend(names::port(format!("{field}.targetPort"), number));
    }
    let protocol = text(port, "protocol");
    if !["SCTP", "TCP", "UDP"].contains(&protocol) {
        causes.push(Cause::not_supported(format!("{field}.protocol"), &protocol.into(), &["SCTP", "TCP", "UDP"]));
    }
    causes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Others(Vec<Arc<Value>>);

    impl World for Others {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }

        fn random(&self) -> u64 {
            0
        }

        fn list(&self, _: &str, _: &str, _: Option<&str>) -> Vec<Arc<Value>> {
            self.0.clone()
        }
    }

    fn created(spec: Value, others: &Others) -> Value {
        let mut service = json!({"metadata": {"uid": "u"}, "spec": spec});
        default(&mut service);
        prepare_create(&mut service, others);
        service
    }

    #[test]
    fn addresses_and_node_ports_are_given_once() {
        let first = created(json!({"type": "NodePort", "ports": [{"port": 1}]}), &Others(vec![]));
        let second =
            created(json!({"type": "NodePort", "ports": [{"port": 1}]}), &Others(vec![Arc::new(first.clone())]));
        assert_ne!(first["spec"]["clusterIP"], second["spec"]["clusterIP"]);
        assert_ne!(first["spec"]["ports"][0]["nodePort"], second["spec"]["ports"][0]["nodePort"]);
    }

    #[test]
    fn an_address_stays_and_may_not_be_changed() {
        let world = Others(vec![]);
        let old = created(json!({"clusterIP": "None", "ports": [{"port": 1}]}), &world);
        let mut new = old.clone();
        new["spec"]["clusterIP"] = "".into();
        prepare_update(&mut new, &old, &world);
        assert_eq!(new["spec"], old["spec"]);
        new["spec"]["clusterIP"] = "10.1.1.1".into();
        prepare_update(&mut new, &old, &world);
        assert_eq!(validate(&new, Some(&old))[0].field, "spec.clusterIPs[0]");
    }
}
