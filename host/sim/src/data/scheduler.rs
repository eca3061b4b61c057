//! Where a pod goes: a pure function of the pod, the nodes and the pods that are placed already.
//!
//! Filters as the real scheduler's (selectors, taints, resources, affinity, spread, volume zones), then one fixed order of
//! preference instead of scores: fewest siblings on the node, fewest siblings in the zone, fewest pods, name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm, TopologySpreadConstraint};

use super::{
    quantity::millis,
    selector::{node_selected, selects, tolerated},
};

/// Label with a node's zone.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Label by which the pods of one StatefulSet or Deployment know each other, most specific first.
const SIBLING_LABELS: [&str; 3] =
    ["app.kubernetes.io/component", "app.kubernetes.io/instance", "app.kubernetes.io/name"];

/// What the decision needs to know of the cluster.
pub struct View<'a> {
    /// All nodes, by name.
    pub nodes: &'a BTreeMap<String, Node>,
    /// Pods that have a node and have not ended.
    pub placed: Vec<&'a Pod>,
    /// The zones that the pod's bound volumes allow; empty when they do not care.
    pub volume_zones: Vec<String>,
}

/// Why no node fits, in the words of the scheduler's event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("0/{nodes} nodes are available: {reasons}.")]
pub struct Unschedulable {
    nodes: usize,
    reasons: String,
}

/// The node for `pod`.
///
/// # Errors
/// When no node passes all filters; the reasons are counted over the nodes.
pub fn choose(pod: &Pod, view: &View<'_>) -> Result<String, Unschedulable> {
    let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut fitting = Vec::new();
    for (name, node) in view.nodes {
        match refusal(pod, name, node, view) {
            None => fitting.push((preference(pod, name, node, view), name)),
            Some(reason) => *reasons.entry(reason).or_default() += 1,
        }
    }
    match fitting.into_iter().min() {
        Some((_, name)) => Ok(name.clone()),
        None => Err(Unschedulable { nodes: view.nodes.len(), reasons: describe(&reasons) }),
    }
}

fn describe(reasons: &BTreeMap<&str, usize>) -> String {
    if reasons.is_empty() {
        return "no nodes available to schedule pods".to_owned();
    }
    let all: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    all.join(", ")
}

/// The first filter that `node` does not pass.
fn refusal(pod: &Pod, name: &str, node: &Node, view: &View<'_>) -> Option<&'static str> {
    if !tolerates(pod, node) {
        return Some("node(s) had untolerated taint");
    }
    if !selected(pod, name, node) {
        return Some("node(s) didn't match Pod's node affinity/selector");
    }
    let zone = label(node, ZONE_LABEL);
    if !view.volume_zones.is_empty() && !view.volume_zones.iter().any(|allowed| Some(allowed.as_str()) == zone) {
        return Some("node(s) had volume node affinity conflict");
    }
    if let Some(reason) = lacks_room(pod, name, node, view) {
        return Some(reason);
    }
    if !affinity_holds(pod, node, view) {
        return Some("node(s) didn't match pod affinity rules");
    }
    if anti_affinity_violated(pod, node, view) {
        return Some("node(s) didn't match pod anti-affinity rules");
    }
    if !spread_holds(pod, node, view) {
        return Some("node(s) didn't match pod topology spread constraints");
    }
    None
}

/// Smaller is better.
fn preference(pod: &Pod, name: &str, node: &Node, view: &View<'_>) -> (usize, usize, usize) {
    let zone = label(node, ZONE_LABEL);
    let siblings =
        |on: &dyn Fn(&Pod) -> bool| view.placed.iter().filter(|other| sibling(pod, other) && on(other)).count();
    let here = siblings(&|other| node_of(other) == Some(name));
    let in_zone =
        siblings(&|other| node_of(other).and_then(|n| view.nodes.get(n)).and_then(|n| label(n, ZONE_LABEL)) == zone);
    let all = view.placed.iter().filter(|other| node_of(other) == Some(name)).count();
    (here, in_zone, all)
}

fn sibling(pod: &Pod, other: &Pod) -> bool {
    let same = |key: &str| pod_label(pod, key).is_some() && pod_label(pod, key) == pod_label(other, key);
    pod.metadata.namespace == other.metadata.namespace && SIBLING_LABELS.iter().all(|key| same(key))
        || owner(pod).is_some() && owner(pod) == owner(other)
}

fn owner(pod: &Pod) -> Option<&str> {
    let owners = pod.metadata.owner_references.as_deref()?;
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

fn tolerates(pod: &Pod, node: &Node) -> bool {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or(&[]);
    let Some(spec) = &node.spec else { return true };
    let cordoned = spec.unschedulable == Some(true)
        && !tolerations.iter().any(|t| t.key.as_deref() == Some("node.kubernetes.io/unschedulable"));
    !cordoned
        && spec.taints.iter().flatten().all(|taint| taint.effect == "PreferNoSchedule" || tolerated(taint, tolerations))
}

fn selected(pod: &Pod, name: &str, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let none = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&none);
    let plain = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    plain && required.is_none_or(|selector| node_selected(selector, name, labels))
}

fn lacks_room(pod: &Pod, name: &str, node: &Node, view: &View<'_>) -> Option<&'static str> {
    let status = node.status.as_ref()?;
    let allocatable = |resource: &str| status.allocatable.as_ref().and_then(|all| all.get(resource)).map(millis);
    let here: Vec<&&Pod> = view.placed.iter().filter(|other| node_of(other) == Some(name)).collect();
    if let Some(pods) = allocatable("pods")
        && i128::try_from(here.len()).unwrap_or(i128::MAX) * 1_000 >= pods
    {
        return Some("Too many pods");
    }
    for (resource, reason) in [("cpu", "Insufficient cpu"), ("memory", "Insufficient memory")] {
        let used: i128 = here.iter().map(|other| requested(other, resource)).sum();
        if let Some(room) = allocatable(resource)
            && used + requested(pod, resource) > room
        {
            return Some(reason);
        }
    }
    let taken: Vec<i32> = here.iter().flat_map(|other| host_ports(other)).collect();
    host_ports(pod)
        .iter()
        .any(|port| taken.contains(port))
        .then_some("node(s) didn't have free ports for the requested pod ports")
}

/// The pod's request: its containers together, or its largest init container.
fn requested(pod: &Pod, resource: &str) -> i128 {
    let Some(spec) = &pod.spec else { return 0 };
    let of = |container: &k8s_openapi::api::core::v1::Container| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        requests.and_then(|requests| requests.get(resource)).map_or(0, millis)
    };
    let together: i128 = spec.containers.iter().map(of).sum();
    let largest = spec.init_containers.iter().flatten().map(of).max().unwrap_or(0);
    together.max(largest)
}

fn host_ports(pod: &Pod) -> Vec<i32> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let host_network = spec.host_network == Some(true);
    ports
        .filter_map(|port| port.host_port.or(host_network.then_some(port.container_port)))
        .filter(|port| *port > 0)
        .collect()
}

fn affinity_holds(pod: &Pod, node: &Node, view: &View<'_>) -> bool {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()?.pod_affinity.as_ref());
    let terms = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_deref());
    terms.unwrap_or(&[]).iter().all(|term| {
        let Some(domain) = label(node, &term.topology_key) else { return false };
        // The first pod of a group that is affine to itself may go anywhere.
        let first = term_selects(term, pod, pod) && !view.placed.iter().any(|other| term_selects(term, pod, other));
        first || in_domain(view, &term.topology_key, domain).any(|other| term_selects(term, pod, other))
    })
}

/// Anti-affinity counts both ways: the new pod's terms and those of the pods that are there.
fn anti_affinity_violated(pod: &Pod, node: &Node, view: &View<'_>) -> bool {
    let own = anti_affinity_terms(pod).iter().any(|term| {
        label(node, &term.topology_key).is_some_and(|domain| {
            in_domain(view, &term.topology_key, domain).any(|other| term_selects(term, pod, other))
        })
    });
    own || view.placed.iter().any(|other| {
        anti_affinity_terms(other).iter().any(|term| {
            let there = node_of(other).and_then(|name| view.nodes.get(name)).and_then(|n| label(n, &term.topology_key));
            there.is_some() && there == label(node, &term.topology_key) && term_selects(term, other, pod)
        })
    })
}

fn anti_affinity_terms(pod: &Pod) -> &[PodAffinityTerm] {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()?.pod_anti_affinity.as_ref());
    affinity.and_then(|anti| anti.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or(&[])
}

/// Whether `term` of `holder` selects `other`, whose namespace is the holder's unless the term names some.
fn term_selects(term: &PodAffinityTerm, holder: &Pod, other: &Pod) -> bool {
    let none = BTreeMap::new();
    let namespaces = term.namespaces.as_deref().unwrap_or(&[]);
    let namespace = other.metadata.namespace.as_ref();
    let in_namespace = if namespaces.is_empty() {
        term.namespace_selector.is_some() || namespace == holder.metadata.namespace.as_ref()
    } else {
        namespace.is_some_and(|namespace| namespaces.contains(namespace))
    };
    in_namespace && selects(term.label_selector.as_ref(), other.metadata.labels.as_ref().unwrap_or(&none))
}

fn in_domain<'v>(view: &'v View<'_>, key: &'v str, domain: &'v str) -> impl Iterator<Item = &'v Pod> {
    view.placed.iter().copied().filter(move |other| {
        node_of(other).and_then(|name| view.nodes.get(name)).and_then(|node| label(node, key)) == Some(domain)
    })
}

fn spread_holds(pod: &Pod, node: &Node, view: &View<'_>) -> bool {
    let constraints = pod.spec.as_ref().and_then(|spec| spec.topology_spread_constraints.as_deref()).unwrap_or(&[]);
    constraints
        .iter()
        .filter(|c| c.when_unsatisfiable == "DoNotSchedule")
        .all(|constraint| skew_allows(constraint, pod, node, view))
}

fn skew_allows(constraint: &TopologySpreadConstraint, pod: &Pod, node: &Node, view: &View<'_>) -> bool {
    let key = constraint.topology_key.as_str();
    let Some(domain) = label(node, key) else { return false };
    let none = BTreeMap::new();
    let counted = |other: &Pod| {
        other.metadata.namespace == pod.metadata.namespace
            && selects(constraint.label_selector.as_ref(), other.metadata.labels.as_ref().unwrap_or(&none))
    };
    let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
    for (name, candidate) in view.nodes {
        if let Some(domain) = label(candidate, key)
            && selected(pod, name, candidate)
        {
            counts.entry(domain).or_default();
        }
    }
    for other in view.placed.iter().filter(|other| counted(other)) {
        let domain = node_of(other).and_then(|name| view.nodes.get(name)).and_then(|node| label(node, key));
        if let Some(count) = domain.and_then(|domain| counts.get_mut(domain)) {
            *count += 1;
        }
    }
    let least = counts.values().copied().min().unwrap_or(0);
    let here = counts.get(domain).copied().unwrap_or(0) + i32::from(counted(pod));
    here - least <= constraint.max_skew
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

fn label<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn pod_label<'p>(pod: &'p Pod, key: &str) -> Option<&'p str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn nodes(count: usize) -> BTreeMap<String, Node> {
        let node = |index: usize| {
            let name = format!("n{index}");
            let node = from_value(json!({
                "metadata": {"name": name, "labels": {
                    "kubernetes.io/hostname": name, ZONE_LABEL: format!("z{}", index % 3), "pool": "database",
                }},
                "status": {"allocatable": {"cpu": "8", "memory": "16Gi", "pods": "10"}},
            }));
            (name, node.unwrap())
        };
        (0..count).map(node).collect()
    }

    fn pod(name: &str, node: Option<&str>, spec: Value) -> Pod {
        let mut spec = spec;
        spec["nodeName"] = json!(node);
        spec["containers"] = json!([{"name": "c", "resources": {"requests": {"cpu": "2"}}}]);
        from_value(json!({
            "metadata": {"name": name, "namespace": "ns", "labels": {"app.kubernetes.io/component": "tikv",
                "app.kubernetes.io/instance": "a", "app.kubernetes.io/name": "tidb-cluster"}},
            "spec": spec,
        }))
        .unwrap()
    }

    /// Places `count` pods one after the other.
    fn place(count: usize, nodes: &BTreeMap<String, Node>, spec: &Value) -> Vec<Result<String, String>> {
        let mut placed: Vec<Pod> = Vec::new();
        let mut answers = Vec::new();
        for index in 0..count {
            let name = format!("p{index}");
            let view = View { nodes, placed: placed.iter().collect(), volume_zones: Vec::new() };
            let answer = choose(&pod(&name, None, spec.clone()), &view);
            if let Ok(node) = &answer {
                placed.push(pod(&name, Some(node), spec.clone()));
            }
            answers.push(answer.map_err(|error| error.to_string()));
        }
        answers
    }

    #[test]
    fn siblings_spread_over_zones_then_nodes() {
        let answers = place(6, &nodes(6), &json!({}));
        assert_eq!(answers, ["n0", "n1", "n2", "n3", "n4", "n5"].map(|name| Ok(name.to_owned())));
    }

    #[test]
    fn required_anti_affinity_leaves_the_surplus_pending() {
        let spec = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "tikv"}},
        }]}}});
        let answers = place(3, &nodes(2), &spec);
        assert!(answers[..2].iter().all(Result::is_ok));
        assert_eq!(
            answers[2],
            Err("0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.".to_owned())
        );
    }

    #[test]
    fn selectors_taints_and_room_filter() {
        let mut all = nodes(2);
        let unknown = place(1, &all, &json!({"nodeSelector": {"pool": "web"}}));
        assert!(unknown[0].as_ref().unwrap_err().contains("didn't match Pod's node affinity/selector"));
        let full = place(9, &all, &json!({}));
        assert_eq!(full[8], Err("0/2 nodes are available: 2 Insufficient cpu.".to_owned()));
        all.get_mut("n0").unwrap().spec =
            Some(from_value(json!({"taints": [{"key": "dead", "effect": "NoSchedule"}]})).unwrap());
        assert_eq!(place(1, &all, &json!({})), [Ok("n1".to_owned())]);
    }

    #[test]
    fn a_volume_keeps_its_pod_in_its_zone() {
        let all = nodes(6);
        let view = View { nodes: &all, placed: Vec::new(), volume_zones: vec!["z2".to_owned()] };
        assert_eq!(choose(&pod("p", None, json!({})), &view).unwrap(), "n2");
    }

    #[test]
    fn spread_constraints_bound_the_skew() {
        let spec = json!({"topologySpreadConstraints": [{
            "topologyKey": ZONE_LABEL, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "tikv"}},
        }]});
        assert!(place(7, &nodes(3), &spec).iter().all(Result::is_ok));
    }
}
