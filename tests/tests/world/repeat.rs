//! The same seed gives the same history, to the last byte.

use tidepool_tests::{
    scenario,
    world::{World, in_virtual_time},
};

const SCRIPT: &str = "apply examples/minimal.yaml\nwait-ready minimal 1800\n\
                      patch minimal {\"spec\":{\"tikv\":{\"replicas\":2}}}\nwait-ready minimal 600\nadvance 60\n";

#[test]
fn the_same_seed_gives_the_same_audit_log() {
    let audit = |seed| {
        in_virtual_time(async move {
            let world = World::start(seed).await.expect("a world");
            let text = include_str!("../../../examples/minimal.yaml");
            world.apply("examples/minimal.yaml", text).await.expect("applied");
            world.pass(std::time::Duration::from_secs(300)).await;
            let lines: Vec<String> =
                world.audit(0).iter().map(|entry| serde_json::to_string(entry).expect("JSON")).collect();
            world.stop().await;
            lines
        })
    };
    let (first, second) = (audit(7), audit(7));
    assert!(first.len() > 50, "only {} requests", first.len());
    let differ = first.iter().zip(&second).position(|(a, b)| a != b);
    assert_eq!(differ.map(|at| (&first[at], &second[at])), None, "request {differ:?}");
    assert_eq!(first.len(), second.len());
    assert_ne!(first, audit(8), "another seed gives other uids at least");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let play = || in_virtual_time(scenario::play(SCRIPT, 3, "")).expect("played").transcript;
    assert_eq!(play(), play());
}
