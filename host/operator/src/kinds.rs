//! Where the API server serves a kind: the kinds that policies usually name, and discovery for the rest.

use kube::{Client, core::GroupVersionKind, discovery::ApiResource};
use tidepool_model::descriptor::Kind;

/// How to ask the API server for a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Group, version, kind and plural.
    pub api: ApiResource,
    /// Its objects live in namespaces.
    pub namespaced: bool,
}

/// Kinds that need no discovery: `apiVersion`, kind, plural, namespaced.
const KNOWN: [(&str, &str, &str, bool); 18] = [
    ("apps/v1", "ControllerRevision", "controllerrevisions", true),
    ("apps/v1", "Deployment", "deployments", true),
    ("apps/v1", "ReplicaSet", "replicasets", true),
    ("apps/v1", "StatefulSet", "statefulsets", true),
    ("batch/v1", "Job", "jobs", true),
    ("pingcap.com/v1alpha1", "TidbCluster", "tidbclusters", true),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", true),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", true),
    ("storage.k8s.io/v1", "StorageClass", "storageclasses", false),
    ("v1", "ConfigMap", "configmaps", true),
    ("v1", "Node", "nodes", false),
    ("v1", "PersistentVolume", "persistentvolumes", false),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("v1", "Pod", "pods", true),
    ("v1", "Secret", "secrets", true),
    ("v1", "Service", "services", true),
    ("v1", "ServiceAccount", "serviceaccounts", true),
];

/// A kind by its two names.
pub fn kind(api_version: &str, kind: &str) -> Kind {
    Kind { api_version: api_version.to_owned(), kind: kind.to_owned() }
}

/// The kind of the clusters.
pub fn tidb_cluster() -> Kind {
    kind(tidepool_api::cluster::API_VERSION, tidepool_api::cluster::KIND)
}

/// The kind of Secrets.
pub fn secret() -> Kind {
    kind("v1", "Secret")
}

/// The resource of a usual kind.
pub fn known(kind: &Kind) -> Option<Resource> {
    let row = KNOWN.iter().find(|row| row.0 == kind.api_version && row.1 == kind.kind)?;
    Some(Resource { api: ApiResource::from_gvk_with_plural(&gvk(kind), row.2), namespaced: row.3 })
}

/// The resource of any kind, by asking the API server where it is not a usual one.
///
/// # Errors
/// When the API server does not answer or does not serve the kind.
pub async fn resolve(client: &Client, kind: &Kind) -> kube::Result<Resource> {
    if let Some(resource) = known(kind) {
        return Ok(resource);
    }
    let (api, capabilities) = kube::discovery::pinned_kind(client, &gvk(kind)).await?;
    Ok(Resource { api, namespaced: capabilities.scope == kube::discovery::Scope::Namespaced })
}

/// Whether the objects of a usual kind live in namespaces; those of other kinds are taken to.
pub fn namespaced(kind: &Kind) -> bool {
    known(kind).is_none_or(|resource| resource.namespaced)
}

fn gvk(kind: &Kind) -> GroupVersionKind {
    let (group, version) = kind.api_version.split_once('/').unwrap_or(("", &kind.api_version));
    GroupVersionKind::gvk(group, version, &kind.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_group_has_no_name() {
        let pod = known(&kind("v1", "Pod")).expect("a usual kind");
        assert_eq!((pod.api.group.as_str(), pod.api.version.as_str(), pod.api.plural.as_str()), ("", "v1", "pods"));
        let set = known(&kind("apps/v1", "StatefulSet")).expect("a usual kind");
        assert_eq!((set.api.group.as_str(), set.api.api_version.as_str()), ("apps", "apps/v1"));
    }
}
