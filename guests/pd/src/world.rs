//! What the policy sees of the cluster, read once.

use tidepool_sdk::{
    Descriptor, Failure, Kind, Known, PdMember, PdRead, PodRow, Probe, ProbeAnswer, Scope, Snapshot, Watch,
    api::{Component, TidbCluster, View, names::ports::PD_CLIENT, pd::PdSpec},
    live::LiveSet,
};

/// Indices of the descriptor's watches.
pub mod watch {
    pub const SERVICE: u32 = 0;
    pub const CONFIG_MAP: u32 = 1;
    pub const STATEFUL_SET: u32 = 2;
    pub const POD: u32 = 3;
    pub const CLAIM: u32 = 4;
}

/// Index of the descriptor's probe: the member says whether it is ready.
const READY: u32 = 0;

/// Kinds of objects that are read, in the order of [`watch`], and whether plans write them.
const KINDS: [(&str, &str, bool); 5] = [
    ("v1", "Service", true),
    ("v1", "ConfigMap", true),
    ("apps/v1", "StatefulSet", true),
    ("v1", "Pod", true),
    ("v1", "PersistentVolumeClaim", true),
];

const ACTIONS: [&str; 7] =
    ["create", "replace", "merge-patch", "delete", "transfer-pd-leader", "delete-pd-member", "event"];

/// What the policy reads and may do.
pub fn descriptor() -> Descriptor {
    let kind = |(api_version, kind, _): &(&str, &str, bool)| Kind {
        api_version: (*api_version).to_owned(),
        kind: (*kind).to_owned(),
    };
    let watch = |entry: &(&str, &str, bool)| {
        let Kind { api_version, kind } = kind(entry);
        Watch { api_version, kind, of: Scope::Component }
    };
    Descriptor {
        component: Component::Pd.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        after: vec![Component::Discovery.name().to_owned()],
        watches: KINDS.iter().map(watch).collect(),
        pods: Some(Component::Pd.name().to_owned()),
        probes: vec![Probe { path: "/pd/api/v2/ready".to_owned(), port: u16::try_from(PD_CLIENT).unwrap_or_default() }],
        pd: vec![PdRead::Members, PdRead::Cluster],
        actions: ACTIONS.map(str::to_owned).to_vec(),
        writes: KINDS.iter().filter(|(.., writes)| *writes).map(kind).collect(),
        status: vec!["clusterID".to_owned(), Component::Pd.name().to_owned()],
        ..Descriptor::default()
    }
}

/// Settings from the PolicyModule.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Members that are down for long are replaced.
    pub auto_failover: bool,
    /// Seconds that a member is down before it is replaced.
    pub failover_period_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { auto_failover: true, failover_period_seconds: 300 }
    }
}

/// The cluster as it is.
pub struct World<'a> {
    /// What the host saw.
    pub snapshot: &'a Snapshot,
    /// The TidbCluster, defaults filled in.
    pub cluster: &'a TidbCluster,
    /// PD's settings over those of the cluster.
    pub view: View<'a>,
    /// PD's own part of the spec.
    pub spec: &'a PdSpec,
    /// The policy's settings.
    pub settings: Settings,
    /// The StatefulSet.
    pub set: Option<LiveSet>,
    /// Its pods.
    pub pods: Vec<PodRow>,
    /// PD's members, all of the PD cluster.
    pub members: Known<Vec<PdMember>>,
}

impl<'a> World<'a> {
    /// Reads it; none if the cluster has no PD of its own.
    ///
    /// # Errors
    /// When what every decision needs is unknown.
    pub fn read(snapshot: &'a Snapshot, cluster: &'a TidbCluster) -> Result<Option<Self>, Failure> {
        let (Some(spec), Some(view)) = (&cluster.spec.pd, cluster.component(Component::Pd)) else { return Ok(None) };
        let name = cluster.member_name(Component::Pd);
        Ok(Some(Self {
            snapshot,
            cluster,
            view,
            spec,
            settings: snapshot.settings()?,
            set: LiveSet::read(snapshot, watch::STATEFUL_SET, &name)?,
            pods: snapshot.pods()?,
            members: snapshot.pd_members(),
        }))
    }

    /// `metadata.generation` of the cluster.
    pub fn generation(&self) -> i64 {
        self.cluster.metadata.generation.unwrap_or_default()
    }

    /// The pod of this name.
    pub fn pod(&self, name: &str) -> Option<&PodRow> {
        self.pods.iter().find(|pod| pod.name == name)
    }

    /// Whether the member in this pod says that it is ready to serve. One that does not know the question is.
    pub fn says_ready(&self, pod: &str) -> bool {
        matches!(self.snapshot.probe(READY, pod), Ok(ProbeAnswer { status: 200 | 404, .. }))
    }
}
