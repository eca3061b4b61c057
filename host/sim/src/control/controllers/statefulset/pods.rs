//! The pods and claims of a StatefulSet.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{NORMAL, POD_INDEX_LABEL, POD_NAME_LABEL, REVISION_LABEL, Round, WARNING, ordinal};
use crate::control::{
    controllers::{
        Manager,
        api::ApiFailure,
        cache::Key,
        owned::{controller_reference, is_terminating, pod_from_template},
    },
    path::{at, list, object, set, strings, text},
};

const CLAIMS: &str = "persistentvolumeclaims";

/// The pod at `ordinal` as it has to be made.
pub fn build(round: &Round, ordinal: i64) -> Value {
    let (source, revision) = round.source(ordinal);
    let name = format!("{}-{ordinal}", round.key.name);
    let mut pod = pod_from_template(source, at(source, "spec.template"));
    set(&mut pod, "metadata.name", name.as_str());
    let labels = object(&mut pod, "metadata.labels");
    for (key, value) in
        [(POD_NAME_LABEL, name.as_str()), (POD_INDEX_LABEL, &ordinal.to_string()), (REVISION_LABEL, revision)]
    {
        labels.insert(key.to_owned(), value.into());
    }
    set(&mut pod, "spec.hostname", name.as_str());
    set(&mut pod, "spec.subdomain", text(source, "spec.serviceName"));
    let templates = round.claim_templates();
    let mut volumes: Vec<Value> = templates.iter().map(|template| volume(round, template, ordinal)).collect();
    let claimed =
        |volume: &&Value| templates.iter().any(|template| text(template, "metadata.name") == text(volume, "name"));
    volumes.extend(list(source, "spec.template.spec.volumes").iter().filter(|volume| !claimed(volume)).cloned());
    if !volumes.is_empty() {
        set(&mut pod, "spec.volumes", volumes);
    }
    pod
}

fn volume(round: &Round, template: &Value, ordinal: i64) -> Value {
    let name = text(template, "metadata.name");
    json!({"name": name, "persistentVolumeClaim": {"claimName": claim_name(round, template, ordinal)}})
}

fn claim_name(round: &Round, template: &Value, ordinal: i64) -> String {
    format!("{}-{}-{ordinal}", text(template, "metadata.name"), round.key.name)
}

fn claim(round: &Round, template: &Value, ordinal: i64) -> Value {
    let mut claim = template.clone();
    set(&mut claim, "metadata.name", claim_name(round, template, ordinal));
    set(&mut claim, "metadata.namespace", round.key.namespace.as_str());
    let labels = object(&mut claim, "metadata.labels");
    labels.extend(strings(&round.set, "spec.selector.matchLabels").into_iter().map(|(key, value)| (key, value.into())));
    if keeps(round, "whenDeleted") == "Delete" {
        set(&mut claim, "metadata.ownerReferences", json!([controller_reference(&round.set)]));
    }
    claim
}

fn keeps<'a>(round: &'a Round, when: &str) -> &'a str {
    text(at(&round.set, "spec.persistentVolumeClaimRetentionPolicy"), when)
}

impl Manager {
    /// The claims of a pod that are there.
    fn claims(&self, round: &Round, ordinal: i64) -> Vec<(Key, Option<Arc<Value>>)> {
        let names = round.claim_templates().iter().map(|template| claim_name(round, template, ordinal));
        let keys = names.map(|name| Key::new(CLAIMS, &round.key.namespace, &name));
        keys.map(|key| (key.clone(), self.cache.get(&key))).collect()
    }

    /// Whether a claim of a pod that is to be made is on its way out: the pod waits for a new one.
    pub(super) fn claims_are_going(&self, round: &Round, ordinal: i64) -> bool {
        self.claims(round, ordinal).iter().any(|(_, claim)| claim.as_deref().is_some_and(is_terminating))
    }

    /// Makes the claims that a pod lacks.
    pub(super) async fn make_claims(&mut self, round: &Round, ordinal: i64) -> Result<(), ApiFailure> {
        for (template, (key, found)) in round.claim_templates().iter().zip(self.claims(round, ordinal)) {
            if found.is_some() {
                continue;
            }
            let (claim, pod) = (claim(round, template, ordinal), format!("{}-{ordinal}", round.key.name));
            match self.create(CLAIMS, &claim).await {
                Ok(_) => {
                    let message =
                        format!("Create Claim {} Pod {pod} in StatefulSet {} success", key.name, round.key.name);
                    self.say(NORMAL, &round.set, "SuccessfulCreate", &message).await;
                }
                Err(failure) if failure.already_exists() => {}
                Err(failure) => {
                    let message = format!(
                        "Create Claim {} for Pod {pod} in StatefulSet {} failed error: {failure}",
                        key.name, round.key.name
                    );
                    self.say(WARNING, &round.set, "FailedCreate", &message).await;
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// Claims go with the set if its policy says so.
    pub(super) async fn fix_claims(&mut self, round: &Round, ordinal: i64) -> Result<(), ApiFailure> {
        let wanted = (keeps(round, "whenDeleted") == "Delete").then(|| controller_reference(&round.set));
        self.own_claims(round, ordinal, wanted).await
    }

    /// Claims go with a pod that is taken away if the policy says so.
    pub(super) async fn fix_claims_of_condemned(&mut self, round: &Round, pod: &Value) -> Result<(), ApiFailure> {
        let Some(ordinal) = ordinal(&round.set, pod) else { return Ok(()) };
        let wanted = match (keeps(round, "whenScaled"), keeps(round, "whenDeleted")) {
            ("Delete", _) => Some(controller_reference(pod)),
            (_, "Delete") => Some(controller_reference(&round.set)),
            _ => None,
        };
        self.own_claims(round, ordinal, wanted).await
    }

    async fn own_claims(&mut self, round: &Round, ordinal: i64, wanted: Option<Value>) -> Result<(), ApiFailure> {
        for (key, claim) in self.claims(round, ordinal) {
            let Some(claim) = claim.filter(|claim| !is_terminating(claim)) else { continue };
            let ours = |owner: &&Value| {
                let set = text(owner, "uid") == text(&round.set, "metadata.uid");
                let pod =
                    text(owner, "kind") == "Pod" && text(owner, "name") == format!("{}-{ordinal}", round.key.name);
                set || pod
            };
            let owners = list(&claim, "metadata.ownerReferences");
            let mut next: Vec<Value> = owners.iter().filter(|owner| !ours(owner)).cloned().collect();
            next.extend(wanted.clone());
            if next.as_slice() == owners {
                continue;
            }
            let patch = json!({"metadata": {"resourceVersion": text(&claim, "metadata.resourceVersion"), "ownerReferences": next}});
            self.patch(&key, "", &patch).await?;
        }
        Ok(())
    }
}
