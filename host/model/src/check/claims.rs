//! S10, S11, S14: data is deleted only where the spec allows it and nothing uses it any more, and volumes do not shrink.

use std::sync::Arc;

use serde_json::Value;
use tidepool_api::{
    labels::{CLUSTER_ID, MEMBER_ID, PVC_DEFER_DELETING},
    quantity,
};

use super::{
    ClusterFacts, Facts, Violation,
    facts::{component, pod_of, value},
    members::is_ready,
    stores::{living_store, stores},
};
use crate::{
    known::Unknown,
    plan::{Action, ObjectRef, Plan},
    snapshot::Object,
};

pub(super) fn check(facts: &dyn Facts, cluster: &ClusterFacts, plan: &Plan, violations: &mut Vec<Violation>) {
    for action in &plan.actions {
        match action {
            Action::Delete { target, expect } if target.kind == "PersistentVolumeClaim" => {
                match refusal(facts, cluster, target, expect.uid.as_deref()) {
                    Ok(None) => {}
                    Ok(Some(why)) => violations.push(Violation::new("S10", format!("deletion of {target}: {why}"))),
                    Err(unknown) => {
                        let message = format!("deletion of {target} while its use is unknown: {unknown}");
                        violations.push(Violation::new("S33", message));
                    }
                }
            }
            Action::MergePatch { target, patch, .. } if target.kind == "PersistentVolume" => {
                reclaim_policy(cluster, target, patch, violations);
            }
            Action::MergePatch { target, patch, .. } if target.kind == "PersistentVolumeClaim" => {
                shrinking(facts, target, patch, violations);
            }
            _ => {}
        }
    }
}

/// Why the claim must stay; none if it may go.
fn refusal(
    facts: &dyn Facts,
    cluster: &ClusterFacts,
    target: &ObjectRef,
    uid: Option<&str>,
) -> Result<Option<String>, Unknown> {
    let Some(claim) = facts.object(target)? else { return Ok(Some("it does not exist".into())) };
    if uid != Some(claim.head.uid.as_str()) {
        return Ok(Some("its uid is not the one that was seen".into()));
    }
    let pods = facts.objects("v1", "Pod")?;
    if component(&claim) == "pd" && lost_member(facts, &pods, &claim)? {
        return Ok(None);
    }
    // Marked as that of a pod that was scaled in, it goes before a new pod takes the name (S13), whatever the spec says
    // of volumes that nobody needs.
    let marked = claim.annotations.get(PVC_DEFER_DELETING).is_some_and(|time| !time.is_empty());
    if !marked && cluster.spec["enablePVReclaim"] != true {
        return Ok(Some("spec.enablePVReclaim is not set".into()));
    }
    if let Some(pod) = pods.iter().find(|pod| mounts(pod, &target.name)) {
        return Ok(Some(format!("pod {} uses it", pod.head.name)));
    }
    let Some((set, pod)) = owner(facts, &target.name)? else { return Ok(None) };
    if set {
        return Ok(Some(format!("its StatefulSet still wants pod {pod}")));
    }
    if ["tikv", "tiflash"].contains(&component(&claim)) {
        let stores = stores(facts)?;
        if let Some(store) = living_store(&stores, &pod) {
            return Ok(Some(format!("store {} of pod {pod} is not a tombstone", store.id)));
        }
    }
    Ok(None)
}

/// PD, which has a leader, lists no member in the claim's pod: what is on the claim is that of a member that was removed,
/// with which no member can start any more. That it is, and not that of one that is about to join, its label says, or
/// that of its pod: the id of a member that PD does not have. A pod that does not serve is as good, unless PD waits for a
/// member to start, which has no name yet. Readiness proves nothing: a pod that stands still is ready.
fn lost_member(facts: &dyn Facts, pods: &[Arc<Object>], claim: &Object) -> Result<bool, Unknown> {
    let members = facts.pd().members.as_ref().map_err(Clone::clone)?;
    let pod = pods.iter().find(|pod| mounts(pod, &claim.head.name));
    let name = match pod {
        Some(pod) => pod.head.name.clone(),
        // Nobody uses the claim; its StatefulSet is about to make the pod that would.
        None => match owner(facts, &claim.head.name)? {
            Some((true, name)) => name,
            _ => return Ok(false),
        },
    };
    let listed = members.iter().any(|member| pod_of(&member.name) == name);
    if listed || !members.iter().any(|member| member.leader) || of_another_cluster(facts, claim)? {
        return Ok(false);
    }
    let removed =
        |object: &Object| object.labels.get(MEMBER_ID).is_some_and(|id| !members.iter().any(|member| member.id == *id));
    let joining = members.iter().any(|member| member.name.is_empty());
    Ok(removed(claim) || pod.is_some_and(|pod| removed(pod) || (!joining && !is_ready(pod))))
}

/// The claim is known as one of another PD cluster than that which answers: what that one lists says nothing about it.
fn of_another_cluster(facts: &dyn Facts, claim: &Object) -> Result<bool, Unknown> {
    let Some(label) = claim.labels.get(CLUSTER_ID).filter(|id| !id.is_empty()) else { return Ok(false) };
    let document = facts.pd().documents.get("cluster").ok_or(Unknown::NotRequested)?;
    let document = document.as_ref().map_err(Clone::clone)?;
    let cluster: Value = serde_json::from_str(document.get()).map_err(|error| Unknown::Failed(error.to_string()))?;
    Ok(cluster["id"].to_string().trim_matches('"') != label)
}

fn mounts(pod: &Object, claim: &str) -> bool {
    let volumes = value(pod)["spec"]["volumes"].clone();
    let volumes = volumes.as_array().map(Vec::as_slice).unwrap_or_default();
    volumes.iter().any(|volume| volume["persistentVolumeClaim"]["claimName"] == claim)
}

/// The pod that a claim `<template>-<set>-<ordinal>` belongs to, and whether a set still wants it.
fn owner(facts: &dyn Facts, claim: &str) -> Result<Option<(bool, String)>, Unknown> {
    let Some((prefix, ordinal)) = claim.rsplit_once('-') else { return Ok(None) };
    let Ok(ordinal) = ordinal.parse::<i64>() else { return Ok(None) };
    let sets = facts.objects("apps/v1", "StatefulSet")?;
    for set in sets.iter() {
        let name = &set.head.name;
        if prefix.strip_suffix(name.as_str()).is_some_and(|template| template.ends_with('-')) {
            return Ok(Some((super::workload::covers(&value(set), ordinal), format!("{name}-{ordinal}"))));
        }
    }
    // The set is gone: what is left of the name after the template is the pod.
    Ok(prefix.split_once('-').map(|(_, set)| (false, format!("{set}-{ordinal}"))))
}

/// S14: a claim never asks for less than it did.
fn shrinking(facts: &dyn Facts, target: &ObjectRef, patch: &Value, violations: &mut Vec<Violation>) {
    let size = |object: &Value| object["spec"]["resources"]["requests"]["storage"].as_str().and_then(quantity::parse);
    let Some(wanted) = size(patch) else { return };
    // A claim that is unknown or gone is the business of S18 and S33.
    let Ok(Some(claim)) = facts.object(target) else { return };
    if size(&value(&claim)).is_some_and(|now| wanted < now) {
        violations.push(Violation::new("S14", format!("{target} would shrink")));
    }
}

/// S11: never from Retain to Delete unless the spec says so.
fn reclaim_policy(cluster: &ClusterFacts, target: &ObjectRef, patch: &Value, violations: &mut Vec<Violation>) {
    let wanted = patch["spec"]["persistentVolumeReclaimPolicy"].as_str();
    if wanted == Some("Delete")
        && cluster.spec["pvReclaimPolicy"] != "Delete"
        && cluster.spec["enablePVReclaim"] != true
    {
        let message = format!("{target} would be deleted with its claim, but spec.pvReclaimPolicy is not Delete");
        violations.push(Violation::new("S11", message));
    }
}
