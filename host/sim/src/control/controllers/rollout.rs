//! The steps of a deployment from its old sets to the newest, and the status that tells of them.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Manager,
    api::ApiFailure,
    deployment::{Rollout, count},
    queue::Work,
};
use crate::control::path::{at, flag, int, list, set, text};

impl Manager {
    /// One step of a rolling update: up with the newest as far as there is room, down with the old as far as enough stays.
    pub(super) async fn roll_out(&mut self, rollout: &mut Rollout) -> Result<(), ApiFailure> {
        let Some(newest) = rollout.newest.clone() else { return Ok(()) };
        let (wanted, has) = (rollout.wanted(), count(&newest, "spec.replicas"));
        let room = (wanted + rollout.surge() - rollout.sum("spec.replicas")).max(0);
        let next = if has > wanted { wanted } else { has + room.min(wanted - has) };
        rollout.newest = Some(self.scale_set(rollout, &newest, next).await?);
        if next == has {
            self.shrink_old(rollout).await?;
        }
        Ok(())
    }

    async fn shrink_old(&mut self, rollout: &mut Rollout) -> Result<(), ApiFailure> {
        let least = rollout.wanted() - rollout.unavailable();
        let newest_missing = rollout
            .newest
            .as_ref()
            .map_or(0, |set| count(set, "spec.replicas") - count(set, "status.availableReplicas"));
        let mut spare = rollout.sum("spec.replicas") - least - newest_missing;
        // First those that serve nobody.
        for place in 0..rollout.old.len() {
            let target = rollout.old[place].clone();
            let (has, available) = (count(&target, "spec.replicas"), count(&target, "status.availableReplicas"));
            let down = spare.min(has - available).max(0);
            if down > 0 {
                rollout.old[place] = self.scale_set(rollout, &target, has - down).await?;
                spare -= down;
            }
        }
        let mut spare = rollout.sum("status.availableReplicas") - least;
        for place in 0..rollout.old.len() {
            let target = rollout.old[place].clone();
            let has = count(&target, "spec.replicas");
            let down = spare.min(has).max(0);
            if down > 0 {
                rollout.old[place] = self.scale_set(rollout, &target, has - down).await?;
                spare -= down;
            }
        }
        Ok(())
    }

    /// All old pods go before the first new one comes.
    pub(super) async fn recreate(&mut self, rollout: &mut Rollout) -> Result<(), ApiFailure> {
        self.revise(rollout, false).await?;
        for place in 0..rollout.old.len() {
            let target = rollout.old[place].clone();
            rollout.old[place] = self.scale_set(rollout, &target, 0).await?;
        }
        let left: i64 = rollout
            .old
            .iter()
            .map(|set| count(set, "status.replicas") + count(set, "status.terminatingReplicas"))
            .sum();
        if left > 0 {
            return Ok(());
        }
        self.revise(rollout, true).await?;
        self.scale_newest(rollout).await
    }

    /// Another number of replicas is wanted: of one live set all, of several the largest takes the difference.
    pub(super) async fn scale(&mut self, rollout: &mut Rollout) -> Result<(), ApiFailure> {
        let live: Vec<Arc<Value>> = rollout.all().filter(|set| count(set, "spec.replicas") > 0).cloned().collect();
        if live.len() <= 1 {
            let only =
                live.into_iter().next().or_else(|| rollout.newest.clone()).or_else(|| rollout.old.last().cloned());
            return match only {
                Some(only) => self.replace_scaled(rollout, &only, rollout.wanted()).await,
                None => Ok(()),
            };
        }
        let allowed = if rollout.wanted() > 0 { rollout.wanted() + rollout.surge() } else { 0 };
        let mut change = allowed - rollout.sum("spec.replicas");
        let mut by_size = live;
        by_size.sort_by_key(|set| std::cmp::Reverse(count(set, "spec.replicas")));
        for target in by_size {
            let has = count(&target, "spec.replicas");
            let next = (has + change).max(0);
            change -= next - has;
            self.replace_scaled(rollout, &target, next).await?;
        }
        Ok(())
    }

    async fn scale_newest(&mut self, rollout: &mut Rollout) -> Result<(), ApiFailure> {
        match rollout.newest.clone() {
            Some(newest) => self.replace_scaled(rollout, &newest, rollout.wanted()).await,
            None => Ok(()),
        }
    }

    async fn replace_scaled(
        &mut self,
        rollout: &mut Rollout,
        target: &Arc<Value>,
        replicas: i64,
    ) -> Result<(), ApiFailure> {
        let made = self.scale_set(rollout, target, replicas).await?;
        let places = rollout.old.iter_mut().chain(rollout.newest.as_mut());
        for place in places.filter(|place| text(place, "metadata.uid") == text(target, "metadata.uid")) {
            *place = made.clone();
        }
        Ok(())
    }

    pub(super) async fn deployment_status(&mut self, rollout: &Rollout) -> Result<(), ApiFailure> {
        let now = self.clock.now();
        let (status, again) = status(rollout, now);
        if let Some(wait) = again {
            self.queue.add_after(Work::Deployment(rollout.key.clone()), Instant::now() + wait);
        }
        if &status == at(&rollout.deployment, "status") {
            return Ok(());
        }
        let mut next = (*rollout.deployment).clone();
        set(&mut next, "status", status);
        match self.update(&rollout.key, "/status", &next).await {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }
}

/// The status of a rollout, and when to look again without a change.
fn status(rollout: &Rollout, now: Timestamp) -> (Value, Option<Duration>) {
    let old = at(&rollout.deployment, "status");
    let total = rollout.sum("status.replicas");
    let available = rollout.sum("status.availableReplicas");
    let updated = rollout.newest.as_ref().map_or(0, |set| count(set, "status.replicas"));
    let mut status = json!({"observedGeneration": count(&rollout.deployment, "metadata.generation")});
    let counters = [
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", rollout.sum("status.readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", (rollout.sum("spec.replicas") - available).max(0)),
    ];
    for (field, count) in counters.into_iter().filter(|(_, count)| *count > 0) {
        set(&mut status, field, count);
    }
    set(&mut status, "terminatingReplicas", rollout.sum("status.terminatingReplicas"));
    if let Some(collisions) = int(old, "collisionCount") {
        set(&mut status, "collisionCount", collisions);
    }
    let mut conditions = list(old, "conditions").to_vec();
    let enough = available >= rollout.wanted() - rollout.unavailable();
    let (value, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    put_condition(&mut conditions, "Available", value, reason, message, false, now);
    let again = progress(rollout, &status, &mut conditions, now);
    set(&mut status, "conditions", conditions);
    (status, again)
}

/// The condition that tells how far the rollout is, and when its deadline is.
fn progress(rollout: &Rollout, status: &Value, conditions: &mut Vec<Value>, now: Timestamp) -> Option<Duration> {
    let old = at(&rollout.deployment, "status");
    let name = rollout.newest.as_ref().map_or("", |set| text(set, "metadata.name"));
    let known = conditions.iter().find(|c| text(c, "type") == "Progressing").cloned();
    let reason = known.as_ref().map_or("", |c| text(c, "reason"));
    if flag(&rollout.deployment, "spec.paused") {
        put_condition(conditions, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", false, now);
        return None;
    }
    let wanted = rollout.wanted();
    let field = |field: &str| count(status, field);
    let complete =
        field("updatedReplicas") == wanted && field("replicas") == wanted && field("availableReplicas") == wanted;
    if complete {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        put_condition(
            conditions,
            "Progressing",
            "True",
            "NewReplicaSetAvailable",
            &message,
            reason != "NewReplicaSetAvailable",
            now,
        );
        return None;
    }
    let more = |field: &str| count(status, field) > count(old, field);
    let fewer_old = count(status, "replicas") - count(status, "updatedReplicas")
        < count(old, "replicas") - count(old, "updatedReplicas");
    let moved = more("updatedReplicas") || more("readyReplicas") || more("availableReplicas") || fewer_old;
    if known.is_none() || reason == "DeploymentPaused" {
        let (reason, message) = if known.is_none() {
            ("NewReplicaSetCreated", format!("Created new replica set \"{name}\""))
        } else {
            ("DeploymentResumed", "Deployment is resumed".to_owned())
        };
        let value = if known.is_none() { "True" } else { "Unknown" };
        put_condition(conditions, "Progressing", value, reason, &message, true, now);
        if !moved {
            return None;
        }
    }
    if moved {
        let message = format!("ReplicaSet \"{name}\" is progressing.");
        put_condition(conditions, "Progressing", "True", "ReplicaSetUpdated", &message, true, now);
    }
    deadline(rollout, conditions, name, now)
}

fn deadline(rollout: &Rollout, conditions: &mut Vec<Value>, name: &str, now: Timestamp) -> Option<Duration> {
    let limit = int(&rollout.deployment, "spec.progressDeadlineSeconds")?;
    let known = conditions.iter().find(|c| text(c, "type") == "Progressing")?;
    if text(known, "reason") == "ProgressDeadlineExceeded" {
        return None;
    }
    let since: Timestamp = text(known, "lastUpdateTime").parse().ok()?;
    let left = limit - (now.as_second() - since.as_second());
    if left > 0 {
        return Some(Duration::from_secs(left.unsigned_abs()));
    }
    let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
    put_condition(conditions, "Progressing", "False", "ProgressDeadlineExceeded", &message, true, now);
    None
}

/// Sets a condition; one that says the same stays as it is unless it is to be `touched`.
fn put_condition(
    conditions: &mut Vec<Value>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    touched: bool,
    now: Timestamp,
) {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let before = conditions.iter().position(|c| text(c, "type") == kind);
    let mut since = now.clone();
    if let Some(before) = before {
        let known = &conditions[before];
        if text(known, "status") == status && text(known, "reason") == reason && !touched {
            return;
        }
        if text(known, "status") == status {
            since = text(known, "lastTransitionTime").to_owned();
        }
        conditions.remove(before);
    }
    conditions.push(json!({"type": kind, "status": status, "reason": reason, "message": message, "lastUpdateTime": now, "lastTransitionTime": since}));
}
