//! The rows of `tests/rows`: what the existing operator's own tests of a component expect, as cases of our policies.
//!
//! Each row is a case, or `guests/DEVIATIONS.md` says why not. A row with a case may be there as well: then the case says
//! what ours does instead. What the existing operator's mechanics return as an error is, in our words, a plan that leaves
//! the thing alone, and what it waits for.

mod building;
mod cases;
mod failing;
mod scaling;
mod syncing;
mod upgrading;

use std::{collections::BTreeSet, fs, path::Path};

use cases::{Cases, Policies};
use tidepool_model::render::Deciding;
use tidepool_tests::render;

/// Heading of the part of `guests/DEVIATIONS.md` that lists rows.
const HEADING: &str = "## Rows of PD";

/// Where the rows of the discovery service are cases: it is no policy, and its own tests name them.
const OF_DISCOVERY: (&str, [&str; 2]) = ("D", ["host/pd/src/discovery/tests.rs", "host/operator/tests/discovery.rs"]);

fn only_pd(policies: Vec<Deciding<'static>>) -> Vec<Deciding<'static>> {
    policies.into_iter().filter(|policy| policy.descriptor.component == "pd").collect()
}

fn natively() -> Vec<Deciding<'static>> {
    only_pd(render::policies())
}

fn in_the_sandbox() -> Vec<Deciding<'static>> {
    only_pd(render::sandboxed())
}

fn run(policies: Policies) -> BTreeSet<&'static str> {
    let mut cases = Cases::new(policies);
    scaling::run(&mut cases);
    upgrading::run(&mut cases);
    failing::run(&mut cases);
    syncing::run(&mut cases);
    building::run(&mut cases);
    cases.finish()
}

#[test]
fn every_row_is_a_case_or_a_deviation() {
    let listed = listed();
    let mut cases: BTreeSet<String> = run(natively).into_iter().map(str::to_owned).collect();
    cases.extend(of_discovery(&listed));
    let deviating = deviating(&listed);
    let missing: Vec<_> = listed.iter().filter(|id| !cases.contains(*id) && !deviating.contains(*id)).collect();
    let unknown: Vec<_> = cases.difference(&listed).collect();
    let differing = deviating.intersection(&cases).count();
    println!(
        "PD: {} rows; {} implemented, {differing} of them with a difference that is named; {} deviating without a case",
        listed.len(),
        cases.len(),
        deviating.len() - differing
    );
    assert!(missing.is_empty(), "rows that are neither a case nor a deviation: {missing:?}");
    assert!(unknown.is_empty(), "cases of no row: {unknown:?}");
}

#[test]
fn every_case_is_the_same_in_the_sandbox() {
    run(in_the_sandbox);
}

/// Numbers of all rows.
fn listed() -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rows/pd.txt")).expect("the list of rows");
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Numbers of the rows that the tests of the discovery service name.
fn of_discovery(listed: &BTreeSet<String>) -> Vec<String> {
    let (letter, files) = OF_DISCOVERY;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let texts = files.map(|file| fs::read_to_string(root.join(file)).expect("the tests of the discovery service"));
    let named = |id: &&String| {
        let mut words = texts.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
        id.starts_with(letter) && words.any(|word| word == id.as_str())
    };
    listed.iter().filter(named).cloned().collect()
}

/// Numbers of the rows in the table of deviations. `F1-F3` stands for three rows.
fn deviating(listed: &BTreeSet<String>) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/DEVIATIONS.md");
    let text = fs::read_to_string(path).expect("the list of deviations");
    let (_, part) = text.split_once(HEADING).expect("the part on rows");
    let part = part.split("\n## ").next().unwrap_or_default();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let ids = rows.skip(1).flat_map(|cell| cell.split(", ")).flat_map(range);
    let known = |id: &String| assert!(listed.contains(id), "{id}: no such row");
    ids.filter(|id| !id.starts_with('-')).inspect(known).collect()
}

fn range(text: &str) -> Vec<String> {
    let number = |id: &str| id.trim_start_matches(char::is_alphabetic).parse::<u32>().ok();
    match text.trim().split_once('-') {
        Some((from, to)) if !from.is_empty() => {
            let letters = from.trim_end_matches(char::is_numeric);
            let (from, to) = (number(from).expect("a row"), number(to).expect("a row"));
            (from..=to).map(|number| format!("{letters}{number}")).collect()
        }
        _ => vec![text.trim().to_owned()],
    }
}
