//! What the policies would do now: a round whose actions are noted instead of carried out.

mod dry_run;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tidepool_model::{
    Action, Descriptor, Known, Unknown, WaitingOn,
    descriptor::{PdRead, Probe},
    merge,
    plan::ObjectRef,
    snapshot::{PdView, ProbeAnswer},
};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    apply::{Error, Hands, owned},
    cluster::{Cluster, ClusterKey},
    decide::{Executor, Memory},
    kinds,
    metrics::Metrics,
    observe::{Network, World},
    operator::Config,
    policies::{Policies, Settings},
    progress::Feed,
    record::Recorder,
    round::{Engine, Step, raw_settings},
    store::{Change as StoreChange, Entry, PodDetail, Selection, Store, WatchKey},
    watch::{wanted, watch},
};

/// The watches of a preview have this long for their lists.
const SYNC_SECONDS_MAX: u64 = 20;

/// The identity of a cluster that does not exist yet.
const NO_UID: &str = "00000000-0000-4000-8000-000000000000";

/// What the policies would do now.
#[derive(Debug)]
pub struct Preview {
    /// Components in the order of the round.
    pub components: Vec<ComponentPreview>,
    /// The merge patch of the status.
    pub status: Option<Value>,
}

/// What one policy would do now.
#[derive(Debug)]
pub struct ComponentPreview {
    /// The component.
    pub component: String,
    /// Digest of the policy that decided.
    pub policy: String,
    /// An earlier component holds it back: it was not asked.
    pub held: bool,
    /// What would be written, in order.
    pub changes: Vec<Change>,
    /// What it waits for, or why there is no plan.
    pub waiting: Vec<WaitingOn>,
}

/// One thing that would be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Method of the contract, for example `create`.
    pub verb: &'static str,
    /// What it is about, for example `statefulset/basic-pd`.
    pub subject: String,
    /// The object as it is; none if there is none, or for what is not an object.
    pub before: Option<Value>,
    /// The object as it would be; none if it would be gone. For what is not an object, the action.
    pub after: Option<Value>,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The API server did not deliver the lists.
    #[error("failed to read {kinds} from the API server within {seconds} s")]
    NotSynced {
        /// Kinds that are missing.
        kinds: String,
        /// The limit.
        seconds: u64,
    },
    /// The TidbCluster cannot be read.
    #[error("failed to read the TidbCluster")]
    Cluster(#[source] serde_json::Error),
    /// The TidbCluster has no name or namespace.
    #[error("failed to read the TidbCluster: it has no name or no namespace")]
    Nameless,
}

/// What the policies would do now about `cluster` (a TidbCluster with name and namespace) in the Kubernetes cluster of
/// `config`. Nothing is written.
///
/// # Errors
/// See [`PreviewError`].
pub async fn plan(config: &Config, cluster: Value) -> Result<Preview, PreviewError> {
    let store = Arc::new(Store::default());
    let keys = wanted(&config.policies.current());
    keys.iter().for_each(|key| store.open(key));
    // Dropped, and with it ended, at the end.
    let mut watches = JoinSet::new();
    for key in keys {
        watches.spawn(watch(config.client.clone(), key, config.namespace.clone(), store.clone()));
    }
    if timeout(Duration::from_secs(SYNC_SECONDS_MAX), store.wait_synced()).await.is_err() {
        let kinds: Vec<String> = store.unsynced().into_iter().map(|key| key.kind.kind).collect();
        return Err(PreviewError::NotSynced { kinds: kinds.join(", "), seconds: SYNC_SECONDS_MAX });
    }
    let Config { policies, settings, executor, now_ms, .. } = config.clone();
    let world = Arc::new(Network::of(config, store.clone()));
    let mut preview = preview(store, world, Deciders { policies, settings, executor, now_ms }, cluster).await?;
    dry_run::complete(&config.client, &mut preview).await;
    Ok(preview)
}

/// Who decides in a preview, and how.
#[derive(Clone)]
pub struct Deciders {
    /// The policies.
    pub policies: Arc<dyn Policies>,
    /// What they are set to.
    pub settings: Settings,
    /// Where they run.
    pub executor: Executor,
    /// Milliseconds since the Unix epoch.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// What the policies would do first about `cluster` in a Kubernetes cluster where nothing of it exists.
///
/// # Errors
/// See [`PreviewError`].
pub async fn plan_from_nothing(deciders: Deciders, cluster: Value) -> Result<Preview, PreviewError> {
    let store = Arc::new(Store::default());
    wanted(&deciders.policies.current()).iter().for_each(|key| store.replace(key, Vec::new()));
    preview(store, Arc::new(Nobody), deciders, cluster).await
}

async fn preview(
    store: Arc<Store>,
    world: Arc<dyn World>,
    deciders: Deciders,
    cluster: Value,
) -> Result<Preview, PreviewError> {
    let key = put_cluster(&store, cluster)?;
    let noted = Arc::new(Noted { store: store.clone(), notes: Mutex::default() });
    let engine = engine(store, world, noted.clone(), deciders);
    let report = engine.round(&key).await.ok_or(PreviewError::Nameless)?;
    let notes = std::mem::take(&mut *noted.notes.lock().unwrap_or_else(PoisonError::into_inner));
    let mut changes = notes.changes.into_iter();
    let component = |step: Step| {
        let changes = changes.by_ref().take(step.done).collect();
        let Step { component, policy, held, waiting, .. } = step;
        ComponentPreview { component, policy, held, changes, waiting }
    };
    Ok(Preview { components: report.steps.into_iter().map(component).collect(), status: notes.status })
}

/// An engine that touches nothing outside of itself.
fn engine(store: Arc<Store>, world: Arc<dyn World>, hands: Arc<dyn Hands>, deciders: Deciders) -> Engine {
    let Deciders { policies, settings, executor, now_ms } = deciders;
    Engine {
        store,
        world,
        hands,
        policies,
        settings: raw_settings(&settings),
        executor,
        memory: Memory::default(),
        now_ms,
        recorder: Arc::new(Recorder::default()),
        metrics: Arc::new(Metrics::default()),
        progress: Arc::new(Feed::default()),
        events: None,
        resync: Duration::from_secs(SYNC_SECONDS_MAX),
    }
}

/// Puts a TidbCluster from a file into the store, over the one that is there if there is one.
fn put_cluster(store: &Store, mut cluster: Value) -> Result<ClusterKey, PreviewError> {
    let text = |key: &str| cluster["metadata"][key].as_str().unwrap_or_default().to_owned();
    let key = ClusterKey { namespace: text("namespace"), name: text("name") };
    if key.name.is_empty() || key.namespace.is_empty() {
        return Err(PreviewError::Nameless);
    }
    let kept = store.cluster(&key);
    let metadata = &mut cluster["metadata"];
    match &kept {
        Some(kept) => {
            metadata["uid"] = json!(kept.uid);
            metadata["generation"] = json!(kept.generation + 1);
            metadata["resourceVersion"] = json!(kept.resource_version);
            cluster["status"] = kept.value["status"].clone();
        }
        None => {
            metadata["uid"] = json!(NO_UID);
            metadata["generation"] = json!(1);
            metadata["resourceVersion"] = json!("1");
        }
    }
    let entry = Entry::read(&kinds::tidb_cluster(), cluster).map_err(PreviewError::Cluster)?;
    let table = WatchKey { kind: kinds::tidb_cluster(), selection: Selection::All };
    if let Some(kept) = &kept {
        let old = Entry::read(&kinds::tidb_cluster(), kept.value.clone()).map_err(PreviewError::Cluster)?;
        store.change(&table, StoreChange::Delete(Box::new(old)));
    }
    store.change(&table, StoreChange::Apply(Box::new(entry)));
    Ok(key)
}

/// Hands that note what they would do.
struct Noted {
    store: Arc<Store>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    changes: Vec<Change>,
    status: Option<Value>,
}

impl Noted {
    fn change(&self, cluster: &Cluster, action: &Action) -> Change {
        let now = |target: &ObjectRef| {
            let kind = kinds::kind(&target.api_version, &target.kind);
            let object = self.store.object(cluster, &kind, &target.name).ok().flatten()?;
            serde_json::from_str::<Value>(object.json.get()).ok()
        };
        let (before, after) = match action {
            Action::Create { object } => (None, Some(owned(cluster, object.clone()))),
            Action::Replace { object, expect: _ } => {
                (now(&ObjectRef::of(object)), Some(owned(cluster, object.clone())))
            }
            Action::MergePatch { target, patch, expect: _ } => {
                let before = now(target);
                let mut after = before.clone().unwrap_or_default();
                merge(&mut after, patch);
                (before, Some(after))
            }
            Action::Delete { target, expect: _ } => (now(target), None),
            other => (None, serde_json::to_value(other).ok()),
        };
        Change { verb: action.verb(), subject: action.subject(), before, after }
    }
}

impl Hands for Noted {
    fn carry_out<'a>(
        &'a self,
        cluster: &'a Cluster,
        _: &'a Descriptor,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let change = self.change(cluster, action);
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).changes.push(change);
        Box::pin(async { Ok(()) })
    }

    fn write_status<'a>(&'a self, _: &'a Cluster, patch: Value) -> BoxFuture<'a, Result<bool, Error>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).status = Some(patch);
        Box::pin(async { Ok(true) })
    }
}

/// A world in which nothing runs.
struct Nobody;

impl World for Nobody {
    fn pd<'a>(&'a self, _: &'a Cluster, _: BTreeSet<PdRead>) -> BoxFuture<'a, PdView> {
        let unknown = || Unknown::Failed("nothing runs".to_owned());
        Box::pin(async move { PdView { members: Err(unknown()), stores: Err(unknown()), ..PdView::default() } })
    }

    fn probe<'a>(&'a self, _: &'a Cluster, _: &'a PodDetail, _: &'a Probe) -> BoxFuture<'a, Known<ProbeAnswer>> {
        Box::pin(async { Err(Unknown::Failed("nothing runs".to_owned())) })
    }
}
