//! The part of JSONPath that CRDs use: dotted keys, `['key']`, `[2]`, `[*]` and `[?(@.type=="Ready")]`.

use serde_json::Value;

/// Every value that `path` finds in `root`, in order. A path that cannot be read finds nothing.
pub fn find<'a>(root: &'a Value, path: &str) -> Vec<&'a Value> {
    let path = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    let Some(steps) = parse(path) else { return Vec::new() };
    steps.iter().fold(vec![root], |found, step| found.into_iter().flat_map(|value| step.take(value)).collect())
}

/// A value as JSONPath prints it: strings bare, everything else as JSON.
pub fn print(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

enum Step {
    Key(String),
    Index(i64),
    All,
    Filter { path: String, equal: bool, literal: Value },
    Has(String),
}

impl Step {
    fn take<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Key(key) => value.get(key).into_iter().collect(),
            Self::Index(index) => nth(value, *index).into_iter().collect(),
            Self::All => children(value),
            Self::Has(path) => children(value).into_iter().filter(|item| !find(item, path).is_empty()).collect(),
            Self::Filter { path, equal, literal } => {
                let matches = |item: &&Value| find(item, path).iter().any(|found| (*found == literal) == *equal);
                children(value).into_iter().filter(matches).collect()
            }
        }
    }
}

fn nth(value: &Value, index: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let index = if index < 0 { index + i64::try_from(items.len()).ok()? } else { index };
    items.get(usize::try_from(index).ok()?)
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('[') {
            let end = closing(tail)?;
            steps.push(bracket(&tail[..end])?);
            rest = &tail[end + 1..];
        } else {
            let (key, tail) = key(rest.strip_prefix('.').unwrap_or(rest));
            match key.as_str() {
                "" => {}
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Key(key)),
            }
            if tail.len() == rest.len() {
                return None;
            }
            rest = tail;
        }
    }
    Some(steps)
}

/// Where the bracket that is open ends; brackets inside quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (None, ']') => return Some(i),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// A dotted key; `\.` is a dot that belongs to it.
fn key(text: &str) -> (String, &str) {
    let mut key = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '.' | '[' => return (key, &text[i..]),
            '\\' => key.extend(chars.next().map(|(_, c)| c)),
            _ => key.push(c),
        }
    }
    (key, "")
}

fn bracket(inside: &str) -> Option<Step> {
    let inside = inside.trim();
    if inside == "*" {
        return Some(Step::All);
    }
    if let Some(filter) = inside.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        let (equal, sides) = match filter.split_once("==") {
            Some(sides) => (true, Some(sides)),
            None => (false, filter.split_once("!=")),
        };
        let Some((left, right)) = sides else { return Some(Step::Has(filter.trim().strip_prefix('@')?.to_owned())) };
        let literal = literal(right.trim())?;
        return Some(Step::Filter { path: left.trim().strip_prefix('@')?.to_owned(), equal, literal });
    }
    match literal(inside)? {
        Value::String(key) => Some(Step::Key(key)),
        number => Some(Step::Index(number.as_i64()?)),
    }
}

fn literal(text: &str) -> Option<Value> {
    match text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        Some(quoted) => Some(Value::from(quoted)),
        None => serde_json::from_str(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::find;

    #[test]
    fn the_forms_of_a_crd_are_found() {
        let object = json!({"metadata": {"labels": {"a.b/c": "x"}}, "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Z"}]}, "n": [1, 2]});
        assert_eq!(find(&object, ".status.conditions[?(@.type==\"Ready\")].status"), [&json!("True")]);
        assert_eq!(find(&object, ".status.conditions[?(@.type=='Z')].status"), Vec::<&serde_json::Value>::new());
        assert_eq!(find(&object, ".metadata.labels['a.b/c']"), [&json!("x")]);
        assert_eq!(find(&object, ".metadata.labels.a\\.b/c"), [&json!("x")]);
        assert_eq!(find(&object, "{.n[-1]}"), [&json!(2)]);
        assert_eq!(find(&object, ".n[*]").len(), 2);
    }
}
