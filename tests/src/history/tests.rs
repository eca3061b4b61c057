//! Every rule of the history is broken by a story that breaks nothing else, beside the nearest stories that break nothing.
//!
//! The stories are tables, one file a subject. What a real operator would have to do to break the rules that the
//! simulated servers let one break is in `tests/scenarios/broken-*`.

mod calls;
mod claims;
mod members;
mod pods;
mod ready;
mod stores;
mod story;
mod writes;

use std::{collections::BTreeSet, path::Path};

use self::story::Story;

/// Rules that must hold at every step of every scenario.
const REQUIRED: [&str; 19] = [
    "S1", "S2", "S3", "S4", "S10", "S11", "S12", "S13", "S14", "S15", "S16", "S18", "S19", "S20", "S21", "S27", "S28",
    "S29", "S30",
];

/// … and S33, which stands alone at the end.
const REQUIRED_LAST: &str = "S33";

/// A story, and what the rules say of it.
struct Case {
    rule: &'static str,
    what: &'static str,
    /// The story breaks the rule, and no other; if not, it breaks none.
    breaks: bool,
    tell: fn(&mut Story),
}

/// A story that breaks this rule alone.
const fn broken(rule: &'static str, what: &'static str, tell: fn(&mut Story)) -> Case {
    Case { rule, what, breaks: true, tell }
}

/// A story that is near to breaking this rule, and breaks none.
const fn kept(rule: &'static str, what: &'static str, tell: fn(&mut Story)) -> Case {
    Case { rule, what, breaks: false, tell }
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [pods::CASES, stores::CASES, members::CASES, claims::CASES, writes::CASES, ready::CASES, calls::CASES]
        .into_iter()
        .flatten()
}

#[test]
fn each_story_breaks_its_rule_alone_or_none() {
    let mut complaints = Vec::new();
    for Case { rule, what, breaks, tell } in cases() {
        let mut story = Story::new();
        tell(&mut story);
        let expected: &[&str] = if *breaks { &[*rule] } else { &[] };
        if story.broken() != expected {
            complaints.push(format!("{rule}, {what}: {:?}", story.violations()));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn no_rule_is_without_a_story_that_breaks_it_and_one_that_does_not() {
    let with = |breaks: bool| -> BTreeSet<&str> {
        cases().filter(|case| case.breaks == breaks).map(|case| case.rule).collect()
    };
    let known = rules_in_the_source();
    let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    assert_eq!(with(true), known);
    assert_eq!(with(false), known);
    let required: BTreeSet<&str> = REQUIRED.into_iter().chain([REQUIRED_LAST]).collect();
    assert_eq!(required.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// Every rule that a file beside this one can say is broken.
fn rules_in_the_source() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/history");
    let files = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<String> = sources
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| std::fs::read_to_string(path).expect("a source"))
        .collect();
    let calls = sources.iter().flat_map(|source| source.split(".broken(\"").skip(1));
    calls.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}
