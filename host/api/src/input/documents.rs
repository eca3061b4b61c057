//! Splits a file into its documents, each parsed by itself, so that one that is no YAML does not hide the others.

use serde_json::Value;

use super::{Document, InputFault, Origin};
use crate::fault::{Fault, FaultKind};

/// Biggest file that is read, in bytes. A cluster's description is a few kilobytes.
const FILE_BYTES_MAX: usize = 16 << 20;

/// Adds the documents of a file and the faults of those that are no YAML.
pub(super) fn split(file: &str, text: &str, found: &mut Vec<Document>, faults: &mut Vec<InputFault>) {
    let mut document = 0;
    let fault = |document, line, message: String| InputFault {
        origin: Origin { file: file.to_owned(), document },
        line,
        fault: Fault::new("", FaultKind::Invalid, message),
    };
    if text.len() > FILE_BYTES_MAX {
        faults.push(fault(1, None, format!("file is bigger than {FILE_BYTES_MAX} bytes")));
        return;
    }
    for (first_line, chunk) in chunks(text) {
        if is_blank(&chunk) {
            continue;
        }
        document += 1;
        match parse(&chunk) {
            Ok(Value::Null) => document -= 1,
            Ok(value) => {
                let origin = Origin { file: file.to_owned(), document };
                found.extend(unlisted(value).into_iter().map(|value| Document { origin: origin.clone(), value }));
            }
            Err((line, message)) => faults.push(fault(document, line.map(|line| first_line + line - 1), message)),
        }
    }
    if document == 0 {
        faults.push(fault(1, None, "no document in this file".to_owned()));
    }
}

/// The parts between `---` lines with the number of their first line. YAML allows no `---` at the start of a line that
/// means anything else, not even in a block of text.
fn chunks(text: &str) -> Vec<(usize, String)> {
    let mut chunks = vec![(1, String::new())];
    for (at, line) in text.lines().enumerate() {
        let marker =
            |marker: &str| line.strip_prefix(marker).filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if let Some(rest) = marker("---") {
            chunks.push((at + 1, format!("   {rest}\n")));
        } else if marker("...").is_some() {
            chunks.push((at + 2, String::new()));
        } else if let Some((_, chunk)) = chunks.last_mut() {
            chunk.push_str(line);
            chunk.push('\n');
        }
    }
    chunks
}

fn is_blank(chunk: &str) -> bool {
    chunk.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// The value, or the line inside the text and what is wrong there.
fn parse(text: &str) -> Result<Value, (Option<usize>, String)> {
    let options = serde_saphyr::options! {
        // As kubectl reads it: 0644 is octal.
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Value>(text, options).map_err(|error| {
        let message = error.to_string();
        let line = error.location().and_then(|location| line_of(text, location, &message));
        (line, format!("YAML error: {}", without_location(&message)))
    })
}

/// The line of a fault. An unclosed bracket is noticed somewhere after it; the line meant is that of the bracket.
fn line_of(text: &str, location: serde_saphyr::Location, message: &str) -> Option<usize> {
    let line = usize::try_from(location.line()).ok().filter(|line| *line > 0)?;
    let column = usize::try_from(location.column()).unwrap_or_default();
    let in_brackets = message.contains("while parsing a flow");
    Some(in_brackets.then(|| open_bracket(text, line, column)).flatten().unwrap_or(line))
}

/// The line of the innermost bracket that is open before a place.
fn open_bracket(text: &str, line: usize, column: usize) -> Option<usize> {
    let mut open = Vec::new();
    let mut quote = None;
    for (at, text) in text.lines().enumerate().take(line) {
        let until = if at + 1 == line { column.saturating_sub(1) } else { usize::MAX };
        let mut before = ' ';
        for c in text.chars().take(until) {
            match (quote, c) {
                (Some(mark), c) => quote = (c != mark).then_some(mark),
                (None, '#') if before == ' ' => break,
                // Inside a word these are letters.
                (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
                (None, '[' | '{') if !before.is_alphanumeric() => open.push(at + 1),
                (None, ']' | '}') => drop(open.pop()),
                _ => {}
            }
            before = c;
        }
    }
    open.pop()
}

/// The first line of a message without the place at its end, which is told before it and counted in the file.
fn without_location(message: &str) -> &str {
    let line = message.lines().next().unwrap_or_default();
    line.rsplit_once(" at line ").map_or(line, |(head, _)| head).trim_end_matches([':', ',', ' '])
}

/// The objects of a List; anything else is itself.
fn unlisted(mut value: Value) -> Vec<Value> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items,
        Some(items) => {
            if let Some(object) = value.as_object_mut() {
                object.insert("items".to_owned(), items);
            }
            vec![value]
        }
        None => vec![value],
    }
}
