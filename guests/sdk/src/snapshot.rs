//! The input of one call, typed.

use std::rc::Rc;

use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::Value;
use tidepool_model::{
    known::Known,
    snapshot::{ObjectHead, PdMember, PodRow, ProbeAnswer, StoreRow},
};

use crate::Failure;

/// What the host saw, frozen for this call.
pub struct Snapshot {
    source: Rc<source::Source>,
    /// Index of the first watch that belongs to this part.
    first_watch: u32,
    /// Name of the StatefulSet whose pods belong to this part; all of them without.
    set: Option<String>,
}

impl Snapshot {
    #[doc(hidden)]
    pub fn from_source(source: source::Source) -> Self {
        Self { source: Rc::new(source), first_watch: 0, set: None }
    }

    /// The part of one StatefulSet, for a policy that decides for several: its watches begin at `first_watch` of the
    /// descriptor, and its pods are those of the set.
    #[must_use]
    pub fn part(&self, first_watch: u32, set: &str) -> Self {
        Self { source: self.source.clone(), first_watch, set: Some(set.to_owned()) }
    }

    /// Now, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        source::now_ms(&self.source)
    }

    /// The TidbCluster as the API server has it, with the status that earlier components wrote in this round.
    ///
    /// # Errors
    /// When it does not read as a `T`, usually `api::TidbCluster`, or the part of it that the policy needs.
    pub fn cluster<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        typed(&source::cluster(&self.source))
            .map_err(|error| Failure::InvalidSpec(format!("failed to read the TidbCluster: {error}")))
    }

    /// Settings of this policy from its PolicyModule.
    ///
    /// # Errors
    /// When they do not read as a `T`.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&source::settings(&self.source))
            .map_err(|error| Failure::InvalidSpec(format!("failed to read the policy's settings: {error}")))
    }

    /// Heads of all objects of a watch (an index into the descriptor's `watches`), ordered by name.
    ///
    /// # Errors
    /// When the host could not read them.
    pub fn objects(&self, watch: u32) -> Known<Vec<ObjectHead>> {
        source::objects(&self.source, self.first_watch + watch)
    }

    /// Values of one label in the order of [`Self::objects`].
    ///
    /// # Errors
    /// When the host could not read them.
    pub fn labels(&self, watch: u32, key: &str) -> Known<Vec<Option<String>>> {
        source::labels(&self.source, self.first_watch + watch, key)
    }

    /// Values of one annotation in the order of [`Self::objects`].
    ///
    /// # Errors
    /// When the host could not read them.
    pub fn annotations(&self, watch: u32, key: &str) -> Known<Vec<Option<String>>> {
        source::annotations(&self.source, self.first_watch + watch, key)
    }

    /// One object, typed (`T` may also be a `serde_json::Value`); none if it does not exist.
    ///
    /// # Errors
    /// When the host could not read it, or it does not read as a `T`.
    pub fn object<T: DeserializeOwned>(&self, watch: u32, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = source::object(&self.source, self.first_watch + watch, name)? else { return Ok(None) };
        Ok(Some(typed(&text)?))
    }

    /// The pods of this component, ordered by ordinal, then name.
    ///
    /// # Errors
    /// When the host could not read them.
    pub fn pods(&self) -> Known<Vec<PodRow>> {
        let mut pods = source::pods(&self.source)?;
        if let Some(set) = &self.set {
            let of_set = |pod: &PodRow| pod.name.rsplit_once('-').is_some_and(|(of, _)| of == set);
            pods.retain(|pod| pod.ordinal >= 0 && of_set(pod));
        }
        Ok(pods)
    }

    /// The members of the cluster's PD, ordered by id.
    ///
    /// # Errors
    /// When the host could not read them.
    pub fn pd_members(&self) -> Known<Vec<PdMember>> {
        source::pd_members(&self.source)
    }

    /// The stores of the cluster's PD in every state, ordered by id.
    ///
    /// # Errors
    /// When the host could not read them.
    pub fn stores(&self) -> Known<Vec<StoreRow>> {
        source::stores(&self.source)
    }

    /// One store in PD's own JSON; none if PD has no such store.
    ///
    /// # Errors
    /// When the host could not read it.
    pub fn store(&self, id: u64) -> Result<Option<Value>, Failure> {
        let Some(text) = source::store(&self.source, id)? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&text)?))
    }

    /// A document of PD (`cluster`, `config`) in its own JSON.
    ///
    /// # Errors
    /// When the host could not read it.
    pub fn pd_document(&self, name: &str) -> Result<Value, Failure> {
        Ok(serde_json::from_str(&source::pd_document(&self.source, name)?)?)
    }

    /// Answer of one pod to a probe (an index into the descriptor's `probes`).
    ///
    /// # Errors
    /// When the pod did not answer.
    pub fn probe(&self, probe: u32, pod: &str) -> Known<ProbeAnswer> {
        source::probe(&self.source, probe, pod)
    }
}

/// Reads JSON by way of a `Value`: parts of objects are read from values anyway, and a second way to read the types of
/// Kubernetes would make each policy a quarter of a megabyte bigger.
fn typed<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::from_str(text)?)
}

/// Natively the snapshot is the host's own type.
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod source {
    use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

    use tidepool_model::{
        known::{Known, Unknown},
        snapshot::{Object, ObjectHead, PdMember, PodRow, ProbeAnswer, Snapshot, StoreRow},
    };

    pub type Source = Arc<Snapshot>;

    pub fn now_ms(source: &Source) -> u64 {
        source.now_ms
    }

    pub fn cluster(source: &Source) -> Cow<'_, str> {
        source.cluster.get().into()
    }

    pub fn settings(source: &Source) -> Cow<'_, str> {
        source.settings.get().into()
    }

    pub fn objects(source: &Source, watch: u32) -> Known<Vec<ObjectHead>> {
        Ok(source.objects(watch)?.iter().map(|o| o.head.clone()).collect())
    }

    pub fn labels(source: &Source, watch: u32, key: &str) -> Known<Vec<Option<String>>> {
        column(source, watch, key, |o| &o.labels)
    }

    pub fn annotations(source: &Source, watch: u32, key: &str) -> Known<Vec<Option<String>>> {
        column(source, watch, key, |o| &o.annotations)
    }

    fn column(
        source: &Source,
        watch: u32,
        key: &str,
        map: impl Fn(&Object) -> &BTreeMap<String, String>,
    ) -> Known<Vec<Option<String>>> {
        Ok(source.objects(watch)?.iter().map(|o| map(o).get(key).cloned()).collect())
    }

    pub fn object<'a>(source: &'a Source, watch: u32, name: &str) -> Known<Option<Cow<'a, str>>> {
        Ok(source.object(watch, name)?.map(|o| o.json.get().into()))
    }

    pub fn pods(source: &Source) -> Known<Vec<PodRow>> {
        source.pods.as_deref().cloned().map_err(Clone::clone)
    }

    pub fn pd_members(source: &Source) -> Known<Vec<PdMember>> {
        source.pd.members.clone()
    }

    pub fn stores(source: &Source) -> Known<Vec<StoreRow>> {
        Ok(source.pd.stores.as_ref().map_err(Clone::clone)?.iter().map(|s| s.row.clone()).collect())
    }

    pub fn store(source: &Source, id: u64) -> Known<Option<Cow<'_, str>>> {
        let stores = source.pd.stores.as_ref().map_err(Clone::clone)?;
        Ok(stores.iter().find(|s| s.row.id == id).map(|s| s.json.get().into()))
    }

    pub fn pd_document<'a>(source: &'a Source, name: &str) -> Known<Cow<'a, str>> {
        match source.pd.documents.get(name) {
            Some(Ok(document)) => Ok(document.get().into()),
            Some(Err(unknown)) => Err(unknown.clone()),
            None => Err(Unknown::NotRequested),
        }
    }

    pub fn probe(source: &Source, probe: u32, pod: &str) -> Known<ProbeAnswer> {
        let answers = source.probes.get(probe as usize).ok_or(Unknown::NotRequested)?;
        answers.get(pod).cloned().unwrap_or(Err(Unknown::NotRequested))
    }
}

/// In the sandbox it is a resource of the host.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod source {
    use tidepool_model::{
        known::{Known, Unknown},
        snapshot::{ObjectHead, PdMember, PodPhase, PodRow, ProbeAnswer, StoreRow, StoreState},
    };

    use crate::bindings::tidepool::policy::observed as wit;

    pub type Source = wit::Snapshot;

    pub fn now_ms(source: &Source) -> u64 {
        source.now_ms()
    }

    pub fn cluster(source: &Source) -> String {
        source.cluster()
    }

    pub fn settings(source: &Source) -> String {
        source.settings()
    }

    pub fn objects(source: &Source, watch: u32) -> Known<Vec<ObjectHead>> {
        let heads = source.objects(watch).map_err(unknown)?;
        let head = |h: wit::ObjectHead| ObjectHead {
            name: h.name,
            uid: h.uid,
            resource_version: h.resource_version,
            generation: h.generation,
            deleting: h.deleting,
        };
        Ok(heads.into_iter().map(head).collect())
    }

    pub fn labels(source: &Source, watch: u32, key: &str) -> Known<Vec<Option<String>>> {
        source.labels(watch, key).map_err(unknown)
    }

    pub fn annotations(source: &Source, watch: u32, key: &str) -> Known<Vec<Option<String>>> {
        source.annotations(watch, key).map_err(unknown)
    }

    pub fn object(source: &Source, watch: u32, name: &str) -> Known<Option<String>> {
        source.object(watch, name).map_err(unknown)
    }

    pub fn pods(source: &Source) -> Known<Vec<PodRow>> {
        let pods = source.pods().map_err(unknown)?;
        let row = |p: wit::PodRow| PodRow {
            name: p.name,
            ordinal: p.ordinal,
            ready: p.ready,
            phase: match p.phase {
                wit::PodPhase::Pending => PodPhase::Pending,
                wit::PodPhase::Running => PodPhase::Running,
                wit::PodPhase::Succeeded => PodPhase::Succeeded,
                wit::PodPhase::Failed => PodPhase::Failed,
                wit::PodPhase::Unknown => PodPhase::Unknown,
            },
            updated: p.updated,
            deleting: p.deleting,
            ready_since_ms: p.ready_since_ms,
        };
        Ok(pods.into_iter().map(row).collect())
    }

    pub fn pd_members(source: &Source) -> Known<Vec<PdMember>> {
        let members = source.pd_members().map_err(unknown)?;
        let row = |m: wit::PdMember| PdMember {
            id: m.id,
            name: m.name,
            client_url: m.client_url,
            healthy: m.healthy,
            leader: m.leader,
        };
        Ok(members.into_iter().map(row).collect())
    }

    pub fn stores(source: &Source) -> Known<Vec<StoreRow>> {
        let stores = source.stores().map_err(unknown)?;
        let row = |s: wit::StoreRow| StoreRow {
            id: s.id,
            address: s.address,
            state: match s.state {
                wit::StoreState::Up => StoreState::Up,
                wit::StoreState::Disconnected => StoreState::Disconnected,
                wit::StoreState::Down => StoreState::Down,
                wit::StoreState::Offline => StoreState::Offline,
                wit::StoreState::Removing => StoreState::Removing,
                wit::StoreState::Tombstone => StoreState::Tombstone,
                wit::StoreState::Other => StoreState::Other,
            },
            tiflash: s.tiflash,
            leader_count: s.leader_count,
            region_count: s.region_count,
            last_heartbeat_ms: s.last_heartbeat_ms,
            evicting_leaders: s.evicting_leaders,
        };
        Ok(stores.into_iter().map(row).collect())
    }

    pub fn store(source: &Source, id: u64) -> Known<Option<String>> {
        source.store(id).map_err(unknown)
    }

    pub fn pd_document(source: &Source, name: &str) -> Known<String> {
        source.pd_document(name).map_err(unknown)
    }

    pub fn probe(source: &Source, probe: u32, pod: &str) -> Known<ProbeAnswer> {
        let answer = source.probe(probe, pod).map_err(unknown)?;
        Ok(ProbeAnswer { status: answer.status, body: String::from_utf8_lossy(&answer.body).into_owned() })
    }

    fn unknown(unknown: wit::Unknown) -> Unknown {
        match unknown {
            wit::Unknown::NotSynced => Unknown::NotSynced,
            wit::Unknown::Failed(text) => Unknown::Failed(text),
            wit::Unknown::NotRequested => Unknown::NotRequested,
        }
    }
}
