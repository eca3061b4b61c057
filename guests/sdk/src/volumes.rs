//! What a component's status says of its volumes: how many are as the spec wants them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};
use tidepool_api::{
    View,
    labels::pvc_status,
    names::{claim_name, storage_volume},
    shared::StorageVolume,
    status::{Phase, VolumeStatus},
};
use tidepool_model::snapshot::PodRow;

use crate::{
    Failure, Plan, Snapshot,
    build::claim::Class,
    claims,
    live::Live,
    same::quantity,
    wait::{self, Reason},
    world::{World, watch},
};

/// A volume that each pod of a component is to have.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Name of the claim template.
    pub name: String,
    /// Size.
    pub size: Option<Quantity>,
    /// Storage class; any without.
    pub class: Option<String>,
    /// Volume attributes class; any without.
    pub attributes: Option<String>,
}

/// The status of the volumes of a component's pods. `watch` selects its claims.
///
/// # Errors
/// When the host could not read the claims.
pub fn of_pods(
    snapshot: &Snapshot,
    watch: u32,
    pods: &[PodRow],
    wanted: &[Wanted],
) -> Result<BTreeMap<String, VolumeStatus>, Failure> {
    let mut found: Vec<(&str, Live)> = Vec::new();
    for pod in pods {
        for volume in wanted {
            let claim = Live::read(snapshot, watch, &claim_name(&volume.name, &pod.name))?;
            found.extend(claim.map(|claim| (volume.name.as_str(), claim)));
        }
    }
    Ok(status(wanted, found.iter().map(|(template, claim)| (*template, claim))))
}

/// The volumes of a component that keeps data: the data volume, which has the component's name, and the further ones.
pub fn with_data(view: &View<'_>, class: Class<'_>) -> Vec<Wanted> {
    let data = Wanted {
        name: view.kind().name().to_owned(),
        size: view.storage_request().cloned(),
        class: class.storage.map(str::to_owned),
        attributes: class.attributes.map(str::to_owned),
    };
    std::iter::once(data).chain(further(view, class)).collect()
}

/// A component's further volumes; what a volume leaves open is as for the component's data.
pub fn further(view: &View<'_>, class: Class<'_>) -> Vec<Wanted> {
    let volume = |volume: &StorageVolume| Wanted {
        name: storage_volume(view.kind(), &volume.name),
        size: Some(Quantity(volume.storage_size.clone())),
        class: volume.storage_class_name.as_deref().or(class.storage).map(str::to_owned),
        attributes: volume.volume_attributes_class_name.as_deref().or(class.attributes).map(str::to_owned),
    };
    view.storage_volumes().iter().map(volume).collect()
}

/// Makes claims bigger that are smaller than the spec wants, one pod after another, while the component is in phase
/// `Normal`. The claim templates of the StatefulSet stay as they were made: a claim of a new pod grows after it is made, and
/// nothing is recreated for it (safety rule S14).
///
/// # Errors
/// When the host could not read a claim.
pub fn grow(world: &World<'_>, phase: &str, wanted: &[Wanted], plan: &mut Plan) -> Result<(), Failure> {
    if phase != Phase::NORMAL {
        return Ok(());
    }
    for pod in &world.pods {
        let mut growing = false;
        for volume in wanted {
            let claim = Live::read(world.snapshot, watch::CLAIM, &claim_name(&volume.name, &pod.name))?;
            let claim = claim.filter(|claim| !claim.deleting() && claim.text("/status/phase") == "Bound");
            growing |= claim.is_some_and(|claim| grow_one(volume, &claim, plan));
        }
        if growing {
            break;
        }
    }
    Ok(())
}

/// Whether the claim is being changed.
fn grow_one(wanted: &Wanted, claim: &Live, plan: &mut Plan) -> bool {
    let amount = |pointer: &str| quantity(claim.text(pointer));
    let subject = format!("persistentvolumeclaim/{}", claim.name());
    let mut spec = serde_json::Map::new();
    if let Some(size) = &wanted.size {
        let (now, target) = (amount("/spec/resources/requests/storage"), quantity(&size.0));
        if target < now {
            let message = format!("a volume does not shrink: {} stays as it is", claim.name());
            plan.wait(wait::on(Reason::CannotApply, subject.clone(), message));
        } else if target > now {
            spec.insert("resources".to_owned(), json!({"requests": {"storage": size.0}}));
        }
    }
    if let Some(class) =
        wanted.attributes.as_deref().filter(|class| *class != claim.text("/spec/volumeAttributesClassName"))
    {
        spec.insert("volumeAttributesClassName".to_owned(), class.into());
    }
    let class = claim.text("/spec/storageClassName");
    if let Some(wanted) = wanted.class.as_deref().filter(|wanted| *wanted != class) {
        let message = format!(
            "{} stays in storage class {class}, because Kubernetes cannot change it. New pods get {wanted} once the \
             StatefulSet is made anew: delete it with --cascade=orphan, its pods go on meanwhile",
            claim.name()
        );
        plan.wait(wait::on(Reason::CannotApply, subject.clone(), message));
    }
    let patched = !spec.is_empty();
    if patched {
        plan.merge_patch(claims::reference(claim), json!({ "spec": spec }), claim.unchanged());
    }
    let growing = patched || amount("/status/capacity/storage") < amount("/spec/resources/requests/storage");
    if growing {
        plan.wait(wait::on(
            Reason::ClaimNotReady,
            subject,
            format!("{} is being made bigger{}", claim.name(), why(claim)),
        ));
    }
    growing
}

/// What Kubernetes says of a claim that grows: that it waits for its file system, or what failed.
fn why(claim: &Live) -> String {
    let conditions: Vec<Value> = claim.at("/status/conditions").unwrap_or_default();
    let said = conditions.iter().filter(|condition| condition["status"] == "True");
    let text = said.filter_map(|condition| condition["message"].as_str()).find(|message| !message.is_empty());
    text.map(|text| format!(": {text}")).unwrap_or_default()
}

/// The status of the volumes. `claims` are those of all pods, each with the name of its template.
pub fn status<'a>(
    wanted: &[Wanted],
    claims: impl IntoIterator<Item = (&'a str, &'a Live)>,
) -> BTreeMap<String, VolumeStatus> {
    let mut all: BTreeMap<String, VolumeStatus> = BTreeMap::new();
    for (template, claim) in claims {
        let Some(wanted) = wanted.iter().find(|wanted| wanted.name == template) else { continue };
        let volume = all.entry(template.to_owned()).or_insert_with(|| VolumeStatus {
            name: template.to_owned(),
            modified_capacity: wanted.size.clone().unwrap_or_default(),
            modified_storage_class: wanted.class.clone().unwrap_or_default(),
            ..VolumeStatus::default()
        });
        count(volume, wanted, claim);
    }
    all.into_values().map(|volume| (volume.name.clone(), finished(volume))).collect()
}

fn count(volume: &mut VolumeStatus, wanted: &Wanted, claim: &Live) {
    if claim.text("/status/phase") == "Bound" {
        volume.bound_count += 1;
    }
    let capacity = claim.text("/status/capacity/storage");
    let class = claim.annotation(pvc_status::STORAGE_CLASS).unwrap_or_else(|| claim.text("/spec/storageClassName"));
    let sized = wanted.size.as_ref().is_none_or(|size| quantity(&size.0) == quantity(capacity));
    let classed = wanted.class.as_deref().is_none_or(|wanted| wanted == class);
    if sized && classed {
        volume.modified_count += 1;
        if wanted.class.is_none() {
            class.clone_into(&mut volume.modified_storage_class);
        }
    } else {
        volume.current_count += 1;
        volume.current_capacity = Quantity(capacity.to_owned());
        class.clone_into(&mut volume.current_storage_class);
    }
}

/// Where every volume is as wanted, what is and what is wanted are the same.
fn finished(mut volume: VolumeStatus) -> VolumeStatus {
    if volume.current_count == 0 {
        volume.current_count = volume.modified_count;
        volume.current_capacity = volume.modified_capacity.clone();
        volume.current_storage_class = volume.modified_storage_class.clone();
    }
    volume.resized_count = volume.modified_count;
    volume.resized_capacity = volume.modified_capacity.clone();
    volume
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(size: &str) -> Live {
        Live::from_value(json!({
            "spec": {"storageClassName": "fast"},
            "status": {"phase": "Bound", "capacity": {"storage": size}},
        }))
    }

    #[test]
    fn volumes_are_counted_by_what_they_are() {
        let wanted = [Wanted { name: "pd".into(), size: Some(Quantity("20Gi".into())), class: None, attributes: None }];
        let claims = [claim("10Gi"), claim("20480Mi")];
        let all = status(&wanted, claims.iter().map(|claim| ("pd", claim)));
        let pd = &all["pd"];
        assert_eq!((pd.bound_count, pd.current_count, pd.modified_count), (2, 1, 1));
        assert_eq!(pd.current_capacity.0, "10Gi");
        let same = status(&wanted, claims[1..].iter().map(|claim| ("pd", claim)));
        assert_eq!(same["pd"].current_capacity.0, "20Gi");
        assert_eq!(same["pd"].current_storage_class, "fast");
    }
}
