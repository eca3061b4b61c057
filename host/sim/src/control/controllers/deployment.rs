//! Deployments: one ReplicaSet for each template, the newest taking over from the old ones.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    Manager,
    api::ApiFailure,
    cache::Key,
    owned::{controller_reference, is_terminating},
    recorder::Voice,
};
use crate::control::path::{at, entry, flag, int, object, remove, set, sorted, text};

pub const REPLICASETS: &str = "replicasets.apps";
pub const HASH_LABEL: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const NORMAL: Voice = Voice { component: "deployment-controller", kind: "Normal" };

/// A deployment with its ReplicaSets.
pub struct Rollout {
    pub key: Key,
    pub deployment: Arc<Value>,
    /// The set of the present template, if it is made.
    pub newest: Option<Arc<Value>>,
    /// The others, the oldest first.
    pub old: Vec<Arc<Value>>,
}

impl Rollout {
    /// Every set, the newest last.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(self.newest.as_ref())
    }

    /// The sum of a counter over every set.
    pub fn sum(&self, path: &str) -> i64 {
        self.all().map(|set| count(set, path)).sum()
    }

    pub fn wanted(&self) -> i64 {
        int(&self.deployment, "spec.replicas").unwrap_or(1)
    }

    /// How many pods more than wanted there may be.
    pub fn surge(&self) -> i64 {
        if !self.is_rolling() {
            return 0;
        }
        share(at(&self.deployment, "spec.strategy.rollingUpdate.maxSurge"), self.wanted(), true)
    }

    /// How many of the wanted pods may be missing.
    pub fn unavailable(&self) -> i64 {
        if !self.is_rolling() {
            return 0;
        }
        let unavailable =
            share(at(&self.deployment, "spec.strategy.rollingUpdate.maxUnavailable"), self.wanted(), false);
        // Both zero would allow no step at all.
        if unavailable == 0 && self.surge() == 0 { 1 } else { unavailable.min(self.wanted()) }
    }

    fn is_rolling(&self) -> bool {
        text(&self.deployment, "spec.strategy.type") != "Recreate"
    }
}

pub fn count(object: &Value, path: &str) -> i64 {
    int(object, path).unwrap_or(0)
}

/// A number, or a percentage of `of` rounded up or down.
fn share(value: &Value, of: i64, up: bool) -> i64 {
    match value {
        Value::Number(number) => number.as_i64().unwrap_or(0),
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let exact = percent * of;
            if up { (exact + 99) / 100 } else { exact / 100 }
        }
        _ => 0,
    }
}

/// The template without the label that a set adds to it.
fn plain_template(object: &Value) -> Value {
    let mut template = at(object, "spec.template").clone();
    if let Some(labels) = template.get_mut("metadata").and_then(|m| m.get_mut("labels")).and_then(Value::as_object_mut)
    {
        labels.remove(HASH_LABEL);
    }
    template
}

/// FNV-1a over the template and the count of collisions, in characters that are safe in names.
fn template_hash(template: &Value, collisions: i64) -> String {
    let bytes = sorted(template).to_string().into_bytes().into_iter().chain(collisions.to_string().into_bytes());
    let sum = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    sum.to_string().bytes().map(|digit| char::from(SAFE[usize::from(digit) % SAFE.len()])).collect()
}

fn revision(set: &Value) -> i64 {
    entry(set, "metadata.annotations", REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Manager {
    pub(super) async fn deployment(&mut self, key: &Key) -> Result<(), ApiFailure> {
        let Some(deployment) = self.cache.get(key) else { return Ok(()) };
        let mut rollout = self.rollout(key, &deployment).await?;
        if is_terminating(&deployment) {
            return self.deployment_status(&rollout).await;
        }
        let paused = flag(&deployment, "spec.paused");
        let scaling = rollout.all().any(|set| {
            let desired = entry(set, "metadata.annotations", DESIRED).and_then(|text| text.parse::<i64>().ok());
            count(set, "spec.replicas") > 0 && desired.is_some_and(|desired| desired != rollout.wanted())
        });
        if paused || scaling {
            self.revise(&mut rollout, false).await?;
            self.scale(&mut rollout).await?;
        } else if text(&deployment, "spec.strategy.type") == "Recreate" {
            self.recreate(&mut rollout).await?;
        } else {
            self.revise(&mut rollout, true).await?;
            self.roll_out(&mut rollout).await?;
        }
        self.clean_up(&rollout).await?;
        self.deployment_status(&rollout).await
    }

    async fn rollout(&mut self, key: &Key, deployment: &Arc<Value>) -> Result<Rollout, ApiFailure> {
        let mut sets = self.claim(REPLICASETS, deployment, |_, _| true).await?;
        sets.sort_by_key(|set| {
            (revision(set), text(set, "metadata.creationTimestamp").to_owned(), text(set, "metadata.name").to_owned())
        });
        let template = plain_template(deployment);
        let place = sets.iter().position(|set| plain_template(set) == template);
        let newest = place.map(|place| sets.remove(place));
        Ok(Rollout { key: key.clone(), deployment: deployment.clone(), newest, old: sets })
    }

    /// Makes the set of the present template if `make` is set, and sees that it has the highest revision.
    pub(super) async fn revise(&mut self, rollout: &mut Rollout, make: bool) -> Result<(), ApiFailure> {
        let last = rollout.old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1;
        let newest = match rollout.newest.clone() {
            Some(newest) => {
                let next = annotated(&newest, rollout, last.max(revision(&newest)));
                if next == *newest {
                    newest
                } else {
                    Arc::new(self.update(&Key::of(REPLICASETS, &next), "", &next).await?)
                }
            }
            None if make => Arc::new(self.make_set(rollout, last).await?),
            None => return Ok(()),
        };
        let number = revision(&newest).to_string();
        rollout.newest = Some(newest);
        if entry(&rollout.deployment, "metadata.annotations", REVISION) != Some(number.as_str()) {
            let patch = json!({"metadata": {"annotations": {REVISION: number}}});
            rollout.deployment = Arc::new(self.patch(&rollout.key, "", &patch).await?);
        }
        Ok(())
    }

    async fn make_set(&mut self, rollout: &Rollout, revision: i64) -> Result<Value, ApiFailure> {
        let deployment = &rollout.deployment;
        let mut collisions = count(deployment, "status.collisionCount");
        loop {
            let template = plain_template(deployment);
            let hash = template_hash(&template, collisions);
            let mut wanted = json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {
                    "name": format!("{}-{hash}", rollout.key.name), "namespace": rollout.key.namespace,
                    "ownerReferences": [controller_reference(deployment)],
                    "labels": at(&template, "metadata.labels"),
                },
                "spec": {"replicas": 0, "selector": at(deployment, "spec.selector"), "template": template},
            });
            if let Some(seconds) = int(deployment, "spec.minReadySeconds").filter(|seconds| *seconds > 0) {
                set(&mut wanted, "spec.minReadySeconds", seconds);
            }
            for place in ["metadata.labels", "spec.selector.matchLabels", "spec.template.metadata.labels"] {
                object(&mut wanted, place).insert(HASH_LABEL.to_owned(), hash.as_str().into());
            }
            let room = rollout.wanted() + rollout.surge() - rollout.sum("spec.replicas");
            let replicas = if rollout.old.is_empty() { rollout.wanted() } else { room.clamp(0, rollout.wanted()) };
            set(&mut wanted, "spec.replicas", replicas);
            let wanted = annotated(&wanted, rollout, revision);
            match self.create(REPLICASETS, &wanted).await {
                Err(failure) if failure.already_exists() => collisions += 1,
                Err(failure) => return Err(failure),
                Ok(made) => {
                    if replicas > 0 {
                        self.say_scaled(rollout, &made, 0, replicas).await;
                    }
                    return Ok(made);
                }
            }
        }
    }

    /// Gives a set another number of replicas.
    pub(super) async fn scale_set(
        &mut self,
        rollout: &Rollout,
        target: &Arc<Value>,
        replicas: i64,
    ) -> Result<Arc<Value>, ApiFailure> {
        let before = count(target, "spec.replicas");
        let mut next = annotated(target, rollout, revision(target));
        set(&mut next, "spec.replicas", replicas);
        if next == **target {
            return Ok(target.clone());
        }
        let made = self.update(&Key::of(REPLICASETS, &next), "", &next).await?;
        if before != replicas {
            self.say_scaled(rollout, &made, before, replicas).await;
        }
        Ok(Arc::new(made))
    }

    async fn say_scaled(&mut self, rollout: &Rollout, set: &Value, from: i64, to: i64) {
        let direction = if to > from { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {from} to {to}", text(set, "metadata.name"));
        self.say(NORMAL, &rollout.deployment, "ScalingReplicaSet", &message).await;
    }

    /// Deletes sets of old revisions beyond the history's limit once the rollout is over.
    async fn clean_up(&mut self, rollout: &Rollout) -> Result<(), ApiFailure> {
        let limit = usize::try_from(int(&rollout.deployment, "spec.revisionHistoryLimit").unwrap_or(10)).unwrap_or(0);
        let idle = |set: &&Arc<Value>| {
            count(set, "spec.replicas") == 0 && count(set, "status.replicas") == 0 && !is_terminating(set)
        };
        let idle: Vec<_> = rollout.old.iter().filter(idle).cloned().collect();
        for set in idle.iter().take(rollout.old.len().saturating_sub(limit)) {
            self.delete(&Key::of(REPLICASETS, set), text(set, "metadata.uid"), "Background").await?;
        }
        Ok(())
    }
}

/// A set with the annotations that its deployment gives it.
fn annotated(target: &Value, rollout: &Rollout, number: i64) -> Value {
    let mut next = target.clone();
    let before = revision(target);
    let given: Map<String, Value> =
        at(&rollout.deployment, "metadata.annotations").as_object().cloned().unwrap_or_default();
    let annotations = object(&mut next, "metadata.annotations");
    annotations.extend(given.into_iter().filter(|(key, _)| !NOT_COPIED.contains(&key.as_str())));
    annotations.insert(DESIRED.to_owned(), rollout.wanted().to_string().into());
    annotations.insert(MAX.to_owned(), (rollout.wanted() + rollout.surge()).to_string().into());
    annotations.insert(REVISION.to_owned(), number.to_string().into());
    if before != 0 && before != number {
        let history = match annotations.get(REVISION_HISTORY).and_then(Value::as_str) {
            Some(history) => format!("{history},{before}"),
            None => before.to_string(),
        };
        annotations.insert(REVISION_HISTORY.to_owned(), history.into());
    }
    if annotations.is_empty() {
        remove(&mut next, "metadata.annotations");
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_as_its_use_wants() {
        assert_eq!(share(&json!("25%"), 3, true), 1);
        assert_eq!(share(&json!("25%"), 3, false), 0);
        assert_eq!(share(&json!(2), 3, false), 2);
    }

    #[test]
    fn the_hash_follows_the_template_alone() {
        let template = json!({"b": 1, "a": {"d": 2, "c": 3}});
        assert_eq!(template_hash(&template, 0), template_hash(&json!({"a": {"c": 3, "d": 2}, "b": 1}), 0));
        assert_ne!(template_hash(&template, 0), template_hash(&template, 1));
    }
}
