//! Volumes: classes, claims bound to volumes when a pod is placed, growth, release.

use k8s_openapi::{
    api::{
        core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
        storage::v1::StorageClass,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    api,
    mirror::{self, Mirror},
    network::Key,
    quantity::millis,
    scheduler::ZONE_LABEL,
    selector::node_selected,
};

/// Driver name of all simulated volumes.
const PROVISIONER: &str = "simulated.tidepool.dev";
/// The class of claims that name none.
const DEFAULT_CLASS: &str = "standard";
/// Keeps a volume while a claim is bound to it.
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";
/// The scheduler's choice, which a class that waits for the first consumer needs.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Claims, volumes and classes, and the client to change them.
pub struct Volumes {
    /// All claims.
    pub claims: Mirror<PersistentVolumeClaim>,
    /// All volumes.
    pub volumes: Mirror<PersistentVolume>,
    /// All classes.
    pub classes: Mirror<StorageClass>,
    client: Client,
}

/// What a pod's claims say about where it may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claims {
    /// All are bound or can be; bound ones allow these zones, all if empty.
    Placeable(Vec<String>),
    /// Not yet, in the scheduler's words.
    Blocked(String),
}

impl Volumes {
    /// Nothing known yet.
    pub fn new(client: Client) -> Self {
        Self { claims: Mirror::default(), volumes: Mirror::default(), classes: Mirror::default(), client }
    }

    /// Creates the default class.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn install(&self) -> Result<(), kube::Error> {
        api::ensure::<StorageClass>(&Api::all(self.client.clone()), &class(DEFAULT_CLASS)).await
    }

    /// Disk and size behind a claim, if it is bound.
    pub fn disk(&self, namespace: &str, claim: &str) -> Option<(String, u64)> {
        let claim = self.claims.get(&(namespace.to_owned(), claim.to_owned()))?;
        let volume = claim.spec.as_ref()?.volume_name.as_ref()?;
        let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref()?.get("storage").map(millis));
        Some((disk_name(volume), u64::try_from(capacity.unwrap_or(0) / 1_000).unwrap_or(u64::MAX)))
    }

    /// Whether the claims of `pod` are all bound.
    pub fn all_bound(&self, pod: &Pod) -> bool {
        claim_keys(pod).iter().all(|key| self.claims.get(key).is_some_and(is_bound))
    }

    /// What the scheduler has to know of the claims of `pod`. `zones` are the zones there are.
    pub fn placement(&self, pod: &Pod, zones: &[String]) -> Claims {
        let mut allowed: Vec<String> = Vec::new();
        for key in claim_keys(pod) {
            let Some(claim) = self.claims.get(&key) else {
                return Claims::Blocked(format!("persistentvolumeclaim \"{}\" not found", key.1));
            };
            if claim.metadata.deletion_timestamp.is_some() {
                return Claims::Blocked(format!("persistentvolumeclaim \"{}\" is being deleted", key.1));
            }
            let of_volume = self.bound_volume(claim).map(|volume| volume_zones(volume, zones)).unwrap_or_default();
            if of_volume.is_empty() {
                continue;
            }
            allowed = if allowed.is_empty() {
                of_volume
            } else {
                allowed.into_iter().filter(|zone| of_volume.contains(zone)).collect()
            };
            if allowed.is_empty() {
                return Claims::Blocked("node(s) had volume node affinity conflict".to_owned());
            }
        }
        Claims::Placeable(allowed)
    }

    /// Binds what `pod` claims, on a node in `zone`.
    ///
    /// # Errors
    /// When the API server refuses; the caller tries again.
    pub async fn bind_for(&mut self, pod: &Pod, node: &str, zone: Option<&str>) -> Result<(), kube::Error> {
        for key in claim_keys(pod) {
            let Some(claim) = self.claims.get(&key).filter(|claim| !is_bound(claim)).cloned() else { continue };
            let selected = json!({"metadata": {"annotations": {
                SELECTED_NODE: node, "volume.kubernetes.io/storage-provisioner": PROVISIONER,
                "volume.beta.kubernetes.io/storage-provisioner": PROVISIONER,
            }}});
            let claim = self.patch_claim(&claim, &selected).await?;
            self.bind(&claim, zone).await?;
        }
        Ok(())
    }

    /// Brings one claim up to date: class, binding, size.
    ///
    /// # Errors
    /// When the API server refuses; the caller tries again.
    pub async fn settle_claim(&mut self, key: &Key) -> Result<(), kube::Error> {
        let Some(claim) = self.claims.get(key).cloned() else { return Ok(()) };
        if claim.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        if is_bound(&claim) {
            return self.grow(&claim).await;
        }
        let spec = claim.spec.clone().unwrap_or_default();
        let Some(class_name) = spec.storage_class_name else {
            let with_class = json!({"spec": {"storageClassName": DEFAULT_CLASS}});
            self.patch_claim(&claim, &with_class).await?;
            return Ok(());
        };
        self.ensure_class(&class_name).await?;
        let immediate = self.classes.get(&(String::new(), class_name)).is_some_and(is_immediate);
        if immediate || self.volume_for(&claim).is_some() {
            self.bind(&claim, None).await?;
        } else {
            self.show_pending(&claim).await?;
        }
        Ok(())
    }

    /// Brings one volume up to date after its claim went, or after it was deleted. Returns the disks that are gone.
    ///
    /// # Errors
    /// When the API server refuses; the caller tries again.
    pub async fn settle_volume(&mut self, key: &Key) -> Result<Option<String>, kube::Error> {
        let Some(volume) = self.volumes.get(key).cloned() else { return Ok(Some(disk_name(&key.1))) };
        let spec = volume.spec.clone().unwrap_or_default();
        let claim = spec.claim_ref.as_ref().and_then(|reference| {
            let key = (reference.namespace.clone()?, reference.name.clone()?);
            self.claims.get(&key).filter(|claim| reference.uid.is_none() || claim.metadata.uid == reference.uid)
        });
        if claim.is_some() || volume.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        if spec.claim_ref.is_none() {
            if phase != Some("Available") {
                self.patch_volume_phase(&key.1, "Available").await?;
            }
            return Ok(None);
        }
        if spec.claim_ref.as_ref().is_some_and(|reference| reference.uid.is_none()) {
            return Ok(None);
        }
        if phase != Some("Released") {
            self.patch_volume_phase(&key.1, "Released").await?;
        }
        if spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete") {
            api.delete(&key.1, &DeleteParams::default()).await?;
        }
        Ok(None)
    }

    fn bound_volume(&self, claim: &PersistentVolumeClaim) -> Option<&PersistentVolume> {
        let name = claim.spec.as_ref()?.volume_name.clone()?;
        self.volumes.get(&(String::new(), name))
    }

    /// An existing volume that `claim` may have: reserved for it, or free and fitting.
    fn volume_for(&self, claim: &PersistentVolumeClaim) -> Option<&PersistentVolume> {
        let spec = claim.spec.as_ref()?;
        let key = mirror::key(claim);
        let wanted = requested(claim);
        let mut free =
            self.volumes.iter().map(|(_, volume)| volume).filter(|v| v.metadata.deletion_timestamp.is_none());
        free.find(|volume| {
            let Some(of) = &volume.spec else { return false };
            let named = spec.volume_name.is_some() && spec.volume_name == volume.metadata.name;
            match &of.claim_ref {
                Some(reference) => {
                    let same =
                        reference.namespace.as_deref() == Some(&key.0) && reference.name.as_deref() == Some(&key.1);
                    same && (reference.uid.is_none() || reference.uid == claim.metadata.uid)
                }
                None => {
                    let capacity = of.capacity.as_ref().and_then(|all| all.get("storage")).map_or(0, millis);
                    named || (of.storage_class_name == spec.storage_class_name && capacity >= wanted)
                }
            }
        })
    }

    /// Binds `claim` to a volume that is there, or to a new one in `zone`.
    async fn bind(&mut self, claim: &PersistentVolumeClaim, zone: Option<&str>) -> Result<(), kube::Error> {
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let found = self.volume_for(claim).and_then(|volume| volume.metadata.name.clone());
        let name = match found {
            Some(name) => {
                let reference = json!({"spec": {"claimRef": claim_reference(claim)}});
                volumes.patch(&name, &PatchParams::default(), &Patch::Merge(&reference)).await?;
                name
            }
            None => {
                let volume = self.build_volume(claim, zone);
                let name = volume["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                api::ensure(&volumes, &volume).await?;
                name
            }
        };
        self.patch_volume_phase(&name, "Bound").await?;
        let bound = json!({
            "metadata": {"annotations": {
                "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes",
            }},
            "spec": {"volumeName": name},
        });
        let claim = self.patch_claim(claim, &bound).await?;
        let capacity =
            self.volumes.get(&(String::new(), name)).and_then(|volume| volume.spec.as_ref()?.capacity.clone());
        let modes = claim.spec.as_ref().and_then(|spec| spec.access_modes.clone());
        let status = json!({"status": {"phase": "Bound", "accessModes": modes, "capacity": capacity}});
        self.patch_claim_status(&claim, &status).await
    }

    fn build_volume(&self, claim: &PersistentVolumeClaim, zone: Option<&str>) -> Value {
        let spec = claim.spec.clone().unwrap_or_default();
        let class_name = spec.storage_class_name.unwrap_or_default();
        let class = self.classes.get(&(String::new(), class_name.clone()));
        let policy = class.and_then(|class| class.reclaim_policy.clone()).unwrap_or_else(|| "Delete".to_owned());
        let name = format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or_default());
        let size = spec.resources.and_then(|resources| resources.requests?.get("storage").cloned());
        let mut volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {
                "name": name, "finalizers": [VOLUME_FINALIZER],
                "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
            },
            "spec": {
                "capacity": {"storage": size.unwrap_or_else(|| Quantity("1Gi".to_owned()))},
                "accessModes": spec.access_modes, "claimRef": claim_reference(claim),
                "csi": {"driver": PROVISIONER, "volumeHandle": name},
                "persistentVolumeReclaimPolicy": policy, "storageClassName": class_name,
                "volumeMode": spec.volume_mode.unwrap_or_else(|| "Filesystem".to_owned()),
            },
        });
        if let Some(zone) = zone {
            volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": ZONE_LABEL, "operator": "In", "values": [zone]},
            ]}]}});
        }
        volume
    }

    /// A claim that asks for more than it has grows, if its class allows it.
    async fn grow(&mut self, claim: &PersistentVolumeClaim) -> Result<(), kube::Error> {
        let has = claim.status.as_ref().and_then(|status| status.capacity.as_ref()?.get("storage")).map_or(0, millis);
        let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()).unwrap_or_default();
        let allowed = self.classes.get(&(String::new(), class)).is_some_and(|c| c.allow_volume_expansion == Some(true));
        if has == 0 || requested(claim) <= has || !allowed {
            return Ok(());
        }
        let size =
            claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage").cloned());
        let capacity = json!({"storage": size});
        if let Some(name) = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()) {
            let api: Api<PersistentVolume> = Api::all(self.client.clone());
            let patch = json!({"spec": {"capacity": capacity}});
            let volume = api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            self.volumes.put(volume);
        }
        self.patch_claim_status(claim, &json!({"status": {"capacity": capacity}})).await
    }

    async fn ensure_class(&mut self, name: &str) -> Result<(), kube::Error> {
        if name.is_empty() || self.classes.get(&(String::new(), name.to_owned())).is_some() {
            return Ok(());
        }
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        api::ensure(&classes, &class(name)).await?;
        self.classes.put(classes.get(name).await?);
        Ok(())
    }

    async fn show_pending(&mut self, claim: &PersistentVolumeClaim) -> Result<(), kube::Error> {
        if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending") {
            return Ok(());
        }
        self.patch_claim_status(claim, &json!({"status": {"phase": "Pending"}})).await
    }

    async fn patch_claim(
        &mut self,
        claim: &PersistentVolumeClaim,
        patch: &Value,
    ) -> Result<PersistentVolumeClaim, kube::Error> {
        let key = mirror::key(claim);
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.0);
        let changed = api.patch(&key.1, &PatchParams::default(), &Patch::Merge(patch)).await?;
        self.claims.put(changed.clone());
        Ok(changed)
    }

    async fn patch_claim_status(&mut self, claim: &PersistentVolumeClaim, patch: &Value) -> Result<(), kube::Error> {
        let key = mirror::key(claim);
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.0);
        let changed = api.patch_status(&key.1, &PatchParams::default(), &Patch::Merge(patch)).await?;
        self.claims.put(changed);
        Ok(())
    }

    async fn patch_volume_phase(&mut self, name: &str, phase: &str) -> Result<(), kube::Error> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let patch = json!({"status": {"phase": phase}});
        let changed = api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        self.volumes.put(changed);
        Ok(())
    }
}

/// The claims that a pod mounts.
pub fn claim_keys(pod: &Pod) -> Vec<Key> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|v| Some((namespace.clone(), v.persistent_volume_claim.as_ref()?.claim_name.clone()))).collect()
}

/// What a volume's content is remembered under.
fn disk_name(volume: &str) -> String {
    format!("volume/{volume}")
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
        && claim.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some())
}

fn is_immediate(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() != Some("WaitForFirstConsumer")
}

fn requested(claim: &PersistentVolumeClaim) -> i128 {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    requests.and_then(|requests| requests.get("storage")).map_or(0, millis)
}

/// The zones of `zones` that a volume's node affinity allows; empty when it has none.
fn volume_zones(volume: &PersistentVolume, zones: &[String]) -> Vec<String> {
    let required = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    let Some(required) = required else { return Vec::new() };
    let allows = |zone: &&String| node_selected(required, "", &[(ZONE_LABEL.to_owned(), (*zone).clone())].into());
    zones.iter().filter(allows).cloned().collect()
}

fn claim_reference(claim: &PersistentVolumeClaim) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.metadata.namespace,
        "name": claim.metadata.name, "uid": claim.metadata.uid,
    })
}

fn class(name: &str) -> Value {
    let default = if name == DEFAULT_CLASS { "true" } else { "false" };
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": default}},
        "provisioner": PROVISIONER, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    })
}
