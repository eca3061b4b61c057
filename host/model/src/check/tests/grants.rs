//! Grants and S27: what a policy may ask for at all.

use super::*;
use crate::{descriptor::ComponentCall, plan::EventType};

/// Everything that any policy may write, with the verbs: `c`reate, `r`eplace, `p`atch, `d`elete.
const WRITES: [(&str, &str, &str); 13] = [
    ("v1", "Service", "crpd"),
    ("v1", "ConfigMap", "crpd"),
    ("v1", "ServiceAccount", "crpd"),
    ("v1", "Pod", "rpd"),
    ("v1", "PersistentVolumeClaim", "rpd"),
    ("v1", "PersistentVolume", "p"),
    ("apps/v1", "StatefulSet", "crpd"),
    ("apps/v1", "Deployment", "crpd"),
    ("apps/v1", "ControllerRevision", "p"),
    ("policy/v1", "PodDisruptionBudget", "crpd"),
    ("rbac.authorization.k8s.io/v1", "Role", "crpd"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "crpd"),
    ("networking.k8s.io/v1", "Ingress", "crpd"),
];

/// A policy that announces every verb, and writes of this kind.
fn writing(api_version: &str, kind: &str) -> Descriptor {
    Descriptor { writes: vec![Kind { api_version: api_version.into(), kind: kind.into() }], ..everything() }
}

/// One action of each verb on an object of this kind.
fn actions(api_version: &str, kind: &str) -> [(char, Action); 4] {
    let mut object =
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "labels": labels("pd")}});
    if kind == "RoleBinding" {
        object["roleRef"] = json!({"kind": "Role", "name": "x"});
    }
    let target = ObjectRef::of(&object);
    [
        ('c', Action::Create { object: object.clone() }),
        ('r', Action::Replace { object, expect: uid("x") }),
        ('p', Action::MergePatch { target: target.clone(), patch: json!({}), expect: uid("x") }),
        ('d', Action::Delete { target, expect: uid("x") }),
    ]
}

fn is_granted(descriptor: &Descriptor, action: Action) -> bool {
    !World::new(3, 3).broken_by(descriptor, &plan([action])).contains(&"grant")
}

#[test]
fn policies_write_these_kinds_in_these_ways_and_no_others() {
    for (api_version, kind, verbs) in WRITES {
        for (verb, action) in actions(api_version, kind) {
            let granted = is_granted(&writing(api_version, kind), action);
            assert_eq!(granted, verbs.contains(verb), "{verb} {api_version} {kind}");
        }
    }
    let others = [("v1", "Secret"), ("v1", "Node"), ("v2", "Service"), ("rbac.authorization.k8s.io/v1", "ClusterRole")];
    for (api_version, kind) in others {
        for (verb, action) in actions(api_version, kind) {
            assert!(!is_granted(&writing(api_version, kind), action), "{verb} {api_version} {kind}");
        }
    }
}

#[test]
fn a_policy_writes_the_kinds_that_it_announced() {
    let create = || Action::Create { object: map() };
    assert!(is_granted(&writing("v1", "ConfigMap"), create()));
    assert!(!is_granted(&writing("v1", "Service"), create()), "another kind");
    assert!(!is_granted(&writing("v2", "ConfigMap"), create()), "another version");
    assert!(!is_granted(&Descriptor { writes: Vec::new(), ..everything() }, create()));
}

fn map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": labels("pd")}})
}

#[test]
fn a_policy_makes_the_calls_that_it_announced() {
    let call = ComponentCall { method: "POST".into(), path: "/drain".into(), port: 1, pods: None };
    let descriptor = Descriptor { actions: vec!["component-call".into()], calls: vec![call], ..Descriptor::default() };
    let action = |call| Action::ComponentCall { call, pod: "c-pd-1".into(), body: String::new() };
    assert!(is_granted(&descriptor, action(0)));
    assert!(!is_granted(&descriptor, action(1)));
    assert!(!is_granted(&Descriptor { actions: Vec::new(), ..descriptor }, action(0)), "the verb");
}

fn role(rules: Value) -> bool {
    let object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "x", "labels": labels("discovery")}, "rules": rules});
    is_granted(&everything(), Action::Create { object })
}

#[test]
fn a_role_reads_what_discovery_needs() {
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": verbs});
    let reads = ["get", "list", "watch"];
    let fine = || rule(&["pingcap.com"], &["tidbclusters", "dmclusters"], &reads);
    assert!(role(json!([fine(), rule(&[""], &["secrets"], &reads)])));
    assert!(!role(json!([fine(), rule(&[""], &["pods"], &reads)])), "one of two rules");
    assert!(!role(json!([rule(&["pingcap.com"], &["tidbclusters", "pods"], &reads)])), "one of two resources");
    assert!(!role(json!([rule(&["pingcap.com"], &["tidbclusters"], &["get", "update"])])), "one of two verbs");
    assert!(!role(json!([rule(&["apps"], &["secrets"], &reads)])), "another group");
    assert!(!role(json!([rule(&[], &[], &reads)])), "no group at all");
    let mut urls = rule(&["pingcap.com"], &[], &["get"]);
    urls["nonResourceURLs"] = json!(["/metrics"]);
    assert!(!role(json!([urls])));
}

#[test]
fn a_binding_binds_the_role_of_its_name_to_the_account_of_its_name() {
    let bind = |role: (&str, &str), subjects: &[(&str, &str)]| {
        let subjects: Vec<_> = subjects.iter().map(|(kind, name)| json!({"kind": kind, "name": name})).collect();
        let object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "x", "labels": labels("discovery")},
            "roleRef": {"kind": role.0, "name": role.1}, "subjects": subjects});
        let written = Action::Replace { object: object.clone(), expect: uid("x") };
        let granted = is_granted(&everything(), Action::Create { object });
        assert_eq!(granted, is_granted(&everything(), written), "replaced as created");
        granted
    };
    let (own_role, own) = (("Role", "x"), ("ServiceAccount", "x"));
    assert!(bind(own_role, &[own]));
    assert!(!bind(("ClusterRole", "x"), &[own]));
    assert!(!bind(("Role", "admin"), &[own]));
    assert!(!bind(own_role, &[("User", "x")]));
    assert!(!bind(own_role, &[("ServiceAccount", "default")]));
    assert!(!bind(own_role, &[own, ("ServiceAccount", "default")]));
}

#[test]
fn s27_a_paused_cluster_is_told_of_and_its_leaders_may_come_back() {
    let mut world = World::new(3, 4);
    world.spec["paused"] = true.into();
    let event = Action::Event { kind: EventType::Normal, reason: "Paused".into(), message: String::new() };
    let on_hold = |action: Action| world.broken(&plan([action])).contains(&"S27");
    assert!(!on_hold(event));
    assert!(!on_hold(Action::EndEvictLeader { store: 1 }));
    assert!(on_hold(Action::BeginEvictLeader { store: 1 }));
    assert!(on_hold(Action::DeletePdMember { id: "2".into() }));
    assert!(on_hold(Action::DeleteStore { id: 4 }));
    assert!(on_hold(delete_set()));
    assert!(!on_hold(Action::Create { object: map() }), "what is no workload");
}

fn delete_set() -> Action {
    Action::Delete { target: reference("StatefulSet", "c-tikv"), expect: uid("set-tikv") }
}
