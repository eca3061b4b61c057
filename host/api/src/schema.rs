//! Schemas of the CRDs, made from the same lines as the types. They are structural: no references, every level typed.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvFromSource, EnvVar, Lifecycle, LocalObjectReference, PodDNSConfig, PodSecurityContext,
    SecurityContext, ServicePort, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::object::{Fields, Rule};

/// Marks a value whose form is not checked.
pub const PRESERVE_UNKNOWN: &str = "x-kubernetes-preserve-unknown-fields";
/// Marks a value that is a number or a text.
pub const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// What a quantity looks like; the API server refuses others.
const QUANTITY_PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Levels below a field of a Kubernetes type that keep their description. Each level deeper would double the CRD, and
/// `kubectl explain pod` knows them too.
const KUBERNETES_DESCRIPTION_LEVELS: usize = 1;

/// Makes schemas of Kubernetes types.
pub struct Kubernetes {
    generator: SchemaGenerator,
}

impl Kubernetes {
    pub(crate) fn new() -> Self {
        let settings = SchemaSettings::openapi3().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        Kubernetes { generator: settings.into_generator() }
    }

    fn schema<T: JsonSchema>(&mut self) -> Value {
        let mut schema = self.generator.subschema_for::<T>().to_value();
        simplify(&mut schema, 0);
        schema
    }
}

/// The schema of metadata.
pub fn object_meta() -> Value {
    Kubernetes::new().schema::<ObjectMeta>()
}

/// A type that has a schema.
pub trait Describe {
    /// Its schema, without the description of the field that has it.
    fn schema(kubernetes: &mut Kubernetes) -> Value;
}

/// The properties of an object, while they are collected.
pub struct Properties<'a> {
    kubernetes: &'a mut Kubernetes,
    schemas: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Properties<'_> {
    /// Adds one field.
    pub fn add<T: Describe>(&mut self, name: &'static str, description: &str, rule: Rule) {
        let mut schema = T::schema(self.kubernetes);
        if let Some(schema) = schema.as_object_mut() {
            apply_rule(schema, rule);
            schema.insert("description".to_owned(), one_line(description).into());
        }
        if rule.required {
            self.required.push(name);
        }
        self.schemas.insert(name.to_owned(), schema);
    }
}

/// The schema of an object made by `object!`.
pub fn object<T: Fields>(description: &str, kubernetes: &mut Kubernetes) -> Value {
    let mut properties = Properties { kubernetes, schemas: Map::new(), required: Vec::new() };
    T::describe(&mut properties);
    let mut schema = json!({"type": "object", "description": one_line(description), "properties": properties.schemas});
    if !properties.required.is_empty() {
        properties.required.sort_unstable();
        schema["required"] = json!(properties.required);
    }
    schema
}

fn apply_rule(schema: &mut Map<String, Value>, rule: Rule) {
    if let Some(minimum) = rule.minimum {
        schema.insert("minimum".to_owned(), minimum.into());
    }
    if let Some(maximum) = rule.maximum {
        schema.insert("maximum".to_owned(), maximum.into());
    }
    if !rule.values.is_empty() {
        schema.insert("enum".to_owned(), json!(rule.values));
    }
    if let Some(Ok(default)) = rule.default.map(serde_json::from_str::<Value>) {
        schema.insert("default".to_owned(), default);
    }
    if let Some(key) = rule.list_key {
        schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
        schema.insert("x-kubernetes-list-map-keys".to_owned(), json!([key]));
    }
    if rule.nullable {
        schema.insert("nullable".to_owned(), true.into());
    }
}

fn one_line(description: &str) -> String {
    description.split_whitespace().collect::<Vec<_>>().join(" ")
}

macro_rules! describe {
    ($($ty:ty => $schema:tt,)*) => { $(
        impl Describe for $ty {
            fn schema(_: &mut Kubernetes) -> Value {
                json!($schema)
            }
        }
    )* };
}

describe! {
    bool => {"type": "boolean"},
    i32 => {"type": "integer", "format": "int32"},
    i64 => {"type": "integer", "format": "int64"},
    String => {"type": "string"},
    Config => {"x-kubernetes-preserve-unknown-fields": true},
    Map<String, Value> => {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    // The existing operator leaves null where a time was never set.
    Time => {"type": "string", "format": "date-time", "nullable": true},
    Quantity => {"x-kubernetes-int-or-string": true, "pattern": QUANTITY_PATTERN},
}

impl<T: Describe> Describe for Option<T> {
    fn schema(kubernetes: &mut Kubernetes) -> Value {
        T::schema(kubernetes)
    }
}

impl<T: Describe> Describe for Vec<T> {
    fn schema(kubernetes: &mut Kubernetes) -> Value {
        let mut items = T::schema(kubernetes);
        drop_description(&mut items);
        json!({"type": "array", "items": items})
    }
}

impl<T: Describe> Describe for BTreeMap<String, T> {
    fn schema(kubernetes: &mut Kubernetes) -> Value {
        let mut values = T::schema(kubernetes);
        drop_description(&mut values);
        json!({"type": "object", "additionalProperties": values})
    }
}

fn drop_description(schema: &mut Value) {
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("description");
    }
}

macro_rules! describe_kubernetes {
    ($($ty:ty),*) => { $(
        impl Describe for $ty {
            fn schema(kubernetes: &mut Kubernetes) -> Value {
                kubernetes.schema::<$ty>()
            }
        }
    )* };
}

describe_kubernetes!(
    Affinity,
    Condition,
    Container,
    EnvFromSource,
    EnvVar,
    Lifecycle,
    LocalObjectReference,
    PodDNSConfig,
    PodSecurityContext,
    SecurityContext,
    ServicePort,
    StatefulSetStatus,
    Toleration,
    Volume,
    VolumeMount
);

/// Makes a generated schema short and structural: descriptions cut or dropped, quantities checked, defaults that the
/// existing CRD has in such types.
fn simplify(schema: &mut Value, level: usize) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(description) = object.remove("description")
        && level > 0
        && level <= KUBERNETES_DESCRIPTION_LEVELS
    {
        object.insert("description".to_owned(), first_sentence(description.as_str().unwrap_or_default()).into());
    }
    object.remove("title");
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            simplify(inner, level);
            drop_description(inner);
        }
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties.iter_mut() {
            simplify(property, level + 1);
            add_kubernetes_default(name, property);
        }
    }
}

/// `protocol` of a port and `service` of a gRPC probe are part of what identifies an entry, so they have defaults.
fn add_kubernetes_default(name: &str, property: &mut Value) {
    let (path, default) = match name {
        "ports" => ("/items/properties/protocol", "TCP"),
        "grpc" => ("/properties/service", ""),
        _ => return,
    };
    if let Some(field) = property.pointer_mut(path).and_then(Value::as_object_mut) {
        field.insert("default".to_owned(), default.into());
    }
}

fn first_sentence(text: &str) -> &str {
    let end = text.find(". ").or_else(|| text.find(".\n")).map_or(text.len(), |at| at + 1);
    text.get(..end).unwrap_or(text).lines().next().unwrap_or_default()
}
