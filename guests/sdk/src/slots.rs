//! Ordinals: which pods a StatefulSet has, which of them the user wants to be left empty, and the next step from one set
//! of ordinals to another.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use tidepool_api::{Component, TidbCluster, labels, shared::ScalePolicy};
use tidepool_model::waiting::WaitingOn;

use crate::{
    live::LiveSet,
    wait::{self, Reason},
};

/// Ordinals to leave empty.
pub type Slots = BTreeSet<i32>;

/// Most ordinals that are looked at: more than a StatefulSet can have in practice, so that no number in an object can
/// make a decision run for ever.
const ORDINALS_MAX: i32 = 10_000;

/// Ordinals of a component that the user wants to be left empty.
pub fn delete_slots(cluster: &TidbCluster, component: Component) -> Slots {
    parse(cluster.annotation(&labels::delete_slots(component)))
}

/// A JSON list of integers; anything else means no ordinals.
pub fn parse(text: Option<&str>) -> Slots {
    text.and_then(|text| serde_json::from_str::<Vec<i32>>(text).ok()).unwrap_or_default().into_iter().collect()
}

/// The ordinals of a StatefulSet with this many replicas and these empty slots.
pub fn ordinals(replicas: i32, slots: &Slots) -> BTreeSet<i32> {
    let end = end(replicas, slots);
    (0..end).filter(|ordinal| !slots.contains(ordinal)).collect()
}

/// One above the highest ordinal.
fn end(replicas: i32, slots: &Slots) -> i32 {
    let mut end = replicas.clamp(0, ORDINALS_MAX);
    for slot in slots {
        if (0..end).contains(slot) {
            end += 1;
        }
    }
    end
}

/// The next step from the actual StatefulSet to the one that is wanted: at most one ordinal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do.
    None,
    /// Add the pod with this ordinal.
    Out(i32),
    /// Remove the pod with this ordinal.
    In(i32),
}

/// A step, and the StatefulSet after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// The step.
    pub step: Step,
    /// Replicas after it.
    pub replicas: i32,
    /// Empty slots after it.
    pub slots: Slots,
}

/// The next step from `actual` to `desired`, each replicas and empty slots. Pods are added before any is removed.
pub fn next(actual: (i32, &Slots), desired: (i32, &Slots)) -> Scaling {
    let (have, want) = (ordinals(actual.0, actual.1), ordinals(desired.0, desired.1));
    let mut slots: Slots =
        actual.1.iter().chain(desired.1.iter().filter(|slot| !have.contains(slot))).copied().collect();
    let mut replicas = actual.0;
    let step = if let Some(add) = want.difference(&have).next() {
        replicas += 1;
        if !desired.1.contains(add) {
            slots.remove(add);
        }
        Step::Out(*add)
    } else if let Some(remove) = have.difference(&want).last() {
        replicas -= 1;
        if desired.1.contains(remove) {
            slots.insert(*remove);
        }
        Step::In(*remove)
    } else {
        Step::None
    };
    let end = end(replicas, &slots);
    slots.retain(|slot| *slot < end || desired.1.contains(slot));
    Scaling { step, replicas, slots }
}

/// The ordinals to add or remove next on the way from one number of replicas to another, at most `limit`.
pub fn batch(actual: i32, desired: i32, limit: usize) -> Vec<Step> {
    let actual = actual.clamp(0, ORDINALS_MAX);
    let desired = desired.clamp(0, ORDINALS_MAX);
    let added = (actual..desired).map(Step::Out);
    added.chain((desired..actual).rev().map(Step::In)).take(limit).collect()
}

/// How many pods are added, or removed, at once: one unless the user says more.
pub fn parallelism(policy: Option<&ScalePolicy>, adds: bool) -> usize {
    let given = policy.and_then(|policy| if adds { policy.scale_out_parallelism } else { policy.scale_in_parallelism });
    given.and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0).unwrap_or(1)
}

/// The ordinals that Kubernetes' own StatefulSet has: it leaves none empty.
pub fn present(replicas: i32) -> BTreeSet<i32> {
    ordinals(replicas, &Slots::new())
}

/// Which ordinals are left empty is fixed when the set is made: Kubernetes' own StatefulSets do not look at it, and a
/// change would only claim that a pod goes.
pub fn keep(set: &LiveSet, wanted: &mut StatefulSet) {
    let annotations = wanted.metadata.annotations.get_or_insert_default();
    match set.0.annotation(labels::STATEFUL_SET_DELETE_SLOTS) {
        Some(slots) => annotations.insert(labels::STATEFUL_SET_DELETE_SLOTS.to_owned(), slots.to_owned()),
        None => annotations.remove(labels::STATEFUL_SET_DELETE_SLOTS),
    };
}

/// Why a component whose ordinals are to be left empty keeps its size; none if all that it is to have are there anyway.
pub fn refusal(cluster: &TidbCluster, component: Component) -> Option<WaitingOn> {
    let replicas = cluster.desired_replicas(component);
    if ordinals(replicas, &delete_slots(cluster, component)) == present(replicas) {
        return None;
    }
    let message = format!("Kubernetes' own StatefulSets cannot leave ordinals empty: {component} keeps its size");
    Some(wait::on(Reason::CannotApply, labels::delete_slots(component), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows the steps to the end.
    fn steps(actual: (i32, &[i32]), desired: (i32, &[i32])) -> Vec<(Step, i32, Vec<i32>)> {
        let wanted: Slots = desired.1.iter().copied().collect();
        let (mut replicas, mut slots) = (actual.0, actual.1.iter().copied().collect::<Slots>());
        let mut all = Vec::new();
        for _ in 0..20 {
            let next = next((replicas, &slots), (desired.0, &wanted));
            (replicas, slots) = (next.replicas, next.slots.clone());
            if next.step == Step::None {
                return all;
            }
            all.push((next.step, next.replicas, next.slots.into_iter().collect()));
        }
        panic!("no end: {all:?}");
    }

    #[test]
    fn one_ordinal_at_a_time() {
        use Step::{In, Out};
        assert_eq!(steps((1, &[]), (1, &[])), []);
        assert_eq!(steps((1, &[]), (0, &[])), [(In(0), 0, vec![])]);
        assert_eq!(steps((8, &[]), (6, &[])), [(In(7), 7, vec![]), (In(6), 6, vec![])]);
        assert_eq!(steps((2, &[]), (0, &[])), [(In(1), 1, vec![]), (In(0), 0, vec![])]);
        assert_eq!(steps((0, &[]), (1, &[])), [(Out(0), 1, vec![])]);
        assert_eq!(steps((3, &[]), (5, &[])), [(Out(3), 4, vec![]), (Out(4), 5, vec![])]);
    }

    #[test]
    fn slots_are_left_and_filled() {
        use Step::{In, Out};
        assert_eq!(steps((5, &[1]), (3, &[1, 2, 3])), [(In(3), 4, vec![1, 3]), (In(2), 3, vec![1, 2, 3])]);
        assert_eq!(steps((2, &[0]), (0, &[])), [(In(2), 1, vec![0]), (In(1), 0, vec![])]);
        assert_eq!(steps((2, &[0]), (0, &[0, 1, 3])), [(In(2), 1, vec![0, 3]), (In(1), 0, vec![0, 1, 3])]);
        assert_eq!(steps((0, &[]), (2, &[0])), [(Out(1), 1, vec![0]), (Out(2), 2, vec![0])]);
        assert_eq!(steps((3, &[1, 2, 3]), (5, &[1])), [(Out(2), 4, vec![1, 3]), (Out(3), 5, vec![1])]);
        assert_eq!(steps((0, &[]), (2, &[0, 4, 5])), [(Out(1), 1, vec![0, 4, 5]), (Out(2), 2, vec![0, 4, 5])]);
        assert_eq!(steps((4, &[1]), (4, &[2])), [(Out(1), 5, vec![]), (In(2), 4, vec![2])]);
    }

    #[test]
    fn batches_go_up_from_the_lowest_and_down_from_the_highest() {
        assert_eq!(batch(3, 6, 2), [Step::Out(3), Step::Out(4)]);
        assert_eq!(batch(5, 3, 9), [Step::In(4), Step::In(3)]);
        assert_eq!(batch(3, 3, 9), []);
    }

    #[test]
    fn text_that_is_no_list_means_no_slots() {
        assert!(parse(Some("1,2")).is_empty());
        assert_eq!(parse(Some("[2, 0]")).into_iter().collect::<Vec<_>>(), [0, 2]);
    }
}
