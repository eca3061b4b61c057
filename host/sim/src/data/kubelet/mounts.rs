//! The files that a pod's containers see, and what is missing before they can start.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, Volume};
use kube::{Api, Client};

use super::has_program;
use crate::data::process::launch::Files;

/// What was gathered for a pod.
#[derive(Clone, Debug, Default)]
pub struct Mounted {
    /// The container that the simulator has a program for.
    pub program: Option<String>,
    /// The program's data: which disk, and how many bytes it holds.
    pub disk: (String, u64),
    pod: Option<Box<Pod>>,
    files: BTreeMap<String, Files>,
}

impl Mounted {
    /// The files of one container, by path.
    pub fn files(&self, container: &str) -> Files {
        self.files.get(container).cloned().unwrap_or_default()
    }

    /// The pod, and its container with a program.
    pub fn program_spec(&self) -> Option<(&Pod, &Container)> {
        let pod = self.pod.as_deref()?;
        let name = self.program.as_deref()?;
        let spec = pod.spec.as_ref()?.containers.iter().find(|container| container.name == name)?;
        Some((pod, spec))
    }
}

/// Something that a pod refers to and that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The mount that fails.
    pub message: String,
    /// Set when it is an environment variable's source: the container and the kubelet's words.
    pub container: Option<(String, String)>,
}

/// Gathers the files of `pod`. `disk_of` tells disk and size behind a claim.
///
/// # Errors
/// When a ConfigMap or Secret that is not optional does not exist, or cannot be read now.
pub async fn gather(
    client: &Client,
    pod: &Pod,
    disk_of: impl Fn(&str) -> Option<(String, u64)>,
) -> Result<Mounted, Missing> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let source = Source {
        config_maps: Api::namespaced(client.clone(), namespace),
        secrets: Api::namespaced(client.clone(), namespace),
    };
    let Some(spec) = &pod.spec else { return Ok(Mounted::default()) };
    let mut contents: BTreeMap<&str, Files> = BTreeMap::new();
    for volume in spec.volumes.iter().flatten() {
        contents.insert(&volume.name, source.volume(volume).await?);
    }
    let mut mounted = Mounted { pod: Some(Box::new(pod.clone())), ..Mounted::default() };
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        source.environment(container).await?;
        let mut files = Files::new();
        for mount in container.volume_mounts.iter().flatten() {
            for (name, text) in contents.get(mount.name.as_str()).into_iter().flatten() {
                files.insert(format!("{}/{name}", mount.mount_path), text.clone());
            }
        }
        mounted.files.insert(container.name.clone(), files);
    }
    if let Some(container) = spec.containers.iter().find(|container| has_program(pod, container)) {
        mounted.program = Some(container.name.clone());
        mounted.disk = data_disk(pod, container, disk_of);
    }
    Ok(mounted)
}

/// The claim that the program writes to: the one at its data folder, else its first, else the pod's own disk.
fn data_disk(pod: &Pod, container: &Container, disk_of: impl Fn(&str) -> Option<(String, u64)>) -> (String, u64) {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let claims: BTreeMap<&str, &str> = volumes
        .filter_map(|volume| Some((volume.name.as_str(), volume.persistent_volume_claim.as_ref()?.claim_name.as_str())))
        .collect();
    let mounts = || {
        let all = container.volume_mounts.iter().flatten();
        all.filter_map(|mount| claims.get(mount.name.as_str()).map(|claim| (mount, *claim)))
    };
    let at_data = mounts().find(|(mount, _)| {
        mount.name == container.name
            || mount.mount_path == format!("/var/lib/{}", container.name)
            || mount.name == "data0"
    });
    let chosen = at_data.or_else(|| mounts().next()).and_then(|(_, claim)| disk_of(claim));
    chosen.unwrap_or_else(|| (own_disk(pod.metadata.uid.as_deref().unwrap_or_default()), 0))
}

/// The disk of a pod without a claim: it goes with the pod.
pub fn own_disk(uid: &str) -> String {
    format!("pod/{uid}")
}

struct Source {
    config_maps: Api<ConfigMap>,
    secrets: Api<Secret>,
}

impl Source {
    async fn volume(&self, volume: &Volume) -> Result<Files, Missing> {
        let fails = |what: String| Missing {
            message: format!("MountVolume.SetUp failed for volume \"{}\" : {what}", volume.name),
            container: None,
        };
        if let Some(source) = &volume.config_map {
            let data = self.config_map(&source.name).await.map_err(fails);
            let data = if source.optional == Some(true) { data.unwrap_or_default() } else { data? };
            let Some(items) = &source.items else { return Ok(data) };
            let picked = items.iter().filter_map(|item| Some((item.path.clone(), data.get(&item.key)?.clone())));
            return Ok(picked.collect());
        }
        if let Some(source) = &volume.secret
            && source.optional != Some(true)
        {
            self.secret(source.secret_name.as_deref().unwrap_or_default()).await.map_err(fails)?;
        }
        Ok(Files::new())
    }

    /// Sources of environment variables must exist too.
    async fn environment(&self, container: &Container) -> Result<(), Missing> {
        let fails = |what: String| Missing { message: what.clone(), container: Some((container.name.clone(), what)) };
        for variable in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            if let Some(source) = variable.config_map_key_ref.as_ref().filter(|source| source.optional != Some(true)) {
                self.config_map(&source.name).await.map_err(fails)?;
            }
            if let Some(source) = variable.secret_key_ref.as_ref().filter(|source| source.optional != Some(true)) {
                self.secret(&source.name).await.map_err(fails)?;
            }
        }
        for source in container.env_from.iter().flatten() {
            if let Some(source) = source.config_map_ref.as_ref().filter(|source| source.optional != Some(true)) {
                self.config_map(&source.name).await.map_err(fails)?;
            }
            if let Some(source) = source.secret_ref.as_ref().filter(|source| source.optional != Some(true)) {
                self.secret(&source.name).await.map_err(fails)?;
            }
        }
        Ok(())
    }

    async fn config_map(&self, name: &str) -> Result<Files, String> {
        match self.config_maps.get_opt(name).await {
            Ok(Some(found)) => Ok(found.data.unwrap_or_default()),
            Ok(None) => Err(format!("configmap \"{name}\" not found")),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn secret(&self, name: &str) -> Result<(), String> {
        match self.secrets.get_opt(name).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!("secret \"{name}\" not found")),
            Err(error) => Err(error.to_string()),
        }
    }
}
