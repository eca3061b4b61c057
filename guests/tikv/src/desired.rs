//! What TiKV is to be in Kubernetes: Service, configuration, StatefulSet. All of it follows from the spec, but for the
//! number of replicas that failover adds and the name of the ConfigMap in use.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Container, SecurityContext, Service, Volume, VolumeMount},
};
use tidepool_sdk::{
    Failure,
    api::{
        Component, TidbCluster, View,
        config::{Table, TablePath, Value},
        names::ports::{TIKV as TIKV_PORT, TIKV_STATUS},
        quantity,
        status::TikvStatus,
        tikv::TikvSpec,
        version::Version,
        view::STORAGE,
    },
    build::{
        claim::{self, Class},
        config_map::{self, Data, STARTUP_SCRIPT},
        container, env, pod, service as services,
        set::{self, Parts},
        volume,
    },
    volumes::Wanted,
};

use crate::{script::start_script, status, world::World};

/// Name of TiKV's container and of its data volume.
pub const TIKV: &str = "tikv";
/// Where the data is mounted.
pub const DATA_PATH: &str = "/var/lib/tikv";
/// Where the certificate of TiKV's servers is mounted.
pub const TLS_PATH: &str = "/var/lib/tikv-tls";
const CLUSTER_CLIENT_TLS_PATH: &str = "/var/lib/cluster-client-tls";

/// Settings that were written as text although they are numbers, by users of old versions.
const NUMBERS_AS_TEXT: [&str; 2] = ["pessimistic-txn.wait-for-lock-timeout", "pessimistic-txn.wake-up-delay-duration"];

/// The headless Service: names of the stores, also before they are ready.
pub fn peer_service(cluster: &TidbCluster) -> Service {
    services::headless(cluster, Component::Tikv, vec![services::port("peer", TIKV_PORT)])
}

/// Data of the ConfigMap; none without a configuration.
///
/// # Errors
/// When the configuration is no TOML.
pub fn config_data(world: &World<'_>) -> Result<Option<Data>, Failure> {
    let table = configuration(world.cluster, &world.view)?;
    Ok(table.map(|table| config_map::data(&table, start_script(world.cluster))))
}

fn configuration(cluster: &TidbCluster, view: &View<'_>) -> Result<Option<Table>, Failure> {
    let mut forced: Vec<(&str, Value)> = Vec::new();
    if cluster.tls_enabled() {
        forced.push(("security.ca-path", format!("{TLS_PATH}/ca.crt").into()));
        forced.push(("security.cert-path", format!("{TLS_PATH}/tls.crt").into()));
        forced.push(("security.key-path", format!("{TLS_PATH}/tls.key").into()));
    }
    let mut table = config_map::table_with(view, forced)?;
    NUMBERS_AS_TEXT.iter().for_each(|path| table.iter_mut().for_each(|table| unquote(table, path)));
    Ok(table)
}

fn unquote(table: &mut Table, path: &str) {
    let number = table.at(path).and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok());
    if let Some(number) = number {
        table.set(path, number);
    }
}

/// Classes of the volumes.
fn class(spec: &TikvSpec) -> Class<'_> {
    Class { storage: spec.storage_class_name.as_deref(), attributes: spec.volume_attributes_class_name.as_deref() }
}

/// Volumes that each pod is to have.
pub fn storage(world: &World<'_>) -> Vec<Wanted> {
    tidepool_sdk::volumes::with_data(&world.view, class(world.spec))
}

/// The StatefulSet.
///
/// # Errors
/// When the spec does not fit together.
pub fn stateful_set(world: &World<'_>, status: &TikvStatus, config_map: &str) -> Result<StatefulSet, Failure> {
    let (cluster, view, spec) = (world.cluster, &world.view, world.spec);
    let mut containers = log_tailers(cluster, view, spec)?;
    let mut main = container::main(view, main_container(cluster, view, spec));
    add_mounts(&mut main, cluster, view, spec);
    containers.push(main);
    let parts = pod::Parts {
        containers,
        volumes: volumes(cluster, spec, config_map),
        annotations: pod::prometheus_annotations(TIKV_STATUS),
        sysctl: true,
        ..pod::Parts::default()
    };
    let parts = Parts {
        replicas: status::replicas(world, status),
        template: pod::template(cluster, view, parts)?,
        claims: claim::with_data(view, class(spec))?,
        on_delete: status.vol_replace_in_progress,
    };
    Ok(set::stateful_set(cluster, view, parts))
}

fn main_container(cluster: &TidbCluster, view: &View<'_>, spec: &TikvSpec) -> Container {
    let mut variables = vec![
        env::field("NAMESPACE", "metadata.namespace"),
        env::value("CLUSTER_NAME", cluster.name()),
        env::value("HEADLESS_SERVICE_NAME", cluster.peer_service_name(Component::Tikv)),
        env::value("CAPACITY", capacity(view)),
        env::value("TZ", cluster.spec.timezone.clone()),
    ];
    variables.extend(env::pod_name(view.host_network()));
    let mut ports = vec![container::port("server", TIKV_PORT)];
    if spec.enable_named_status_port {
        ports.push(container::port("status", TIKV_STATUS));
    }
    let privileged =
        || SecurityContext { privileged: Some(spec.privileged == Some(true)), ..SecurityContext::default() };
    Container {
        name: TIKV.to_owned(),
        command: Some(vec!["/bin/sh".to_owned(), "/usr/local/bin/tikv_start_script.sh".to_owned()]),
        ports: Some(ports),
        env: Some(variables),
        volume_mounts: Some(vec![
            volume::mount_read_only(volume::ANNOTATIONS, volume::ANNOTATIONS_PATH),
            volume::mount(TIKV, DATA_PATH),
            volume::mount_read_only("config", "/etc/tikv"),
            volume::mount_read_only(STARTUP_SCRIPT, "/usr/local/bin"),
        ]),
        readiness_probe: container::readiness(view.own().readiness_probe.as_ref(), TIKV_PORT),
        security_context: Some(view.own().security_context.clone().unwrap_or_else(privileged)),
        ..Container::default()
    }
}

/// How much TiKV may store, in the words of its flag; 0 for all that there is.
fn capacity(view: &View<'_>) -> String {
    const MIB: i64 = 1 << 20;
    const GIB: i64 = 1 << 30;
    let bytes = view.resources().limits.get(STORAGE).and_then(quantity::amount).map_or(0, quantity::Amount::whole);
    match bytes {
        ..=0 => "0".to_owned(),
        whole if whole % GIB == 0 => format!("{}GB", whole / GIB),
        other => format!("{}MB", other / MIB),
    }
}

/// Mounts that come after the user's own.
fn add_mounts(main: &mut Container, cluster: &TidbCluster, view: &View<'_>, spec: &TikvSpec) {
    let mounts = main.volume_mounts.get_or_insert_default();
    for (name, _, path) in secrets(cluster, spec) {
        mounts.push(volume::mount_read_only(name, path));
    }
    mounts.extend(volume::storage_mounts(Component::Tikv, view.storage_volumes()));
}

fn volumes(cluster: &TidbCluster, spec: &TikvSpec, config_map: &str) -> Vec<Volume> {
    let mut volumes = volume::of_server(config_map, "tikv.toml", "tikv_start_script.sh");
    volumes.extend(secrets(cluster, spec).into_iter().map(|(name, secret, _)| volume::secret(name, &secret)));
    volumes
}

/// Volume, Secret and path of each certificate.
fn secrets(cluster: &TidbCluster, spec: &TikvSpec) -> Vec<(&'static str, String, &'static str)> {
    let mut all = Vec::new();
    if cluster.tls_enabled() {
        all.push(("tikv-tls", cluster.cluster_tls_secret(Component::Tikv), TLS_PATH));
        if spec.mount_cluster_client_secret == Some(true) {
            all.push(("cluster-client-tls", cluster.cluster_client_tls_secret(), CLUSTER_CLIENT_TLS_PATH));
        }
    }
    all
}

/// Containers that show the logs of TiKV's two stores of keys.
fn log_tailers(cluster: &TidbCluster, view: &View<'_>, spec: &TikvSpec) -> Result<Vec<Container>, Failure> {
    // Before version 5 the logs lay in the directories of the stores.
    let old = Version::parse(&view.image_version()).is_some_and(|version| !version.at_least(5, 0, 0));
    let logs = [
        ("rocksdblog", spec.separate_rocks_db_log, &spec.rocks_db_log_volume_name, ["rocksdb.info", "db/LOG"]),
        ("raftlog", spec.separate_raft_log, &spec.raft_log_volume_name, ["raftdb.info", "raft/LOG"]),
    ];
    let mut all = Vec::new();
    for (name, wanted, given, files) in logs {
        if wanted != Some(true) {
            continue;
        }
        let mount = log_mount(view, given, name)?;
        let file = format!("{}/{}", mount.mount_path, files[usize::from(old)]);
        let own = spec.log_tailer.as_ref();
        let (resources, context) = (own.map(|t| &t.resources), own.and_then(|t| t.security_context.as_ref()));
        all.push(container::tailer(cluster, name, &file, Some(mount), resources, context));
    }
    Ok(all)
}

/// The mount of the volume in which a log is: the data volume unless the user names one.
fn log_mount(view: &View<'_>, given: &str, log: &str) -> Result<VolumeMount, Failure> {
    if given.is_empty() {
        return Ok(volume::mount(TIKV, DATA_PATH));
    }
    let further = volume::storage_mounts(Component::Tikv, view.storage_volumes());
    let own_name = format!("{TIKV}-{given}");
    let found = further.into_iter().find(|mount| mount.name == own_name);
    let additional = || view.own().additional_volume_mounts.iter().find(|mount| mount.name == given).cloned();
    let field = if log == "raftlog" { "raftLogVolumeName" } else { "rocksDBLogVolumeName" };
    found
        .or_else(additional)
        .ok_or_else(|| Failure::InvalidSpec(format!("spec.tikv.{field}: {given:?} is no volume that is mounted")))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use tidepool_sdk::api::{Config, TidbCluster};

    use super::*;

    fn cluster(limit: Option<&str>, config: &str) -> TidbCluster {
        let mut cluster = TidbCluster::default();
        let mut tikv = TikvSpec { config: Some(Config::Text(config.into())), ..TikvSpec::default() };
        if let Some(limit) = limit {
            tikv.resources.limits.insert(STORAGE.into(), Quantity(limit.into()));
        }
        cluster.spec.tikv = Some(tikv);
        cluster
    }

    #[test]
    fn the_capacity_is_in_gib_where_that_is_exact() {
        let rows = [(None, "0"), (Some("100Gi"), "100GB"), (Some("1536Mi"), "1536MB"), (Some("1G"), "953MB")];
        for (limit, expected) in rows {
            let cluster = cluster(limit, "");
            let view = cluster.component(Component::Tikv).expect("there is a TiKV");
            assert_eq!(capacity(&view), expected, "{limit:?}");
        }
    }

    #[test]
    fn numbers_that_were_written_as_text_become_numbers() {
        let cluster =
            cluster(None, "[pessimistic-txn]\nwait-for-lock-timeout = \"1000\"\nwake-up-delay-duration = \"2s\"");
        let view = cluster.component(Component::Tikv).expect("there is a TiKV");
        let table = configuration(&cluster, &view).expect("TOML").expect("there is a configuration");
        assert_eq!(table.at("pessimistic-txn.wait-for-lock-timeout"), Some(&1000_i64.into()));
        assert_eq!(table.at("pessimistic-txn.wake-up-delay-duration"), Some(&"2s".to_owned().into()));
    }
}
