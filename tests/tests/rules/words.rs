//! What the repository does not say: names of machines' folders, and second words for the same thing.

use crate::{assert_none, files, read};

/// Places of one machine. In parts, so that this file does not hold them.
const PLACES: [(&str, &str); 5] = [("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/"), ("/tm", "p/"), ("/Us", "ers/")];

/// Files that may name such a place, and why.
const MAY_NAME_PLACES: [(&str, &str); 2] =
    [("README.md", "the tour shows a folder to keep records in"), ("deploy/", "paths inside a container")];

/// Words that mean what another word means here, and that other word.
const SYNONYMS: [(&str, &str, &str); 6] = [
    ("block", "list", "a list of what is refused"),
    ("white", "list", "a list of what is allowed"),
    ("master", "-slave", "leader and follower"),
    ("wasm plug", "in", "policy"),
    ("policy eng", "ine", "sandbox"),
    ("blue", "print", "plan"),
];

#[test]
fn no_place_of_one_machine_is_named() {
    let mut complaints = Vec::new();
    for file in files(&[".rs", ".toml", ".md", ".wit", ".yaml", ".txt", ".json", ".sh", "Makefile", "run", "fresh"]) {
        let name = file.to_string_lossy().into_owned();
        if MAY_NAME_PLACES.iter().any(|(may, _)| name.starts_with(may)) {
            continue;
        }
        let text = read(&file);
        for (number, line) in (1..).zip(text.lines()) {
            let place = PLACES.iter().map(|(a, b)| format!("{a}{b}")).find(|place| names(line, place));
            complaints.extend(place.map(|place| format!("{name}:{number}: {place}")));
        }
    }
    assert_none(&complaints);
}

/// Whether `line` has `place` as the beginning of a path.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "._-/}*~<>$]".contains(c)))
    })
}

#[test]
fn one_thing_has_one_name() {
    let mut complaints = Vec::new();
    for file in files(&[".rs", ".md", ".wit"]) {
        for (number, line) in (1..).zip(read(&file).lines()) {
            let line = line.to_lowercase();
            for (a, b, better) in SYNONYMS {
                let word = format!("{a}{b}");
                if line.contains(&word) {
                    complaints.push(format!("{}:{number}: {word:?}; say: {better}", file.display()));
                }
            }
        }
    }
    assert_none(&complaints);
}
