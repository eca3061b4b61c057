//! What a built-in type adds to the generic verbs: defaults, preparation, validation.
//!
//! The functions see the object as JSON in the version it was sent in. Order of a create: `default`,
//! `prepare_create`, `validate`; of an update: `default`, `prepare_update`, `validate`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    error::{ApiError, Cause},
    resources::ResourceInfo,
};

/// What a strategy may ask of the control plane.
pub trait World {
    /// The simulation's time.
    fn now(&self) -> Timestamp;
    /// A random number from the control plane's stream.
    fn random(&self) -> u64;
    /// All objects of a resource, of one namespace if one is given, in order of name.
    fn list(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Arc<Value>>;
}

/// The functions of one resource. All have an empty default, so a strategy names only what it needs.
#[derive(Clone, Copy)]
pub struct Strategy {
    /// Fills in what the sender left out.
    pub default: fn(&mut Value),
    /// Sets what the server decides on create (allocations, dropped fields). `status` is dropped before if the type
    /// has a status subresource.
    pub prepare_create: fn(&mut Value, &dyn World),
    /// The same on update, with the stored object.
    pub prepare_update: fn(&mut Value, &Value, &dyn World),
    /// Faults of the object; with the stored one on update. Metadata is checked elsewhere.
    pub validate: fn(&Value, Option<&Value>) -> Vec<Cause>,
    /// What is refused for other reasons than the object's own faults; with the stored one on update, after `validate`.
    pub admit: fn(&Value, Option<&Value>, &dyn World) -> Result<(), ApiError>,
    /// Warnings for a create (`None`) or an update, sent as headers.
    pub warnings: fn(&Value, Option<&Value>) -> Vec<String>,
    /// Whether a PUT without resourceVersion overwrites.
    pub unconditional_update: bool,
    /// Whether `metadata.generation` counts changes of everything outside metadata and status.
    pub generation: bool,
    /// Whether a DELETE that removes at once answers the object and not a Status.
    pub delete_answers_object: bool,
    /// The rule for names beyond the usual one.
    pub name: NameRule,
}

/// What a name must look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameRule {
    /// RFC 1123 subdomain, the usual rule.
    Subdomain,
    /// RFC 1123 label (namespaces, …).
    Label,
    /// RFC 1035 label (services).
    Label1035,
    /// Any path segment (RBAC).
    PathSegment,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            default: |_| {},
            prepare_create: |_, _| {},
            prepare_update: |_, _, _| {},
            validate: |_, _| Vec::new(),
            admit: |_, _, _| Ok(()),
            warnings: |_, _| Vec::new(),
            unconditional_update: true,
            generation: false,
            delete_answers_object: false,
            name: NameRule::Subdomain,
        }
    }
}

/// The strategy of a resource; the empty one for custom resources.
pub fn of(resource: &ResourceInfo) -> Strategy {
    if resource.custom.is_some() {
        return Strategy { unconditional_update: false, generation: true, ..Strategy::default() };
    }
    super::builtin::strategy(&resource.group, &resource.plural)
}
