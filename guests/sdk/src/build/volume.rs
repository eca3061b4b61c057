//! Volumes and mounts.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, KeyToPath, ObjectFieldSelector,
    SecretVolumeSource, Volume, VolumeMount,
};
use tidepool_api::{Component, names, shared::StorageVolume};

use crate::build::config_map::{CONFIG_FILE, STARTUP_SCRIPT};

/// Name of the volume with the pod's annotations, which start scripts read.
pub const ANNOTATIONS: &str = "annotations";
/// Where it is mounted.
pub const ANNOTATIONS_PATH: &str = "/etc/podinfo";

/// Name of the volume with the configuration of a component's server.
pub const CONFIG: &str = "config";

/// Volumes that the pod of every server has: its annotations, its configuration as `file`, and its start script.
pub fn of_server(config_map: &str, file: &str, script: &str) -> Vec<Volume> {
    vec![
        annotations(),
        self::config_map(CONFIG, config_map, CONFIG_FILE, file),
        self::config_map(STARTUP_SCRIPT, config_map, STARTUP_SCRIPT, script),
    ]
}

/// The pod's annotations as a file.
pub fn annotations() -> Volume {
    let file = DownwardAPIVolumeFile {
        field_ref: Some(ObjectFieldSelector { api_version: None, field_path: "metadata.annotations".to_owned() }),
        path: "annotations".to_owned(),
        ..DownwardAPIVolumeFile::default()
    };
    Volume {
        name: ANNOTATIONS.to_owned(),
        downward_api: Some(DownwardAPIVolumeSource { items: Some(vec![file]), default_mode: None }),
        ..Volume::default()
    }
}

/// One key of a ConfigMap as a file.
pub fn config_map(volume: &str, config_map: &str, key: &str, path: &str) -> Volume {
    let item = KeyToPath { key: key.to_owned(), path: path.to_owned(), mode: None };
    Volume {
        name: volume.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.to_owned(),
            items: Some(vec![item]),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A Secret as files.
pub fn secret(volume: &str, secret: &str) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource { secret_name: Some(secret.to_owned()), ..SecretVolumeSource::default() }),
        ..Volume::default()
    }
}

/// A mount that can be written.
pub fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

/// A mount that can only be read.
pub fn mount_read_only(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(volume, path) }
}

/// Mounts of a component's further volumes, those that say where.
pub fn storage_mounts(component: Component, volumes: &[StorageVolume]) -> Vec<VolumeMount> {
    let mounted = volumes.iter().filter(|volume| !volume.mount_path.is_empty());
    mounted.map(|volume| mount(&names::storage_volume(component, &volume.name), &volume.mount_path)).collect()
}
