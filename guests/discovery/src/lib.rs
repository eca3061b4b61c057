//! Discovery: the service that tells PD's members whom to join while a cluster starts, and others where PD is.
//!
//! Its objects exist as long as the cluster does, whatever else is paused or suspended. It is the first policy of a
//! round, so it also judges the cluster as a whole: of an invalid one nothing is written, and no later policy is asked.

mod desired;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Service, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use tidepool_sdk::{
    Descriptor, Failure, Kind, Plan, Policy, Scope, Snapshot, Watch, api::TidbCluster, apply, export_policy, live::Live,
};

/// The policy.
pub struct Discovery;

export_policy!(Discovery);

/// Settings from the PolicyModule.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Image of the discovery server.
    #[serde(default = "desired::default_image")]
    pub image: String,
}

/// Watches, in the order of the descriptor.
mod watch {
    pub const ROLE: u32 = 0;
    pub const SERVICE_ACCOUNT: u32 = 1;
    pub const ROLE_BINDING: u32 = 2;
    pub const DEPLOYMENT: u32 = 3;
    pub const SERVICE: u32 = 4;
}

const KINDS: [(&str, &str); 5] = [
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("v1", "ServiceAccount"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
];

impl Policy for Discovery {
    fn describe() -> Descriptor {
        let kinds = KINDS.map(|(api_version, kind)| Kind { api_version: api_version.into(), kind: kind.into() });
        let watch = |kind: &Kind| Watch {
            api_version: kind.api_version.clone(),
            kind: kind.kind.clone(),
            of: Scope::Component,
        };
        Descriptor {
            component: "discovery".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            watches: kinds.iter().map(watch).collect(),
            actions: vec!["create".into(), "replace".into()],
            writes: kinds.to_vec(),
            ..Descriptor::default()
        }
    }

    fn reconcile(snapshot: &Snapshot, plan: &mut Plan) -> Result<(), Failure> {
        let cluster = tidepool_sdk::cluster(snapshot)?;
        tidepool_sdk::validate(&cluster)?;
        if !wanted(&cluster) {
            return Ok(());
        }
        let settings: Settings = snapshot.settings()?;
        let name = desired::name(&cluster);
        let live = |watch| Live::read(snapshot, watch, &name);
        let role: Role = desired::role(&cluster);
        apply::object(plan, live(watch::ROLE)?.as_ref(), &role, &["rules"])?;
        let account: ServiceAccount = desired::service_account(&cluster);
        apply::object(plan, live(watch::SERVICE_ACCOUNT)?.as_ref(), &account, &[])?;
        let binding: RoleBinding = desired::role_binding(&cluster);
        apply::object(plan, live(watch::ROLE_BINDING)?.as_ref(), &binding, &["subjects"])?;
        let deployment: Deployment = desired::deployment(&cluster, &settings)?;
        apply::deployment(plan, live(watch::DEPLOYMENT)?.as_ref(), &deployment)?;
        let service: Service = desired::service(&cluster);
        apply::service(plan, live(watch::SERVICE)?.as_ref(), &service)
    }
}

/// A cluster that only joins another one asks that one's discovery, unless it may be elsewhere.
fn wanted(cluster: &TidbCluster) -> bool {
    cluster.spec.pd.is_some() || cluster.spec.across_k8s
}
