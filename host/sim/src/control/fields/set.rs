//! Sets of field paths, in memory and in the `FieldsV1` form.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::control::error::go_quote;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::control) enum Step {
    /// A field of an object or a key of a map.
    Field(String),
    /// An entry of a list, by its keys; values as JSON text so that they have an order.
    Key(Vec<(String, String)>),
    /// An entry of a set, as JSON text.
    Item(String),
    /// An entry by position.
    Index(u64),
}

impl Step {
    pub(in crate::control) fn field(name: &str) -> Self {
        Self::Field(name.to_owned())
    }

    fn from_text(text: &str) -> Option<Self> {
        let (tag, rest) = text.split_once(':')?;
        match tag {
            "f" => Some(Self::Field(rest.to_owned())),
            "v" => Some(Self::Item(serde_json::from_str::<Value>(rest).ok()?.to_string())),
            "i" => Some(Self::Index(rest.parse().ok()?)),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
                let mut keys: Vec<_> = keys.into_iter().map(|(k, v)| (k, v.to_string())).collect();
                keys.sort();
                Some(Self::Key(keys))
            }
            _ => None,
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Item(json) => format!("v:{json}"),
            Self::Index(i) => format!("i:{i}"),
            Self::Key(keys) => {
                let fields: Vec<String> =
                    keys.iter().map(|(k, v)| format!("{}:{v}", Value::from(k.as_str()))).collect();
                format!("k:{{{}}}", fields.join(","))
            }
        }
    }

    /// The step as messages print it.
    pub(in crate::control) fn show(&self) -> String {
        match self {
            Self::Field(name) => format!(".{name}"),
            Self::Item(json) => format!("[={json}]"),
            Self::Index(i) => format!("[{i}]"),
            Self::Key(keys) => {
                let fields: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("[{}]", fields.join(","))
            }
        }
    }
}

/// A set of paths: at each step, whether the path ends there and what lies below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::control) struct FieldSet {
    below: BTreeMap<Step, Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    children: FieldSet,
}

impl FieldSet {
    pub(in crate::control) fn is_empty(&self) -> bool {
        self.below.is_empty()
    }

    /// Adds the path.
    pub(in crate::control) fn insert(&mut self, path: &[Step]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.below.entry(first.clone()).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.children.insert(rest);
        }
    }

    /// Whether the path of this single step is a member.
    pub(in crate::control) fn has(&self, step: &Step) -> bool {
        self.below.get(step).is_some_and(|n| n.member)
    }

    /// What lies below a step.
    pub(in crate::control) fn below(&self, step: &Step) -> Option<&FieldSet> {
        self.below.get(step).map(|n| &n.children).filter(|s| !s.is_empty())
    }

    pub(in crate::control) fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        for (step, node) in &other.below {
            let mine = out.below.entry(step.clone()).or_default();
            mine.member |= node.member;
            mine.children = mine.children.union(&node.children);
        }
        out
    }

    pub(in crate::control) fn intersection(&self, other: &Self) -> Self {
        self.combine(other, &|mine, theirs| mine && theirs, false)
    }

    pub(in crate::control) fn difference(&self, other: &Self) -> Self {
        self.combine(other, &|mine, theirs| mine && !theirs, true)
    }

    fn combine(&self, other: &Self, keep: &dyn Fn(bool, bool) -> bool, alone: bool) -> Self {
        let mut out = Self::default();
        for (step, node) in &self.below {
            let combined = match other.below.get(step) {
                None if alone => node.clone(),
                None => continue,
                Some(theirs) => Node {
                    member: keep(node.member, theirs.member),
                    children: node.children.combine(&theirs.children, keep, alone),
                },
            };
            if combined.member || !combined.children.is_empty() {
                out.below.insert(step.clone(), combined);
            }
        }
        out
    }

    /// Without the members of `other` and everything below them.
    pub(in crate::control) fn recursive_difference(&self, other: &Self) -> Self {
        let mut out = Self::default();
        for (step, node) in &self.below {
            let left = match other.below.get(step) {
                Some(theirs) if theirs.member => continue,
                Some(theirs) => {
                    Node { member: node.member, children: node.children.recursive_difference(&theirs.children) }
                }
                None => node.clone(),
            };
            if left.member || !left.children.is_empty() {
                out.below.insert(step.clone(), left);
            }
        }
        out
    }

    /// Every path, as messages print them, in order.
    pub(in crate::control) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect("", &mut out);
        out
    }

    fn collect(&self, prefix: &str, out: &mut Vec<String>) {
        for (step, node) in &self.below {
            let path = format!("{prefix}{}", step.show());
            if node.member {
                out.push(path.clone());
            }
            node.children.collect(&path, out);
        }
    }

    /// The steps at the top with what is below, for walks.
    pub(in crate::control) fn entries(&self) -> impl Iterator<Item = (&Step, bool, &FieldSet)> {
        self.below.iter().map(|(step, node)| (step, node.member, &node.children))
    }

    pub(in crate::control) fn set(&mut self, step: Step, member: bool, children: FieldSet) {
        if member || !children.is_empty() {
            self.below.insert(step, Node { member, children });
        }
    }

    /// From `fieldsV1`; entries that cannot be read are left out.
    pub(in crate::control) fn from_json(fields: &Value) -> Self {
        let mut out = Self::default();
        for (text, inner) in fields.as_object().into_iter().flatten() {
            let Some(step) = Step::from_text(text) else { continue };
            let children = Self::from_json(inner);
            let member = children.is_empty() || inner.get(".").is_some();
            out.below.insert(step, Node { member, children });
        }
        out
    }

    /// As `fieldsV1`.
    pub(in crate::control) fn to_json(&self) -> Value {
        let mut out = Map::new();
        for (step, node) in &self.below {
            let mut inner = node.children.to_json();
            if let (Value::Object(map), true, false) = (&mut inner, node.member, node.children.is_empty()) {
                map.insert(".".into(), Value::Object(Map::new()));
            }
            out.insert(step.to_text(), inner);
        }
        Value::Object(out)
    }
}

/// A value inside `[key=value]`.
pub(in crate::control) fn quoted(value: &Value) -> String {
    match value {
        Value::String(s) => go_quote(s),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_writes_the_wire_form() {
        let wire = json!({"f:data": {".": {}, "f:k": {}}, "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:value": {}}}, "v:1": {}});
        assert_eq!(FieldSet::from_json(&wire).to_json(), wire);
    }

    #[test]
    fn difference_keeps_what_lies_below() {
        let a = FieldSet::from_json(&json!({"f:x": {".": {}, "f:y": {}}}));
        let b = FieldSet::from_json(&json!({"f:x": {}}));
        assert_eq!(a.difference(&b).paths(), vec![".x.y"]);
        assert!(a.recursive_difference(&b).is_empty());
        assert_eq!(a.intersection(&b).paths(), vec![".x"]);
    }
}
