//! The operator as a whole: watches, leader election, rounds, and what is seen of them from outside.

use std::{
    collections::BTreeSet,
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use tidepool_model::plan::EventType;
use tidepool_pd::Http;
use tidepool_policy::Refused;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    apply::Live,
    controller,
    decide::{Executor, Memory},
    events::Events,
    leader::{Candidate, LeaseConfig},
    metrics::Metrics,
    observe::Network,
    policies::{Policies, Settings},
    progress::{Feed, Progress},
    queue::Queue,
    record::Recorder,
    round::{Engine, raw_settings},
    serve,
    store::{Store, WatchKey},
    watch::{wanted, watch},
};

/// A round without a reason comes after this time: changes in PD are seen at the latest then.
const RESYNC_SECONDS: u64 = 30;

/// Rounds at a time: most of a round is waiting for answers.
const ROUNDS_AT_ONCE: usize = 16;

/// Rounds begin without a watch that has not synced in this time. What it would show is then "not read yet", and the
/// policies that need it wait; one kind that may not be listed does not stop all the rest.
const SYNC_SECONDS_MAX: u64 = 15;

/// How an operator is set up.
#[derive(Clone)]
pub struct Config {
    /// The API server.
    pub client: Client,
    /// Who decides.
    pub policies: Arc<dyn Policies>,
    /// What the policies are set to.
    pub settings: Settings,
    /// PD and the other components.
    pub http: Http,
    /// Milliseconds since the Unix epoch.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Where policies run.
    pub executor: Executor,
    /// Where decisions are recorded, besides in memory.
    pub record_directory: Option<PathBuf>,
    /// The only namespace to look at; all without.
    pub namespace: Option<String>,
    /// Name of this instance, in events.
    pub instance: String,
    /// Only the holder of this lease works; without, this instance works at once.
    pub lease: Option<LeaseConfig>,
    /// Where metrics and health are served.
    pub listen: Option<SocketAddr>,
    /// A round without a reason comes after this time.
    pub resync: Duration,
    /// Rounds at a time.
    pub rounds_at_once: usize,
}

impl Config {
    /// Usual settings: all namespaces, no lease, nothing served, records in memory.
    pub fn new(
        client: Client,
        policies: Arc<dyn Policies>,
        http: Http,
        now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Self {
        Self {
            client,
            policies,
            settings: Settings::new(),
            http,
            now_ms,
            executor: Executor::pool(std::thread::available_parallelism().map_or(2, usize::from)),
            record_directory: None,
            namespace: None,
            instance: "tidepool".to_owned(),
            lease: None,
            listen: None,
            resync: Duration::from_secs(RESYNC_SECONDS),
            rounds_at_once: ROUNDS_AT_ONCE,
        }
    }
}

/// Why an operator stopped, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address for metrics cannot be used.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The operator. Made once, run once.
pub struct Operator {
    config: Config,
    engine: Arc<Engine>,
    queue: Arc<Queue>,
    listener: Mutex<Option<TcpListener>>,
}

impl Operator {
    /// An operator that does nothing until [`Self::run`].
    pub fn new(config: Config) -> Self {
        let store = Arc::new(Store::default());
        let queue = Arc::new(Queue::default());
        let network = Network::of(&config, store.clone());
        let events = Arc::new(Events::new(config.client.clone(), config.instance.clone(), config.now_ms.clone()));
        let hands = Live::new(config.client.clone(), network.clone(), store.clone(), events.clone());
        let engine = Arc::new(Engine {
            world: Arc::new(network),
            hands: Arc::new(hands),
            policies: config.policies.clone(),
            settings: raw_settings(&config.settings),
            executor: config.executor.clone(),
            memory: Memory::default(),
            recorder: Arc::new(Recorder::new(config.record_directory.clone())),
            metrics: Arc::new(Metrics::default()),
            progress: Arc::new(Feed::default()),
            events: Some(events),
            now_ms: config.now_ms.clone(),
            resync: config.resync,
            store,
        });
        Self { config, engine, queue, listener: Mutex::default() }
    }

    /// What is going on in each cluster, as it changes.
    pub fn progress(&self) -> watch::Receiver<Arc<Progress>> {
        self.engine.progress.subscribe()
    }

    /// The metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.engine.metrics.clone()
    }

    /// The decisions of late.
    pub fn recorder(&self) -> Arc<Recorder> {
        self.engine.recorder.clone()
    }

    /// Takes the address for metrics already now, and answers with it: port 0 becomes a free one. None if none is wanted.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn listen(&self) -> Result<Option<SocketAddr>, RunError> {
        let Some(address) = self.config.listen else { return Ok(None) };
        let failed = |source| RunError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let actual = listener.local_addr().map_err(failed)?;
        *self.listener() = Some(listener);
        Ok(Some(actual))
    }

    fn listener(&self) -> std::sync::MutexGuard<'_, Option<TcpListener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all clusters by an event that a policy file was refused; the policies are as they were.
    pub async fn tell_refused(&self, refused: &Refused) {
        let clusters: Vec<_> =
            self.engine.store.clusters().iter().filter_map(|key| self.engine.store.cluster(key)).collect();
        let message = format!("the old policy goes on: {refused}");
        for cluster in clusters {
            if let Some(events) = &self.engine.events {
                events.publish(&cluster, EventType::Warning, "PolicyRefused", &message).await;
            }
        }
    }

    /// Works until `shutdown` is ready; rounds that are under way are ended first.
    ///
    /// # Errors
    /// When the address for metrics cannot be used.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut tasks = JoinSet::new();
        if self.listener().is_none() {
            self.listen().await?;
        }
        if let Some(listener) = self.listener().take() {
            tasks.spawn(serve::serve(listener, self.engine.metrics.clone(), self.engine.store.clone()));
        }
        let swapped = self.listen_to_changes();
        tasks.spawn(keep_watching(self.config.clone(), self.engine.store.clone(), swapped));
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            () = self.synced() => {}
        }
        match self.config.lease.clone() {
            Some(lease) => self.campaign(lease, shutdown).await,
            None => self.work(shutdown).await,
        }
        Ok(())
    }

    /// Connects changes to rounds. The answer is told of each swap of a policy.
    fn listen_to_changes(&self) -> Arc<Notify> {
        let queue = self.queue.clone();
        self.engine.store.on_change(move |key| queue.changed(key));
        let swapped = Arc::new(Notify::new());
        let (notify, queue, store) = (swapped.clone(), self.queue.clone(), self.engine.store.clone());
        self.config.policies.on_swap(Box::new(move |swap| {
            tracing::info!(component = swap.component, policy = swap.now, "another policy decides now");
            notify.notify_one();
            store.clusters().iter().for_each(|key| queue.changed(key));
        }));
        swapped
    }

    async fn synced(&self) {
        if timeout(Duration::from_secs(SYNC_SECONDS_MAX), self.engine.store.wait_synced()).await.is_err() {
            tracing::warn!(kinds = ?self.engine.store.unsynced(), "not all watches are synced; going on without");
        }
    }

    async fn campaign(&self, lease: LeaseConfig, mut shutdown: impl Future<Output = ()> + Unpin) {
        let mut candidate = Candidate::new(self.config.client.clone(), lease, self.config.now_ms.clone());
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = candidate.acquire() => {}
            }
            tracing::info!("this instance leads");
            self.engine.metrics.leader.set(1);
            let mut told = false;
            let stop = async {
                tokio::select! {
                    biased;
                    () = &mut shutdown => told = true,
                    () = candidate.hold() => {}
                }
            };
            self.work(stop).await;
            self.engine.metrics.leader.set(0);
            if told {
                candidate.release().await;
                return;
            }
            tracing::warn!("this instance has lost the lease");
        }
    }

    async fn work(&self, stop: impl Future<Output = ()>) {
        self.engine.store.clusters().iter().for_each(|key| self.queue.changed(key));
        controller::run(self.engine.clone(), self.queue.clone(), self.config.rounds_at_once, stop).await;
    }
}

/// Starts the watches that the policies need, and more when a swap asks for them. Ends only by being dropped.
async fn keep_watching(config: Config, store: Arc<Store>, swapped: Arc<Notify>) {
    let mut watches = JoinSet::new();
    let mut open = BTreeSet::new();
    loop {
        let keys: BTreeSet<WatchKey> = wanted(&config.policies.current());
        // First room for all, so that none of them is synced while others are not even known.
        keys.iter().for_each(|key| store.open(key));
        for key in keys {
            if open.insert(key.clone()) {
                watches.spawn(watch(config.client.clone(), key, config.namespace.clone(), store.clone()));
            }
        }
        swapped.notified().await;
    }
}
