//! The objects of the discovery service.

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy},
    core::v1::{
        ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, EnvVar, KeyToPath,
        ObjectFieldSelector, ProjectedVolumeSource, Service, ServiceAccount, ServiceAccountTokenProjection,
        ServiceSpec, Volume, VolumeMount, VolumeProjection,
    },
    rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
};
use tidepool_sdk::{
    Failure,
    api::{
        Component, TidbCluster, View,
        cluster::GROUP,
        labels::component_labels,
        names::ports::{DISCOVERY, DISCOVERY_PROXY},
        shared::Probe,
    },
    build::{container, env, meta, pd_server, pod, selector, service as services, some_list, volume},
};

use crate::Settings;

const COMPONENT: Component = Component::Discovery;
const RBAC: &str = "rbac.authorization.k8s.io";
/// Seconds that a token for the API server is good for; Kubernetes' own value for the token it mounts by itself.
const TOKEN_SECONDS: i64 = 3607;
const TOKEN_VOLUME: &str = "kube-api-access";
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The server's image when the settings name none.
pub fn default_image() -> String {
    "pingcap/tidb-operator:v1.6.6".to_owned()
}

/// Name of all of its objects.
pub fn name(cluster: &TidbCluster) -> String {
    cluster.member_name(COMPONENT)
}

/// What the server may do: read its cluster, and the Secrets with PD's certificates.
pub fn role(cluster: &TidbCluster) -> Role {
    let rule = |group: &str, resource: &str, names: Option<Vec<String>>, verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: names,
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    Role {
        metadata: meta(cluster, COMPONENT, name(cluster)),
        rules: Some(vec![
            rule(GROUP, "tidbclusters", Some(vec![cluster.name().to_owned()]), &["get"]),
            rule("", "secrets", None, &["get", "list", "watch"]),
        ]),
    }
}

/// Its identity.
pub fn service_account(cluster: &TidbCluster) -> ServiceAccount {
    ServiceAccount { metadata: meta(cluster, COMPONENT, name(cluster)), ..ServiceAccount::default() }
}

/// Gives the role to the identity.
pub fn role_binding(cluster: &TidbCluster) -> RoleBinding {
    RoleBinding {
        metadata: meta(cluster, COMPONENT, name(cluster)),
        role_ref: RoleRef { api_group: RBAC.to_owned(), kind: "Role".to_owned(), name: name(cluster) },
        subjects: Some(vec![Subject { kind: "ServiceAccount".to_owned(), name: name(cluster), ..Subject::default() }]),
    }
}

/// The Service. It selects the pods by all of their labels, the user's among them.
pub fn service(cluster: &TidbCluster) -> Service {
    let mut labels = cluster.component(COMPONENT).map(|view| view.labels()).unwrap_or_default();
    labels.extend(component_labels(cluster, COMPONENT));
    let ports = vec![services::port("discovery", DISCOVERY), services::port("proxy", DISCOVERY_PROXY)];
    let spec = ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        selector: Some(labels),
        ..services::base(cluster, COMPONENT, ports)
    };
    Service { metadata: meta(cluster, COMPONENT, name(cluster)), spec: Some(spec), status: None }
}

/// The Deployment.
///
/// # Errors
/// When the user's additional containers do not fit.
pub fn deployment(cluster: &TidbCluster, settings: &Settings) -> Result<Deployment, Failure> {
    let Some(view) = cluster.component(COMPONENT) else {
        return Err(Failure::Internal("the cluster has no discovery".to_owned()));
    };
    let (volumes, mounts) = volumes(cluster, &view);
    let mut main = container::main(&view, main_container(cluster, settings));
    main.env.get_or_insert_default().extend(tls_env(cluster));
    main.volume_mounts = some_list(main.volume_mounts.unwrap_or_default().into_iter().chain(mounts).collect());
    let parts = pod::Parts { containers: vec![main], service_account: Some(name(cluster)), ..pod::Parts::default() };
    let mut template = pod::template(cluster, &view, parts)?;
    if let Some(spec) = &mut template.spec {
        let all = spec.volumes.take().unwrap_or_default().into_iter().chain(volumes).collect();
        spec.volumes = some_list(all);
    }
    Ok(Deployment {
        metadata: meta(cluster, COMPONENT, name(cluster)),
        spec: Some(DeploymentSpec {
            replicas: Some(1),
            selector: selector(cluster, COMPONENT),
            strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }),
            template,
            ..DeploymentSpec::default()
        }),
        status: None,
    })
}

fn main_container(cluster: &TidbCluster, settings: &Settings) -> Container {
    let spec = cluster.spec.discovery.as_ref();
    let probe = |given: Option<&Probe>| {
        given.map(|given| container::tcp_probe(DISCOVERY, given.initial_delay_seconds, given.period_seconds))
    };
    Container {
        name: COMPONENT.name().to_owned(),
        image: Some(settings.image.clone()),
        command: Some(vec!["/usr/local/bin/tidb-discovery".to_owned()]),
        ports: Some(vec![container::port("discovery", DISCOVERY), container::port("proxy", DISCOVERY_PROXY)]),
        env: Some(vec![
            env::field("MY_POD_NAMESPACE", "metadata.namespace"),
            env::value("TZ", cluster.timezone()),
            env::value("TC_NAME", cluster.name()),
        ]),
        readiness_probe: probe(spec.and_then(|spec| spec.component.readiness_probe.as_ref())),
        liveness_probe: probe(spec.and_then(|spec| spec.liveness_probe.as_ref())),
        ..Container::default()
    }
}

/// Follows the user's variables.
fn tls_env(cluster: &TidbCluster) -> Vec<EnvVar> {
    let mut all = Vec::new();
    if mounts_pd_certificate(cluster) {
        all.push(env::value("TC_TLS_ENABLED", "true"));
    }
    if cluster.discovery_mtls_enabled() {
        all.push(env::value("DISCOVERY_MTLS_ENABLED", "true"));
    }
    all
}

fn mounts_pd_certificate(cluster: &TidbCluster) -> bool {
    cluster.tls_enabled() && cluster.spec.pd.is_some()
}

/// Volumes and mounts after the user's.
fn volumes(cluster: &TidbCluster, view: &View<'_>) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut secrets = Vec::new();
    if mounts_pd_certificate(cluster) {
        secrets.push((pd_server::CERTIFICATE, cluster.cluster_tls_secret(Component::Pd)));
    }
    if cluster.discovery_mtls_enabled() {
        secrets.push(("discovery-tls", cluster.cluster_tls_secret(COMPONENT)));
    }
    let mount = |(name, _): &(&str, String)| volume::mount_read_only(name, &format!("/var/lib/{name}"));
    let mut mounts: Vec<_> = secrets.iter().map(mount).collect();
    let mut volumes: Vec<_> = secrets.iter().map(|(name, secret)| volume::secret(name, secret)).collect();
    // Without a token of its own the server could not ask the API server.
    if view.own().automount_service_account_token == Some(false) {
        volumes.push(token_volume());
        mounts.push(volume::mount_read_only(TOKEN_VOLUME, TOKEN_PATH));
    }
    (volumes, mounts)
}

fn token_volume() -> Volume {
    let token = ServiceAccountTokenProjection {
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".to_owned(),
        ..ServiceAccountTokenProjection::default()
    };
    let authority = ConfigMapProjection {
        name: "kube-root-ca.crt".to_owned(),
        items: Some(vec![KeyToPath { key: "ca.crt".to_owned(), path: "ca.crt".to_owned(), mode: None }]),
        optional: None,
    };
    let namespace = DownwardAPIVolumeFile {
        field_ref: Some(ObjectFieldSelector {
            api_version: Some("v1".to_owned()),
            field_path: "metadata.namespace".to_owned(),
        }),
        path: "namespace".to_owned(),
        ..DownwardAPIVolumeFile::default()
    };
    let sources = vec![
        VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() },
        VolumeProjection { config_map: Some(authority), ..VolumeProjection::default() },
        VolumeProjection {
            downward_api: Some(DownwardAPIProjection { items: Some(vec![namespace]) }),
            ..VolumeProjection::default()
        },
    ];
    Volume {
        name: TOKEN_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource { default_mode: None, sources: Some(sources) }),
        ..Volume::default()
    }
}
