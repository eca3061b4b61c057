//! Labels that tie pods, claims and volumes to the ids that PD knows: cluster, member, store.
//!
//! An id that is there already is never overwritten: what was once one store's stays that store's.

use tidepool_sdk::{
    Failure, Plan,
    api::{
        Component,
        labels::{
            CLUSTER_ID, COMPONENT, INSTANCE, MANAGED_BY, MANAGED_BY_VALUE, MEMBER_ID, NAME, NAME_VALUE, NAMESPACE,
            POD_NAME, STORE_ID, TIKV_NO_ACTIVE_STORE_SINCE,
        },
    },
    live::Live,
    time,
};

use crate::world::{World, component, patch_metadata, watch};

const IDS: [&str; 3] = [CLUSTER_ID, MEMBER_ID, STORE_ID];

/// Plans the labels that are missing.
///
/// # Errors
/// When an object does not read.
pub fn label(world: &World<'_>, plan: &mut Plan) -> Result<(), Failure> {
    for pod in lacking(world)? {
        let Some(live) = Live::read(world.snapshot, watch::POD, &pod)? else { continue };
        let ids = ids(world, component(&live), &pod);
        let missing: Vec<_> = missing(&live, &ids);
        patch_metadata(plan, &live, &missing, &[]);
    }
    no_active_store(world, plan)?;
    claims_and_volumes(world, plan);
    Ok(())
}

/// Pods that lack an id which is known by now. Columns decide; a pod's own JSON is read only to act on it.
fn lacking(world: &World<'_>) -> Result<Vec<String>, Failure> {
    let heads = world.snapshot.objects(watch::POD)?;
    let components = world.snapshot.labels(watch::POD, COMPONENT)?;
    let mut columns = Vec::with_capacity(IDS.len());
    for key in IDS {
        columns.push((key, world.snapshot.labels(watch::POD, key)?));
    }
    let mut lacking = Vec::new();
    for (at, head) in heads.iter().enumerate().filter(|(_, head)| !head.deleting) {
        let component = components.get(at).and_then(Option::as_deref).unwrap_or_default();
        let known = ids(world, component, &head.name);
        let absent = |key: &str| columns.iter().any(|(k, column)| *k == key && matches!(column.get(at), Some(None)));
        if known.iter().any(|(key, _)| absent(key)) {
            lacking.push(head.name.clone());
        }
    }
    Ok(lacking)
}

/// The ids of a pod, as far as PD has given them.
fn ids(world: &World<'_>, component: &str, pod: &str) -> Vec<(&'static str, String)> {
    let Some(status) = &world.cluster.status else { return Vec::new() };
    let mut ids = vec![(CLUSTER_ID, status.cluster_id.clone())];
    let first = |name: &str| name.split('.').next() == Some(pod);
    match component.parse().ok() {
        Some(Component::Pd) => {
            let members = status.pd.iter().flat_map(|pd| &pd.members);
            ids.extend(members.filter(|(name, _)| first(name)).map(|(_, member)| (MEMBER_ID, member.id.clone())));
        }
        Some(Component::Tikv) => {
            let stores = status.tikv.iter().flat_map(|tikv| tikv.stores.values());
            ids.extend(stores.filter(|store| store.pod_name == pod).map(|store| (STORE_ID, store.id.clone())));
        }
        Some(Component::Tiflash) => {
            let stores = status.tiflash.iter().flat_map(|tiflash| tiflash.stores.values());
            ids.extend(stores.filter(|store| store.pod_name == pod).map(|store| (STORE_ID, store.id.clone())));
        }
        _ => {}
    }
    ids.retain(|(_, id)| !id.is_empty());
    ids
}

fn missing<'a>(live: &Live, ids: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    let absent = ids.iter().filter(|(key, _)| live.label(key).unwrap_or_default().is_empty());
    absent.map(|(key, id)| (*key, id.as_str())).collect()
}

/// A TiKV pod whose store left PD is marked with since when, once; the mark goes when the store is back.
fn no_active_store(world: &World<'_>, plan: &mut Plan) -> Result<(), Failure> {
    let Some(tikv) = world.cluster.status.as_ref().and_then(|status| status.tikv.as_ref()) else { return Ok(()) };
    // Without an answer of PD nothing is known about stores.
    if !tikv.synced {
        return Ok(());
    }
    let heads = world.snapshot.objects(watch::POD)?;
    let components = world.snapshot.labels(watch::POD, COMPONENT)?;
    let stores = world.snapshot.labels(watch::POD, STORE_ID)?;
    let marks = world.snapshot.annotations(watch::POD, TIKV_NO_ACTIVE_STORE_SINCE)?;
    for (head, ((component, store), mark)) in heads.iter().zip(components.iter().zip(&stores).zip(&marks)) {
        let (true, Some(store)) = (component.as_deref() == Some(Component::Tikv.name()), store) else { continue };
        let active = tikv.stores.contains_key(store);
        if active != mark.is_some() || head.deleting {
            continue;
        }
        let Some(live) = Live::read(world.snapshot, watch::POD, &head.name)? else { continue };
        let since = if active { serde_json::Value::Null } else { time::text(world.snapshot.now_ms()).into() };
        let patch = serde_json::json!({"metadata": {"annotations": {TIKV_NO_ACTIVE_STORE_SINCE: since}}});
        plan.merge_patch(crate::world::reference(&live), patch, live.unchanged());
    }
    Ok(())
}

fn claims_and_volumes(world: &World<'_>, plan: &mut Plan) {
    for claim in world.claims.iter().filter(|claim| world.pods.contains_key(&claim.pod) && !claim.live.deleting()) {
        let component = component(&claim.live);
        let ids = ids(world, component, &claim.pod);
        let pod = claim.pod.as_str();
        let mut labels = missing(&claim.live, &ids);
        labels.push((POD_NAME, pod));
        patch_metadata(plan, &claim.live, &labels, &[(POD_NAME, pod)]);
        let Some(volume) = world.volume(&claim.live) else { continue };
        let mut labels = missing(volume, &ids);
        labels.extend([
            (NAME, NAME_VALUE),
            (MANAGED_BY, MANAGED_BY_VALUE),
            (INSTANCE, world.cluster.instance_name()),
            (COMPONENT, component),
            (NAMESPACE, world.cluster.namespace()),
        ]);
        patch_metadata(plan, volume, &labels, &[(POD_NAME, pod)]);
    }
}
