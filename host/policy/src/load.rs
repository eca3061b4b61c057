//! From the bytes of a file to a policy that can decide, or to the reason why not.

use std::{fs, io, path::Path, sync::Arc};

use tidepool_model::{Descriptor, Snapshot, record::digest};
use wasmtime::{Store, component::Component};

use crate::{
    bindings::ComponentPolicyPre,
    cache::Cache,
    engine::Runtime,
    inspect::{self, NotAPolicy},
    limits::{COMPONENT_BYTES_MAX, DESCRIPTOR_BYTES_MAX, FUEL_BASE},
    policy::{LoadedPolicy, fault, instantiate},
    state::CallState,
};

/// Why a file is not taken as a policy. The old policy of its component goes on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("failed to read the file: {0}")]
    Read(#[from] io::Error),
    /// The file is larger than any policy.
    #[error("the file has {bytes} bytes; a policy has at most {COMPONENT_BYTES_MAX}")]
    TooLarge {
        /// Size of the file.
        bytes: u64,
    },
    /// It is not a component, or not one of ours.
    #[error(transparent)]
    NotAPolicy(#[from] NotAPolicy),
    /// The engine does not accept it.
    #[error("failed to compile: {0}")]
    Compile(String),
    /// It does not fit the contract of this host.
    #[error("does not fit the contract of this host: {0}")]
    Link(String),
    /// It could not say what it is.
    #[error("failed to describe itself: {0}")]
    Describe(String),
}

impl LoadError {
    /// A stable word for metrics and for deciding whether to try again.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::TooLarge { .. } => "too-large",
            Self::NotAPolicy(_) => "not-a-policy",
            Self::Compile(_) => "compile",
            Self::Link(_) => "link",
            Self::Describe(_) => "describe",
        }
    }
}

/// The bytes of the file at `path`, unless they are more than any policy has.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let bytes = fs::metadata(path)?.len();
    if bytes > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge { bytes });
    }
    Ok(fs::read(path)?)
}

impl Runtime {
    /// Loads the policy in the file at `path`.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_file(&self, path: &Path, cache: &Cache) -> Result<LoadedPolicy, LoadError> {
        self.load(&read(path)?, cache)
    }

    /// Verifies, compiles (or finds in the cache), links and asks the component in `bytes` to describe itself.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, bytes: &[u8], cache: &Cache) -> Result<LoadedPolicy, LoadError> {
        self.load_as(bytes, digest(bytes), cache)
    }

    pub(crate) fn load_as(&self, bytes: &[u8], digest: String, cache: &Cache) -> Result<LoadedPolicy, LoadError> {
        let component = self.compile(bytes, &digest, cache)?;
        let linked = self.linker.instantiate_pre(&component).and_then(ComponentPolicyPre::new);
        let pre = linked.map_err(|error| LoadError::Link(chain(&error)))?;
        let descriptor = Arc::new(self.describe(&pre)?);
        Ok(LoadedPolicy { engine: self.engine.clone(), pre, descriptor, digest })
    }

    fn compile(&self, bytes: &[u8], digest: &str, cache: &Cache) -> Result<Component, LoadError> {
        // What is in the cache was verified before it was compiled.
        if let Some(component) = cache.get(&self.engine, digest) {
            return Ok(component);
        }
        inspect::verify(bytes)?;
        let component = Component::new(&self.engine, bytes).map_err(|error| LoadError::Compile(chain(&error)))?;
        cache.put(&self.engine, digest, &component);
        Ok(component)
    }

    fn describe(&self, pre: &ComponentPolicyPre<CallState>) -> Result<Descriptor, LoadError> {
        let mut store = Store::new(&self.engine, CallState::new(Arc::new(Snapshot::nothing())));
        let text = instantiate(pre, &mut store, FUEL_BASE)
            .and_then(|policy| policy.tidepool_policy_policy().call_describe(&mut store))
            .map_err(|error| LoadError::Describe(fault(&error)))?;
        if text.len() > DESCRIPTOR_BYTES_MAX {
            return Err(LoadError::Describe(format!("the descriptor is larger than {DESCRIPTOR_BYTES_MAX} bytes")));
        }
        let descriptor: Descriptor =
            serde_json::from_str(&text).map_err(|error| LoadError::Describe(format!("the descriptor: {error}")))?;
        if descriptor.component.is_empty() {
            return Err(LoadError::Describe("the descriptor names no component".into()));
        }
        Ok(descriptor)
    }
}

/// The whole chain of an error in one line.
fn chain(error: &wasmtime::Error) -> String {
    format!("{error:#}")
}
