//! `PolicyModule`: which WASM module decides for a component.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::de::{IgnoredAny, MapAccess};
use serde::ser::SerializeMap;

use crate::fault::{Fault, Faults};
use crate::object::{Fields, read};
use crate::syntax;

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

impl PolicyModule {
    /// All faults of the spec; none means that it can be acted on.
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        let spec = &self.spec;
        if spec.component.is_empty() {
            faults.required("spec.component", "required");
        } else if !syntax::is_dns_label(&spec.component) {
            faults.invalid("spec.component", "not a DNS label", &spec.component);
        }
        if !spec.digest.is_empty() && !syntax::is_sha256_digest(&spec.digest) {
            faults.invalid("spec.digest", "not sha256: and 64 hexadecimal digits", &spec.digest);
        }
        match (spec.source.file.as_str(), spec.source.oci.as_str()) {
            ("", "") => faults.required("spec.source", "one of file and oci is required"),
            (file, "") if !is_file_name(file) => {
                faults.invalid("spec.source.file", "not a name of a file in the policy directory", file);
            }
            ("", oci) if !oci.contains("@sha256:") && spec.digest.is_empty() => {
                faults.required("spec.digest", "required, because spec.source.oci has no digest");
            }
            (_, "") | ("", _) => {}
            _ => faults.invalid("spec.source", "file and oci exclude each other", &spec.source.oci),
        }
        faults.into_vec()
    }
}

/// A plain name: the policy directory is never left.
fn is_file_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    text.bytes().all(inner) && !text.starts_with('.')
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
