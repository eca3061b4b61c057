//! Documents of a file, written to an API server as `kubectl apply --server-side` would.

use std::collections::BTreeSet;

use anyhow::Context;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{self, Scope},
};
use serde_json::{Value, json};
use tidepool_api::{crd, input::Document};

use crate::failure::BadInput;

/// Where documents go that name no namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// Who writes, in managed fields and the audit log.
const FIELD_MANAGER: &str = "tidepool-cli";

/// Writes all documents, namespaces that they need and that nobody made among them, and `secrets` before what may use
/// them.
///
/// # Errors
/// When the API server refuses one; those before it are written.
pub async fn apply(client: &Client, secrets: &[Value], documents: &[Document]) -> anyhow::Result<()> {
    for namespace in namespaces(documents) {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        apply_one(client, &object).await.with_context(|| format!("failed to create the namespace {namespace}"))?;
    }
    for secret in secrets {
        apply_one(client, secret).await?;
    }
    for document in documents {
        apply_one(client, &document.value).await.with_context(|| format!("{}", document.origin))?;
    }
    Ok(())
}

/// Fails where there is nothing to work on.
///
/// # Errors
/// [`BadInput`] when none of `documents` is a TidbCluster.
pub fn some_cluster(documents: &[Document]) -> Result<(), BadInput> {
    if cluster_objects(documents).next().is_some() {
        return Ok(());
    }
    Err(BadInput("none of the documents is a TidbCluster; there is nothing to do".into()))
}

/// `namespace/name` of every TidbCluster of `documents`.
pub fn clusters(documents: &[Document]) -> Vec<(String, String)> {
    cluster_objects(documents).map(|cluster| (namespace_of(&cluster), text(&cluster, "name"))).collect()
}

/// The TidbClusters of `documents`, as an API server would have them: with the defaults of their schema.
pub fn cluster_objects(documents: &[Document]) -> impl Iterator<Item = Value> {
    let clusters = documents.iter().map(|document| &document.value).filter(|value| value["kind"] == "TidbCluster");
    clusters.cloned().map(crd::with_defaults)
}

/// Namespace of an object, the default one if it names none.
pub fn namespace_of(object: &Value) -> String {
    let namespace = text(object, "namespace");
    if namespace.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { namespace }
}

fn namespaces(documents: &[Document]) -> BTreeSet<String> {
    let own = documents.iter().filter(|d| d.value["kind"] == "Namespace").map(|d| text(&d.value, "name"));
    let own: BTreeSet<String> = own.collect();
    let used = documents.iter().map(|document| text(&document.value, "namespace"));
    used.filter(|name| !name.is_empty() && name != DEFAULT_NAMESPACE && !own.contains(name)).collect()
}

async fn apply_one(client: &Client, object: &Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone()).context("not a Kubernetes object")?;
    let types = object.types.clone().unwrap_or_default();
    let name = object.metadata.name.clone().unwrap_or_default();
    let (group, version) = types.api_version.rsplit_once('/').unwrap_or(("", &types.api_version));
    let kind = GroupVersionKind::gvk(group, version, &types.kind);
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 => {
            BadInput(format!("the API server does not know {} {}", types.api_version, types.kind)).into()
        }
        other => anyhow::Error::new(other).context("failed to ask the API server what it knows"),
    })?;
    let api = api(client, &resource, capabilities.scope, object.metadata.namespace.as_deref());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = api.patch(&name, &params, &Patch::Apply(&object)).await;
    written.map(drop).map_err(|error| match error {
        // Another try with the same document would be refused as well.
        kube::Error::Api(status) if (400..500).contains(&status.code) || status.reason.is_empty() => {
            BadInput(format!("{} {name} is refused: {}", types.kind, status.message)).into()
        }
        other => anyhow::Error::new(other).context(format!("failed to write {} {name}", types.kind)),
    })
}

fn api(client: &Client, resource: &ApiResource, scope: Scope, namespace: Option<&str>) -> Api<DynamicObject> {
    match scope {
        Scope::Cluster => Api::all_with(client.clone(), resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace.unwrap_or(DEFAULT_NAMESPACE), resource),
    }
}

fn text(object: &Value, key: &str) -> String {
    object["metadata"][key].as_str().unwrap_or_default().to_owned()
}
