//! What the policy sees of the cluster, read once.

use std::collections::BTreeMap;

use tidepool_sdk::{
    Descriptor, Failure, Kind, Plan, PodRow, Scope, Snapshot, Watch,
    api::{Component, TidbCluster},
    live::Live,
};

/// Indices of the descriptor's watches.
pub mod watch {
    pub const POD: u32 = 0;
    pub const CLAIM: u32 = 1;
    pub const VOLUME: u32 = 2;
}

const AFTER: [Component; 8] = [
    Component::Discovery,
    Component::Pd,
    Component::Tikv,
    Component::Tidb,
    Component::Tiflash,
    Component::Ticdc,
    Component::Tiproxy,
    Component::Pump,
];

const KINDS: [(&str, &str, Scope); 3] = [
    ("v1", "Pod", Scope::Cluster),
    ("v1", "PersistentVolumeClaim", Scope::Cluster),
    ("v1", "PersistentVolume", Scope::Used),
];

/// What the policy reads and may do.
pub fn descriptor() -> Descriptor {
    let kind = |api_version: &str, kind: &str| Kind { api_version: api_version.to_owned(), kind: kind.to_owned() };
    Descriptor {
        component: "housekeeping".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        after: AFTER.map(|component| component.name().to_owned()).to_vec(),
        watches: KINDS.map(|(v, k, of)| Watch { api_version: v.to_owned(), kind: k.to_owned(), of }).to_vec(),
        pods: Some("*".to_owned()),
        actions: ["merge-patch", "delete"].map(str::to_owned).to_vec(),
        writes: KINDS.map(|(v, k, _)| kind(v, k)).to_vec(),
        status: vec!["conditions".to_owned()],
        ..Descriptor::default()
    }
}

/// The cluster as it is.
pub struct World<'a> {
    /// What the host saw.
    pub snapshot: &'a Snapshot,
    /// The TidbCluster, defaults filled in, with the status that the components wrote in this round.
    pub cluster: &'a TidbCluster,
    /// Pods of all components, by name.
    pub pods: BTreeMap<String, PodRow>,
    /// Claims of the cluster, ordered by name.
    pub claims: Vec<Claim>,
    /// Volumes of its claims, ordered by name.
    pub volumes: Vec<Live>,
}

/// A claim and the pod that its name says it is for.
pub struct Claim {
    /// The claim.
    pub live: Live,
    /// Name of the pod; empty if the name says nothing.
    pub pod: String,
}

impl<'a> World<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// When pods, claims or volumes are unknown.
    pub fn read(snapshot: &'a Snapshot, cluster: &'a TidbCluster) -> Result<Self, Failure> {
        let pods = snapshot.pods()?.into_iter().map(|pod| (pod.name.clone(), pod)).collect();
        let claims = Live::all(snapshot, watch::CLAIM)?;
        let claims = claims.into_iter().map(|live| Claim { pod: pod_of(cluster, &live), live }).collect();
        Ok(Self { snapshot, cluster, pods, claims, volumes: Live::all(snapshot, watch::VOLUME)? })
    }

    /// The volume that a claim is bound to.
    pub fn volume(&self, claim: &Live) -> Option<&Live> {
        let name = claim.text("/spec/volumeName");
        self.volumes.binary_search_by(|volume| volume.name().cmp(name)).ok().map(|at| &self.volumes[at])
    }

    /// The claim that a volume is bound to.
    pub fn claim(&self, volume: &Live) -> Option<&Claim> {
        let name = volume.text("/spec/claimRef/name");
        self.claims.binary_search_by(|claim| claim.live.name().cmp(name)).ok().map(|at| &self.claims[at])
    }
}

/// Claims are named `<template>-<set>-<ordinal>`, and sets `<cluster>-<component>`.
fn pod_of(cluster: &TidbCluster, claim: &Live) -> String {
    let set = format!("-{}-", cluster.name());
    let name = claim.name();
    let at = component(claim).parse::<Component>().ok().and_then(|component| {
        let set = format!("-{}-", cluster.member_name(component));
        name.rfind(&set)
    });
    at.or_else(|| name.find(&set)).map(|at| name[at + 1..].to_owned()).unwrap_or_default()
}

/// Value of the component label; empty without.
pub fn component(live: &Live) -> &str {
    live.label(tidepool_sdk::api::labels::COMPONENT).unwrap_or_default()
}

/// Patches labels and annotations, if any differ. Empty lists are no patch.
pub fn patch_metadata(plan: &mut Plan, live: &Live, labels: &[(&str, &str)], annotations: &[(&str, &str)]) {
    let mut metadata = serde_json::Map::new();
    for (key, wanted) in [("labels", labels), ("annotations", annotations)] {
        let present = &live.value()["metadata"][key];
        let differing = wanted.iter().filter(|(name, value)| present[*name] != *value);
        let differing: serde_json::Map<_, _> =
            differing.map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        if !differing.is_empty() {
            metadata.insert(key.to_owned(), differing.into());
        }
    }
    if !metadata.is_empty() {
        plan.merge_patch(reference(live), serde_json::json!({ "metadata": metadata }), live.unchanged());
    }
}

/// The reference of an object.
pub fn reference(live: &Live) -> tidepool_sdk::ObjectRef {
    tidepool_sdk::ObjectRef::of(live.value())
}
