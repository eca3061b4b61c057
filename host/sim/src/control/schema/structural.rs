//! A custom resource's schema, compiled: types, defaults, pruning, list kinds, value validations.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::ListKind;

/// One node of a structural schema.
#[derive(Clone, Debug, Default)]
pub struct Structural {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean` or empty.
    pub ty: String,
    /// `format`, empty if none.
    pub format: String,
    /// Fields of an object.
    pub properties: BTreeMap<String, Structural>,
    /// Values of a map; `None` when fields are closed.
    pub additional: Option<Box<Structural>>,
    /// Entries of a list.
    pub items: Option<Box<Structural>>,
    /// `default`.
    pub default: Option<Value>,
    /// `nullable`.
    pub nullable: bool,
    /// `required`, in the order given.
    pub required: Vec<String>,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-list-type` with its keys.
    pub list: ListKindOrDefault,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic: bool,
    /// `x-kubernetes-validations`, as given.
    pub rules: Vec<Value>,
    /// The remaining value validations: `minimum`, `pattern`, `enum`, `oneOf`, …, as given.
    pub validations: Map<String, Value>,
}

/// The list kind; lists without one are atomic but not checked for duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListKindOrDefault(pub ListKind);

impl Default for ListKindOrDefault {
    fn default() -> Self {
        Self(ListKind::Atomic)
    }
}

/// Keywords that are part of the structure and not validations of a value.
const STRUCTURE: &[&str] = &[
    "type",
    "properties",
    "additionalProperties",
    "items",
    "default",
    "nullable",
    "required",
    "description",
    "title",
    "example",
    "externalDocs",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

impl Structural {
    /// Compiles `openAPIV3Schema`. Unknown keywords are kept as validations and ignored there.
    pub fn compile(schema: &Value) -> Self {
        let text = |key: &str| schema[key].as_str().unwrap_or_default().to_owned();
        let flag = |key: &str| schema[key].as_bool().unwrap_or(false);
        let strings = |key: &str| -> Vec<String> {
            schema[key].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
        };
        let list = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => ListKind::Set,
            Some("map") => ListKind::Map(strings("x-kubernetes-list-map-keys")),
            _ => ListKind::Atomic,
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        let validations = schema.as_object().into_iter().flatten().filter(|(k, _)| !STRUCTURE.contains(&k.as_str()));
        Self {
            ty: text("type"),
            format: text("format"),
            properties: properties.map(|(name, s)| (name.clone(), Self::compile(s))).collect(),
            additional: match &schema["additionalProperties"] {
                Value::Bool(true) => Some(Box::new(Self { preserve_unknown: true, ..Self::default() })),
                s @ Value::Object(_) => Some(Box::new(Self::compile(s))),
                _ => None,
            },
            items: schema["items"].is_object().then(|| Box::new(Self::compile(&schema["items"]))),
            default: schema.get("default").cloned(),
            nullable: flag("nullable"),
            required: strings("required"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list: ListKindOrDefault(list),
            atomic: schema["x-kubernetes-map-type"] == "atomic",
            rules: schema["x-kubernetes-validations"].as_array().cloned().unwrap_or_default(),
            validations: validations.map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }
}
