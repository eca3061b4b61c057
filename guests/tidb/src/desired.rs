//! What TiDB is to be in Kubernetes besides Services: configuration and StatefulSet. All of it follows from the spec, but
//! for the number of replicas that failover adds and the name of the ConfigMap in use.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Container, EmptyDirVolumeSource, ExecAction, PersistentVolumeClaim, Probe, Volume, VolumeMount},
};
use tidepool_sdk::{
    Failure,
    api::{
        Component, TidbCluster, View,
        config::Value,
        names::ports::{TIDB as TIDB_PORT, TIDB_STATUS},
        status::TidbStatus,
        tidb::{CustomizedStartupProbe, TidbSpec},
    },
    build::{
        claim::{self, Class},
        config_map::{self, Data, STARTUP_SCRIPT},
        container, env, pod,
        set::{self, Parts},
        volume,
    },
    volumes::Wanted,
};

use crate::{
    script::{binlog_enabled, start_script},
    status,
    world::World,
};

/// Name of TiDB's container.
pub const TIDB: &str = "tidb";
/// Where the certificate between components is mounted.
pub const TLS_PATH: &str = "/var/lib/tidb-tls";
const SERVER_TLS_PATH: &str = "/var/lib/tidb-server-tls";
const AUTH_TOKEN_PATH: &str = "/var/lib/tidb-auth-token";
const BOOTSTRAP_PATH: &str = "/etc/tidb-bootstrap";
const STARTUP_PROBE_PATH: &str = "/var/lib/customized-startup-probe";
/// Name of the slow log's container and of its volume.
const SLOW_LOG: &str = "slowlog";
const SLOW_LOG_PATH: &str = "/var/log/tidb";

/// Data of the ConfigMap; none without a configuration.
///
/// # Errors
/// When the configuration is no TOML.
pub fn config_data(world: &World<'_>) -> Result<Option<Data>, Failure> {
    let table = config_map::table_with(&world.view, forced(world.cluster, world.spec))?;
    Ok(table.map(|table| config_map::data(&table, start_script(world.cluster, world.spec))))
}

/// Settings that follow from the rest of the spec, whatever the user's configuration says.
fn forced(cluster: &TidbCluster, spec: &TidbSpec) -> Vec<(&'static str, Value)> {
    let mut all: Vec<(&'static str, Value)> = Vec::new();
    if spec.token_based_auth_enabled == Some(true) {
        all.push(("security.auth-token-jwks", format!("{AUTH_TOKEN_PATH}/tidb_auth_token_jwks.json").into()));
    }
    if cluster.tls_enabled() {
        all.push(("security.cluster-ssl-ca", format!("{TLS_PATH}/ca.crt").into()));
        all.push(("security.cluster-ssl-cert", format!("{TLS_PATH}/tls.crt").into()));
        all.push(("security.cluster-ssl-key", format!("{TLS_PATH}/tls.key").into()));
        // TiProxy moves sessions between servers, which must trust each other's tokens.
        if cluster.spec.tiproxy.as_ref().is_some_and(|tiproxy| tiproxy.replicas != 0) {
            all.push(("security.session-token-signing-key", format!("{TLS_PATH}/tls.key").into()));
            all.push(("security.session-token-signing-cert", format!("{TLS_PATH}/tls.crt").into()));
        }
    }
    if cluster.tidb_client_tls_enabled() {
        if !spec.tls_client.as_ref().is_some_and(|tls| tls.disable_client_authn) {
            all.push(("security.ssl-ca", format!("{SERVER_TLS_PATH}/ca.crt").into()));
        }
        all.push(("security.ssl-cert", format!("{SERVER_TLS_PATH}/tls.crt").into()));
        all.push(("security.ssl-key", format!("{SERVER_TLS_PATH}/tls.key").into()));
    }
    if bootstrap_sql(spec).is_some() {
        all.push(("initialize-sql-file", format!("{BOOTSTRAP_PATH}/bootstrap.sql").into()));
    }
    all
}

fn bootstrap_sql(spec: &TidbSpec) -> Option<&str> {
    spec.bootstrap_sql_config_map_name.as_deref().filter(|name| !name.is_empty())
}

/// The StatefulSet.
///
/// # Errors
/// When the spec does not fit together.
pub fn stateful_set(world: &World<'_>, status: &TidbStatus, config_map: &str) -> Result<StatefulSet, Failure> {
    let (cluster, view, spec) = (world.cluster, &world.view, world.spec);
    let slow_log = slow_log(view, spec)?;
    let mut containers = Vec::new();
    if let Some((mount, file)) = &slow_log {
        let own = spec.slow_log_tailer.as_ref();
        let (resources, context) = (own.map(|t| &t.resources), own.and_then(|t| t.security_context.as_ref()));
        containers.push(container::tailer(cluster, SLOW_LOG, file, Some(mount.clone()), resources, context));
    }
    let file = slow_log.as_ref().map_or("", |(_, file)| file);
    let mut main = container::main(view, main_container(cluster, view, spec, file));
    main.volume_mounts.get_or_insert_default().extend(late_mounts(spec, slow_log.as_ref().map(|(mount, _)| mount)));
    containers.push(main);
    let parts = pod::Parts {
        containers,
        init_containers: spec.customized_startup_probe.iter().map(copy_probe).collect(),
        volumes: volumes(cluster, spec, config_map, slow_log.is_some()),
        annotations: pod::prometheus_annotations(TIDB_STATUS),
        sysctl: true,
        ..pod::Parts::default()
    };
    let parts = Parts {
        replicas: status::replicas(world, status),
        template: pod::template(cluster, view, parts)?,
        claims: claims(view, spec),
        on_delete: status.vol_replace_in_progress,
    };
    Ok(set::stateful_set(cluster, view, parts))
}

fn main_container(cluster: &TidbCluster, view: &View<'_>, spec: &TidbSpec, slow_log_file: &str) -> Container {
    let variables = vec![
        env::value("CLUSTER_NAME", cluster.name()),
        env::value("TZ", cluster.spec.timezone.clone()),
        env::value("BINLOG_ENABLED", binlog_enabled(cluster, spec).to_string()),
        env::value("SLOW_LOG_FILE", slow_log_file),
        env::field("POD_NAME", "metadata.name"),
        env::field("NAMESPACE", "metadata.namespace"),
        env::value("HEADLESS_SERVICE_NAME", cluster.peer_service_name(Component::Tidb)),
    ];
    let mut mounts = vec![
        volume::mount_read_only(volume::ANNOTATIONS, volume::ANNOTATIONS_PATH),
        volume::mount_read_only("config", "/etc/tidb"),
        volume::mount_read_only(STARTUP_SCRIPT, "/usr/local/bin"),
    ];
    mounts.extend(sources(cluster, spec).into_iter().map(|(source, path)| volume::mount_read_only(&source.name, path)));
    mounts.extend(volume::storage_mounts(Component::Tidb, view.storage_volumes()));
    Container {
        name: TIDB.to_owned(),
        command: Some(vec!["/bin/sh".to_owned(), "/usr/local/bin/tidb_start_script.sh".to_owned()]),
        ports: Some(vec![container::port("server", TIDB_PORT), container::port("status", TIDB_STATUS)]),
        env: Some(variables),
        volume_mounts: Some(mounts),
        readiness_probe: Some(readiness(cluster, view)),
        startup_probe: spec.customized_startup_probe.as_ref().map(startup_probe),
        lifecycle: spec.lifecycle.clone(),
        ..Container::default()
    }
}

fn readiness(cluster: &TidbCluster, view: &View<'_>) -> Probe {
    let given = view.own().readiness_probe.as_ref();
    let delay = given.and_then(|given| given.initial_delay_seconds).unwrap_or(container::INITIAL_DELAY_SECONDS);
    let period = given.and_then(|given| given.period_seconds);
    if given.and_then(|given| given.probe_type.as_deref()) != Some("command") {
        return container::tcp_probe(TIDB_PORT, Some(delay), period);
    }
    let url = format!("{}://127.0.0.1:{TIDB_STATUS}/status", cluster.scheme());
    let mut command: Vec<String> = ["curl", &url, "--fail", "--location"].map(str::to_owned).to_vec();
    if cluster.tls_enabled() {
        for (flag, file) in [("--cacert", "ca.crt"), ("--cert", "tls.crt"), ("--key", "tls.key")] {
            command.extend([flag.to_owned(), format!("{TLS_PATH}/{file}")]);
        }
    }
    Probe {
        exec: Some(ExecAction { command: Some(command) }),
        initial_delay_seconds: Some(delay),
        period_seconds: period,
        ..Probe::default()
    }
}

fn startup_probe(given: &CustomizedStartupProbe) -> Probe {
    let mut command = vec![format!("{STARTUP_PROBE_PATH}/{}", given.binary_name)];
    command.extend(given.args.iter().cloned());
    let at_least_one = |number: Option<i32>| number.filter(|number| *number >= 1);
    Probe {
        exec: Some(ExecAction { command: Some(command) }),
        success_threshold: Some(1),
        timeout_seconds: at_least_one(given.timeout_seconds),
        period_seconds: at_least_one(given.period_seconds),
        failure_threshold: at_least_one(given.failure_threshold),
        ..Probe::default()
    }
}

/// The init container that copies the user's probe to where the server's container finds it.
fn copy_probe(given: &CustomizedStartupProbe) -> Container {
    let name = &given.binary_name;
    Container {
        name: name.clone(),
        image: Some(given.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]),
        args: Some(vec![format!("cp /{name} {STARTUP_PROBE_PATH}/{name}; echo \"{name} is copied\"")]),
        volume_mounts: Some(vec![volume::mount(name, STARTUP_PROBE_PATH)]),
        ..Container::default()
    }
}

/// Where the slow log is, if it has a container of its own: its mount and its file.
fn slow_log(view: &View<'_>, spec: &TidbSpec) -> Result<Option<(VolumeMount, String)>, Failure> {
    if spec.separate_slow_log == Some(false) {
        return Ok(None);
    }
    let given = spec.slow_log_volume_name.as_str();
    if given.is_empty() {
        return Ok(Some((volume::mount(SLOW_LOG, SLOW_LOG_PATH), format!("{SLOW_LOG_PATH}/{SLOW_LOG}"))));
    }
    let further = volume::storage_mounts(Component::Tidb, view.storage_volumes());
    let own_name = format!("{TIDB}-{given}");
    let found = further.into_iter().find(|mount| mount.name == own_name);
    let additional = || view.own().additional_volume_mounts.iter().find(|mount| mount.name == given).cloned();
    match found.or_else(additional) {
        Some(mount) => Ok(Some((mount.clone(), format!("{}/{given}", mount.mount_path)))),
        None => {
            Err(Failure::InvalidSpec(format!("spec.tidb.slowLogVolumeName: {given:?} is no volume that is mounted")))
        }
    }
}

/// Mounts that come after the user's own.
fn late_mounts(spec: &TidbSpec, slow_log: Option<&VolumeMount>) -> Vec<VolumeMount> {
    let own_slow_log = slow_log.filter(|mount| mount.name == SLOW_LOG).cloned();
    let probe = spec.customized_startup_probe.as_ref();
    own_slow_log.into_iter().chain(probe.map(|probe| volume::mount(&probe.binary_name, STARTUP_PROBE_PATH))).collect()
}

fn volumes(cluster: &TidbCluster, spec: &TidbSpec, config_map: &str, slow_log: bool) -> Vec<Volume> {
    let mut volumes = volume::of_server(config_map, "tidb.toml", "tidb_start_script.sh");
    volumes.extend(sources(cluster, spec).into_iter().map(|(source, _)| source));
    if slow_log && spec.slow_log_volume_name.is_empty() {
        volumes.push(empty_dir(SLOW_LOG));
    }
    volumes.extend(spec.customized_startup_probe.iter().map(|probe| empty_dir(&probe.binary_name)));
    volumes
}

/// Volumes with certificates and the like, and where they are mounted.
fn sources(cluster: &TidbCluster, spec: &TidbSpec) -> Vec<(Volume, &'static str)> {
    let mut all = Vec::new();
    if spec.token_based_auth_enabled == Some(true) {
        let secret = format!("{}-tidb-auth-token-jwks-secret", cluster.name());
        all.push((volume::secret("tidb-auth-token", &secret), AUTH_TOKEN_PATH));
    }
    if cluster.tls_enabled() {
        all.push((volume::secret("tidb-tls", &cluster.cluster_tls_secret(Component::Tidb)), TLS_PATH));
    }
    if cluster.tidb_client_tls_enabled() {
        all.push((volume::secret("tidb-server-tls", &cluster.tidb_server_tls_secret()), SERVER_TLS_PATH));
    }
    if let Some(name) = bootstrap_sql(spec) {
        let source = volume::config_map("tidb-bootstrap-sql", name, "bootstrap-sql", "bootstrap.sql");
        all.push((source, BOOTSTRAP_PATH));
    }
    all
}

fn empty_dir(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

/// Classes of the volumes.
fn class(spec: &TidbSpec) -> Class<'_> {
    Class { storage: spec.storage_class_name.as_deref(), attributes: spec.volume_attributes_class_name.as_deref() }
}

/// Volumes that each pod is to have.
pub fn storage(world: &World<'_>) -> Vec<Wanted> {
    tidepool_sdk::volumes::further(&world.view, class(world.spec))
}

fn claims(view: &View<'_>, spec: &TidbSpec) -> Vec<PersistentVolumeClaim> {
    claim::of_storage_volumes(Component::Tidb, view.storage_volumes(), class(spec))
}
