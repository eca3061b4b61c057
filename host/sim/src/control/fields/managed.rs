//! The `managedFields` of an object: kept on every write, and what server-side apply merges by.

use serde_json::{Map, Value, json};

use super::{
    set::{FieldSet, Step},
    typed::{self, Ty},
};

/// Who writes.
#[derive(Clone, Debug)]
pub(in crate::control) struct Writer<'a> {
    pub(in crate::control) manager: &'a str,
    pub(in crate::control) api_version: &'a str,
    /// Empty for the main endpoint.
    pub(in crate::control) subresource: &'a str,
    /// RFC 3339.
    pub(in crate::control) now: &'a str,
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    manager: String,
    apply: bool,
    api_version: String,
    subresource: String,
    time: String,
    set: FieldSet,
}

impl Entry {
    fn read(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let set = FieldSet::from_json(&value["fieldsV1"]);
        let operation = value["operation"].as_str()?;
        Some(Self {
            manager: text("manager"),
            apply: operation == "Apply",
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            set,
        })
    }

    fn write(&self) -> Value {
        let operation = if self.apply { "Apply" } else { "Update" };
        let mut out = json!({"manager": self.manager, "operation": operation, "apiVersion": self.api_version,
            "time": self.time, "fieldsType": "FieldsV1", "fieldsV1": self.set.to_json()});
        if !self.subresource.is_empty() {
            out["subresource"] = self.subresource.as_str().into();
        }
        if self.time.is_empty()
            && let Value::Object(map) = &mut out
        {
            map.remove("time");
        }
        out
    }

    fn is(&self, writer: &Writer<'_>, apply: bool) -> bool {
        let same = self.manager == writer.manager && self.subresource == writer.subresource;
        same && self.apply == apply && (apply || self.api_version == writer.api_version)
    }

    fn of(writer: &Writer<'_>, apply: bool) -> Self {
        Self {
            manager: writer.manager.into(),
            apply,
            api_version: writer.api_version.into(),
            subresource: writer.subresource.into(),
            time: writer.now.into(),
            set: FieldSet::default(),
        }
    }
}

fn read(object: &Value) -> Vec<Entry> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten().filter_map(Entry::read).collect()
}

fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|e| !e.set.is_empty());
    entries.sort_by(|a, b| {
        let key =
            |e: &Entry| (!e.apply, e.time.clone(), e.manager.clone(), e.api_version.clone(), e.subresource.clone());
        key(a).cmp(&key(b))
    });
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), entries.iter().map(Entry::write).collect());
    }
}

/// What nobody owns: identity, and what the server sets.
fn stripped() -> FieldSet {
    let mut out = FieldSet::default();
    for name in ["apiVersion", "kind", "metadata"] {
        out.insert(&[Step::field(name)]);
    }
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        out.insert(&[Step::field("metadata"), Step::field(name)]);
    }
    out
}

fn without_managed(object: &Value) -> Value {
    let mut out = object.clone();
    if let Some(metadata) = out.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    out
}

/// Whether a write asks to forget all ownership: a list of one empty entry, or an empty list.
fn is_reset(object: &Value) -> bool {
    match object["metadata"]["managedFields"].as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([one]) => one.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

/// Notes what a create (`live` is `None`), update or patch has set. `reset` are the fields this endpoint drops.
pub(in crate::control) fn update(
    live: Option<&Value>,
    new: &mut Value,
    ty: Ty<'_>,
    writer: &Writer<'_>,
    reset: &FieldSet,
) {
    let from_live = live.map(read).unwrap_or_default();
    let forget = writer.subresource.is_empty() && live.is_some() && is_reset(new);
    let given = if writer.subresource.is_empty() { read(new) } else { Vec::new() };
    let mut entries = if forget {
        Vec::new()
    } else if given.is_empty() {
        from_live.clone()
    } else {
        given
    };
    if entries.is_empty() && live.is_some() {
        return write(new, entries);
    }
    let nothing = json!({});
    let old = live.map_or(nothing, without_managed);
    let compared = typed::compare(&old, &without_managed(new), ty);
    let taken = compared.modified.union(&compared.added).recursive_difference(reset);
    let removed = compared.removed.recursive_difference(reset);
    let mut own = entries.iter().find(|e| e.is(writer, false)).cloned().unwrap_or_else(|| Entry::of(writer, false));
    let before = own.set.clone();
    entries.retain(|e| !e.is(writer, false));
    for entry in &mut entries {
        entry.set = entry.set.difference(&taken).difference(&removed);
    }
    own.set = own.set.difference(&removed).union(&taken).difference(&stripped());
    if own.set != before {
        own.time = writer.now.into();
    }
    entries.push(own);
    write(new, entries);
}

/// Fields of other managers that an applied configuration would change: manager as messages name it, and paths.
pub(in crate::control) type Conflicts = Vec<(String, Vec<String>)>;

/// Merges an applied configuration into `live` (an object of identity alone if there is none).
///
/// # Errors
/// The conflicts, unless `force`.
pub(in crate::control) fn apply(
    live: &Value,
    exists: bool,
    config: &Value,
    ty: Ty<'_>,
    writer: &Writer<'_>,
    reset: &FieldSet,
    force: bool,
) -> Result<Value, Conflicts> {
    let mut entries = read(live);
    if entries.is_empty() && exists {
        entries.push(before_first_apply(live, ty, writer));
    }
    let live = without_managed(live);
    let set = typed::to_set(config, ty).recursive_difference(reset).difference(&stripped());
    let last = entries.iter().find(|e| e.is(writer, true)).cloned();
    entries.retain(|e| !e.is(writer, true));
    let merged = typed::merge(&live, config, ty);
    let pruned = match &last {
        Some(last) if !last.set.is_empty() => prune(&merged, &last.set, &set, &entries, ty),
        _ => merged,
    };
    let compared = typed::compare(&live, &pruned, ty);
    let taken = compared.modified.union(&compared.added).recursive_difference(reset);
    let removed = compared.removed.recursive_difference(reset);
    let conflicts: Conflicts = entries
        .iter()
        .map(|e| (e, e.set.intersection(&taken)))
        .filter(|(_, set)| !set.is_empty())
        .map(|(e, set)| (describe(e), set.paths()))
        .collect();
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    for entry in &mut entries {
        entry.set = entry.set.difference(&taken).difference(&removed);
    }
    let mut own = Entry { set, ..Entry::of(writer, true) };
    if let Some(last) = last.filter(|last| last.set == own.set && last.api_version == own.api_version) {
        own.time = last.time;
    }
    entries.push(own);
    let mut out = pruned;
    write(&mut out, entries);
    Ok(out)
}

fn before_first_apply(live: &Value, ty: Ty<'_>, writer: &Writer<'_>) -> Entry {
    let created = live["metadata"]["creationTimestamp"].as_str().unwrap_or(writer.now);
    let set = typed::to_set(live, ty).difference(&stripped());
    Entry {
        manager: "before-first-apply".into(),
        time: created.into(),
        subresource: String::new(),
        set,
        ..Entry::of(writer, false)
    }
}

/// Drops what this manager applied last time, does not apply now, and nobody else owns.
fn prune(merged: &Value, last: &FieldSet, now: &FieldSet, others: &[Entry], ty: Ty<'_>) -> Value {
    let named = |set: &FieldSet| typed::with_named(set, ty);
    let pruned = typed::remove(merged, &named(last), ty);
    let owned = others.iter().fold(now.clone(), |all, e| all.union(&e.set));
    let all = named(&typed::to_set(merged, ty));
    let keep = named(&typed::to_set(&pruned, ty)).union(&named(&owned));
    let pruned = typed::remove(merged, &all.difference(&keep), ty);
    let gone = all.difference(&named(&typed::to_set(&pruned, ty))).intersection(&named(last));
    typed::remove(merged, &gone, ty)
}

/// `"name"`, with what else tells a manager apart.
fn describe(entry: &Entry) -> String {
    let mut out = format!("{:?}", entry.manager);
    if !entry.subresource.is_empty() {
        out.push_str(&format!(" with subresource {:?}", entry.subresource));
    }
    if !entry.apply {
        out.push_str(&format!(" using {}", entry.api_version));
    }
    out
}
