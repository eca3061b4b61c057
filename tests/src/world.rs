//! A whole Tidepool in this process and in virtual time: simulator, operator and the policies in the sandbox.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use kube::{
    Api, Client, Config as KubeConfig,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tidepool_api::{crd, input};
use tidepool_operator::{ClusterKey, ClusterProgress, Config, Executor, Metrics, Operator, Progress, Recorder};
use tidepool_policy::{Cache, Registry, Runtime};
use tidepool_sim::{
    audit::{AuditLog, Entry},
    clock::{Clock, Seed},
    data::faults::Faults,
    simulation::{Options, Simulation},
};
use tokio::{sync::watch, task::JoinHandle};

use crate::policies;

/// The operator's name in the audit log.
pub const OPERATOR: &str = "tidepool";

/// Who stands for the cluster's user in the audit log.
pub const USER: &str = "kubectl";

/// Namespace of everything that a scenario does.
pub const NAMESPACE: &str = "default";

/// A running world; dropping it stops it. Needs a paused clock on one thread.
pub struct World {
    /// The clock.
    pub clock: Clock,
    /// What the operator says is going on.
    pub progress: watch::Receiver<Arc<Progress>>,
    /// The operator's metrics.
    pub metrics: Arc<Metrics>,
    simulation: Simulation,
    audit: AuditLog,
    operator: JoinHandle<()>,
    recorder: Arc<Recorder>,
    started_ms: u64,
    user: Client,
}

impl World {
    /// Starts everything with this seed.
    ///
    /// # Errors
    /// When a part cannot start.
    pub async fn start(seed: u64) -> anyhow::Result<Self> {
        Self::start_with(seed, |_| {}).await
    }

    /// Starts everything with this seed and an operator that is set up otherwise than usual.
    ///
    /// # Errors
    /// When a part cannot start.
    pub async fn start_with(seed: u64, set_up: impl FnOnce(&mut Config)) -> anyhow::Result<Self> {
        let audit = AuditLog::default();
        let mut options = Options::in_virtual_time(Seed(seed));
        options.audit = audit.clone();
        options.crds = vec![crd::tidb_cluster(), crd::policy_module()];
        let clock = options.clock;
        let simulation = Simulation::start(options).await?;
        let http = simulation.http().context("a simulation with a data plane")?;
        let now_ms = Arc::new(move || clock.now_ms());
        let mut config = Config::new(simulation.client(OPERATOR), registry()?, http, now_ms);
        // A decision on another thread would let the virtual clock run on meanwhile.
        config.executor = Executor::Inline;
        set_up(&mut config);
        let operator = Operator::new(config);
        let progress = operator.progress();
        let (recorder, metrics) = (operator.recorder(), operator.metrics());
        let operator = tokio::spawn(async move {
            // It ends only when this task does.
            let _ = operator.run(std::future::pending()).await;
        });
        let user = simulation.client(USER);
        Ok(Self { clock, progress, simulation, audit, operator, recorder, metrics, started_ms: clock.now_ms(), user })
    }

    /// Stops everything.
    pub async fn stop(self) {
        self.operator.abort();
        self.simulation.shutdown().await;
    }

    /// All that the operator tells of its work: metrics, progress, and the decisions that it keeps.
    pub fn told(&self) -> String {
        let progress = format!("{:?}", self.progress.borrow());
        let records = serde_json::to_string(&self.recorder.all()).unwrap_or_default();
        format!("{}\n{progress}\n{records}", self.metrics.text())
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
        let key = ClusterKey { namespace: NAMESPACE.to_owned(), name: name.to_owned() };
        self.progress.borrow().get(&key).cloned()
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
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match kind {
            "Namespace" | "Node" | "PersistentVolume" | "StorageClass" => Api::all_with(self.user.clone(), &resource),
            _ => Api::namespaced_with(self.user.clone(), NAMESPACE, &resource),
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
fn registry() -> anyhow::Result<Arc<Registry>> {
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
