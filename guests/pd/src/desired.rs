//! What PD is to be in Kubernetes: Services, configuration, StatefulSet. All of it follows from the spec, but for the
//! number of replicas that failover adds and the name of the ConfigMap in use.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Container, Service, Volume, VolumeMount},
};
use tidepool_sdk::{
    Failure,
    api::{
        Component, TidbCluster, View,
        config::Value,
        labels::SKIP_TLS_WHEN_CONNECT_TIDB,
        names::ports::{PD_CLIENT, PD_PEER},
        pd::PdSpec,
        status::PdStatus,
        version::Version,
    },
    build::{
        claim::{self, Class},
        config_map::{self, Data},
        container, env,
        pd_server::{self, TLS_PATH},
        pod,
        set::{self, Parts},
        volume,
    },
};

use crate::{script::start_script, world::World};

/// Name of PD's container and of its data volume.
pub const PD: &str = "pd";
/// Where the data is mounted.
pub const DATA_PATH: &str = "/var/lib/pd";
const TIDB_CLIENT_TLS: &str = "tidb-client-tls";
const TIDB_CLIENT_TLS_PATH: &str = "/var/lib/tidb-client-tls";

/// The Services: one for clients, and the headless one, which gives members names also before they are ready.
pub fn services(world: &World<'_>) -> [Service; 2] {
    pd_server::services(world.cluster, Component::Pd, world.spec.service.as_ref())
}

/// Data of the ConfigMap; none without a configuration.
///
/// # Errors
/// When the configuration is no TOML.
pub fn config_data(world: &World<'_>) -> Result<Option<Data>, Failure> {
    let forced = forced(world.cluster, &world.view, world.spec);
    let table = config_map::table_with(&world.view, forced)?;
    Ok(table.map(|table| config_map::data(&table, start_script(world.cluster))))
}

/// Settings that follow from the rest of the spec, whatever the user's configuration says.
fn forced(cluster: &TidbCluster, view: &View<'_>, spec: &PdSpec) -> Vec<(&'static str, Value)> {
    let mut all: Vec<(&'static str, Value)> = Vec::new();
    if cluster.tls_enabled() {
        all.push(("security.cacert-path", format!("{TLS_PATH}/ca.crt").into()));
        all.push(("security.cert-path", format!("{TLS_PATH}/tls.crt").into()));
        all.push(("security.key-path", format!("{TLS_PATH}/tls.key").into()));
    }
    if dashboard_tls(cluster, view) {
        let tls = cluster.spec.tidb.as_ref().and_then(|tidb| tidb.tls_client.as_ref());
        if !tls.is_some_and(|tls| tls.skip_internal_client_ca) {
            all.push(("dashboard.tidb-cacert-path", format!("{TIDB_CLIENT_TLS_PATH}/ca.crt").into()));
        }
        all.push(("dashboard.tidb-cert-path", format!("{TIDB_CLIENT_TLS_PATH}/tls.crt").into()));
        all.push(("dashboard.tidb-key-path", format!("{TIDB_CLIENT_TLS_PATH}/tls.key").into()));
    }
    if let Some(internal) = spec.enable_dashboard_internal_proxy {
        all.push(("dashboard.internal-proxy", internal.into()));
    }
    all
}

/// PD's dashboard, which came with version 4, talks to TiDB over TLS.
fn dashboard_tls(cluster: &TidbCluster, view: &View<'_>) -> bool {
    cluster.tidb_client_tls_enabled()
        && cluster.annotation(SKIP_TLS_WHEN_CONNECT_TIDB).is_none()
        && Version::parse(&view.image_version()).is_none_or(|version| version.at_least(4, 0, 0))
}

/// Classes of the volumes.
pub fn class(spec: &PdSpec) -> Class<'_> {
    Class { storage: spec.storage_class_name.as_deref(), attributes: spec.volume_attributes_class_name.as_deref() }
}

/// The StatefulSet.
///
/// # Errors
/// When the spec does not fit together.
pub fn stateful_set(world: &World<'_>, status: &PdStatus, config_map: &str) -> Result<StatefulSet, Failure> {
    let (cluster, view, spec) = (world.cluster, &world.view, world.spec);
    let (volumes, mounts) = volumes(cluster, view, spec, config_map);
    let parts = pod::Parts {
        containers: vec![container::main(view, main_container(cluster, view, mounts))],
        volumes,
        annotations: pod::prometheus_annotations(PD_CLIENT),
        sysctl: true,
        ..pod::Parts::default()
    };
    let parts = Parts {
        replicas: cluster.desired_replicas(Component::Pd),
        template: pod::template(cluster, view, parts)?,
        claims: claim::with_data(view, class(spec))?,
        on_delete: status.vol_replace_in_progress,
    };
    Ok(set::stateful_set(cluster, view, parts))
}

fn main_container(cluster: &TidbCluster, view: &View<'_>, mounts: Vec<VolumeMount>) -> Container {
    let mut variables = pd_server::variables(cluster, Component::Pd);
    variables.extend(env::pod_name(view.host_network()));
    Container {
        name: PD.to_owned(),
        command: Some(vec!["/bin/sh".to_owned(), "/usr/local/bin/pd_start_script.sh".to_owned()]),
        ports: Some(vec![container::port("server", PD_PEER), container::port("client", PD_CLIENT)]),
        env: Some(variables),
        volume_mounts: Some(mounts),
        readiness_probe: container::readiness(view.own().readiness_probe.as_ref(), PD_CLIENT),
        ..Container::default()
    }
}

fn volumes(cluster: &TidbCluster, view: &View<'_>, spec: &PdSpec, config_map: &str) -> (Vec<Volume>, Vec<VolumeMount>) {
    let (mut volumes, mut mounts) = pd_server::files(config_map, "pd_start_script.sh");
    mounts.push(volume::mount(PD, DATA_PATH));
    let (secrets, mounted) = pd_server::certificates(cluster, spec.mount_cluster_client_secret == Some(true));
    volumes.extend(secrets);
    mounts.extend(mounted);
    if dashboard_tls(cluster, view) {
        let given = spec.tls_client_secret_name.clone();
        let name = given.unwrap_or_else(|| cluster.tidb_client_tls_secret());
        volumes.push(volume::secret(TIDB_CLIENT_TLS, &name));
        mounts.push(volume::mount_read_only(TIDB_CLIENT_TLS, TIDB_CLIENT_TLS_PATH));
    }
    mounts.extend(volume::storage_mounts(Component::Pd, view.storage_volumes()));
    (volumes, mounts)
}
