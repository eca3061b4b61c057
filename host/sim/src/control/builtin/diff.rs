//! The difference that goes with "spec is immutable": two specs as Go prints them, as a unified diff.

use std::fmt::Write as _;

use serde_json::Value;

use crate::control::path::at;

/// Lines kept around a change.
const CONTEXT_LINES: usize = 3;

/// The difference of two claims' specs, in one hunk; empty if they are the same.
pub fn claim_spec(old: &Value, new: &Value) -> String {
    unified(&claim_lines(old), &claim_lines(new))
}

/// A claim's spec in the field names and order of the server's own type.
fn claim_lines(spec: &Value) -> Vec<String> {
    const FIELDS: [(&str, &str); 9] = [
        ("AccessModes", "accessModes"),
        ("Selector", "selector"),
        ("Resources", ""),
        ("VolumeName", "volumeName"),
        ("StorageClassName", "storageClassName"),
        ("VolumeMode", "volumeMode"),
        ("DataSource", "dataSource"),
        ("DataSourceRef", "dataSourceRef"),
        ("VolumeAttributesClassName", "volumeAttributesClassName"),
    ];
    let empty = Value::from("");
    let mut lines = vec!["{".to_owned()];
    for (i, (name, field)) in FIELDS.into_iter().enumerate() {
        let end = if i + 1 == FIELDS.len() { "" } else { "," };
        if field.is_empty() {
            lines.push(format!(" \"{name}\": {{"));
            print(&mut lines, 2, "Limits", at(spec, "resources.limits"), ",");
            print(&mut lines, 2, "Requests", at(spec, "resources.requests"), "");
            lines.push(" },".to_owned());
            continue;
        }
        let value = at(spec, field);
        let value = if field == "volumeName" && value.is_null() { &empty } else { value };
        print(&mut lines, 1, name, value, end);
    }
    lines.push("}".to_owned());
    lines
}

fn print(lines: &mut Vec<String>, depth: usize, name: &str, value: &Value, end: &str) {
    let indent = " ".repeat(depth);
    let head = if name.is_empty() { indent.clone() } else { format!("{indent}\"{name}\": ") };
    match value {
        Value::Array(items) if !items.is_empty() => {
            lines.push(format!("{head}["));
            each(items.iter().map(|item| ("", item)), lines, depth);
            lines.push(format!("{indent}]{end}"));
        }
        Value::Object(map) if !map.is_empty() => {
            lines.push(format!("{head}{{"));
            each(map.iter().map(|(key, item)| (key.as_str(), item)), lines, depth);
            lines.push(format!("{indent}}}{end}"));
        }
        other => lines.push(format!("{head}{other}{end}")),
    }
}

fn each<'a>(items: impl ExactSizeIterator<Item = (&'a str, &'a Value)>, lines: &mut Vec<String>, depth: usize) {
    let last = items.len().saturating_sub(1);
    for (i, (key, item)) in items.enumerate() {
        print(lines, depth + 1, key, item, if i == last { "" } else { "," });
    }
}

fn unified(old: &[String], new: &[String]) -> String {
    let same_before = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = |lines: &[String]| lines.len() - same_before;
    let same_after =
        old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count().min(rest(old)).min(rest(new));
    if same_before == old.len() && old.len() == new.len() {
        return String::new();
    }
    let start = same_before.saturating_sub(CONTEXT_LINES);
    let end = |lines: &[String]| (lines.len() - same_after + CONTEXT_LINES).min(lines.len());
    let mut text = format!("@@ -{},{} +{},{} @@\n", start + 1, end(old) - start, start + 1, end(new) - start);
    let mut add = |mark: char, lines: &[String]| lines.iter().for_each(|line| _ = writeln!(text, "{mark}{line}"));
    add(' ', &old[start..same_before]);
    add('-', &old[same_before..old.len() - same_after]);
    add('+', &new[same_before..new.len() - same_after]);
    add(' ', &old[old.len() - same_after..end(old)]);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_changed_class_shows_with_its_neighbours() {
        let old = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "volumeMode": "Filesystem", "resources": {"requests": {"storage": "1Gi"}}});
        let mut new = old.clone();
        new["storageClassName"] = "other".into();
        let expected = "@@ -10,7 +10,7 @@\n   }\n  },\n  \"VolumeName\": \"\",\n- \"StorageClassName\": \"local\",\n+ \"StorageClassName\": \"other\",\n  \"VolumeMode\": \"Filesystem\",\n  \"DataSource\": null,\n  \"DataSourceRef\": null,\n";
        assert_eq!(claim_spec(&old, &new), expected);
    }
}
