//! Grants: a plan holds only actions that the policy's descriptor announced, on kinds that any policy may write at all.

use serde_json::Value;

use super::{ClusterFacts, Violation};
use crate::{
    descriptor::Descriptor,
    plan::{Action, ObjectRef, Plan},
};

/// What any policy may write at all. RBAC is here for the discovery service alone, and only in its one form.
const WRITABLE: [(&str, &str, Verbs); 13] = [
    ("v1", "Service", Verbs::All),
    ("v1", "ConfigMap", Verbs::All),
    ("v1", "ServiceAccount", Verbs::All),
    ("v1", "Pod", Verbs::NotCreate),
    ("v1", "PersistentVolumeClaim", Verbs::NotCreate),
    ("v1", "PersistentVolume", Verbs::PatchOnly),
    ("apps/v1", "StatefulSet", Verbs::All),
    ("apps/v1", "Deployment", Verbs::All),
    ("apps/v1", "ControllerRevision", Verbs::PatchOnly),
    ("policy/v1", "PodDisruptionBudget", Verbs::All),
    ("rbac.authorization.k8s.io/v1", "Role", Verbs::All),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", Verbs::All),
    ("networking.k8s.io/v1", "Ingress", Verbs::All),
];

/// What the discovery service needs to read: its cluster, and the Secret for its client certificate.
const READABLE_BY_ROLES: [(&str, &str); 3] =
    [("pingcap.com", "tidbclusters"), ("pingcap.com", "dmclusters"), ("", "secrets")];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verbs {
    All,
    NotCreate,
    PatchOnly,
}

impl Verbs {
    fn allow(self, action: &Action) -> bool {
        match self {
            Self::All => true,
            Self::NotCreate => !matches!(action, Action::Create { .. }),
            Self::PatchOnly => matches!(action, Action::MergePatch { .. }),
        }
    }
}

pub(super) fn check(cluster: &ClusterFacts, descriptor: &Descriptor, plan: &Plan, violations: &mut Vec<Violation>) {
    for action in &plan.actions {
        if !descriptor.actions.iter().any(|verb| verb == action.verb()) {
            let message = format!("the descriptor of {} does not announce {}", descriptor.component, action.verb());
            violations.push(Violation::new("grant", message));
        }
        if let Some(target) = action.target() {
            kind(descriptor, action, &target, violations);
        }
        if let Action::ComponentCall { call, .. } = action
            && *call as usize >= descriptor.calls.len()
        {
            violations.push(Violation::new("grant", format!("the descriptor has no component call {call}")));
        }
        if let Action::Create { object } | Action::Replace { object, .. } = action {
            rbac(object, violations);
        }
        paused(cluster, descriptor, action, violations);
    }
}

fn kind(descriptor: &Descriptor, action: &Action, target: &ObjectRef, violations: &mut Vec<Violation>) {
    let announced = descriptor.writes.iter().any(|k| k.api_version == target.api_version && k.kind == target.kind);
    if !announced {
        let message = format!("the descriptor of {} does not announce writes of {}", descriptor.component, target.kind);
        violations.push(Violation::new("grant", message));
    }
    let possible = WRITABLE
        .iter()
        .any(|(version, kind, verbs)| *version == target.api_version && *kind == target.kind && verbs.allow(action));
    if !possible {
        violations.push(Violation::new("grant", format!("no policy may {} {target}", action.verb())));
    }
}

/// S27: while paused, no workload changes and nothing happens in PD.
fn paused(cluster: &ClusterFacts, descriptor: &Descriptor, action: &Action, violations: &mut Vec<Violation>) {
    let on_hold = match action {
        Action::Event { .. } | Action::EndEvictLeader { .. } => false,
        _ => action.target().is_none_or(|target| target.kind == "StatefulSet"),
    };
    if on_hold && cluster.paused() && !suspended(cluster, descriptor, action) {
        let message = format!("{} of {} while the cluster is paused", action.verb(), action.subject());
        violations.push(Violation::new("S27", message));
    }
}

/// The user wants the workload that `action` writes to be suspended. A policy may have several, each named after its
/// component.
fn suspended(cluster: &ClusterFacts, descriptor: &Descriptor, action: &Action) -> bool {
    let target = action.target();
    let named = target.as_ref().and_then(|target| target.name.strip_prefix(&cluster.name)?.strip_prefix('-'));
    cluster.suspends(named.unwrap_or(&descriptor.component))
}

/// A Role grants reading of what discovery needs and nothing else; a RoleBinding binds a Role of the same name to the
/// ServiceAccount of the same name. So no policy can mint access.
fn rbac(object: &Value, violations: &mut Vec<Violation>) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match object["kind"].as_str() {
        Some("Role") => {
            let rules = object["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
            if !rules.iter().all(only_reads) {
                violations
                    .push(Violation::new("grant", format!("role/{name} grants more than discovery needs to read")));
            }
        }
        Some("RoleBinding") => {
            let subjects = object["subjects"].as_array().map(Vec::as_slice).unwrap_or_default();
            let own = |subject: &Value| subject["kind"] == "ServiceAccount" && subject["name"] == name;
            let role = &object["roleRef"];
            if role["kind"] != "Role" || role["name"] != name || !subjects.iter().all(own) {
                let message = format!("rolebinding/{name} binds another role or subject than its own");
                violations.push(Violation::new("grant", message));
            }
        }
        _ => {}
    }
}

fn only_reads(rule: &Value) -> bool {
    let words = |key: &str| -> Vec<&str> {
        rule[key].as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    };
    let verbs = words("verbs").iter().all(|verb| ["get", "list", "watch"].contains(verb));
    let groups = words("apiGroups");
    let resources = words("resources")
        .iter()
        .all(|resource| READABLE_BY_ROLES.iter().any(|(group, name)| name == resource && groups.contains(group)));
    verbs && resources && !groups.is_empty() && rule["nonResourceURLs"].is_null()
}
