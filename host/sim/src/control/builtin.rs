//! Strategies of the built-in types, by group and plural: defaults, what the server decides, validation.

mod config;
mod core;
pub mod decode;
pub mod diff;
pub mod event;
mod names;
mod pod;
mod pod_defaults;
mod pod_validation;
pub mod quantity;
mod service;
mod storage;
mod workload;

use super::strategy::{NameRule, Strategy};

/// The strategy of a built-in resource.
pub fn strategy(group: &str, plural: &str) -> Strategy {
    let none = Strategy::default();
    match (group, plural) {
        ("", "pods") => pod::strategy(),
        ("", "services") => service::strategy(),
        ("", "persistentvolumeclaims") => storage::claim(),
        ("", "persistentvolumes") => storage::volume(),
        ("storage.k8s.io", "storageclasses") => storage::class(),
        ("apps", "statefulsets") => workload::statefulset(),
        ("apps", "deployments") => workload::deployment(),
        ("apps", "replicasets") => workload::replicaset(),
        ("apps", "daemonsets") => workload::daemonset(),
        ("batch", "jobs") => workload::job(),
        ("policy", "poddisruptionbudgets") => workload::disruption_budget(),
        ("autoscaling", "horizontalpodautoscalers") => workload::autoscaler(),
        ("", "configmaps") => config::config_map(),
        ("", "secrets") => config::secret(),
        ("coordination.k8s.io", "leases") => config::lease(),
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => config::role(),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => config::role_binding(),
        ("", "nodes") => core::node(),
        ("", "namespaces") => core::namespace(),
        ("", "events") => event::core_strategy(),
        ("events.k8s.io", "events") => event::strategy(),
        ("", "serviceaccounts" | "resourcequotas" | "podtemplates") => Strategy { delete_answers_object: true, ..none },
        ("networking.k8s.io", _) => Strategy { generation: true, ..none },
        ("discovery.k8s.io", "endpointslices") => Strategy { generation: true, ..none },
        ("apiextensions.k8s.io", _) => Strategy { generation: true, unconditional_update: false, ..none },
        ("apps", "controllerrevisions") => Strategy { unconditional_update: false, ..none },
        _ => Strategy { name: NameRule::Subdomain, ..none },
    }
}
