//! ControllerRevisions: each template a StatefulSet has had, numbered, the newest with the highest number.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::{Round, revision_of};
use crate::control::{
    controllers::{Manager, api::ApiFailure, cache::Key, owned::controller_reference},
    path::{at, int, sorted, text},
};

const ID: &str = "controllerrevisions.apps";
const HASH_LABEL: &str = "controller.kubernetes.io/hash";
/// The characters of names that are made from numbers: no vowels, so that no words come out.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// A name with its hash must still be a name.
const NAME_PREFIX_CHARS_MAX: usize = 223;

/// The revisions of a set.
pub struct Revisions {
    /// All, in order of number.
    all: Vec<Arc<Value>>,
    current: String,
    newest: String,
    pub collisions: i64,
}

impl Revisions {
    pub fn current_name(&self) -> &str {
        &self.current
    }

    pub fn newest_name(&self) -> &str {
        &self.newest
    }

    /// The set with the template of a revision.
    pub fn applied(&self, set: &Value, name: &str) -> Value {
        let mut applied = set.clone();
        if let Some(revision) = self.all.iter().find(|revision| text(revision, "metadata.name") == name) {
            let mut template = at(revision, "data.spec.template").clone();
            if let Value::Object(fields) = &mut template {
                fields.remove("$patch");
            }
            crate::control::path::set(&mut applied, "spec.template", template);
        }
        applied
    }
}

/// The part of a set that a revision keeps.
fn data(set: &Value) -> Value {
    let mut template = at(set, "spec.template").clone();
    crate::control::path::set(&mut template, "$patch", "replace");
    json!({"spec": {"template": template}})
}

/// The name's hash: FNV-1 over the data as Go writes JSON, then the count of collisions, in safe characters.
fn hash(data: &Value, collisions: i64) -> String {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let escaped = sorted(data).to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let bytes = escaped.bytes().chain(collisions.to_string().into_bytes());
    let sum = bytes.fold(OFFSET, |hash, byte| hash.wrapping_mul(PRIME) ^ u32::from(byte));
    sum.to_string().bytes().map(|digit| char::from(SAFE[usize::from(digit) % SAFE.len()])).collect()
}

fn number(revision: &Value) -> i64 {
    int(revision, "revision").unwrap_or(0)
}

impl Manager {
    /// The revisions of a set; the one of its template is made, or brought to the front, if it is not the last.
    pub(super) async fn revisions(&mut self, set: &Arc<Value>) -> Result<Revisions, ApiFailure> {
        let mut all = self.claim(ID, set, |_, _| true).await?;
        all.sort_by_key(|revision| (number(revision), text(revision, "metadata.name").to_owned()));
        let mut collisions = int(set, "status.collisionCount").unwrap_or(0);
        let data = data(set);
        let last = all.last().map_or(0, |revision| number(revision));
        let equal = all.iter().rposition(|revision| at(revision, "data") == &data);
        let newest = match equal {
            Some(place) if place + 1 == all.len() => all[place].clone(),
            // Rolled back: the old revision gets the next number.
            Some(place) => {
                let mut renumbered = (*all.remove(place)).clone();
                crate::control::path::set(&mut renumbered, "revision", last + 1);
                let renumbered = Arc::new(self.update(&Key::of(ID, &renumbered), "", &renumbered).await?);
                all.push(renumbered.clone());
                renumbered
            }
            None => {
                let made = Arc::new(self.make_revision(set, &data, last + 1, &mut collisions).await?);
                all.push(made.clone());
                made
            }
        };
        let newest = text(&newest, "metadata.name").to_owned();
        let known = text(set, "status.currentRevision");
        let current = if all.iter().any(|revision| text(revision, "metadata.name") == known) {
            known.to_owned()
        } else {
            newest.clone()
        };
        Ok(Revisions { all, current, newest, collisions })
    }

    async fn make_revision(
        &mut self,
        set: &Value,
        data: &Value,
        number: i64,
        collisions: &mut i64,
    ) -> Result<Value, ApiFailure> {
        loop {
            let hash = hash(data, *collisions);
            let prefix: String = text(set, "metadata.name").chars().take(NAME_PREFIX_CHARS_MAX).collect();
            let mut labels = at(set, "spec.template.metadata.labels").clone();
            crate::control::path::object(&mut labels, "").insert(HASH_LABEL.to_owned(), hash.as_str().into());
            let mut revision = json!({
                "apiVersion": "apps/v1", "kind": "ControllerRevision",
                "metadata": {
                    "name": format!("{prefix}-{hash}"), "namespace": text(set, "metadata.namespace"), "labels": labels,
                    "ownerReferences": [controller_reference(set)],
                },
                "data": data, "revision": number,
            });
            if let Some(annotations) = at(set, "metadata").get("annotations") {
                crate::control::path::set(&mut revision, "metadata.annotations", annotations.clone());
            }
            match self.create(ID, &revision).await {
                Err(failure) if failure.already_exists() => {
                    let path = self.path(&Key::of(ID, &revision))?;
                    let found = self.api.get(&path).await?;
                    if at(&found, "data") == data {
                        return Ok(found);
                    }
                    *collisions += 1;
                }
                made => return made,
            }
        }
    }

    /// Deletes the oldest revisions that no pod has, beyond the history's limit.
    pub(super) async fn truncate_revisions(&mut self, round: &Round) -> Result<(), ApiFailure> {
        let revisions = &round.revisions;
        let mut live: BTreeSet<&str> = round.pods().map(|pod| revision_of(pod)).collect();
        live.extend([revisions.current_name(), revisions.newest_name()]);
        let old: Vec<_> =
            revisions.all.iter().filter(|revision| !live.contains(text(revision, "metadata.name"))).cloned().collect();
        let limit = usize::try_from(int(&round.set, "spec.revisionHistoryLimit").unwrap_or(10)).unwrap_or(0);
        for revision in old.iter().take(old.len().saturating_sub(limit)) {
            self.delete(&Key::of(ID, revision), text(revision, "metadata.uid"), "Background").await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_has_the_hash_that_a_real_cluster_gives_it() {
        let workload = json!({"spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "containers": [{"image": "example/web:1", "imagePullPolicy": "IfNotPresent", "name": "main", "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {},
            "terminationGracePeriodSeconds": 30}}}});
        assert_eq!(hash(&data(&workload), 0), "59786bdcf4");
        let mut other = workload;
        crate::control::path::set(&mut other, "spec.template.spec.restartPolicy", "<&>");
        assert_ne!(hash(&data(&other), 0), hash(&data(&other), 1));
    }
}
