//! Writes of Kubernetes objects, each with a precondition, as field manager `tidepool`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kube::{
    Client, Resource as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
    core::Request,
};
use serde_json::{Value, json};
use tidepool_model::{
    descriptor::Kind,
    plan::{ObjectRef, Precondition},
};

use super::Error;
use crate::{
    cluster::{Cluster, ClusterKey},
    kinds::{self, Resource},
    store::Store,
};

/// Who owns the fields that are written.
pub const FIELD_MANAGER: &str = "tidepool";

/// A write that the API server does not answer in this time is given up; whether it was done, the next round sees.
const WRITE_TIMEOUT_SECONDS: u64 = 30;

/// Writes objects and tells the store of each, so that the next round sees it.
pub(super) struct Objects {
    client: Client,
    store: Arc<Store>,
    /// Kinds that discovery has found; the usual ones are not asked for.
    found: Mutex<BTreeMap<Kind, Resource>>,
    /// The CRD has no status subresource, as under the operator that clusters are taken over from.
    no_status_subresource: AtomicBool,
    /// The last status patch of each cluster, and the version that it led to. The same patch wanted again from that
    /// very version is one that the API server drops, in whole or in part: to send it for ever would never end.
    written: Mutex<BTreeMap<ClusterKey, (Value, String)>>,
}

impl Objects {
    pub(super) fn new(client: Client, store: Arc<Store>) -> Self {
        let (found, written) = (Mutex::default(), Mutex::default());
        Self { client, store, found, no_status_subresource: AtomicBool::new(false), written }
    }

    pub(super) async fn create(&self, cluster: &Cluster, object: &Value) -> Result<(), Error> {
        let target = ObjectRef::of(object);
        let object = owned(cluster, object.clone());
        let (path, kind) = self.path(cluster, &target).await?;
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let request = form("create", &target, Request::new(path).create(&parameters, bytes(&object)))?;
        let answer = self.send("create", &target, request).await?;
        self.store.wrote(&kind, answer);
        Ok(())
    }

    pub(super) async fn replace(&self, cluster: &Cluster, object: &Value, expect: &Precondition) -> Result<(), Error> {
        let target = ObjectRef::of(object);
        let mut object = owned(cluster, object.clone());
        require(&mut object, expect);
        let (path, kind) = self.path(cluster, &target).await?;
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let request = Request::new(path).replace(&target.name, &parameters, bytes(&object));
        let answer = self.send("replace", &target, form("replace", &target, request)?).await?;
        self.store.wrote(&kind, answer);
        Ok(())
    }

    pub(super) async fn merge_patch(
        &self,
        cluster: &Cluster,
        target: &ObjectRef,
        patch: &Value,
        expect: &Precondition,
    ) -> Result<(), Error> {
        let mut patch = patch.clone();
        require(&mut patch, expect);
        let (path, kind) = self.path(cluster, target).await?;
        let request = Request::new(path).patch(&target.name, &patch_parameters(), &Patch::Merge(&patch));
        let answer = self.send("patch", target, form("patch", target, request)?).await?;
        self.store.wrote(&kind, answer);
        Ok(())
    }

    pub(super) async fn delete(
        &self,
        cluster: &Cluster,
        target: &ObjectRef,
        expect: &Precondition,
    ) -> Result<(), Error> {
        let (path, kind) = self.path(cluster, target).await?;
        let Precondition { uid, resource_version } = expect.clone();
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version }),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let request = form("delete", target, Request::new(path).delete(&target.name, &parameters))?;
        match self.send("delete", target, request).await {
            Ok(answer) if answer["kind"] == "Status" => {
                let namespace = if kinds::namespaced(&kind) { cluster.key.namespace.as_str() } else { "" };
                self.store.deleted(&kind, namespace, &target.name, expect.uid.as_deref().unwrap_or_default());
                Ok(())
            }
            Ok(answer) => {
                self.store.wrote(&kind, answer);
                Ok(())
            }
            // Gone already is what was wanted.
            Err(Error::Stale { source, .. }) if code(&source) == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Merges `patch` into the status of the cluster as it was read; false if the API server would drop it again.
    pub(super) async fn write_status(&self, cluster: &Cluster, patch: Value) -> Result<bool, Error> {
        let last = self.written.lock().unwrap_or_else(PoisonError::into_inner).get(&cluster.key).cloned();
        if last.is_some_and(|(last, version)| last == patch && version == cluster.resource_version) {
            tracing::debug!(cluster = %cluster.key, "the API server drops a part of the status");
            return Ok(false);
        }
        let mut body = json!({"status": patch});
        let expect =
            Precondition { uid: Some(cluster.uid.clone()), resource_version: Some(cluster.resource_version.clone()) };
        require(&mut body, &expect);
        let answer = self.send_status(cluster, &body).await?;
        let version = answer["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(cluster.key.clone(), (patch, version));
        self.store.wrote(&kinds::tidb_cluster(), answer);
        Ok(true)
    }

    async fn send_status(&self, cluster: &Cluster, body: &Value) -> Result<Value, Error> {
        let Kind { api_version, kind } = kinds::tidb_cluster();
        let target = ObjectRef { api_version, kind, name: cluster.key.name.clone() };
        let (path, _) = self.path(cluster, &target).await?;
        let patch = Patch::Merge(body);
        if !self.no_status_subresource.load(Ordering::Relaxed) {
            let request = Request::new(&path).patch_subresource("status", &target.name, &patch_parameters(), &patch);
            match self.send("write the status of", &target, form("patch", &target, request)?).await {
                Err(Error::Stale { source, .. }) if code(&source) == 404 => {}
                answer => return answer,
            }
        }
        let request = Request::new(path).patch(&target.name, &patch_parameters(), &patch);
        let answer = self.send("write the status of", &target, form("patch", &target, request)?).await?;
        // It worked without, so it was the subresource that was not found, not the cluster.
        self.no_status_subresource.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    async fn path(&self, cluster: &Cluster, target: &ObjectRef) -> Result<(String, Kind), Error> {
        let kind = kinds::kind(&target.api_version, &target.kind);
        let resource =
            self.resource(&kind).await.map_err(|error| Error::of("find the kind of", target.to_string(), error))?;
        let namespace = resource.namespaced.then_some(cluster.key.namespace.as_str());
        Ok((DynamicObject::url_path(&resource.api, namespace), kind))
    }

    async fn resource(&self, kind: &Kind) -> kube::Result<Resource> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(kind).cloned();
        if let Some(resource) = found {
            return Ok(resource);
        }
        let resource = kinds::resolve(&self.client, kind).await?;
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(kind.clone(), resource.clone());
        Ok(resource)
    }

    async fn send(
        &self,
        verb: &'static str,
        target: &ObjectRef,
        request: http::Request<Vec<u8>>,
    ) -> Result<Value, Error> {
        let limit = Duration::from_secs(WRITE_TIMEOUT_SECONDS);
        match tokio::time::timeout(limit, self.client.request(request)).await {
            Ok(answer) => answer.map_err(|error| Error::of(verb, target.to_string(), error)),
            Err(_) => Err(Error::Timeout { verb, subject: target.to_string(), seconds: WRITE_TIMEOUT_SECONDS }),
        }
    }
}

/// The object as it is written: in the cluster's namespace and, where its kind ends with the cluster, owned by it.
///
/// Claims are not: they outlive the cluster (S12). What has no namespace cannot be owned by something that has one.
pub fn owned(cluster: &Cluster, mut object: Value) -> Value {
    let ObjectRef { api_version, kind, .. } = ObjectRef::of(&object);
    let kind = kinds::kind(&api_version, &kind);
    if !kinds::namespaced(&kind) {
        return object;
    }
    object["metadata"]["namespace"] = json!(cluster.key.namespace);
    if kind == kinds::kind("v1", "PersistentVolumeClaim") {
        return object;
    }
    let mut owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    owners.retain(|owner| owner["uid"] != json!(cluster.uid));
    owners.push(json!({
        "apiVersion": tidepool_api::cluster::API_VERSION,
        "kind": tidepool_api::cluster::KIND,
        "name": cluster.key.name,
        "uid": cluster.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    }));
    object["metadata"]["ownerReferences"] = Value::Array(owners);
    object
}

/// Puts the precondition where the API server checks it.
fn require(object: &mut Value, expect: &Precondition) {
    let Precondition { uid, resource_version } = expect;
    for (key, value) in [("uid", uid), ("resourceVersion", resource_version)] {
        if let Some(value) = value {
            object["metadata"][key] = json!(value);
        }
    }
}

fn patch_parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

fn bytes(object: &Value) -> Vec<u8> {
    object.to_string().into_bytes()
}

fn code(error: &kube::Error) -> u16 {
    if let kube::Error::Api(status) = error { status.code } else { 0 }
}

fn form(
    verb: &'static str,
    target: &ObjectRef,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<http::Request<Vec<u8>>, Error> {
    request.map_err(|error| Error::Invalid(format!("{verb} {target}: {error}")))
}
