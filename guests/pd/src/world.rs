//! What the policy sees of the cluster, read once.

use std::ops::Deref;

use tidepool_sdk::{
    Descriptor, Failure, Known, PdMember, PdRead, Probe, ProbeAnswer, Snapshot, Unknown,
    api::{Component, TidbCluster, names::ports::PD_CLIENT, pd::PdSpec},
    world,
};

pub use tidepool_sdk::world::watch;

/// Index of the descriptor's probe: the member says whether it is ready.
const READY: u32 = 0;

const ACTIONS: [&str; 7] =
    ["create", "replace", "merge-patch", "delete", "transfer-pd-leader", "delete-pd-member", "event"];

/// What the policy reads and may do.
pub fn descriptor() -> Descriptor {
    // PD's services that run apart from it are upgraded before it (safety rule S23).
    let after = [Component::Discovery.name(), "pdms"];
    Descriptor {
        after: after.map(str::to_owned).to_vec(),
        probes: vec![Probe { path: "/pd/api/v2/ready".to_owned(), port: u16::try_from(PD_CLIENT).unwrap_or_default() }],
        pd: vec![PdRead::Members, PdRead::Cluster],
        status: vec!["clusterID".to_owned(), Component::Pd.name().to_owned()],
        ..world::descriptor(Component::Pd, env!("CARGO_PKG_VERSION"), &[], &ACTIONS)
    }
}

/// The cluster as it is.
pub struct World<'a> {
    /// What every component sees.
    common: world::World<'a>,
    /// PD's own part of the spec.
    pub spec: &'a PdSpec,
    /// PD's number of the cluster; empty while it is not known.
    pub cluster_id: String,
    /// PD's members, all of the PD cluster. Known only if PD answered everything and has a leader: without one, it cannot
    /// be asked for anything, and what it says of its members may be old.
    pub members: Known<Vec<PdMember>>,
}

impl<'a> Deref for World<'a> {
    type Target = world::World<'a>;

    fn deref(&self) -> &Self::Target {
        &self.common
    }
}

impl<'a> World<'a> {
    /// Reads it; none if the cluster has no PD of its own.
    ///
    /// # Errors
    /// When what every decision needs is unknown.
    pub fn read(snapshot: &'a Snapshot, cluster: &'a TidbCluster) -> Result<Option<Self>, Failure> {
        let common = world::World::read(snapshot, cluster, Component::Pd)?;
        let (Some(common), Some(spec)) = (common, &cluster.spec.pd) else { return Ok(None) };
        let (cluster_id, members) = match ask(snapshot) {
            Ok((id, members)) => (id, Ok(members)),
            Err(unknown) => (String::new(), Err(unknown)),
        };
        Ok(Some(Self { common, spec, cluster_id, members }))
    }

    /// Whether the member in this pod says that it is ready to serve. One that does not know the question is.
    pub fn says_ready(&self, pod: &str) -> bool {
        matches!(self.snapshot.probe(READY, pod), Ok(ProbeAnswer { status: 200 | 404, .. }))
    }
}

fn ask(snapshot: &Snapshot) -> Known<(String, Vec<PdMember>)> {
    let members = snapshot.pd_members()?;
    if !members.iter().any(|member| member.leader) {
        return Err(Unknown::Failed("PD has no leader".to_owned()));
    }
    let cluster = snapshot.pd_document("cluster").map_err(|failure| Unknown::Failed(failure.to_string()))?;
    let id = cluster["id"].as_u64().map(|id| id.to_string()).or_else(|| cluster["id"].as_str().map(str::to_owned));
    Ok((id.ok_or_else(|| Unknown::Failed("PD does not say which cluster it is".to_owned()))?, members))
}
