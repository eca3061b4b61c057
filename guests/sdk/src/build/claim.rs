//! Templates of the claims of a StatefulSet.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use tidepool_api::{Component, View, names, shared::StorageVolume, view::STORAGE};

use crate::{Failure, same::is_quantity};

/// Class and volume attributes class of a claim.
#[derive(Clone, Copy, Debug, Default)]
pub struct Class<'a> {
    /// Storage class; the namespace's default without.
    pub storage: Option<&'a str>,
    /// Volume attributes class.
    pub attributes: Option<&'a str>,
}

/// A template: read and written by one node, of this size.
pub fn template(name: &str, size: Option<&Quantity>, class: Class<'_>) -> PersistentVolumeClaim {
    let requests = size.map(|size| BTreeMap::from([(STORAGE.to_owned(), size.clone())]));
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements { limits: None, requests }),
            storage_class_name: class.storage.map(str::to_owned),
            volume_attributes_class_name: class.attributes.map(str::to_owned),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// Templates of the claims of a component that keeps data: the data volume, which has the component's name, and the
/// further ones.
///
/// # Errors
/// When the spec asks for resources and does not say how much storage.
pub fn with_data(view: &View<'_>, class: Class<'_>) -> Result<Vec<PersistentVolumeClaim>, Failure> {
    if view.storage_request().is_none() && !view.resources().requests.is_empty() {
        let field = format!("spec.{}.requests.storage", view.kind());
        return Err(Failure::InvalidSpec(format!("{field}: the size of the data volume is missing")));
    }
    let mut claims = vec![template(view.kind().name(), view.storage_request(), class)];
    claims.extend(of_storage_volumes(view.kind(), view.storage_volumes(), class));
    Ok(claims)
}

/// Templates of a component's further volumes; what a volume leaves open is as for the component's data.
pub fn of_storage_volumes(
    component: Component,
    volumes: &[StorageVolume],
    class: Class<'_>,
) -> Vec<PersistentVolumeClaim> {
    let sized = volumes.iter().filter(|volume| is_quantity(&volume.storage_size));
    sized
        .map(|volume| {
            let own = Class {
                storage: volume.storage_class_name.as_deref().or(class.storage),
                attributes: volume.volume_attributes_class_name.as_deref().or(class.attributes),
            };
            let size = Quantity(volume.storage_size.clone());
            template(&names::storage_volume(component, &volume.name), Some(&size), own)
        })
        .collect()
}
