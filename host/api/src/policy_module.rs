//! `PolicyModule`: which WASM module decides for a component.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::de::{IgnoredAny, MapAccess};
use serde::ser::SerializeMap;

use crate::object::{Fields, read};

/// API group of PolicyModule.
pub const GROUP: &str = "tidepool.dev";
/// Version of PolicyModule.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of PolicyModule.
pub const API_VERSION: &str = "tidepool.dev/v1alpha1";
/// `kind` of PolicyModule.
pub const KIND: &str = "PolicyModule";

/// A policy that may decide for a component of clusters in its namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyModule {
    /// Name, namespace, annotations and the like.
    pub metadata: ObjectMeta,
    /// Which module, for what.
    pub spec: PolicyModuleSpec,
    /// What the operator found.
    pub status: Option<PolicyModuleStatus>,
}

serde_by_fields!(PolicyModule);

impl Fields for PolicyModule {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "metadata" => self.metadata = read(map)?,
            "spec" => self.spec = read(map)?,
            "status" => self.status = read(map)?,
            "apiVersion" | "kind" => {
                map.next_value::<IgnoredAny>()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("apiVersion", API_VERSION)?;
        map.serialize_entry("kind", KIND)?;
        map.serialize_entry("metadata", &self.metadata)?;
        map.serialize_entry("spec", &self.spec)?;
        if let Some(status) = &self.status {
            map.serialize_entry("status", status)?;
        }
        Ok(())
    }

    #[cfg(feature = "schema")]
    fn describe(properties: &mut crate::schema::Properties) {
        let required = crate::object::Rule::NONE.required();
        properties.add::<PolicyModuleSpec>("spec", "Which module, for what.", required);
        properties.add::<PolicyModuleStatus>(
            "status",
            "What the operator found; written by the operator alone.",
            crate::object::Rule::NONE,
        );
    }
}

impl k8s_openapi::Resource for PolicyModule {
    const API_VERSION: &'static str = API_VERSION;
    const GROUP: &'static str = GROUP;
    const KIND: &'static str = KIND;
    const VERSION: &'static str = VERSION;
    const URL_PATH_SEGMENT: &'static str = "policymodules";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for PolicyModule {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

object! {
    /// A WASM module that decides for one component.
    pub struct PolicyModuleSpec {
        /// What it decides for: a component (pd, tikv, …), a component of its own, or guard.
        "component" => component: String { required() },
        /// Where the module is.
        "source" => source: PolicySource { required() },
        /// sha256:… of the module. A module with another digest is refused.
        "digest" => digest: String,
        /// Settings handed to the module; their form is the module's.
        "settings" => settings: Option<serde_json::Map<String, serde_json::Value>>,
        /// Keep the policy that decides now; take no other one.
        "paused" => paused: bool,
    }

    /// Where a module is; exactly one of the two.
    pub struct PolicySource {
        /// Name of a file in the operator's policy directory.
        "file" => file: String,
        /// Reference to an OCI artifact, by digest.
        "oci" => oci: String,
    }

    /// What the operator found.
    pub struct PolicyModuleStatus {
        /// Digest of the module that decides now.
        "digest" => digest: String,
        /// Digest of the module that decided before.
        "previousDigest" => previous_digest: String,
        /// Generation of the spec that was looked at.
        "observedGeneration" => observed_generation: Option<i64>,
        /// Conditions: Ready.
        "conditions" => conditions: Vec<Condition>,
    }
}
