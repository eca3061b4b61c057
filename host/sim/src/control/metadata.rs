//! The metadata that every object has: what is checked and what the server sets.

use serde_json::Value;

use super::{error::Cause, names, path::text, strategy::NameRule};

/// Annotations altogether.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
/// Finalizers that need no domain.
const STANDARD_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// Faults of a new object's metadata.
pub(super) fn validate(object: &Value, rule: NameRule) -> Vec<Cause> {
    let mut out = Vec::new();
    let metadata = &object["metadata"];
    let name = text(metadata, "name");
    if name.is_empty() {
        out.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        let faults = match rule {
            NameRule::Subdomain => names::subdomain(name),
            NameRule::Label => names::label(name),
            NameRule::Label1035 => names::label_1035(name),
            NameRule::PathSegment => names::path_segment(name),
        };
        out.extend(faults.into_iter().map(|f| Cause::invalid("metadata.name", &name.into(), f)));
    }
    out.extend(labels(metadata));
    out.extend(annotations(metadata));
    out.extend(owners(metadata));
    out.extend(finalizers(metadata));
    out
}

fn labels(metadata: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        let key_faults = names::qualified_name(key);
        out.extend(key_faults.into_iter().map(|f| Cause::invalid("metadata.labels", &key.as_str().into(), f)));
        let fault = value.as_str().and_then(names::label_value);
        out.extend(fault.map(|f| Cause::invalid("metadata.labels", value, f)));
    }
    out
}

fn annotations(metadata: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        let faults = names::qualified_name(&key.to_lowercase());
        out.extend(faults.into_iter().map(|f| Cause::invalid("metadata.annotations", &key.as_str().into(), f)));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_BYTES_MAX {
        let message = format!("Too long: may not be more than {ANNOTATIONS_BYTES_MAX} bytes");
        out.push(Cause { reason: "FieldValueTooLong", message, field: "metadata.annotations".into() });
    }
    out
}

fn owners(metadata: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    let list = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut controller: Option<&Value> = None;
    for owner in list {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, field).is_empty() {
                let path = format!("metadata.ownerReferences.{field}");
                let detail = if field == "apiVersion" { "version must not be empty" } else { "must not be empty" };
                out.push(Cause::invalid(path, &"".into(), detail));
            }
        }
        if owner["controller"] != true {
            continue;
        }
        if let Some(first) = controller {
            let shown = serde_json::to_string(&Ordered(list)).unwrap_or_default();
            let id = |o: &Value| format!("{}/{}", text(o, "kind"), text(o, "name"));
            let detail = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                id(first),
                id(owner)
            );
            let message = format!("Invalid value: {shown}: {detail}");
            out.push(Cause { reason: "FieldValueInvalid", message, field: "metadata.ownerReferences".into() });
            break;
        }
        controller = Some(owner);
    }
    out
}

/// Owner references with their fields in the order of the real server's type.
struct Ordered<'a>(&'a [Value]);

impl serde::Serialize for Ordered<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct One<'a>(&'a Value);
        impl serde::Serialize for One<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let fields = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
                serializer.collect_map(fields.iter().filter_map(|f| self.0.get(*f).map(|v| (*f, v))))
            }
        }
        serializer.collect_seq(self.0.iter().map(One))
    }
}

fn finalizers(metadata: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    for (i, finalizer) in metadata["finalizers"].as_array().into_iter().flatten().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        let field = format!("metadata.finalizers[{i}]");
        let faults = names::qualified_name(name);
        if faults.is_empty() && !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            out.push(Cause::invalid(field.clone(), finalizer, detail));
        }
        out.extend(faults.into_iter().map(|f| Cause::invalid(field.clone(), finalizer, f)));
    }
    out
}

/// Faults of an update's metadata against the stored object.
pub(super) fn validate_update(new: &Value, old: &Value, rule: NameRule) -> Vec<Cause> {
    let (a, b) = (&new["metadata"], &old["metadata"]);
    let mut out = Vec::new();
    // Names are as good as they were.
    if text(a, "name") != text(b, "name") {
        out.extend(validate(new, rule).into_iter().filter(|c| c.field == "metadata.name"));
    }
    out.extend(labels(a));
    out.extend(annotations(a));
    out.extend(owners(a));
    out.extend(finalizers(a));
    if text(a, "uid") != text(b, "uid") {
        out.push(Cause::invalid("metadata.uid", &a["uid"], "field is immutable"));
    }
    if !b["deletionTimestamp"].is_null() {
        out.extend(new_finalizers(a, b));
    }
    out
}

fn new_finalizers(new: &Value, old: &Value) -> Vec<Cause> {
    let list = |m: &Value| -> Vec<String> {
        m["finalizers"].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let had = list(old);
    let added: Vec<String> = list(new).into_iter().filter(|f| !had.contains(f)).map(|f| format!("{f:?}")).collect();
    if added.is_empty() {
        return Vec::new();
    }
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    vec![Cause::forbidden("metadata.finalizers", &detail)]
}
