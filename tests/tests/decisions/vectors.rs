//! Each vector is decided natively and in the sandbox; both answers are the expected one.

use std::{fs, path::Path, sync::Arc};

use tidepool_model::Snapshot;
use tidepool_policy::Part;
use tidepool_tests::{golden, policies, render, vector};

#[test]
fn every_vector_is_decided_as_expected_natively_and_in_the_sandbox() {
    let mut complaints = Vec::new();
    for native in render::natives() {
        let component = &native.descriptor.component;
        let mut sandboxed = policies::sandboxed().iter();
        let sandboxed = sandboxed.find(|policy| policy.descriptor().component == *component).expect("it is built");
        let files = vector::files(component);
        assert!(!files.is_empty(), "policy {component} has no vectors");
        for file in files {
            let expected = vector::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let snapshot = Arc::new(expected.snapshot);
            let by_native = (native.decide)(Arc::clone(&snapshot));
            let in_sandbox = sandboxed.decide(Arc::clone(&snapshot)).outcome;
            if by_native != in_sandbox {
                complaints.push(format!("{}: the sandbox decides {in_sandbox:#?}", file.display()));
            }
            let now = vector::Vector::new(&expected.description, &snapshot, &by_native)
                .and_then(|vector| vector.text())
                .expect("JSON");
            complaints.extend(golden::compare(&file, &now).err());
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn sandbox_and_native_say_the_same_of_themselves() {
    let natives = render::natives();
    for policy in policies::sandboxed() {
        let component = &policy.descriptor().component;
        let native = natives.iter().find(|native| native.descriptor.component == *component);
        assert_eq!(native.map(|native| &native.descriptor), Some(policy.descriptor()), "policy {component}");
    }
}

#[test]
fn every_folder_of_vectors_belongs_to_a_policy() {
    let known: Vec<String> = render::natives().into_iter().map(|policy| policy.descriptor.component).collect();
    for entry in fs::read_dir(vector::folder()).expect("the folder of vectors") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        assert!(known.contains(&name), "{}: no policy decides for {name}", path.display());
        for file in fs::read_dir(&path).expect("a folder of vectors") {
            let file = file.expect("an entry").path();
            assert_eq!(file.extension(), Some("json".as_ref()), "{}: not a vector", file.display());
        }
    }
}

#[test]
fn the_same_vector_burns_the_same_fuel() {
    for policy in policies::sandboxed() {
        for file in vector::files(&policy.descriptor().component) {
            let snapshot = Arc::new(vector::read(&file).expect("a vector").snapshot);
            let first = policy.decide(Arc::clone(&snapshot)).fuel;
            let second = policy.decide(snapshot).fuel;
            assert_eq!(first, second, "{}", short(&file));
        }
    }
}

/// The host does not ask again while all that a policy read is as it was: so nothing else may matter.
#[test]
fn what_a_policy_did_not_read_does_not_change_its_decision() {
    let mut unread = 0;
    for policy in policies::sandboxed() {
        for file in vector::files(&policy.descriptor().component) {
            let snapshot = Arc::new(vector::read(&file).expect("a vector").snapshot);
            let decision = policy.decide(Arc::clone(&snapshot));
            for part in Part::ALL.into_iter().filter(|part| !decision.reads.has(*part)) {
                let other = Arc::new(without(&snapshot, part));
                assert!(decision.reads.are_same(&snapshot, &other), "{}: {part:?}", short(&file));
                let again = policy.decide(other);
                assert_eq!(decision.outcome, again.outcome, "{}: without {part:?}", short(&file));
                assert_eq!(decision.reads, again.reads, "{}: without {part:?}", short(&file));
                unread += 1;
            }
        }
    }
    assert!(unread > 0, "no policy leaves anything unread");
}

/// The snapshot with something else in place of one part.
fn without(snapshot: &Snapshot, part: Part) -> Snapshot {
    let (mut other, nothing) = (snapshot.clone(), Snapshot::nothing());
    let mut pd = (*other.pd).clone();
    match part {
        Part::Now => other.now_ms += 400 * 24 * 3_600_000,
        Part::Cluster => other.cluster = nothing.cluster,
        Part::Settings => other.settings = nothing.cluster,
        Part::Watches => other.watches = nothing.watches,
        Part::Pods => other.pods = nothing.pods,
        Part::Members => pd.members = nothing.pd.members.clone(),
        Part::Stores => pd.stores.iter_mut().flatten().for_each(|store| store.row.last_heartbeat_ms += 1),
        Part::StoreJson => {
            pd.stores.iter_mut().flatten().for_each(|store| store.json = serde_json::value::RawValue::NULL.to_owned());
        }
        Part::Documents => pd.documents.clear(),
        Part::Probes => other.probes = nothing.probes,
    }
    Snapshot { pd: Arc::new(pd), ..other }
}

fn short(file: &Path) -> String {
    file.strip_prefix(vector::folder()).unwrap_or(file).display().to_string()
}
