//! Observe (cluster): builds the snapshot of one decision from what the watches saw, PD's view and probes.
//!
//! What could not be read is unknown in the snapshot, with the reason; it never looks empty (S33).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, future::BoxFuture, stream};
use http::Method;
use serde_json::value::RawValue;
use tidepool_model::{
    Descriptor, Known, Snapshot, Unknown,
    check::Facts,
    descriptor::{PdRead, Probe, SERVICES, members_document, primary_document},
    plan::ObjectRef,
    snapshot::{Object, Objects, PdView, PodPhase, ProbeAnswer},
};
use tidepool_pd::{Error, Pd, Service};

mod network;
mod silence;

pub use self::network::Network;
use crate::{
    cluster::Cluster,
    kinds,
    store::{PodDetail, Store},
};

/// Probes of one snapshot that are under way at a time: enough to hide one slow pod, few enough not to be a storm.
const PROBES_AT_ONCE_MAX: usize = 16;

/// What the contract promises for a probe's body.
const PROBE_BODY_BYTES_MAX: usize = 64 << 10;

/// What is not in the API server: PD's view, and the answers of pods.
pub trait World: Send + Sync {
    /// The parts of PD's view that are wanted.
    fn pd<'a>(&'a self, cluster: &'a Cluster, wanted: BTreeSet<PdRead>) -> BoxFuture<'a, PdView>;

    /// The answer of one pod.
    fn probe<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodDetail,
        probe: &'a Probe,
    ) -> BoxFuture<'a, Known<ProbeAnswer>>;
}

/// What one decision is about.
pub struct Observed<'a> {
    /// The cluster as it was at the beginning of the round.
    pub cluster: &'a Cluster,
    /// The same as JSON, with the status that earlier components wrote in this round.
    pub text: Arc<RawValue>,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// PD's view of this round.
    pub pd: Arc<PdView>,
    /// Settings of the policy.
    pub settings: Arc<RawValue>,
}

/// PD's view for a round, if some policy wants it.
pub async fn pd(world: &dyn World, store: &Store, cluster: &Cluster, mut wanted: BTreeSet<PdRead>) -> Arc<PdView> {
    // Four questions that most clusters have no use for.
    if !cluster.has_services() {
        wanted.remove(&PdRead::Services);
    }
    if wanted.is_empty() {
        return Arc::default();
    }
    // Not an answer about PD, only the certainty that nobody is there to ask: saves a timeout in each early round.
    let local = cluster.spec()["pd"].is_object();
    if local && store.pods(cluster, "pd").is_ok_and(|pods| pods.is_empty()) {
        return Arc::new(unanswered(&wanted, || Unknown::Failed("there is no PD pod".into())));
    }
    Arc::new(world.pd(cluster, wanted).await)
}

/// The snapshot for one policy.
pub async fn snapshot(world: &dyn World, store: &Store, observed: &Observed<'_>, descriptor: &Descriptor) -> Snapshot {
    let Observed { cluster, text, now_ms, pd, settings } = observed;
    let watched = |watch| store.watched(cluster, &descriptor.component, watch);
    let pods = match &descriptor.pods {
        Some(component) => store.pods(cluster, component),
        None => Err(Unknown::NotRequested),
    };
    Snapshot {
        now_ms: *now_ms,
        cluster: text.clone(),
        settings: settings.clone(),
        watches: descriptor.watches.iter().map(watched).collect(),
        pods,
        pd: pd.clone(),
        probes: probes(world, store, cluster, descriptor).await,
    }
}

async fn probes(
    world: &dyn World,
    store: &Store,
    cluster: &Cluster,
    descriptor: &Descriptor,
) -> Vec<BTreeMap<String, Known<ProbeAnswer>>> {
    let component = descriptor.pods.as_deref().unwrap_or_default();
    if descriptor.probes.is_empty() {
        return Vec::new();
    }
    let pods = store.pod_details(cluster, component).unwrap_or_default();
    let mut answers = Vec::with_capacity(descriptor.probes.len());
    for probe in &descriptor.probes {
        // Boxed one by one: of a mapped iterator of borrowing futures the compiler cannot prove that it is `Send`.
        let mut asked: Vec<BoxFuture<'_, (String, Known<ProbeAnswer>)>> = Vec::with_capacity(pods.len());
        for (name, pod) in &pods {
            asked.push(Box::pin(async move { (name.clone(), ask(world, cluster, pod, probe).await) }));
        }
        answers.push(stream::iter(asked).buffered(PROBES_AT_ONCE_MAX).collect().await);
    }
    answers
}

async fn ask(world: &dyn World, cluster: &Cluster, pod: &PodDetail, probe: &Probe) -> Known<ProbeAnswer> {
    if pod.phase != PodPhase::Running || pod.host.is_empty() {
        return Err(Unknown::Failed("the pod does not run".into()));
    }
    world.probe(cluster, pod, probe).await
}

impl World for Network {
    fn pd<'a>(&'a self, cluster: &'a Cluster, wanted: BTreeSet<PdRead>) -> BoxFuture<'a, PdView> {
        Box::pin(async move {
            match self.pd_of(cluster).await {
                Ok(Some(pd)) => read_pd(&pd, &wanted).await,
                Err(error) => unanswered(&wanted, || Unknown::Failed(error.chain())),
                Ok(None) => {
                    unanswered(&wanted, || Unknown::Failed("PD's address is not known from the cluster's name".into()))
                }
            }
        })
    }

    fn probe<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodDetail,
        probe: &'a Probe,
    ) -> BoxFuture<'a, Known<ProbeAnswer>> {
        Box::pin(async move {
            let (status, body) =
                self.call(cluster, pod, Method::GET, probe.port, &probe.path, String::new()).await.map_err(unknown)?;
            if body.len() > PROBE_BODY_BYTES_MAX {
                return Err(Unknown::Failed(format!("an answer of {} bytes is too long", body.len())));
            }
            Ok(ProbeAnswer { status, body: String::from_utf8_lossy(&body).into_owned() })
        })
    }
}

async fn read_pd(pd: &dyn Pd, wanted: &BTreeSet<PdRead>) -> PdView {
    let (members, stores) = (wanted.contains(&PdRead::Members), wanted.contains(&PdRead::Stores));
    let (cluster, config) = (wanted.contains(&PdRead::Cluster), wanted.contains(&PdRead::Config));
    let services = wanted.contains(&PdRead::Services);
    let members = async move { if members { pd.members().await.map_err(unknown) } else { not_requested() } };
    let stores = async move { if stores { pd.stores().await.map_err(unknown) } else { not_requested() } };
    let cluster = async move { if cluster { pd.cluster().await.map_err(unknown) } else { not_requested() } };
    let config = async move { if config { pd.config().await.map_err(unknown) } else { not_requested() } };
    let services = async move { if services { read_services(pd).await } else { Vec::new() } };
    let (members, stores, cluster, config, services) = futures::join!(members, stores, cluster, config, services);
    let mut documents: BTreeMap<_, _> = services.into_iter().collect();
    for (read, document) in [(PdRead::Cluster, cluster), (PdRead::Config, config)] {
        for name in read.documents().iter().filter(|_| wanted.contains(&read)) {
            documents.insert((*name).to_owned(), document.clone());
        }
    }
    PdView { members, stores, documents }
}

/// Documents by name.
type Documents = Vec<(String, Known<Box<RawValue>>)>;

/// Members and primaries of PD's services that run apart from it.
async fn read_services(pd: &dyn Pd) -> Documents {
    let [first, second] = SERVICES.map(|service| read_service(pd, service));
    let (mut all, second) = futures::join!(first, second);
    all.extend(second);
    all
}

async fn read_service(pd: &dyn Pd, service: &str) -> Documents {
    let (members, primary) = match pd.service(service).await {
        Ok(Service { members, primary }) => (Ok(members), primary.map_err(unknown)),
        Err(error) => {
            let why = unknown(error);
            (Err(why.clone()), Err(why))
        }
    };
    vec![(members_document(service), members), (primary_document(service), primary)]
}

fn not_requested<T>() -> Known<T> {
    Err(Unknown::NotRequested)
}

fn unknown(error: Error) -> Unknown {
    Unknown::Failed(error.chain())
}

/// A view in which everything that is wanted is unknown for the same reason.
fn unanswered(wanted: &BTreeSet<PdRead>, why: impl Fn() -> Unknown) -> PdView {
    let of = |read| if wanted.contains(&read) { why() } else { Unknown::NotRequested };
    let names = wanted.iter().flat_map(|read| read.documents());
    let documents = names.map(|name| ((*name).to_owned(), Err(why())));
    PdView { members: Err(of(PdRead::Members)), stores: Err(of(PdRead::Stores)), documents: documents.collect() }
}

/// What the host itself knows of a cluster, for the check of its plans.
pub struct RoundFacts<'a> {
    /// The watches' tables.
    pub store: &'a Store,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// PD's view of this round.
    pub pd: &'a PdView,
}

impl Facts for RoundFacts<'_> {
    fn object(&self, target: &ObjectRef) -> Known<Option<Arc<Object>>> {
        self.store.object(self.cluster, &kinds::kind(&target.api_version, &target.kind), &target.name)
    }

    fn objects(&self, api_version: &str, kind: &str) -> Known<Arc<Objects>> {
        self.store.labelled(self.cluster, &kinds::kind(api_version, kind))
    }

    fn pd(&self) -> &PdView {
        self.pd
    }
}
