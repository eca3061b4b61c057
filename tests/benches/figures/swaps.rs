//! What it costs to let another policy decide.

use std::hint::black_box;

use criterion::Criterion;
use tidepool_policy::{Cache, Registry, Runtime};
use tidepool_tests::policies;

use crate::{
    table::{Goal, Table, Unit},
    timing,
};

/// From a file's bytes to a policy that can be published, when it was compiled before, nanoseconds.
const PREPARE_MAX: Goal = Goal::AtMost(1e6);

/// Publishing, nanoseconds: the only moment at which a decision could wait.
const PUBLISH_MAX: Goal = Goal::AtMost(1e3);

/// Prepares and publishes the policy of PD and one that differs from it only in its digest.
pub fn measure(criterion: &mut Criterion, table: &mut Table) {
    let bytes = policies::bytes("pd");
    let mut other = bytes.clone();
    // A custom section changes the digest and nothing else.
    other.extend_from_slice(&[0, 3, 1, b'x', b'y']);
    let new = || Registry::new(Runtime::new().expect("the sandbox starts"), cache());
    let registry = new();
    registry.prepare(&bytes).expect("a policy");
    registry.prepare(&other).expect("a policy");

    let restarted = timing::median(criterion, "swap/prepare-compiled-before", new, |registry| {
        // Given back, so that its end is not measured.
        (registry.prepare(black_box(&bytes)).expect("a policy"), registry)
    });
    let rolled_back = timing::median(
        criterion,
        "swap/prepare-decided-before",
        || (),
        |()| registry.prepare(black_box(&bytes)).expect("a policy"),
    );
    let mut turn = false;
    let next = || {
        turn = !turn;
        registry.prepare(if turn { &bytes } else { &other }).expect("a policy")
    };
    let publish = timing::median(criterion, "swap/publish", next, |policy| registry.publish(policy));
    let rows = [
        ("swap/prepare-compiled-before", restarted, PREPARE_MAX, "its compiled code is in the cache's folder"),
        ("swap/prepare-decided-before", rolled_back, PREPARE_MAX, "this host has loaded it before: a way back"),
        ("swap/publish", publish, PUBLISH_MAX, ""),
    ];
    for (name, figure, goal, note) in rows {
        if let Some(figure) = figure {
            table.note(name, figure, Unit::Nanoseconds, Some(goal));
            table.remark(note);
        }
    }
}

fn cache() -> Cache {
    Cache::in_directory(&policies::folder().with_file_name("policy-cache")).expect("a cache")
}
