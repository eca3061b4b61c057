//! Which policy decides for which component now, and how that changes.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use tidepool_model::record::digest;

use crate::{
    cache::Cache,
    engine::Runtime,
    load::{LoadError, read},
    policy::LoadedPolicy,
};

/// Policies that are kept ready besides those that decide: enough for a way back from a swap of each component.
const READY_MAX: usize = 16;

/// The policies that decide now. A decision holds its policy by `Arc`, so a swap happens between two decisions and
/// loses none; readers never wait for a policy that is being prepared or that is deciding.
pub struct Registry {
    runtime: Runtime,
    cache: Cache,
    current: RwLock<Arc<Policies>>,
    /// The policies that were prepared last, the newest last: the way back to one of them compiles nothing.
    ready: Mutex<VecDeque<LoadedPolicy>>,
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
        Self { runtime, cache, current: RwLock::default(), ready: Mutex::default(), listeners: Mutex::default() }
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
        let digest = digest(bytes);
        if let Some(known) = self.ready().iter().find(|policy| policy.digest == digest) {
            return Ok(known.clone());
        }
        let policy = self.runtime.load_as(bytes, digest, &self.cache)?;
        let mut ready = self.ready();
        ready.push_back(policy.clone());
        if ready.len() > READY_MAX {
            ready.pop_front();
        }
        Ok(policy)
    }

    /// Makes `policy` decide from the next decision on. None if it is the one that decides already.
    pub fn publish(&self, policy: LoadedPolicy) -> Option<Swapped> {
        let (component, now) = (policy.descriptor.component.clone(), policy.digest.clone());
        let policy = Arc::new(policy);
        let before = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if current.get(&component).is_some_and(|policy| policy.digest == now) {
                return None;
            }
            // In place, unless somebody holds the whole list in this moment.
            Arc::make_mut(&mut current).insert(component.clone(), policy)
        };
        // The old one is dropped when no decision holds it any more, and not under the lock.
        let before = before.map(|policy| policy.digest.clone());
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
        let bytes = read(path).map_err(refused)?;
        Ok(self.publish(self.prepare(&bytes).map_err(refused)?))
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

    fn ready(&self) -> MutexGuard<'_, VecDeque<LoadedPolicy>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
