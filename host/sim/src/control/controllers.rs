//! The controllers of the control plane: one task with one view of the cluster and one queue.
//!
//! Everything is watched once. A change puts keys into the queue; a key's turn reads the view and writes what is
//! missing through an ordinary client, so nothing here depends on which server it talks to. The view takes an answer
//! to a write at once and never goes back to an older version, so a controller always sees its own work. Without
//! changes and due timers the task sleeps: a cluster at rest costs nothing.

mod accounts;
mod api;
mod cache;
mod deployment;
mod endpoints;
mod garbage;
mod namespace;
mod owned;
mod protection;
mod queue;
mod recorder;
mod replicaset;
mod rollout;
mod routing;
mod slices;
mod statefulset;
mod watch;

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use self::{
    api::{Api, ApiFailure},
    cache::{Cache, Key},
    queue::{Queue, Work},
    recorder::Recorder,
    watch::{Change, Watched},
};
use crate::{
    clock::{Clock, Seed},
    control::path::{list, text},
};

/// Changes that wait for the task before watches are held back.
const CHANGES_WAITING_MAX: usize = 1_000;
/// The first retry of a key that failed; doubled with each failure up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// Starts them all; they end when the set is dropped.
pub fn start(client: kube::Client, clock: Clock, seed: Seed) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(Manager::new(client, clock, seed).run());
    tasks
}

/// The one task's state.
struct Manager {
    api: Api,
    clock: Clock,
    cache: Cache,
    queue: Queue,
    recorder: Recorder,
    changes: mpsc::Receiver<Change>,
    sender: mpsc::Sender<Change>,
    watches: BTreeMap<String, AbortHandle>,
    tasks: JoinSet<()>,
}

impl Manager {
    fn new(client: kube::Client, clock: Clock, _seed: Seed) -> Self {
        let (sender, changes) = mpsc::channel(CHANGES_WAITING_MAX);
        Self {
            api: Api::new(client),
            clock,
            cache: Cache::default(),
            queue: Queue::default(),
            recorder: Recorder::default(),
            changes,
            sender,
            watches: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    async fn run(mut self) {
        for watched in watch::builtin() {
            self.watch(watched);
        }
        loop {
            while let Ok(change) = self.changes.try_recv() {
                self.take(change);
            }
            // Nothing is decided before every list was read once: an owner must not seem gone because it was not read yet.
            let ready = self.cache.is_synced();
            // Only then is work taken at all: what is taken and not done would be lost.
            if ready && let Some(work) = self.queue.pop(Instant::now()) {
                self.work(work).await;
                continue;
            }
            let due = self.queue.next_due().filter(|_| ready);
            tokio::select! {
                biased;
                change = self.changes.recv() => match change {
                    Some(change) => self.take(change),
                    None => return,
                },
                () = sleep_until(due) => {}
            }
        }
    }

    /// Starts to watch a resource, once.
    fn watch(&mut self, watched: Watched) {
        if self.watches.contains_key(&watched.id) {
            return;
        }
        self.cache.add(&watched);
        let id = watched.id.clone();
        let task = self.tasks.spawn(watch::follow(self.api.clone(), watched, self.sender.clone()));
        self.watches.insert(id, task);
    }

    fn unwatch(&mut self, id: &str) {
        if let Some(task) = self.watches.remove(id) {
            task.abort();
            for (key, object) in self.cache.drop_resource(id) {
                self.route(&key, Some(&object), None);
            }
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Listed { id, objects } => {
                for (key, old, new) in self.cache.replace(&id, objects) {
                    self.route(&key, old.as_deref(), new.as_deref());
                }
            }
            Change::Put { id, object } => self.put(&id, object),
            Change::Deleted { id, object } => {
                let key = Key::of(&id, &object);
                if let Some(old) = self.cache.remove(&key, &object) {
                    self.route(&key, Some(&old), None);
                }
            }
        }
    }

    /// Takes a version of an object into the view, from a watch or from the answer to a write.
    fn put(&mut self, id: &str, object: Value) {
        let key = Key::of(id, &object);
        if let Some((old, new)) = self.cache.put(&key, object) {
            self.route(&key, old.as_deref(), Some(&new));
        }
    }

    async fn work(&mut self, work: Work) {
        let result = self.reconcile(&work).await;
        match result {
            Ok(()) => self.queue.succeeded(&work),
            Err(failure) => {
                tracing::debug!(?work, %failure, "a controller tries again");
                let wait = self.queue.failed(&work, RETRY_FIRST, RETRY_LONGEST);
                self.queue.add_after(work, Instant::now() + wait);
            }
        }
    }

    async fn reconcile(&mut self, work: &Work) -> Result<(), ApiFailure> {
        match work {
            Work::StatefulSet(key) => self.statefulset(key).await,
            Work::Deployment(key) => self.deployment(key).await,
            Work::ReplicaSet(key) => self.replicaset(key).await,
            Work::Garbage(key) => self.garbage(key).await,
            Work::Namespace(name) => self.namespace(name).await,
            Work::Endpoints(key) => self.endpoints(key).await,
            Work::Account(namespace) => self.account(namespace).await,
            Work::NodeTtl(key) => self.node_ttl(key).await,
            Work::Protection(key) => self.protection(key).await,
            Work::EventExpiry(key) => self.expire_event(key).await,
            Work::Definition(name) => {
                self.definition(name);
                Ok(())
            }
        }
    }

    /// Follows the resources that definitions bring and takes those away that went.
    fn definition(&mut self, name: &str) {
        let key = Key::cluster("customresourcedefinitions.apiextensions.k8s.io", name);
        let found = self.cache.get(&key);
        let established = found.as_ref().is_some_and(|crd| {
            list(crd, "status.conditions")
                .iter()
                .any(|c| text(c, "type") == "Established" && text(c, "status") == "True")
        });
        match found.filter(|_| established) {
            Some(crd) => {
                if let Some(watched) = watch::custom(&crd) {
                    self.watch(watched);
                }
            }
            None => self.unwatch(name),
        }
    }
}

/// Sleeps until then, or forever.
async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
