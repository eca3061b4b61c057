//! Which policy decides for which component now, and how that changes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use crate::{cache::Cache, engine::Runtime, load::LoadError, policy::LoadedPolicy};

/// The policies that decide now. A decision holds its policy by `Arc`, so a swap happens between two decisions and
/// loses none; readers never wait for a policy that is being prepared or that is deciding.
pub struct Registry {
    runtime: Runtime,
    cache: Cache,
    current: RwLock<Arc<Policies>>,
    listeners: Mutex<Vec<Listener>>,
}

type Policies = BTreeMap<String, Arc<LoadedPolicy>>;
type Listener = Box<dyn Fn(&Swapped) + Send + Sync>;

/// A policy was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swapped {
    /// Component that it decides for.
    pub component: String,
    /// Digest that decided before; none for the first.
    pub before: Option<String>,
    /// Digest that decides now.
    pub now: String,
}

/// A file was not taken; what decided before goes on.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub error: LoadError,
}

impl Registry {
    /// A registry without policies.
    pub fn new(runtime: Runtime, cache: Cache) -> Self {
        Self { runtime, cache, current: RwLock::default(), listeners: Mutex::default() }
    }

    /// The policy that decides for `component` now.
    pub fn current(&self, component: &str) -> Option<Arc<LoadedPolicy>> {
        self.policies().get(component).cloned()
    }

    /// All policies that decide now, by component.
    pub fn policies(&self) -> Arc<BTreeMap<String, Arc<LoadedPolicy>>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Components that have a policy, in order of their names.
    pub fn components(&self) -> Vec<String> {
        self.policies().keys().cloned().collect()
    }

    /// Calls `listener` after each swap.
    pub fn on_swap(&self, listener: impl Fn(&Swapped) + Send + Sync + 'static) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(listener));
    }

    /// Prepares the policy in `bytes` without publishing it. This is the slow part of a swap.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn prepare(&self, bytes: &[u8]) -> Result<LoadedPolicy, LoadError> {
        self.runtime.load(bytes, &self.cache)
    }

    /// Makes `policy` decide from the next decision on. None if it is the one that decides already.
    pub fn publish(&self, policy: LoadedPolicy) -> Option<Swapped> {
        let component = policy.descriptor.component.clone();
        let now = policy.digest.clone();
        let before = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            let before = current.get(&component).map(|policy| policy.digest.clone());
            if before.as_ref() == Some(&now) {
                return None;
            }
            let mut next = Policies::clone(&current);
            next.insert(component.clone(), Arc::new(policy));
            *current = Arc::new(next);
            before
        };
        let swapped = Swapped { component, before, now };
        for listener in self.listeners.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            listener(&swapped);
        }
        Some(swapped)
    }

    /// Loads the file at `path` and publishes it.
    ///
    /// # Errors
    /// When the file is refused; what decided before goes on.
    pub fn load_file(&self, path: &Path) -> Result<Option<Swapped>, Refused> {
        let refused = |error| Refused { path: path.to_owned(), error };
        let policy = self.runtime.load_file(path, &self.cache).map_err(refused)?;
        Ok(self.publish(policy))
    }

    /// Loads every `*.wasm` file of `directory`, in order of their names.
    ///
    /// # Errors
    /// When the directory cannot be read. A refused file is reported in the list and does not stop the others.
    pub fn load_directory(&self, directory: &Path) -> std::io::Result<Vec<Result<Option<Swapped>, Refused>>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files.iter().map(|path| self.load_file(path)).collect())
    }
}
