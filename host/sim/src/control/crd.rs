//! CustomResourceDefinitions: defaults, validation, conditions, and the resources they make.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    custom,
    error::Cause,
    path::{at, list, text},
    resources::{CustomVersion, Registry, ResourceInfo, ScalePaths, Subresource, VERBS_CUSTOM},
    schema::structural::Structural,
};

/// Keeps a definition until its objects are gone.
pub(super) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Fills in what a definition leaves out.
pub(super) fn default(definition: &mut Value) {
    let kind = text(definition, "spec.names.kind").to_owned();
    let Some(spec) = definition.get_mut("spec").filter(|s| s.is_object()) else { return };
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        names.entry("singular").or_insert_with(|| kind.to_lowercase().into());
        names.entry("listKind").or_insert_with(|| format!("{kind}List").into());
    }
    if spec["conversion"].is_null() {
        spec["conversion"] = json!({"strategy": "None"});
    }
}

/// Sets the status of a definition: names accepted, established, the stored versions.
pub(super) fn establish(definition: &mut Value, old: Option<&Value>, now: &str) {
    let versions = list(definition, "spec.versions");
    let storage: Vec<String> =
        versions.iter().filter(|v| v["storage"] == true).map(|v| text(v, "name").to_owned()).collect();
    let mut stored: Vec<String> = old
        .map(|o| list(o, "status.storedVersions").iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    stored.extend(storage.into_iter().filter(|v| !stored.contains(v)).collect::<Vec<_>>());
    let had = old.map(|o| list(o, "status.conditions").to_vec()).unwrap_or_default();
    let condition = |ty: &str, reason: &str, message: &str| {
        let before = had.iter().find(|c| c["type"] == ty && c["status"] == "True").cloned();
        before.unwrap_or_else(
            || json!({"type": ty, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message}),
        )
    };
    let mut conditions = vec![
        condition("NamesAccepted", "NoConflicts", "no conflicts found"),
        condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ];
    conditions.extend(had.iter().filter(|c| !matches!(text(c, "type"), "NamesAccepted" | "Established")).cloned());
    let names = definition["spec"]["names"].clone();
    definition["status"] = json!({"conditions": conditions, "acceptedNames": names, "storedVersions": stored});
}

/// Faults of a definition.
pub(super) fn validate(definition: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    let name = text(definition, "metadata.name");
    let (plural, group) = (text(definition, "spec.names.plural"), text(definition, "spec.group"));
    if name != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        out.push(Cause::invalid("metadata.name", &name.into(), detail));
    }
    for (field, value) in
        [("spec.group", group), ("spec.names.plural", plural), ("spec.names.kind", text(definition, "spec.names.kind"))]
    {
        if value.is_empty() {
            out.push(Cause::required(field, ""));
        }
    }
    let scope = text(definition, "spec.scope");
    if !matches!(scope, "Namespaced" | "Cluster") {
        out.push(match scope {
            "" => Cause::required("spec.scope", ""),
            other => Cause::not_supported("spec.scope", &other.into(), &["Cluster", "Namespaced"]),
        });
    }
    let versions = list(definition, "spec.versions");
    if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        out.push(Cause::invalid("spec.versions", &json!(versions), detail));
    }
    for (i, version) in versions.iter().enumerate() {
        let path = match versions.len() {
            1 => "spec.validation.openAPIV3Schema".to_owned(),
            _ => format!("spec.versions[{i}].schema.openAPIV3Schema"),
        };
        let schema = at(version, "schema.openAPIV3Schema");
        if schema.is_null() {
            out.push(Cause::required(format!("spec.versions[{i}].schema.openAPIV3Schema"), "schemas are required"));
            continue;
        }
        if text(schema, "type").is_empty() {
            out.push(Cause::required(format!("{path}.type"), "must not be empty at the root"));
        } else if text(schema, "type") != "object" {
            out.push(Cause::invalid(format!("{path}.type"), &schema["type"], "must be object at the root"));
        }
        node(schema, &path, true, &mut out);
    }
    out
}

/// Faults of one node of a schema and of those below it.
fn node(schema: &Value, path: &str, root: bool, out: &mut Vec<Cause>) {
    let compiled = Structural::compile(schema);
    let untyped = compiled.ty.is_empty() && !compiled.int_or_string && !compiled.preserve_unknown;
    if untyped && !root {
        out.push(Cause::required(format!("{path}.type"), "must not be empty for specified object fields"));
    }
    if let Some(default) = &compiled.default {
        for cause in custom::value_causes(default, &compiled, "") {
            out.push(Cause { field: format!("{path}.default"), ..cause });
        }
    }
    for (i, rule) in compiled.rules.iter().enumerate() {
        let text = rule["rule"].as_str().unwrap_or_default();
        if let Some(fault) = custom::compile_fault(text, &compiled) {
            let field = format!("{path}.x-kubernetes-validations[{i}].rule");
            out.push(Cause::invalid(field, &text.into(), fault));
        }
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        if root && name == "metadata" {
            continue;
        }
        node(inner, &format!("{path}.properties[{name}]"), false, out);
    }
    if schema["items"].is_object() {
        node(&schema["items"], &format!("{path}.items"), false, out);
    }
    if schema["additionalProperties"].is_object() {
        node(&schema["additionalProperties"], &format!("{path}.additionalProperties"), false, out);
    }
}

/// The resources of a definition, one a served version. `id` tells this state of the definition from others.
fn resources(definition: &Value, id: u64) -> Vec<ResourceInfo> {
    let names = &definition["spec"]["names"];
    let strings = |key: &str| -> Vec<String> {
        names[key].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let served = list(definition, "spec.versions").iter().filter(|v| v["served"] == true);
    served
        .map(|version| ResourceInfo {
            group: text(definition, "spec.group").into(),
            version: text(version, "name").into(),
            kind: text(names, "kind").into(),
            list_kind: text(names, "listKind").into(),
            plural: text(names, "plural").into(),
            singular: text(names, "singular").into(),
            short_names: strings("shortNames"),
            categories: strings("categories"),
            namespaced: text(definition, "spec.scope") == "Namespaced",
            verbs: VERBS_CUSTOM,
            subresources: subresources(version),
            custom: Some(Arc::new(custom_version(definition, version, id))),
        })
        .collect()
}

fn subresources(version: &Value) -> Vec<Subresource> {
    let scale = ("autoscaling".to_owned(), "v1".to_owned(), "Scale".to_owned());
    let has = |name: &str| !at(version, &format!("subresources.{name}")).is_null();
    let one = |name: &str, body| Subresource { name: name.into(), body, verbs: &["get", "patch", "update"] };
    let status = has("status").then(|| one("status", None));
    status.into_iter().chain(has("scale").then(|| one("scale", Some(scale)))).collect()
}

fn custom_version(definition: &Value, version: &Value, id: u64) -> CustomVersion {
    let open_api = at(version, "schema.openAPIV3Schema").clone();
    let scale = at(version, "subresources.scale");
    let path = |key: &str| text(scale, key).trim_start_matches('.').to_owned();
    let selectable = list(version, "selectableFields").iter();
    let (group, name, kind) =
        (text(definition, "spec.group"), text(version, "name"), text(definition, "spec.names.kind"));
    CustomVersion {
        id,
        definition: text(definition, "metadata.name").into(),
        schema: Structural::compile(&open_api),
        open_api,
        printer_columns: list(version, "additionalPrinterColumns").to_vec(),
        selectable_fields: selectable.map(|f| text(f, "jsonPath").trim_start_matches('.').to_owned()).collect(),
        scale: (!scale.is_null()).then(|| ScalePaths {
            spec: path("specReplicasPath"),
            status: path("statusReplicasPath"),
            selector: Some(path("labelSelectorPath")).filter(|p| !p.is_empty()),
        }),
        storage: version["storage"] == true,
        served: version["served"] == true,
        deprecation: (version["deprecated"] == true).then(|| {
            let given = version["deprecationWarning"].as_str().map(str::to_owned);
            given.unwrap_or_else(|| format!("{group}/{name} {kind} is deprecated"))
        }),
    }
}

/// The built-in resources and those of `definitions`; each comes with its id.
pub(super) fn registry<'a>(definitions: impl Iterator<Item = (u64, &'a Value)>) -> Registry {
    let mut registry = Registry::builtin();
    for (id, definition) in definitions {
        resources(definition, id).into_iter().for_each(|resource| registry.add(resource));
    }
    registry
}
