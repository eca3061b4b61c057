//! What PD has in common with its services that run apart from it: it is one program, which is told what to be.

use k8s_openapi::api::core::v1::{EnvVar, Service, Volume, VolumeMount};
use tidepool_api::{
    Component, TidbCluster,
    names::ports::{PD_CLIENT, PD_PEER},
    shared,
};

use crate::build::{
    config_map::STARTUP_SCRIPT,
    env, service as services,
    volume::{self, ANNOTATIONS, ANNOTATIONS_PATH},
};

/// The volume with the certificate of PD's servers: a pod that has it speaks TLS.
pub const CERTIFICATE: &str = "pd-tls";
/// Where it is mounted.
pub const TLS_PATH: &str = "/var/lib/pd-tls";
const CLUSTER_CLIENT_TLS: &str = "cluster-client-tls";
const CLUSTER_CLIENT_TLS_PATH: &str = "/var/lib/cluster-client-tls";

/// The Services: one for clients, and the headless one, which gives members names also before they are ready.
pub fn services(cluster: &TidbCluster, component: Component, given: Option<&shared::ServiceSpec>) -> [Service; 2] {
    let ports = vec![services::port("tcp-peer-2380", PD_PEER), services::port("tcp-peer-2379", PD_CLIENT)];
    [
        services::client(cluster, component, given, services::port("client", PD_CLIENT)),
        services::headless(cluster, component, ports),
    ]
}

/// Variables that start scripts read.
pub fn variables(cluster: &TidbCluster, component: Component) -> Vec<EnvVar> {
    let name = cluster.member_name(component);
    vec![
        env::field("NAMESPACE", "metadata.namespace"),
        env::value("PEER_SERVICE_NAME", cluster.peer_service_name(component)),
        env::value("SERVICE_NAME", name.clone()),
        env::value("SET_NAME", name),
        env::value("TZ", cluster.spec.timezone.clone()),
    ]
}

/// Volumes that every pod has, with their mounts: its annotations, its configuration, its start script.
pub fn files(config_map: &str, script: &str) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mounts = vec![
        volume::mount_read_only(ANNOTATIONS, ANNOTATIONS_PATH),
        volume::mount_read_only(volume::CONFIG, "/etc/pd"),
        volume::mount_read_only(STARTUP_SCRIPT, "/usr/local/bin"),
    ];
    (volume::of_server(config_map, "pd.toml", script), mounts)
}

/// Secrets with certificates where the cluster has TLS, with their mounts. `with_clients` adds the one that clients of the
/// cluster show.
pub fn certificates(cluster: &TidbCluster, with_clients: bool) -> (Vec<Volume>, Vec<VolumeMount>) {
    let own = (CERTIFICATE, cluster.cluster_tls_secret(Component::Pd), TLS_PATH);
    let clients = (CLUSTER_CLIENT_TLS, cluster.cluster_client_tls_secret(), CLUSTER_CLIENT_TLS_PATH);
    let mut all = Vec::new();
    if cluster.tls_enabled() {
        all.push(own);
        all.extend(with_clients.then_some(clients));
    }
    all.into_iter()
        .map(|(name, secret, path)| (volume::secret(name, &secret), volume::mount_read_only(name, path)))
        .unzip()
}
