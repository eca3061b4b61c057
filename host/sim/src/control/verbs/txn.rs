//! The store under its lock, and what strategies may ask of it.

use std::sync::{Arc, MutexGuard, PoisonError};

use jiff::Timestamp;
use rand::{Rng as _, RngCore as _};
use serde_json::Value;

use crate::control::{
    Inner,
    builtin::event,
    crd, custom,
    error::{ApiError, Cause},
    fields::{set::FieldSet, set::Step, typed::Ty},
    resources::ResourceInfo,
    schema,
    store::{State, Stored, View},
    strategy::World,
};

/// The alphabet of generated names: nothing that forms words.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Characters that `generateName` adds.
const SUFFIX_CHARS: usize = 5;
/// The longest prefix that `generateName` keeps.
const PREFIX_BYTES_MAX: usize = 63 - SUFFIX_CHARS;

/// The locked store.
pub(in crate::control) struct Txn<'a> {
    pub(in crate::control) state: MutexGuard<'a, State>,
    pub(in crate::control) inner: &'a Inner,
}

impl<'a> Txn<'a> {
    pub(in crate::control) fn begin(inner: &'a Inner) -> Self {
        Self { state: inner.state.lock().unwrap_or_else(PoisonError::into_inner), inner }
    }

    /// Now, as objects say it.
    pub(in crate::control) fn now_text(&self) -> String {
        self.inner.options.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    pub(in crate::control) fn now_ms(&self) -> u64 {
        self.inner.options.clock.now_ms()
    }

    pub(in crate::control) fn uid(&self) -> String {
        let mut bytes = [0u8; 16];
        self.inner.random().fill_bytes(&mut bytes);
        let n = u128::from_be_bytes(bytes) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{n:032x}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }

    /// `prefix` with five random characters.
    pub(in crate::control) fn generate_name(&self, prefix: &str) -> String {
        let mut rng = self.inner.random();
        let mut out: String = prefix.chars().take(PREFIX_BYTES_MAX).collect();
        for _ in 0..SUFFIX_CHARS {
            out.push(char::from(ALPHABET.get(rng.random_range(0..ALPHABET.len())).copied().unwrap_or(b'x')));
        }
        out
    }

    pub(in crate::control) fn put(&mut self, resource: &ResourceInfo, key: &str, value: Value) -> Arc<Stored> {
        let now = self.now_ms();
        let stored = self.state.put(resource.storage(), key, value, now);
        self.after(resource);
        stored
    }

    pub(in crate::control) fn remove(&mut self, resource: &ResourceInfo, key: &str, last: Value) -> Arc<Stored> {
        let now = self.now_ms();
        let stored = self.state.remove(resource.storage(), key, last, now);
        self.after(resource);
        stored
    }

    /// What follows from a change: definitions make resources, and go when their last object has gone.
    fn after(&mut self, resource: &ResourceInfo) {
        if resource.group == "apiextensions.k8s.io" {
            self.inner.rebuild_registry(&mut self.state);
        } else if let Some(custom) = &resource.custom {
            self.release_definition(&custom.definition.clone(), resource);
        }
    }

    fn release_definition(&mut self, definition: &str, resource: &ResourceInfo) {
        const TABLE: (&str, &str) = ("apiextensions.k8s.io", "customresourcedefinitions");
        let Some(stored) = self.state.get(TABLE, definition) else { return };
        let dying = !stored.raw.value["metadata"]["deletionTimestamp"].is_null();
        if dying && self.state.list(resource.storage(), None).next().is_none() {
            let mut last = (*stored.raw.value).clone();
            crate::control::verbs::delete::drop_finalizer(&mut last, crd::CLEANUP);
            let now = self.now_ms();
            self.state.remove(TABLE, definition, last, now);
            self.inner.rebuild_registry(&mut self.state);
        }
    }
}

impl World for Txn<'_> {
    fn now(&self) -> Timestamp {
        self.inner.options.clock.now()
    }

    fn random(&self) -> u64 {
        self.inner.random().next_u64()
    }

    fn list(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.state.list((group, plural), namespace).map(|(_, o)| o.raw.value.clone()).collect()
    }
}

/// A stored object as the resource's version shows it.
pub(in crate::control) fn view(resource: &ResourceInfo, stored: &Stored) -> Arc<View> {
    if let Some(version) = &resource.custom {
        return stored.custom_view(version, |raw| custom::view(raw, &resource.api_version(), version));
    }
    match resource.group.as_str() {
        "events.k8s.io" => View::new(Arc::new(event::from_core(&stored.raw.value))),
        _ => stored.raw.clone(),
    }
}

/// An object in the form in which it is stored.
pub(in crate::control) fn to_stored(resource: &ResourceInfo, object: Value) -> Value {
    match resource.group.as_str() {
        "events.k8s.io" => event::to_core(&object),
        _ => object,
    }
}

/// The type of a resource's objects.
pub(in crate::control) fn ty(resource: &ResourceInfo) -> Ty<'_> {
    match &resource.custom {
        Some(version) => Ty::Root(&version.schema),
        None => {
            schema::builtin().of_kind(&resource.group, &resource.version, &resource.kind).map_or(Ty::Any, Ty::Struct)
        }
    }
}

/// The fields that an endpoint drops from what it is sent.
pub(in crate::control) fn reset_fields(resource: &ResourceInfo, subresource: &str) -> FieldSet {
    let mut out = FieldSet::default();
    let names: &[&str] = match subresource {
        "status" if resource.custom.is_some() => &["spec", "metadata"],
        "status" => &["spec"],
        _ if resource.has_subresource("status") => &["status"],
        _ => &[],
    };
    names.iter().for_each(|name| out.insert(&[Step::field(name)]));
    out
}

/// Drops unknown fields and puts values into canonical form; returns the unknown fields.
///
/// # Errors
/// The decoder's message for a field of a wrong type.
pub(in crate::control) fn decode(resource: &ResourceInfo, object: &mut Value) -> Result<Vec<String>, String> {
    if let Some(version) = &resource.custom {
        let mut unknown = custom::metadata(object)?;
        unknown.extend(custom::prune(object, &version.schema));
        unknown.sort();
        return Ok(unknown);
    }
    let Some(definition) = schema::builtin().of_kind(&resource.group, &resource.version, &resource.kind) else {
        return Ok(Vec::new());
    };
    let decoded = crate::control::builtin::decode::decode(definition, object.take())?;
    *object = decoded.object;
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(serde_json::Map::new());
    }
    Ok(decoded.unknown)
}

/// 422 with `causes`, if there are any.
pub(in crate::control) fn refuse(resource: &ResourceInfo, name: &str, causes: &[Cause]) -> Result<(), ApiError> {
    if causes.is_empty() {
        return Ok(());
    }
    // Events of both groups are one kind to the validation.
    let group = if resource.group == "events.k8s.io" { "" } else { &resource.group };
    Err(ApiError::invalid(group, &resource.kind, name, causes))
}
