//! What a service is to be in Kubernetes: Services, configuration, StatefulSet. All of it follows from the spec.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Container, Service, Volume, VolumeMount},
};
use tidepool_sdk::{
    Failure,
    api::{
        Component, TidbCluster,
        config::{Table, TablePath},
        names::ports::PD_CLIENT,
        pdms::PdmsSpec,
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

/// The Service for clients, and the headless one: names of the members, also before they are ready.
pub fn services(world: &World<'_>) -> [Service; 2] {
    pd_server::services(world.cluster, world.component(), world.spec.service.as_ref())
}

/// Data of the ConfigMap, also without a configuration.
///
/// # Errors
/// When the configuration is no TOML.
pub fn config_data(world: &World<'_>) -> Result<Data, Failure> {
    let invalid = |text: String| Failure::InvalidSpec(format!("{}.config: {text}", path(world)));
    let mut table = match world.view.config() {
        Some(config) => config.table().map_err(|error| invalid(error.to_string()))?,
        None => Table::new(),
    };
    if world.cluster.tls_enabled() {
        for (key, file) in [("cacert-path", "ca.crt"), ("cert-path", "tls.crt"), ("key-path", "tls.key")] {
            if !table.set(&format!("security.{key}"), format!("{TLS_PATH}/{file}")) {
                return Err(invalid("security needs a table".to_owned()));
            }
        }
    }
    Ok(config_map::data(&table, start_script(world)))
}

/// Where the service is in the spec.
fn path(world: &World<'_>) -> String {
    let at = world.cluster.spec.pdms.iter().position(|service| service.name == world.spec.name);
    format!("spec.pdms[{}]", at.unwrap_or_default())
}

/// The StatefulSet.
///
/// # Errors
/// When the spec does not fit together.
pub fn stateful_set(world: &World<'_>, config_map: &str) -> Result<StatefulSet, Failure> {
    let (cluster, view, spec) = (world.cluster, &world.view, world.spec);
    let (volumes, mounts) = volumes(world, config_map);
    let parts = pod::Parts {
        containers: vec![container::main(
            view,
            main_container(cluster, world.component(), view.host_network(), mounts),
        )],
        volumes,
        annotations: pod::prometheus_annotations(PD_CLIENT),
        sysctl: true,
        ..pod::Parts::default()
    };
    let mut template = pod::template(cluster, view, parts)?;
    if let Some(pod) = &mut template.spec {
        // The cluster's service account is not for PD's services: clusters that are taken over run without it.
        pod.service_account_name = Some(spec.service_account.clone()).filter(|name| !name.is_empty());
    }
    let claims = claim::of_storage_volumes(world.component(), view.storage_volumes(), class(spec));
    Ok(set::stateful_set(cluster, view, Parts { replicas: view.replicas(), template, claims, on_delete: false }))
}

/// Classes of the further volumes.
pub fn class(spec: &PdmsSpec) -> Class<'_> {
    Class { storage: spec.storage_class_name.as_deref(), attributes: spec.volume_attributes_class_name.as_deref() }
}

fn main_container(
    cluster: &TidbCluster,
    component: Component,
    host_network: bool,
    mounts: Vec<VolumeMount>,
) -> Container {
    let mut variables = pd_server::variables(cluster, component);
    variables.push(env::value("CLUSTER_NAME", cluster.name()));
    variables.push(env::value("HEADLESS_SERVICE_NAME", cluster.peer_service_name(component)));
    variables.extend(env::pod_name(host_network));
    Container {
        name: component.name().to_owned(),
        command: Some(vec!["/bin/sh".to_owned(), "/usr/local/bin/pdms_start_script.sh".to_owned()]),
        ports: Some(vec![container::port("server", PD_CLIENT)]),
        env: Some(variables),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn volumes(world: &World<'_>, config_map: &str) -> (Vec<Volume>, Vec<VolumeMount>) {
    let (mut volumes, mut mounts) = pd_server::files(config_map, "pdms_start_script.sh");
    let with_clients = world.spec.mount_cluster_client_secret == Some(true);
    let (secrets, mounted) = pd_server::certificates(world.cluster, with_clients);
    volumes.extend(secrets);
    mounts.extend(mounted);
    mounts.extend(volume::storage_mounts(world.component(), world.view.storage_volumes()));
    (volumes, mounts)
}
