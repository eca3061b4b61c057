//! StatefulSets: pods with names that last, made, replaced and taken away in order.

mod pods;
mod revisions;
mod status;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

pub use self::status::{is_available, is_ready};
use self::{
    revisions::Revisions,
    status::{Counts, is_created, is_healthy},
};
use super::{Manager, api::ApiFailure, cache::Key, owned::is_terminating, queue::Work, recorder::Voice};
use crate::control::path::{at, entry, int, list, text};

/// The label that tells of which revision a pod is.
const REVISION_LABEL: &str = "controller-revision-hash";
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";
const COMPONENT: &str = "statefulset-controller";
const NORMAL: Voice = Voice { component: COMPONENT, kind: "Normal" };
const WARNING: Voice = Voice { component: COMPONENT, kind: "Warning" };

/// A set with what one round has found out about it.
struct Round {
    key: Key,
    set: Arc<Value>,
    revisions: Revisions,
    /// The set as its current and its newest revision have it.
    current: Value,
    newest: Value,
    start: i64,
    /// By ordinal: the pods there are, and `None` where one is missing.
    replicas: BTreeMap<i64, Option<Arc<Value>>>,
    /// Pods beyond the wanted number, the highest ordinal first.
    condemned: Vec<(i64, Arc<Value>)>,
    /// One step after the other, each waiting for the one before.
    ordered: bool,
    min_ready_seconds: i64,
}

/// Whether the round goes on to the next pod.
#[derive(PartialEq, Eq)]
enum Step {
    On,
    Wait,
}

/// The ordinal of a pod of the set, `None` for a pod that only looks like one.
fn ordinal(set: &Value, pod: &Value) -> Option<i64> {
    let (parent, ordinal) = text(pod, "metadata.name").rsplit_once('-')?;
    (parent == text(set, "metadata.name")).then(|| ordinal.parse().ok()).flatten()
}

fn revision_of(pod: &Value) -> &str {
    entry(pod, "metadata.labels", REVISION_LABEL).unwrap_or_default()
}

impl Manager {
    pub(super) async fn statefulset(&mut self, key: &Key) -> Result<(), ApiFailure> {
        // A set on its way out makes nothing: a revision made now would hold up a deletion that waits for all of them.
        let Some(set) = self.cache.get(key).filter(|set| !is_terminating(set)) else { return Ok(()) };
        let pods = self.claim("pods", &set, |set, pod| ordinal(set, pod).is_some()).await?;
        let revisions = self.revisions(&set).await?;
        let mut round = Round::new(key, &set, revisions, pods);
        // What a round did is told by the status even if it could not finish.
        let result = self.step(&mut round).await;
        let (counts, result) = match result {
            Ok(counts) => (counts, Ok(())),
            Err(failure) => (Counts::of(&round), Err(failure)),
        };
        self.statefulset_status(&round, counts).await?;
        self.truncate_revisions(&round).await?;
        result
    }

    async fn step(&mut self, round: &mut Round) -> Result<Counts, ApiFailure> {
        for ordinal in round.replicas.keys().copied().collect::<Vec<_>>() {
            let step = self.replica(round, ordinal).await?;
            if round.ordered && step == Step::Wait {
                return Ok(Counts::of(round));
            }
        }
        for (_, pod) in round.condemned.clone() {
            self.fix_claims_of_condemned(round, &pod).await?;
        }
        let first_unhealthy = round.first_unhealthy();
        for (_, pod) in round.condemned.clone() {
            let step = self.condemned(round, &pod, first_unhealthy.as_deref()).await?;
            if round.ordered && step == Step::Wait {
                return Ok(Counts::of(round));
            }
        }
        let mut counts = Counts::of(round);
        if text(&round.set, "spec.updateStrategy.type") != "OnDelete" {
            self.roll(round, &mut counts).await?;
        }
        Ok(counts)
    }

    /// Looks after one wanted pod.
    async fn replica(&mut self, round: &mut Round, ordinal: i64) -> Result<Step, ApiFailure> {
        let Some(pod) = round.replicas.get(&ordinal).cloned().flatten() else {
            return self.make_replica(round, ordinal).await;
        };
        if matches!(text(&pod, "status.phase"), "Failed" | "Succeeded") {
            if !is_terminating(&pod) {
                let message = format!(
                    "StatefulSet {}/{} is recreating failed Pod {}",
                    round.key.namespace,
                    round.key.name,
                    text(&pod, "metadata.name")
                );
                self.say(WARNING, &round.set, "RecreatingFailedPod", &message).await;
                self.delete_pod(round, &pod).await?;
            }
            return Ok(Step::Wait);
        }
        if text(&pod, "status.phase") == "Pending" {
            self.make_claims(round, ordinal).await?;
        }
        if round.ordered && (is_terminating(&pod) || !is_ready(&pod)) {
            return Ok(Step::Wait);
        }
        if let Err(wait_seconds) = is_available(&pod, round.min_ready_seconds, self.clock.now()) {
            let when = Instant::now() + Duration::from_secs(wait_seconds);
            self.queue.add_after(Work::StatefulSet(round.key.clone()), when);
            if round.ordered {
                return Ok(Step::Wait);
            }
        }
        self.fix_claims(round, ordinal).await?;
        Ok(Step::On)
    }

    async fn make_replica(&mut self, round: &mut Round, ordinal: i64) -> Result<Step, ApiFailure> {
        if self.claims_are_going(round, ordinal) {
            return Ok(Step::Wait);
        }
        self.make_claims(round, ordinal).await?;
        let pod = pods::build(round, ordinal);
        let (name, pod_name) = (round.key.name.clone(), text(&pod, "metadata.name").to_owned());
        match self.create("pods", &pod).await {
            Ok(made) => {
                self.say(
                    NORMAL,
                    &round.set,
                    "SuccessfulCreate",
                    &format!("Create Pod {pod_name} in StatefulSet {name} successful"),
                )
                .await;
                round.replicas.insert(ordinal, Some(Arc::new(made)));
                Ok(Step::Wait)
            }
            // Somebody else's pod has the name; or the view is a moment behind.
            Err(failure) => {
                let message = format!("create Pod {pod_name} in StatefulSet {name} failed error: {failure}");
                self.say(WARNING, &round.set, "FailedCreate", &message).await;
                Err(failure)
            }
        }
    }

    /// Takes one pod away that is not wanted any more.
    async fn condemned(
        &mut self,
        round: &mut Round,
        pod: &Arc<Value>,
        first_unhealthy: Option<&Value>,
    ) -> Result<Step, ApiFailure> {
        if is_terminating(pod) {
            return Ok(Step::Wait);
        }
        let first = first_unhealthy.is_some_and(|first| text(first, "metadata.uid") == text(pod, "metadata.uid"));
        let usable = is_ready(pod) && is_available(pod, round.min_ready_seconds, self.clock.now()).is_ok();
        if round.ordered && !usable && !first {
            return Ok(Step::Wait);
        }
        self.delete_pod(round, pod).await?;
        Ok(Step::Wait)
    }

    /// Replaces the last pod of an old revision, one at a time, when all after it are healthy.
    async fn roll(&mut self, round: &mut Round, counts: &mut Counts) -> Result<(), ApiFailure> {
        let partition = int(&round.set, "spec.updateStrategy.rollingUpdate.partition").unwrap_or(0);
        let targets: Vec<_> =
            round.replicas.iter().rev().filter(|(ordinal, _)| **ordinal - round.start >= partition).collect();
        let targets: Vec<Arc<Value>> = targets.into_iter().map(|(_, pod)| pod.clone().unwrap_or_default()).collect();
        for pod in targets {
            if is_created(&pod) && revision_of(&pod) != round.revisions.newest_name() && !is_terminating(&pod) {
                if revision_of(&pod) == round.revisions.current_name() {
                    counts.current -= 1;
                }
                return self.delete_pod(round, &pod).await;
            }
            if !is_healthy(&pod) {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn delete_pod(&mut self, round: &Round, pod: &Value) -> Result<(), ApiFailure> {
        let (key, name) = (Key::of("pods", pod), text(pod, "metadata.name"));
        self.delete(&key, text(pod, "metadata.uid"), "Background").await?;
        let message = format!("Delete Pod {name} in StatefulSet {} successful", round.key.name);
        self.say(NORMAL, &round.set, "SuccessfulDelete", &message).await;
        Ok(())
    }
}

impl Round {
    fn new(key: &Key, set: &Arc<Value>, revisions: Revisions, pods: Vec<Arc<Value>>) -> Self {
        let (start, count) = (int(set, "spec.ordinals.start").unwrap_or(0), int(set, "spec.replicas").unwrap_or(1));
        let mut replicas: BTreeMap<i64, Option<Arc<Value>>> =
            (start..start + count).map(|ordinal| (ordinal, None)).collect();
        let mut condemned = Vec::new();
        for pod in pods {
            let Some(ordinal) = ordinal(set, &pod) else { continue };
            match replicas.get_mut(&ordinal) {
                Some(place) => *place = Some(pod),
                None => condemned.push((ordinal, pod)),
            }
        }
        condemned.sort_by(|(a, _), (b, _)| b.cmp(a));
        Self {
            key: key.clone(),
            set: set.clone(),
            current: revisions.applied(set, revisions.current_name()),
            newest: revisions.applied(set, revisions.newest_name()),
            revisions,
            start,
            replicas,
            condemned,
            ordered: text(set, "spec.podManagementPolicy") != "Parallel",
            min_ready_seconds: int(set, "spec.minReadySeconds").unwrap_or(0),
        }
    }

    /// Every pod there is.
    fn pods(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.replicas.values().flatten().chain(self.condemned.iter().map(|(_, pod)| pod))
    }

    /// The lowest wanted pod that is not healthy, or else the highest unwanted one.
    fn first_unhealthy(&self) -> Option<Arc<Value>> {
        self.pods().find(|pod| !is_healthy(pod)).cloned()
    }

    /// Whether a pod that is made at `ordinal` is of the current revision: below the partition of a rolling update.
    fn wants_current(&self, ordinal: i64) -> bool {
        let strategy = at(&self.set, "spec.updateStrategy");
        if text(strategy, "type") != "RollingUpdate" {
            return false;
        }
        match int(strategy, "rollingUpdate.partition") {
            Some(partition) => ordinal < self.start + partition,
            None => ordinal < self.start + int(&self.set, "status.currentReplicas").unwrap_or(0),
        }
    }

    /// The set as the revision has it from which the pod at `ordinal` is made, and that revision's name.
    fn source(&self, ordinal: i64) -> (&Value, &str) {
        if self.wants_current(ordinal) {
            (&self.current, self.revisions.current_name())
        } else {
            (&self.newest, self.revisions.newest_name())
        }
    }

    fn claim_templates(&self) -> &[Value] {
        list(&self.set, "spec.volumeClaimTemplates")
    }
}
