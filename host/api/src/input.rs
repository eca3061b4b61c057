//! Reads files that people wrote: YAML with several documents, our resources and other Kubernetes objects among them. Every
//! fault of every document is told, by file, document and field; nothing is returned from files with faults.

mod documents;

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use crate::cluster::{self, TidbCluster};
use crate::fault::{Fault, Faults};
use crate::policy_module::{self, PolicyModule};
use crate::schema_check;

/// One Kubernetes object of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Where it stands.
    pub origin: Origin,
    /// The object, as written.
    pub value: Value,
}

/// Where a document stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// File, as its user named it.
    pub file: String,
    /// Number of the document in the file, from 1.
    pub document: usize,
}

/// One fault of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFault {
    /// Where.
    pub origin: Origin,
    /// Line in the file, where it is known.
    pub line: Option<usize>,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: document {}", self.file, self.document)
    }
}

impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// All faults of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError(pub Vec<InputFault>);

impl std::error::Error for InputError {}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// Reads files, given as name and text. The error holds the faults of all of them.
pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Vec<Document>, InputError> {
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (name, text) in files {
        documents::split(name, text, &mut found, &mut faults);
    }
    for document in &found {
        let origin = &document.origin;
        faults.extend(check(&document.value).into_iter().map(|fault| InputFault {
            origin: origin.clone(),
            line: None,
            fault,
        }));
    }
    twice(&found, &mut faults);
    faults.sort_by_key(|fault| fault.origin.document);
    if faults.is_empty() { Ok(found) } else { Err(InputError(faults)) }
}

/// All faults of one Kubernetes object.
pub fn check(value: &Value) -> Vec<Fault> {
    let mut faults = Faults::default();
    if !value.is_object() {
        faults.add(Fault::new("", crate::FaultKind::TypeInvalid, "expected a Kubernetes object"));
        return faults.into_vec();
    }
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    for key in ["apiVersion", "kind"].into_iter().filter(|key| text(key).is_empty()) {
        faults.required(key, "required");
    }
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    match (api_version, kind) {
        (cluster::API_VERSION, cluster::KIND) => return check_typed(&SCHEMAS.cluster, value, tidb_cluster_faults),
        (policy_module::API_VERSION, policy_module::KIND) => {
            return check_typed(&SCHEMAS.policy, value, policy_module_faults);
        }
        ("", _) | (_, "") => {}
        _ => not_served(api_version, kind, &mut faults),
    }
    let metadata = |key: &str| value.pointer(&format!("/metadata/{key}")).and_then(Value::as_str).unwrap_or_default();
    if metadata("name").is_empty() && metadata("generateName").is_empty() {
        faults.required("metadata.name", "required");
    }
    faults.into_vec()
}

struct Schemas {
    cluster: Value,
    policy: Value,
}

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas {
    cluster: with_metadata(crate::crd::tidb_cluster_schema()),
    policy: with_metadata(crate::crd::policy_module_schema()),
});

/// The CRD leaves metadata to the API server; a file's is checked here.
fn with_metadata(mut schema: Value) -> Value {
    schema["properties"]["metadata"] = crate::schema::object_meta();
    schema
}

/// Checks against the schema, then what could be read by its own rules. A field that the schema refused is told once.
fn check_typed(schema: &Value, value: &Value, semantic: fn(Value) -> Vec<Fault>) -> Vec<Fault> {
    let mut left = value.clone();
    let mut faults = Faults::default();
    schema_check::check(schema, &mut left, "", &mut faults);
    let mut faults = faults.into_vec();
    let told: Vec<String> = faults.iter().map(|fault| fault.field.clone()).collect();
    let overlaps =
        |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let news = semantic(left).into_iter();
    faults.extend(
        news.filter(|fault| !told.iter().any(|told| overlaps(told, &fault.field) || overlaps(&fault.field, told))),
    );
    faults
}

fn tidb_cluster_faults(value: Value) -> Vec<Fault> {
    // What cannot be read was told by the schema.
    serde_json::from_value::<TidbCluster>(value).map(|cluster| crate::validate::validate(&cluster)).unwrap_or_default()
}

fn policy_module_faults(value: Value) -> Vec<Fault> {
    serde_json::from_value::<PolicyModule>(value).map(|module| module.validate()).unwrap_or_default()
}

/// Kinds of our groups that we do not have, and groups that look like ours.
fn not_served(api_version: &str, kind: &str, faults: &mut Faults) {
    let ours = [(cluster::API_VERSION, cluster::KIND), (policy_module::API_VERSION, policy_module::KIND)];
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let own_group = ours.iter().any(|(version, _)| version.split_once('/').is_some_and(|(own, _)| own == group));
    let own_kind = ours.iter().find(|(_, own)| *own == kind);
    if !own_group && own_kind.is_none() {
        return;
    }
    let kinds: Vec<String> = ours.iter().map(|(_, kind)| (*kind).to_owned()).collect();
    let proposal = match own_kind {
        Some((version, kind)) => format!("; did you mean {kind} of {version}?"),
        None => {
            schema_check::similar(kind, kinds.iter()).map(|kind| format!("; did you mean {kind}?")).unwrap_or_default()
        }
    };
    let message = format!("kind {kind} of {api_version} is not served{proposal}");
    faults.add(Fault::new("", crate::FaultKind::NotSupported, message));
}

/// Tells objects that are given twice.
fn twice(documents: &[Document], faults: &mut Vec<InputFault>) {
    let mut seen: HashMap<String, &Origin> = HashMap::new();
    for Document { origin, value } in documents {
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        let group = text("/apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
        let key = format!("{group}/{kind}/{}/{name}", text("/metadata/namespace"));
        if kind.is_empty() || name.is_empty() {
            continue;
        }
        let Some(first) = seen.insert(key.clone(), origin) else { continue };
        let place = if first.file == origin.file {
            format!("this file already (document {})", first.document)
        } else {
            format!("{} already (document {})", first.file, first.document)
        };
        let message = format!("{kind} {name:?} is in {place}");
        let fault = Fault::new("", crate::FaultKind::Duplicate, message);
        faults.push(InputFault { origin: origin.clone(), line: None, fault });
        seen.insert(key, first);
    }
}
