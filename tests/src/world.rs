//! A whole Tidepool in this process and in virtual time: simulator, operators and policies.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context;
use kube::{
    Api, Client, Config as KubeConfig,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tidepool_api::{crd, input};
use tidepool_operator::{
    ClusterKey, ClusterProgress, Config, Executor, LeaseConfig, Metrics, Operator, Policies, Progress, Recorder,
};
use tidepool_pd::Http;
use tidepool_policy::{Cache, Registry, Runtime};
use tidepool_sim::{
    audit::{AuditLog, Entry, Observer},
    clock::{Clock, Seed},
    data::{faults::Faults, gateway::Gateway},
    simulation::{Options, Simulation},
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    deciders::Natives,
    history::{History, state::Source},
    policies,
    wire::{ApiOverLine, GatewayOverLine, Line},
};

/// The operator's name in the audit log.
pub const OPERATOR: &str = "tidepool";

/// The name of a second operator beside it.
pub const SECOND_OPERATOR: &str = "tidepool-2";

/// The lease that operators share, if they do.
pub const LEASE: &str = "tidepool";

/// Who stands for the cluster's user in the audit log.
pub const USER: &str = "kubectl";

/// Namespace of what a scenario does, unless it loads another one.
pub const NAMESPACE: &str = "default";

/// How a world is set up.
pub struct Setup {
    /// The only source of randomness.
    pub seed: u64,
    /// Who decides.
    pub policies: Arc<dyn Policies>,
    /// Objects that are there from the start.
    pub objects: Vec<Value>,
    /// Namespace of everything.
    pub namespace: String,
    /// Operators take turns by a lease.
    pub lease: bool,
    /// A round without a reason comes after this time; none: as usual.
    pub resync: Option<Duration>,
}

impl Setup {
    /// The shipped policies, native, and nothing that is there already.
    pub fn new(seed: u64) -> Self {
        let policies = Arc::new(Natives::default());
        Self { seed, policies, objects: Vec::new(), namespace: NAMESPACE.to_owned(), lease: false, resync: None }
    }
}

/// A running world; dropping it stops it. Needs a paused clock on one thread.
pub struct World {
    /// The clock.
    pub clock: Clock,
    /// What has happened, judged.
    pub history: History,
    /// Namespace of everything.
    pub namespace: String,
    simulation: Simulation,
    audit: AuditLog,
    _observer: Arc<dyn Observer>,
    policies: Arc<dyn Policies>,
    lease: bool,
    resync: Option<Duration>,
    seed: Seed,
    operators: Vec<Running>,
    started_ms: u64,
    user: Client,
}

/// An operator at work.
pub struct Running {
    /// Its connections.
    pub line: Line,
    /// What it says is going on.
    pub progress: watch::Receiver<Arc<Progress>>,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Its decisions of late.
    pub recorder: Arc<Recorder>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    /// Starts everything with this seed.
    ///
    /// # Errors
    /// When a part cannot start.
    pub async fn start(seed: u64) -> anyhow::Result<Self> {
        Self::start_with(Setup::new(seed)).await
    }

    /// Starts everything.
    ///
    /// # Errors
    /// When a part cannot start.
    pub async fn start_with(setup: Setup) -> anyhow::Result<Self> {
        let audit = AuditLog::default();
        let seed = Seed(setup.seed);
        let mut options = Options::in_virtual_time(seed);
        options.audit = audit.clone();
        options.crds = vec![crd::tidb_cluster(), crd::policy_module()];
        options.objects = setup.objects;
        let clock = options.clock;
        let simulation = Simulation::start(options).await?;
        let data = simulation.data().context("a simulation with a data plane")?.shared().clone();
        let source = Source { clock, control: simulation.control().clone(), data };
        let history = History::new(source, audit.entries().len());
        let observer: Arc<dyn Observer> = Arc::new(history.clone());
        audit.observe(Arc::downgrade(&observer));
        let user = simulation.client(USER);
        let mut world = Self {
            clock,
            history,
            _observer: observer,
            namespace: setup.namespace,
            simulation,
            audit,
            policies: setup.policies,
            lease: setup.lease,
            resync: setup.resync,
            seed,
            operators: Vec::new(),
            started_ms: clock.now_ms(),
            user,
        };
        world.start_operator(OPERATOR)?;
        Ok(world)
    }

    /// Stops everything.
    pub async fn stop(mut self) {
        self.operators.clear();
        self.simulation.shutdown().await;
    }

    /// Starts an operator under this name, in the place of an earlier one of the name, which is gone at once.
    ///
    /// # Errors
    /// When the simulation has no data plane.
    pub fn start_operator(&mut self, name: &'static str) -> anyhow::Result<()> {
        let place = usize::from(name == SECOND_OPERATOR);
        if place < self.operators.len() {
            drop(self.operators.remove(place));
        }
        let line = Line::new(self.seed.stream(&format!("line/{name}")));
        let client = Client::new(ApiOverLine::new(self.simulation.control().service(), name, line.clone()), "default");
        let (below, history) = (self.gateway()?, self.history.clone());
        // Only what is to be encrypted needs a connection.
        let connect = move |uri: http::Uri| {
            if let Some(authority) = uri.authority() {
                history.called(authority.as_str(), true);
            }
            std::future::ready(Ok::<_, Infallible>(below.connect()))
        };
        let plain = GatewayOverLine::new(self.gateway()?, name, line.clone(), self.history.clone());
        let http = Http::over(plain).dialing(connect);
        let clock = self.clock;
        let mut config = Config::new(client, self.policies.clone(), http, Arc::new(move || clock.now_ms()));
        // A decision on another thread would let the virtual clock run on meanwhile.
        config.executor = Executor::Inline;
        config.resync = self.resync.unwrap_or(config.resync);
        name.clone_into(&mut config.instance);
        config.lease = self.lease.then(|| LeaseConfig {
            namespace: NAMESPACE.to_owned(),
            name: LEASE.to_owned(),
            identity: name.to_owned(),
        });
        let operator = Operator::new(config);
        let (progress, metrics, recorder) = (operator.progress(), operator.metrics(), operator.recorder());
        let task = tokio::spawn(async move {
            // It ends only when this task does.
            let _ = operator.run(std::future::pending()).await;
        });
        self.operators.insert(place, Running { line, progress, metrics, recorder, task });
        Ok(())
    }

    /// The first operator, or the second.
    ///
    /// # Errors
    /// When there is none.
    pub fn operator(&self, name: &str) -> anyhow::Result<&Running> {
        self.operators.get(usize::from(name == SECOND_OPERATOR)).context("no such operator")
    }

    /// What all operators say is going on; the second one's word where both have one.
    pub fn progress(&self) -> Progress {
        self.operators.iter().flat_map(|running| (**running.progress.borrow()).clone()).collect()
    }

    /// All that operators tell of their work: metrics, progress, and the decisions that they keep.
    pub fn told(&self) -> String {
        let told = |running: &Running| {
            let progress = format!("{:?}", running.progress.borrow());
            let records = serde_json::to_string(&running.recorder.all()).unwrap_or_default();
            format!("{}\n{progress}\n{records}\n", running.metrics.text())
        };
        self.operators.iter().map(told).collect()
    }

    /// The components' HTTP servers.
    ///
    /// # Errors
    /// When the simulation has no data plane.
    pub fn gateway(&self) -> anyhow::Result<Gateway> {
        self.simulation.gateway().context("a simulation with a data plane")
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        (self.clock.now_ms() - self.started_ms) as f64 / 1000.0
    }

    /// When the world started, milliseconds since the Unix epoch.
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// The mutating requests so far, but for the first `seen`.
    pub fn audit(&self, seen: usize) -> Vec<Entry> {
        self.audit.entries_from(seen)
    }

    /// The handle to break things.
    ///
    /// # Errors
    /// When the simulation has no data plane.
    pub fn faults(&self) -> anyhow::Result<Faults> {
        self.simulation.faults().context("a simulation with a data plane")
    }

    /// Lets virtual time pass.
    pub async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// What the operator says of a cluster.
    pub fn cluster(&self, name: &str) -> Option<Arc<ClusterProgress>> {
        let key = ClusterKey { namespace: self.namespace.clone(), name: name.to_owned() };
        self.progress().get(&key).cloned()
    }

    /// Writes the documents of `text` as `kubectl apply --server-side` would; with faults nothing is written.
    ///
    /// # Errors
    /// The faults, or the API server's refusal.
    pub async fn apply(&self, file: &str, text: &str) -> anyhow::Result<()> {
        for document in input::read([(file, text)])? {
            self.apply_object(&document.value).await?;
        }
        Ok(())
    }

    /// Writes one object, unseen.
    ///
    /// # Errors
    /// The API server's refusal.
    pub async fn apply_object(&self, object: &Value) -> anyhow::Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let api = self.api(&text(&object["apiVersion"]), &text(&object["kind"]));
        let params = PatchParams::apply(USER).force();
        api.patch(&text(&object["metadata"]["name"]), &params, &Patch::Apply(object)).await?;
        Ok(())
    }

    /// Changes a TidbCluster by a merge patch.
    ///
    /// # Errors
    /// The API server's refusal.
    pub async fn patch(&self, name: &str, patch: &Value) -> anyhow::Result<()> {
        self.clusters().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// The TidbClusters.
    pub fn clusters(&self) -> Api<DynamicObject> {
        self.api("pingcap.com/v1alpha1", "TidbCluster")
    }

    /// Objects of one kind, as the user sees them.
    pub fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        self.api_as(self.user.clone(), api_version, kind)
    }

    /// Objects of one kind, as somebody who calls himself so sees them.
    pub fn api_of(&self, agent: &str, api_version: &str, kind: &str) -> Api<DynamicObject> {
        self.api_as(self.simulation.client(agent), api_version, kind)
    }

    fn api_as(&self, client: Client, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match kind {
            "Namespace" | "Node" | "PersistentVolume" | "StorageClass" => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, &self.namespace, &resource),
        }
    }

    /// All objects of one kind, as JSON, by name.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn list(&self, api_version: &str, kind: &str) -> anyhow::Result<Vec<Value>> {
        let list = self.api(api_version, kind).list(&ListParams::default()).await?;
        let mut objects: Vec<Value> = list.items.iter().map(|object| json!(object)).collect();
        objects.sort_by_key(|object| object["metadata"]["name"].to_string());
        Ok(objects)
    }
}

/// The built policies, in the sandbox.
///
/// # Errors
/// When one is not built or is refused.
pub fn sandboxed() -> anyhow::Result<Arc<dyn Policies>> {
    let runtime = Runtime::new().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let cache = Cache::in_directory(&policies::folder().with_file_name("policy-cache")).unwrap_or_default();
    let registry = Registry::new(runtime, cache);
    for name in policies::names() {
        registry.load_file(&policies::folder().join(format!("{name}.wasm")))?;
    }
    Ok(Arc::new(registry))
}

/// Runs a future in virtual time, on one thread and in a fixed order.
///
/// # Panics
/// When the runtime cannot start.
pub fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime").block_on(future)
}

/// A client of the API server in `kubeconfig`.
///
/// # Errors
/// When it is no kubeconfig.
pub async fn client(kubeconfig: &str) -> anyhow::Result<Client> {
    let kubeconfig = kube::config::Kubeconfig::from_yaml(kubeconfig)?;
    let config = KubeConfig::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    Ok(Client::try_from(config)?)
}
