//! The task that plays scheduler, volume provisioner and kubelets of all nodes.
//!
//! It mirrors what it needs through watches, looks at what changed or is due, one object after the other in a fixed
//! order, and sleeps until the next time somebody asked for. So the same seed gives the same writes.

mod pods;
mod schedule;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{BoxStream, SelectAll, select_all},
};
use k8s_openapi::api::{
    core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod, Service},
    storage::v1::StorageClass,
};
use kube::{
    Api, Client, Resource,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::{
    Options, Shared,
    keep::Keeper,
    kubelet::{PodMachine, events::Recorder},
    mirror::Mirror,
    network::Key,
    node_loss::NodeLosses,
    nodes,
    volumes::Volumes,
};

/// A write that failed is tried again after so long, milliseconds.
const TRY_AGAIN_MS: u64 = 1_000;
/// Rounds over what changed before timers are looked at again: the changes of a round may cause others.
const ROUNDS_MAX: usize = 64;

/// The state is saved so long after something moved, milliseconds: short, as a crash loses what came since.
const KEEP_AFTER_MS: u64 = 100;

/// A change that a watch told.
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
enum Change {
    Pod(Event<Pod>),
    Claim(Event<PersistentVolumeClaim>),
    Volume(Event<PersistentVolume>),
    Class(Event<StorageClass>),
    Node(Event<Node>),
    Service(Event<Service>),
}

/// Something to look at later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Matter {
    Claim(Key),
    Volume(Key),
    Pod(Key),
    Nodes,
    Leases,
    Keep,
}

/// The state of the task.
pub struct Plane {
    shared: Arc<Shared>,
    client: Client,
    pods: Mirror<Pod>,
    nodes: Mirror<Node>,
    services: Mirror<Service>,
    volumes: Volumes,
    machines: BTreeMap<Key, PodMachine>,
    losses: NodeLosses,
    recorder: Recorder,
    dirty: BTreeSet<Matter>,
    timers: BTreeSet<(u64, Matter)>,
    due_at: BTreeMap<Matter, u64>,
    /// Why a pod could not be placed, as last written.
    unplaced: BTreeMap<Key, String>,
    lease_period: Duration,
    keeper: Option<Keeper>,
    changes: SelectAll<BoxStream<'static, Result<Change, watcher::Error>>>,
}

impl Plane {
    /// Opens the watches. Nothing is done before [`Plane::run`].
    ///
    /// # Errors
    /// When the API server refuses the default class.
    pub async fn new(shared: Arc<Shared>, keeper: Option<Keeper>, options: &Options) -> Result<Self, kube::Error> {
        let client = shared.client.clone();
        let volumes = Volumes::new(client.clone());
        volumes.install().await?;
        let changes = select_all([
            watch(Api::all(client.clone()), Change::Node),
            watch(Api::all(client.clone()), Change::Class),
            watch(Api::all(client.clone()), Change::Volume),
            watch(Api::all(client.clone()), Change::Claim),
            watch(Api::all(client.clone()), Change::Service),
            watch(Api::all(client.clone()), Change::Pod),
        ]);
        Ok(Self {
            recorder: Recorder::new(client.clone(), shared.clock),
            pods: Mirror::default(),
            nodes: Mirror::default(),
            services: Mirror::default(),
            machines: BTreeMap::new(),
            losses: NodeLosses::default(),
            dirty: BTreeSet::from([Matter::Leases]),
            timers: BTreeSet::new(),
            due_at: BTreeMap::new(),
            unplaced: BTreeMap::new(),
            lease_period: options.lease_period,
            keeper,
            shared,
            client,
            volumes,
            changes,
        })
    }

    /// Works until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let next = self.timers.first().map(|(at, _)| *at);
            let shared = self.shared.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(change) = self.changes.next() => self.take(change),
                () = shared.changed.notified() => self.mark_all_pods(),
                () = until(&shared, next) => {}
            }
            while let Some(Some(change)) = self.changes.next().now_or_never() {
                self.take(change);
            }
            if self.is_complete() {
                self.settle().await;
            }
        }
        self.keep();
    }

    fn keep(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.save(&self.shared.world());
        }
    }

    /// Everything that existed at the start is known.
    fn is_complete(&self) -> bool {
        self.pods.is_complete()
            && self.nodes.is_complete()
            && self.services.is_complete()
            && self.volumes.claims.is_complete()
            && self.volumes.volumes.is_complete()
            && self.volumes.classes.is_complete()
    }

    fn take(&mut self, change: Result<Change, watcher::Error>) {
        match change {
            Ok(Change::Pod(event)) => {
                for key in self.pods.apply(event) {
                    self.dirty.insert(Matter::Pod(key));
                }
            }
            Ok(Change::Claim(event)) => {
                for key in self.volumes.claims.apply(event) {
                    self.mark_volumes_of(&key);
                    self.mark_unplaced();
                    self.dirty.insert(Matter::Claim(key));
                }
            }
            Ok(Change::Volume(event)) => {
                self.volumes.volumes.apply(event).into_iter().for_each(|key| {
                    self.dirty.insert(Matter::Volume(key));
                });
            }
            Ok(Change::Class(event)) => {
                self.volumes.classes.apply(event);
            }
            Ok(Change::Node(event)) => {
                if !self.nodes.apply(event).is_empty() {
                    self.mark_unplaced();
                }
            }
            Ok(Change::Service(event)) => {
                for key in self.services.apply(event) {
                    self.update_service(key);
                }
            }
            Err(error) => tracing::debug!(%error, "a watch of the data plane was interrupted"),
        }
    }

    fn update_service(&self, key: Key) {
        let mut world = self.shared.world();
        match self.services.get(&key) {
            Some(service) => world.network.put_service(key, service.clone()),
            None => world.network.remove_service(&key),
        }
    }

    fn mark_all_pods(&mut self) {
        let pods = self.machines.keys().cloned().map(Matter::Pod);
        self.dirty.extend(pods);
        self.dirty.insert(Matter::Nodes);
    }

    fn mark_unplaced(&mut self) {
        self.dirty.extend(self.unplaced.keys().cloned().map(Matter::Pod));
    }

    /// The volumes that are reserved for a claim have to look at it.
    fn mark_volumes_of(&mut self, claim: &Key) {
        let reserved = |volume: &PersistentVolume| {
            let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            reference.is_some_and(|r| r.namespace.as_deref() == Some(&claim.0) && r.name.as_deref() == Some(&claim.1))
        };
        let keys = self.volumes.volumes.iter().filter(|(_, volume)| reserved(volume)).map(|(key, _)| key.clone());
        self.dirty.extend(keys.map(Matter::Volume));
    }

    /// Looks at everything that changed or is due, until nothing is left for now.
    async fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.take_due();
            if self.dirty.is_empty() {
                return;
            }
            if self.keeper.is_some() && self.dirty.iter().any(|matter| *matter != Matter::Keep) {
                let now = self.shared.clock.now_ms();
                self.schedule(Matter::Keep, now + KEEP_AFTER_MS);
            }
            for matter in std::mem::take(&mut self.dirty) {
                self.look_at(matter).await;
            }
        }
    }

    fn take_due(&mut self) {
        let now = self.shared.clock.now_ms();
        while let Some((at, matter)) = self.timers.first().cloned() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            self.due_at.remove(&matter);
            self.dirty.insert(matter);
        }
    }

    /// Looks at `matter` again at `at` at the latest.
    fn schedule(&mut self, matter: Matter, at: u64) {
        let at = at.max(self.shared.clock.now_ms() + 1);
        match self.due_at.get(&matter) {
            Some(known) if *known <= at => return,
            Some(known) => {
                self.timers.remove(&(*known, matter.clone()));
            }
            None => {}
        }
        self.due_at.insert(matter.clone(), at);
        self.timers.insert((at, matter));
    }

    async fn look_at(&mut self, matter: Matter) {
        let done = match &matter {
            Matter::Pod(key) => self.look_at_pod(key).await,
            Matter::Claim(key) => self.volumes.settle_claim(key).await,
            Matter::Volume(key) => match self.volumes.settle_volume(key).await {
                Ok(gone) => {
                    let now = self.shared.clock.now_ms();
                    gone.into_iter().for_each(|disk| self.shared.world().wipe(now, &disk));
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Matter::Nodes => self.look_at_nodes().await,
            Matter::Leases => {
                self.renew_leases().await;
                Ok(())
            }
            Matter::Keep => {
                self.keep();
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::debug!(%error, ?matter, "the data plane tries again");
            let now = self.shared.clock.now_ms();
            self.schedule(matter, now + TRY_AGAIN_MS);
        }
    }

    async fn look_at_nodes(&mut self) -> Result<(), kube::Error> {
        let next = self.losses.step(&self.shared, &self.nodes, &self.pods).await?;
        if let Some(at) = next {
            self.schedule(Matter::Nodes, at);
        }
        Ok(())
    }

    async fn renew_leases(&mut self) {
        let lost = self.shared.world().faults.lost_nodes.clone();
        let names: Vec<String> =
            self.nodes.iter().map(|(key, _)| key.1.clone()).filter(|name| !lost.contains_key(name)).collect();
        nodes::renew_leases(&self.client, self.shared.clock, &names, self.lease_period.as_secs()).await;
        let period = u64::try_from(self.lease_period.as_millis()).unwrap_or(u64::MAX);
        let now = self.shared.clock.now_ms();
        self.schedule(Matter::Leases, now.saturating_add(period));
    }
}

fn watch<K>(api: Api<K>, change: fn(Event<K>) -> Change) -> BoxStream<'static, Result<Change, watcher::Error>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, watcher::Config::default()).default_backoff().map_ok(change).boxed()
}

/// Sleeps until a time of the simulation's clock; for ever without one.
async fn until(shared: &Shared, at: Option<u64>) {
    match at {
        Some(at) => tokio::time::sleep(Duration::from_millis(at.saturating_sub(shared.clock.now_ms()))).await,
        None => std::future::pending().await,
    }
}
