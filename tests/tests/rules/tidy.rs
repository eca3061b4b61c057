//! How the source looks: sizes of files and functions, headers, forgotten files, marks of unfinished work.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{assert_none, files, read, root};

/// Lines of a file. A file holds one idea; at 300 lines ask whether it still does.
const FILE_LINES_MAX: usize = 600;

/// Lines of a function, from its signature to its closing brace: what fits on a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that are longer, `path: name`. The list may only shrink.
const LONG_FUNCTIONS: &str = "tests/tests/rules/long-functions.txt";

/// Marks of work that is not done. In parts, so that this file does not hold them.
const UNFINISHED: [(&str, &str); 5] =
    [("TO", "DO"), ("FIX", "ME"), ("todo", "!("), ("unimplemented", "!("), ("XX", "X:")];

/// Tests that are ignored, `path: reason`. The list may only shrink.
const IGNORED_TESTS: &str = "tests/tests/rules/ignored-tests.txt";

#[test]
fn files_are_short() {
    let mut complaints = Vec::new();
    for file in files(&[".rs"]) {
        let lines = read(&file).lines().count();
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{}: {lines} lines, more than {FILE_LINES_MAX}", file.display()));
        }
    }
    assert_none(&complaints);
}

#[test]
fn files_say_what_they_are_for() {
    let silent = files(&[".rs"]).into_iter().filter(|file| !read(file).starts_with("//! "));
    assert_none(&silent.map(|file| format!("{}: no `//!` on the first line", file.display())).collect::<Vec<_>>());
}

#[test]
fn functions_fit_on_a_screen() {
    let mut long = BTreeSet::new();
    for file in files(&[".rs"]) {
        for (name, lines) in functions(&read(&file)) {
            if lines > FUNCTION_LINES_MAX {
                long.insert(format!("{}: {name}", file.display()));
            }
        }
    }
    only_shrinks(&long, LONG_FUNCTIONS, &format!("longer than {FUNCTION_LINES_MAX} lines"));
}

#[test]
fn no_test_is_ignored() {
    let mark = ["#[igno", "re"].concat();
    let mut ignored = BTreeSet::new();
    for file in files(&[".rs"]) {
        for line in read(&file).lines().map(str::trim).filter(|line| line.starts_with(&mark)) {
            let reason = line.split('"').nth(1).unwrap_or("no reason");
            ignored.insert(format!("{}: {reason}", file.display()));
        }
    }
    only_shrinks(&ignored, IGNORED_TESTS, "an ignored test");
}

/// Compares what was found with the list of what may still be so.
#[track_caller]
fn only_shrinks(found: &BTreeSet<String>, list: &str, fault: &str) {
    let text = read(Path::new(list));
    let known: BTreeSet<String> =
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect();
    let new = found.difference(&known).map(|row| format!("{row}: {fault}"));
    let gone = known.difference(found).map(|row| format!("{row}: not so any more; take it off {list}"));
    assert_none(&new.chain(gone).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_unfinished() {
    let mut complaints = Vec::new();
    for file in files(&[".rs", ".wit", ".toml", "Makefile", ".md", ".py", ".sh"]) {
        for (number, line) in (1..).zip(read(&file).lines()) {
            let mark = UNFINISHED.iter().map(|(a, b)| format!("{a}{b}")).find(|mark| line.contains(mark.as_str()));
            complaints.extend(mark.map(|mark| format!("{}:{number}: {mark}", file.display())));
        }
    }
    assert_none(&complaints);
}

#[test]
fn no_file_is_forgotten() {
    let all: BTreeSet<PathBuf> = files(&[".rs"]).into_iter().collect();
    let mut known: BTreeSet<PathBuf> = all.iter().filter(|file| is_root(file)).cloned().collect();
    let mut left: Vec<PathBuf> = known.iter().cloned().collect();
    while let Some(file) = left.pop() {
        for module in modules(&file) {
            if all.contains(&module) && known.insert(module.clone()) {
                left.push(module);
            }
        }
    }
    let forgotten = all.difference(&known).map(|file| format!("{}: no module declares it", file.display()));
    assert_none(&forgotten.collect::<Vec<_>>());
}

/// Whether cargo itself finds this file: a library, a program, an example, a test or a benchmark.
fn is_root(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let folder = file.parent().map(Path::to_owned).unwrap_or_default();
    let above = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let in_package =
        |folder: Option<&Path>| folder.is_some_and(|folder| root().join(folder).join("Cargo.toml").exists());
    let kinds = ["tests", "benches", "examples", "bin"];
    match name.as_ref() {
        "build.rs" => in_package(Some(&folder)),
        "lib.rs" => above == "src" && in_package(folder.parent()),
        "main.rs" => {
            let outer = folder.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            (above == "src" && in_package(folder.parent())) || kinds.contains(&outer.as_str())
        }
        _ if above == "bin" => folder.parent().and_then(Path::parent).is_some_and(|package| in_package(Some(package))),
        _ => kinds.contains(&above.as_str()) && in_package(folder.parent()),
    }
}

/// Files that the `mod` lines of `file` may mean.
fn modules(file: &Path) -> Vec<PathBuf> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = file.parent().map(Path::to_owned).unwrap_or_default();
    let inner = if ["lib", "main", "mod"].contains(&stem.as_str()) || is_root(file) {
        folder.clone()
    } else {
        folder.join(&stem)
    };
    let mut found = Vec::new();
    let text = read(file);
    let mut path = None;
    for line in text.lines().map(str::trim) {
        if let Some(given) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            path = Some(clean(&folder.join(given)));
            continue;
        }
        let Some(name) = declared(line) else { continue };
        match path.take() {
            Some(path) => found.push(path),
            None => found.extend([inner.join(format!("{name}.rs")), inner.join(name).join("mod.rs")]),
        }
    }
    found
}

/// The name in `mod name;`, with or without a visibility.
fn declared(line: &str) -> Option<&str> {
    let line = line.split("//").next().unwrap_or_default().trim();
    let line = if line.starts_with("pub") { &line[line.find("mod ")?..] } else { line };
    let name = line.strip_prefix("mod ")?.strip_suffix(';')?;
    name.chars().all(|c| c.is_alphanumeric() || c == '_').then_some(name)
}

/// `path` without `..`.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        if part.as_os_str() == ".." {
            out.pop();
        } else {
            out.push(part);
        }
    }
    out
}

/// Names and lines of the functions of a formatted file. rustfmt puts a function's closing brace under its first word.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let closing = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let signature = lines[start..].iter().position(|line| line.ends_with(['{', '}', ';'])).unwrap_or_default();
        match lines[start + signature].chars().next_back() {
            Some('{') => {
                let length = lines[start..].iter().position(|line| *line == closing).map_or(1, |end| end + 1);
                found.push((name.to_owned(), length));
            }
            Some('}') => found.push((name.to_owned(), signature + 1)),
            // A method without a body.
            _ => {}
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    const BEFORE: [&str; 6] = ["pub", "async", "const", "unsafe", "extern", "\"C\""];
    let mut words = line.split_whitespace().skip_while(|word| BEFORE.contains(word) || word.starts_with("pub("));
    (words.next()? == "fn").then_some(())?;
    words.next()?.split(['(', '<']).next()
}

#[test]
fn the_length_of_a_function_is_measured() {
    let text =
        "fn one() {}\nimpl X {\n    pub async fn two(\n        a: u8,\n    ) {\n        if a {\n        }\n    }\n}\n";
    assert_eq!(functions(text), [("one".to_owned(), 1), ("two".to_owned(), 6)]);
}
