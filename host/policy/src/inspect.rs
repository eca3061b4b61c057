//! What a component file needs and offers, read without running or compiling it.

use std::collections::BTreeMap;

use serde::Serialize;
use wit_parser::{Resolve, WorldId, WorldItem, decoding::DecodedWasm};

/// The only package that a policy may import from.
pub const PACKAGE: &str = "tidepool:policy";

/// The interface that a component policy exports.
const EXPORT: &str = "tidepool:policy/policy";

/// Why a file is not a policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPolicy {
    /// Not WebAssembly, or cut off.
    #[error("not a WebAssembly component, or a truncated one: {0}")]
    Unreadable(String),
    /// A core module.
    #[error(
        "a core WebAssembly module, not a component: build it with `cargo component build` or `wasm-tools component new`"
    )]
    CoreModule,
    /// It wants something that the sandbox does not have.
    #[error("imports `{0}`, which the sandbox does not offer: a policy may import from {PACKAGE} only")]
    ForeignImport(String),
    /// It is a component, but not a policy.
    #[error("does not export `{EXPORT}`: not a component policy")]
    NoExport,
}

/// What a component needs and offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Surface {
    /// Imported functions by interface.
    pub imports: BTreeMap<String, Vec<String>>,
    /// Exported functions by interface.
    pub exports: BTreeMap<String, Vec<String>>,
}

/// Reads imports and exports of the component in `bytes`.
///
/// # Errors
/// [`NotAPolicy::Unreadable`] or [`NotAPolicy::CoreModule`].
pub fn surface(bytes: &[u8]) -> Result<Surface, NotAPolicy> {
    // Every byte is validated first: the decoder below trusts its input and would not see a cut in a code section.
    wasmparser::Validator::new()
        .validate_all(bytes)
        .map_err(|error| NotAPolicy::Unreadable(first_line(error.message())))?;
    if wasmparser::Parser::is_core_wasm(bytes) {
        return Err(NotAPolicy::CoreModule);
    }
    match wit_parser::decoding::decode(bytes) {
        Ok(DecodedWasm::Component(resolve, world)) => Ok(surface_of(&resolve, world)),
        Ok(DecodedWasm::WitPackage(..)) => Err(NotAPolicy::Unreadable("it holds only WIT".into())),
        Err(error) => Err(NotAPolicy::Unreadable(format!("{error:#}"))),
    }
}

/// Checks that the component in `bytes` is one that the sandbox takes.
///
/// # Errors
/// The first reason why it is not.
pub fn verify(bytes: &[u8]) -> Result<Surface, NotAPolicy> {
    let surface = surface(bytes)?;
    if let Some(foreign) = surface.imports.keys().find(|name| !is_ours(name)) {
        return Err(NotAPolicy::ForeignImport(foreign.clone()));
    }
    if !surface.exports.keys().any(|name| name.split('@').next() == Some(EXPORT)) {
        return Err(NotAPolicy::NoExport);
    }
    Ok(surface)
}

/// The rest of a parser's message is bytes that help nobody.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches(" - expected=[").to_owned()
}

fn is_ours(interface: &str) -> bool {
    interface.split('/').next() == Some(PACKAGE)
}

fn surface_of(resolve: &Resolve, world: WorldId) -> Surface {
    let Some(world) = resolve.worlds.get(world) else { return Surface::default() };
    Surface {
        imports: world
            .imports
            .iter()
            .map(|(key, item)| functions(resolve, &resolve.name_world_key(key), item))
            .collect(),
        exports: world
            .exports
            .iter()
            .map(|(key, item)| functions(resolve, &resolve.name_world_key(key), item))
            .collect(),
    }
}

fn functions(resolve: &Resolve, name: &str, item: &WorldItem) -> (String, Vec<String>) {
    let functions = match item {
        WorldItem::Interface { id, .. } => resolve.interfaces[*id].functions.keys().map(ToString::to_string).collect(),
        WorldItem::Function(_) | WorldItem::Type { .. } => Vec::new(),
    };
    (name.to_owned(), functions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_not_a_component() {
        assert!(matches!(verify(b"hello"), Err(NotAPolicy::Unreadable(_))));
        assert!(matches!(verify(b""), Err(NotAPolicy::Unreadable(_))));
    }

    #[test]
    fn a_core_module_is_named_as_one() {
        assert_eq!(verify(b"\0asm\x01\0\0\0"), Err(NotAPolicy::CoreModule));
    }

    #[test]
    fn an_empty_component_lacks_the_export() {
        assert_eq!(verify(b"\0asm\x0d\0\x01\0"), Err(NotAPolicy::NoExport));
    }
}
