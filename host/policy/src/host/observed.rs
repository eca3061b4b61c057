//! `tidepool:policy/observed`: the snapshot read through getters, with columns. Each notes which part it gives out: a
//! decision is taken over while the parts that it was made from are the same.

use std::collections::BTreeMap;

use tidepool_model::{
    known::Unknown,
    snapshot::{Object, PodPhase, StoreState},
};
use wasmtime::component::Resource;

use crate::{
    bindings::tidepool::policy::observed as wit,
    reads::Part,
    state::{CallState, SnapshotHandle},
};

type Handle = Resource<SnapshotHandle>;
type Answer<T> = wasmtime::Result<Result<T, wit::Unknown>>;

impl wit::Host for CallState {}

impl wit::HostSnapshot for CallState {
    fn now_ms(&mut self, _: Handle) -> wasmtime::Result<u64> {
        self.reads.note(Part::Now);
        Ok(self.snapshot.now_ms)
    }

    fn cluster(&mut self, _: Handle) -> wasmtime::Result<String> {
        self.reads.note(Part::Cluster);
        Ok(self.snapshot.cluster.get().to_owned())
    }

    fn settings(&mut self, _: Handle) -> wasmtime::Result<String> {
        self.reads.note(Part::Settings);
        Ok(self.snapshot.settings.get().to_owned())
    }

    fn objects(&mut self, _: Handle, watch: u32) -> Answer<Vec<wit::ObjectHead>> {
        self.reads.note(Part::Watches);
        Ok(self.snapshot.objects(watch).map(|o| o.iter().map(|o| head(o)).collect()).map_err(unknown))
    }

    fn labels(&mut self, _: Handle, watch: u32, key: String) -> Answer<Vec<Option<String>>> {
        self.reads.note(Part::Watches);
        Ok(self.column(watch, &key, |o| &o.labels))
    }

    fn annotations(&mut self, _: Handle, watch: u32, key: String) -> Answer<Vec<Option<String>>> {
        self.reads.note(Part::Watches);
        Ok(self.column(watch, &key, |o| &o.annotations))
    }

    fn object(&mut self, _: Handle, watch: u32, name: String) -> Answer<Option<String>> {
        self.reads.note(Part::Watches);
        Ok(self.snapshot.object(watch, &name).map(|o| o.map(|o| o.json.get().to_owned())).map_err(unknown))
    }

    fn pods(&mut self, _: Handle) -> Answer<Vec<wit::PodRow>> {
        self.reads.note(Part::Pods);
        Ok(self.snapshot.pods.as_ref().map(|pods| pods.iter().map(pod_row).collect()).map_err(unknown_ref))
    }

    fn pd_members(&mut self, _: Handle) -> Answer<Vec<wit::PdMember>> {
        self.reads.note(Part::Members);
        let members = self.snapshot.pd.members.as_ref();
        Ok(members.map(|members| members.iter().map(pd_member).collect()).map_err(unknown_ref))
    }

    fn stores(&mut self, _: Handle) -> Answer<Vec<wit::StoreRow>> {
        self.reads.note(Part::Stores);
        let stores = self.snapshot.pd.stores.as_ref();
        Ok(stores.map(|stores| stores.iter().map(|s| store_row(&s.row)).collect()).map_err(unknown_ref))
    }

    fn store(&mut self, _: Handle, id: u64) -> Answer<Option<String>> {
        self.reads.note(Part::StoreJson);
        let stores = self.snapshot.pd.stores.as_ref();
        let text = stores.map(|stores| stores.iter().find(|s| s.row.id == id).map(|s| s.json.get().to_owned()));
        Ok(text.map_err(unknown_ref))
    }

    fn pd_document(&mut self, _: Handle, name: String) -> Answer<String> {
        self.reads.note(Part::Documents);
        Ok(match self.snapshot.pd.documents.get(&name) {
            Some(Ok(document)) => Ok(document.get().to_owned()),
            Some(Err(why)) => Err(unknown_ref(why)),
            None => Err(wit::Unknown::NotRequested),
        })
    }

    fn probe(&mut self, _: Handle, probe: u32, pod: String) -> Answer<wit::ProbeAnswer> {
        self.reads.note(Part::Probes);
        let answers = self.snapshot.probes.get(probe as usize);
        Ok(match answers.and_then(|answers| answers.get(&pod)) {
            Some(Ok(answer)) => Ok(wit::ProbeAnswer { status: answer.status, body: answer.body.clone().into_bytes() }),
            Some(Err(why)) => Err(unknown_ref(why)),
            None => Err(wit::Unknown::NotRequested),
        })
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl CallState {
    fn column(
        &self,
        watch: u32,
        key: &str,
        map: impl Fn(&Object) -> &BTreeMap<String, String>,
    ) -> Result<Vec<Option<String>>, wit::Unknown> {
        let objects = self.snapshot.objects(watch).map_err(unknown)?;
        Ok(objects.iter().map(|o| map(o).get(key).cloned()).collect())
    }
}

fn head(object: &Object) -> wit::ObjectHead {
    let head = &object.head;
    wit::ObjectHead {
        name: head.name.clone(),
        uid: head.uid.clone(),
        resource_version: head.resource_version.clone(),
        generation: head.generation,
        deleting: head.deleting,
    }
}

fn pod_row(pod: &tidepool_model::snapshot::PodRow) -> wit::PodRow {
    wit::PodRow {
        name: pod.name.clone(),
        ordinal: pod.ordinal,
        ready: pod.ready,
        phase: match pod.phase {
            PodPhase::Pending => wit::PodPhase::Pending,
            PodPhase::Running => wit::PodPhase::Running,
            PodPhase::Succeeded => wit::PodPhase::Succeeded,
            PodPhase::Failed => wit::PodPhase::Failed,
            PodPhase::Unknown => wit::PodPhase::Unknown,
        },
        updated: pod.updated,
        deleting: pod.deleting,
        ready_since_ms: pod.ready_since_ms,
    }
}

fn pd_member(member: &tidepool_model::snapshot::PdMember) -> wit::PdMember {
    wit::PdMember {
        id: member.id.clone(),
        name: member.name.clone(),
        client_url: member.client_url.clone(),
        healthy: member.healthy,
        leader: member.leader,
    }
}

fn store_row(store: &tidepool_model::snapshot::StoreRow) -> wit::StoreRow {
    wit::StoreRow {
        id: store.id,
        address: store.address.clone(),
        state: match store.state {
            StoreState::Up => wit::StoreState::Up,
            StoreState::Disconnected => wit::StoreState::Disconnected,
            StoreState::Down => wit::StoreState::Down,
            StoreState::Offline => wit::StoreState::Offline,
            StoreState::Removing => wit::StoreState::Removing,
            StoreState::Tombstone => wit::StoreState::Tombstone,
            StoreState::Other => wit::StoreState::Other,
        },
        tiflash: store.tiflash,
        leader_count: store.leader_count,
        region_count: store.region_count,
        last_heartbeat_ms: store.last_heartbeat_ms,
        evicting_leaders: store.evicting_leaders,
    }
}

fn unknown(unknown: Unknown) -> wit::Unknown {
    match unknown {
        Unknown::NotSynced => wit::Unknown::NotSynced,
        Unknown::Failed(text) => wit::Unknown::Failed(text),
        Unknown::NotRequested => wit::Unknown::NotRequested,
    }
}

fn unknown_ref(why: &Unknown) -> wit::Unknown {
    unknown(why.clone())
}
