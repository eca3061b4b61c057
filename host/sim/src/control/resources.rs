//! What resources there are: the built-in table and, at run time, those of CustomResourceDefinitions.

mod builtin;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::schema::structural::Structural;

/// Verbs of an ordinary resource.
pub const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// The same verbs in the order that custom resources show them.
pub const VERBS_CUSTOM: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
/// Verbs of a resource that is only created and answered.
pub const VERBS_REVIEW: &[&str] = &["create"];

/// One resource in one version.
#[derive(Clone, Debug)]
pub struct ResourceInfo {
    /// Empty for the core group.
    pub group: String,
    /// For example `v1`.
    pub version: String,
    /// For example `Pod`.
    pub kind: String,
    /// For example `PodList`.
    pub list_kind: String,
    /// For example `pods`.
    pub plural: String,
    /// For example `pod`.
    pub singular: String,
    /// For example `po`.
    pub short_names: Vec<String>,
    /// For example `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// In the order of discovery.
    pub verbs: &'static [&'static str],
    /// In the order of discovery.
    pub subresources: Vec<Subresource>,
    /// What a custom resource's definition says about this version.
    pub custom: Option<Arc<CustomVersion>>,
}

/// A subresource as discovery shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// `status`, `scale`, `binding`, …
    pub name: String,
    /// Group, version, kind of the body where it is not the resource's own.
    pub body: Option<(String, String, String)>,
    /// Verbs.
    pub verbs: &'static [&'static str],
}

/// One version of a custom resource.
#[derive(Debug)]
pub struct CustomVersion {
    /// Tells this state of the definition from every other.
    pub id: u64,
    /// The name of the definition, `plural.group`.
    pub definition: String,
    /// The schema, compiled.
    pub schema: Structural,
    /// `openAPIV3Schema` as given.
    pub open_api: Value,
    /// `additionalPrinterColumns`, empty if none are given.
    pub printer_columns: Vec<Value>,
    /// `selectableFields` as JSON paths without the leading dot.
    pub selectable_fields: Vec<String>,
    /// `subresources.scale`: the paths of spec replicas, status replicas and label selector.
    pub scale: Option<ScalePaths>,
    /// Whether this version is the stored one.
    pub storage: bool,
    /// Whether discovery shows it.
    pub served: bool,
    /// The warning for requests to a deprecated version.
    pub deprecation: Option<String>,
}

/// Where a custom resource keeps what its scale shows, as dotted paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// For example `spec.replicas`.
    pub spec: String,
    /// For example `status.replicas`.
    pub status: String,
    /// The label selector in its string form, if the resource has one.
    pub selector: Option<String>,
}

impl ResourceInfo {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether there is a subresource of that name.
    pub fn has_subresource(&self, name: &str) -> bool {
        self.subresources.iter().any(|s| s.name == name)
    }

    /// `plural` or `plural.group`, as messages say it.
    pub fn qualified(&self) -> String {
        super::error::qualified(&self.group, &self.plural)
    }

    /// The group and plural under which objects are stored: one for all versions, and one for both kinds of events.
    pub fn storage(&self) -> (&str, &str) {
        if self.group == "events.k8s.io" { ("", "events") } else { (&self.group, &self.plural) }
    }
}

/// A group with its versions, the preferred one first.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Versions in order of preference.
    pub versions: Vec<String>,
}

/// All resources at one moment.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// In the order in which discovery lists groups.
    pub groups: Vec<(String, Group)>,
    resources: BTreeMap<(String, String), BTreeMap<String, Arc<ResourceInfo>>>,
}

impl Registry {
    /// The built-in resources.
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        for resource in builtin::table() {
            registry.add(resource);
        }
        registry
    }

    /// Adds a resource, and its group and version if they are new.
    pub fn add(&mut self, resource: ResourceInfo) {
        let known = self.groups.iter().position(|(name, _)| *name == resource.group);
        let at = known.unwrap_or_else(|| {
            self.groups.push((resource.group.clone(), Group::default()));
            self.groups.len() - 1
        });
        if let Some((_, group)) = self.groups.get_mut(at)
            && !group.versions.contains(&resource.version)
        {
            group.versions.push(resource.version.clone());
            group.versions.sort_by_key(|version| std::cmp::Reverse(version_priority(version)));
        }
        let key = (resource.group.clone(), resource.version.clone());
        self.resources.entry(key).or_default().insert(resource.plural.clone(), Arc::new(resource));
    }

    /// The resource at `group`, `version`, `plural`.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<ResourceInfo>> {
        self.in_version(group, version)?.get(plural).cloned()
    }

    /// The resources of a version in order of plural.
    pub fn in_version(&self, group: &str, version: &str) -> Option<&BTreeMap<String, Arc<ResourceInfo>>> {
        self.resources.get(&(group.to_owned(), version.to_owned()))
    }

    /// The group of that name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|(group, _)| group == name).map(|(_, group)| group)
    }

    /// All resources in the order of discovery.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ResourceInfo>> {
        self.groups.iter().flat_map(move |(name, group)| {
            group.versions.iter().filter_map(move |v| self.in_version(name, v)).flat_map(|map| map.values())
        })
    }
}

/// The order of versions: `v2` before `v1` before `v1beta1` before `v1alpha1` before anything else by name.
pub fn version_priority(version: &str) -> (u8, u32, u32, std::cmp::Reverse<String>) {
    let numbers = |s: &str| s.parse::<u32>().ok();
    let rest = version.strip_prefix('v').unwrap_or("");
    let parse = |stage: &str, rank: u8| {
        let (major, minor) = rest.split_once(stage)?;
        Some((rank, numbers(major)?, numbers(minor)?))
    };
    let (rank, major, minor) = numbers(rest)
        .map(|major| (3, major, 0))
        .or_else(|| parse("beta", 2))
        .or_else(|| parse("alpha", 1))
        .unwrap_or((0, 0, 0));
    (rank, major, minor, std::cmp::Reverse(version.to_owned()))
}
