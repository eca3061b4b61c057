//! A policy can misbehave as it likes: it gets a fault with a reason, and the next call is as good as the first.

use std::{path::PathBuf, sync::Arc};

use serde_json::{json, value::to_raw_value};
use tidepool_model::{Action, Plan, Snapshot, record::Outcome};
use tidepool_policy::{Cache, LoadError, LoadedPolicy, Registry, Runtime, limits};

fn policies() -> PathBuf {
    let built = std::env::var_os("TIDEPOOL_POLICIES").map(PathBuf::from);
    built.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/policies"))
}

fn hostile() -> PathBuf {
    policies().join("../policies-for-tests/hostile.wasm")
}

fn load() -> LoadedPolicy {
    Runtime::new().unwrap().load_file(&hostile(), &Cache::none()).expect("run `make guests` first")
}

fn decide(policy: &LoadedPolicy, attack: &str) -> Outcome {
    let mut snapshot = Snapshot::nothing();
    snapshot.settings = to_raw_value(&json!({"attack": attack})).unwrap().into();
    policy.decide(Arc::new(snapshot)).outcome
}

#[track_caller]
fn assert_fault(policy: &LoadedPolicy, attack: &str, reason: &str) {
    match decide(policy, attack) {
        Outcome::Fault(text) => assert!(text.contains(reason), "{attack}: {text}"),
        other => panic!("{attack}: {other:?}"),
    }
    assert!(matches!(decide(policy, "none"), Outcome::Plan(_)), "{attack} spoilt the next call");
}

#[test]
fn every_attack_is_a_fault_with_a_reason() {
    let policy = load();
    assert_fault(&policy, "loop", "fuel");
    assert_fault(&policy, "allocate", "unreachable");
    assert_fault(&policy, "actions", &limits::ACTIONS_MAX.to_string());
    assert_fault(&policy, "bytes", &limits::PLAN_BYTES_MAX.to_string());
    assert_fault(&policy, "depth", "recursion limit");
    assert_fault(&policy, "waits", &limits::WAITS_MAX.to_string());
    assert_fault(&policy, "recurse", "stack");
    assert_fault(&policy, "panic", "panicked");
    assert_fault(&policy, "fail", "on purpose");
}

#[test]
fn a_failed_call_leaves_no_plan() {
    let policy = load();
    assert_eq!(decide(&policy, "half"), Outcome::InvalidSpec("spec.pd.replicas: on purpose".into()));
}

#[test]
fn a_talkative_policy_is_cut_short() {
    let policy = load();
    let mut snapshot = Snapshot::nothing();
    snapshot.settings = to_raw_value(&json!({"attack": "log"})).unwrap().into();
    let decision = policy.decide(Arc::new(snapshot));
    assert_eq!(decision.outcome, Outcome::Plan(Plan::default()));
    assert_eq!(decision.log.len(), limits::LOG_LINES_MAX);
    assert!(decision.log.iter().all(|line| line.text.len() == limits::LOG_LINE_BYTES_MAX));
}

#[test]
fn the_same_snapshot_burns_the_same_fuel() {
    let policy = load();
    let snapshot = Arc::new(Snapshot::nothing());
    let first = policy.decide(Arc::clone(&snapshot));
    for _ in 0..100 {
        let again = policy.decide(Arc::clone(&snapshot));
        assert_eq!((again.fuel, &again.outcome), (first.fuel, &first.outcome));
    }
}

#[test]
fn a_broken_file_is_refused_and_the_old_policy_goes_on() {
    let registry = Registry::new(Runtime::new().unwrap(), Cache::none());
    let good = std::fs::read(hostile()).unwrap();
    registry.publish(registry.prepare(&good).unwrap()).expect("the first is news");
    let digest = registry.current("hostile").unwrap().digest().to_owned();
    let truncated = &good[..good.len() / 2];
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    for byte in &mut flipped[middle..middle + 64] {
        *byte ^= 0xff;
    }
    for broken in [truncated, b"", b"not wasm", &flipped] {
        let error = registry.prepare(broken).err().expect("refused");
        assert!(matches!(error, LoadError::NotAPolicy(_) | LoadError::Compile(_)), "{error}");
    }
    assert_eq!(registry.current("hostile").unwrap().digest(), digest);
    assert!(registry.publish(registry.prepare(&good).unwrap()).is_none(), "the same again is no news");
}

#[test]
fn the_way_back_to_an_earlier_policy_is_as_good_as_the_first() {
    let registry = Registry::new(Runtime::new().unwrap(), Cache::none());
    let first = std::fs::read(hostile()).unwrap();
    let mut second = first.clone();
    // A custom section changes the digest and nothing else.
    second.extend_from_slice(&[0, 3, 1, b'x', b'y']);
    let mut digests = Vec::new();
    for bytes in [&first, &second, &first] {
        let swapped = registry.publish(registry.prepare(bytes).unwrap()).expect("another than before");
        let current = registry.current("hostile").unwrap();
        assert_eq!(swapped.now, current.digest());
        assert!(matches!(decide(&current, "none"), Outcome::Plan(_)));
        digests.push(swapped.now);
    }
    assert_eq!(digests[0], digests[2]);
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn a_swap_happens_between_two_decisions() {
    let registry = Registry::new(Runtime::new().unwrap(), Cache::none());
    let file = std::fs::read(hostile()).unwrap();
    registry.publish(registry.prepare(&file).unwrap());
    let held = registry.current("hostile").unwrap();
    // A custom section changes the digest and nothing else.
    let mut other = file.clone();
    other.extend_from_slice(&[0, 3, 1, b'x', b'y']);
    let swapped = registry.publish(registry.prepare(&other).unwrap()).expect("another digest is news");
    assert_eq!(swapped.before.as_deref(), Some(held.digest()));
    assert_eq!(registry.current("hostile").unwrap().digest(), swapped.now);
    let plan = |policy: &LoadedPolicy| match decide(policy, "none") {
        Outcome::Plan(plan) => plan,
        other => panic!("{other:?}"),
    };
    assert_eq!(plan(&held), plan(&registry.current("hostile").unwrap()), "the old one still decides where it is held");
    assert!(matches!(plan(&held).actions[..], [Action::Event { .. }]));
}

#[test]
fn a_damaged_cache_is_compiled_anew() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::in_directory(directory.path()).unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.load_file(&hostile(), &cache).unwrap();
    let files = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|file| file.extension().is_some_and(|extension| extension == "cwasm")).collect();
    assert_eq!(files.len(), 1, "one compiled policy");
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&files[0], &bytes).unwrap();
    let policy = runtime.load_file(&hostile(), &cache).unwrap();
    assert!(matches!(decide(&policy, "none"), Outcome::Plan(_)));
    bytes[middle] ^= 1;
    assert_eq!(std::fs::read(&files[0]).unwrap(), bytes, "written anew, the same");
}
