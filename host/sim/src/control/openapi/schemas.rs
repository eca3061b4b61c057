//! The schemas of a document: those of its resources and of everything they refer to.

use serde_json::{Map, Value, json};

use super::descriptions::Descriptions;
use crate::control::{
    resources::ResourceInfo,
    schema::{Definition, Field, ListKind, Type, builtin, definition_name},
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// The dialect of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `#/definitions`, extensions that other tools would refuse left out.
    V2,
    /// `#/components/schemas`.
    V3,
}

/// Schemas that are being gathered.
pub struct Schemas {
    style: Style,
    descriptions: Descriptions,
    done: Map<String, Value>,
    /// Named by a reference and not yet there.
    open: Vec<String>,
}

impl Schemas {
    pub fn new(style: Style) -> Self {
        Self { style, descriptions: Descriptions::load(), done: Map::new(), open: Vec::new() }
    }

    /// Adds the schema of a resource.
    pub fn add(&mut self, resource: &ResourceInfo) {
        let kind = json!([{"group": resource.group, "kind": resource.kind, "version": resource.version}]);
        let (name, mut schema) = match &resource.custom {
            Some(custom) => (custom_name(resource), self.custom(&custom.open_api)),
            None => {
                let name = definition_name(&resource.group, &resource.version, &resource.kind);
                let Some(definition) = builtin().get(&name) else { return };
                (name, self.definition(definition))
            }
        };
        schema["x-kubernetes-group-version-kind"] = kind;
        if let Value::Object(properties) = &mut schema["properties"] {
            properties.insert("apiVersion".into(), described("string", "The version of this form of the object."));
            properties.insert("kind".into(), described("string", "The type of the object."));
        }
        self.done.insert(name, schema);
    }

    /// Adds what is still referred to and returns all schemas.
    pub fn finish(mut self) -> Map<String, Value> {
        while let Some(name) = self.open.pop() {
            if self.done.contains_key(&name) {
                continue;
            }
            let schema = match name.as_str() {
                QUANTITY => described("string", "An amount such as 500m or 2Gi."),
                INT_OR_STRING if self.style == Style::V2 => json!({"type": "string", "format": "int-or-string"}),
                INT_OR_STRING => json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}),
                _ => builtin()
                    .get(&name)
                    .map_or_else(|| json!({"type": "object"}), |definition| self.definition(definition)),
            };
            self.done.insert(name, schema);
        }
        self.done
    }

    fn definition(&mut self, definition: &Definition) -> Value {
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        if let Some(description) = self.descriptions.of_type(&definition.name) {
            schema.insert("description".into(), description.into());
        }
        let properties: Map<String, Value> =
            definition.fields.iter().map(|(name, field)| (name.clone(), self.field(definition, name, field))).collect();
        if !properties.is_empty() {
            schema.insert("properties".into(), Value::Object(properties));
        }
        let required: Vec<_> =
            definition.fields.iter().filter(|(_, field)| field.required).map(|(name, _)| name.as_str()).collect();
        // Metadata is required in the types and never in requests.
        let required: Vec<_> = required.into_iter().filter(|name| *name != "metadata").collect();
        if !required.is_empty() {
            schema.insert("required".into(), required.into());
        }
        if definition.atomic {
            schema.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        Value::Object(schema)
    }

    fn field(&mut self, owner: &Definition, name: &str, field: &Field) -> Value {
        let mut schema = self.ty(&field.ty);
        let Some(extensions) = schema.as_object_mut() else { return schema };
        if let Some(description) = self.descriptions.of_field(&owner.name, name) {
            extensions.insert("description".into(), description.into());
        }
        if matches!(field.ty, Type::List(_)) {
            list_extensions(extensions, field);
        }
        if field.atomic_map {
            extensions.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        if let Some(strategy) = retained(owner, name) {
            extensions.insert("x-kubernetes-patch-strategy".into(), strategy.into());
        }
        schema
    }

    fn ty(&mut self, ty: &Type) -> Value {
        match ty {
            Type::String => json!({"type": "string"}),
            Type::Bool => json!({"type": "boolean"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Number => json!({"type": "number", "format": "double"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
            Type::Quantity => self.reference(QUANTITY),
            Type::IntOrString => self.reference(INT_OR_STRING),
            Type::Any => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            Type::List(inner) => json!({"type": "array", "items": self.ty(inner)}),
            Type::Map(inner) => json!({"type": "object", "additionalProperties": self.ty(inner)}),
            Type::Ref(name) => self.reference(name),
        }
    }

    /// A reference; in v3 it stands in `allOf`, where extensions may stand beside it.
    fn reference(&mut self, name: &str) -> Value {
        self.open.push(name.to_owned());
        match self.style {
            Style::V2 => json!({"$ref": format!("#/definitions/{name}")}),
            Style::V3 => json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}]}),
        }
    }

    /// A custom resource's own schema with the fields that every object has.
    fn custom(&mut self, given: &Value) -> Value {
        let mut schema = if given.is_object() { given.clone() } else { json!({"type": "object"}) };
        if !schema["properties"].is_object() {
            schema["properties"] = json!({});
        }
        schema["properties"]["metadata"] = self.reference(META);
        schema
    }
}

/// `com.pingcap.v1alpha1.TidbCluster`: the group's words backwards, then version and kind.
fn custom_name(resource: &ResourceInfo) -> String {
    let group: Vec<_> = resource.group.split('.').rev().collect();
    format!("{}.{}.{}", group.join("."), resource.version, resource.kind)
}

fn described(ty: &str, description: &str) -> Value {
    json!({"type": ty, "description": description})
}

fn list_extensions(schema: &mut Map<String, Value>, field: &Field) {
    let kind = match &field.list {
        ListKind::Atomic => "atomic",
        ListKind::Set => "set",
        ListKind::Map(keys) => {
            schema.insert("x-kubernetes-list-map-keys".into(), keys.as_slice().into());
            "map"
        }
    };
    schema.insert("x-kubernetes-list-type".into(), kind.into());
    if let Some(key) = &field.merge_key {
        schema.insert("x-kubernetes-patch-merge-key".into(), key.as_str().into());
    }
    if field.merge_key.is_some() || field.list == ListKind::Set {
        schema.insert("x-kubernetes-patch-strategy".into(), "merge".into());
    }
}

/// Fields of which a patch says what it keeps: unions, where one member must take another's place.
fn retained(owner: &Definition, name: &str) -> Option<&'static str> {
    match (owner.name.as_str(), name) {
        ("io.k8s.api.core.v1.PodSpec", "volumes") => Some("merge,retainKeys"),
        ("io.k8s.api.apps.v1.DeploymentSpec", "strategy") => Some("retainKeys"),
        _ => None,
    }
}
