//! The embedded Kubernetes control plane: an API server that `kubectl` and `kube` believe.
//!
//! A request goes [`http`](mod@http) -> `route` -> a verb -> `store`. What differs between resources is data:
//! [`resources`] says what exists, [`strategy`] what a built-in type adds to a verb, [`schema`] what fields it has,
//! custom resources bring their own schema. [`table`], [`discovery`], [`openapi`] and [`reviews`] answer what has no
//! storage. Controllers are ordinary clients.

// An error is a whole answer: it is made once for a request and passed on, so its size does not matter.
#![allow(clippy::result_large_err)]

pub mod age;
mod body;
pub mod builtin;
pub mod controllers;
mod crd;
mod custom;
pub mod discovery;
mod error;
mod fields;
pub mod http;
mod jsonpath;
mod metadata;
mod names;
pub mod openapi;
mod options;
mod patch;
mod path;
mod present;
mod protobuf;
pub mod rbac;
pub mod resources;
pub mod reviews;
mod route;
pub mod schema;
mod selectors;
mod store;
pub mod strategy;
pub mod table;
mod verbs;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use rand::rngs::SmallRng;

use tokio::net::TcpListener;

use self::resources::Registry;
pub use self::{
    error::{ApiError, Cause},
    http::ApiService,
};
use crate::{
    audit::AuditLog,
    clock::{Clock, Seed},
};

/// How a control plane is set up.
#[derive(Clone)]
pub struct Options {
    /// The only source of time.
    pub clock: Clock,
    /// The only source of randomness: uids, generated names, allocated addresses.
    pub seed: Seed,
    /// Where mutating requests are noted.
    pub audit: AuditLog,
    /// Where the state is kept; in memory alone without.
    pub data_dir: Option<PathBuf>,
    /// Events kept for watches that start in the past; a watch from before them gets 410.
    pub history_events: usize,
    /// How long events are kept at most.
    pub history_age: Duration,
}

/// Events of history unless told otherwise: minutes of a busy demo, a few megabytes.
const HISTORY_EVENTS_DEFAULT: usize = 10_000;
/// As long as a real cluster keeps its history.
const HISTORY_AGE_DEFAULT: Duration = Duration::from_secs(300);

impl Options {
    /// Real time, state in memory, no audit file.
    pub fn new(clock: Clock, seed: Seed) -> Self {
        Self {
            clock,
            seed,
            audit: AuditLog::default(),
            data_dir: None,
            history_events: HISTORY_EVENTS_DEFAULT,
            history_age: HISTORY_AGE_DEFAULT,
        }
    }
}

/// The control plane. Clones share one state.
#[derive(Clone)]
pub struct ControlPlane {
    inner: Arc<Inner>,
}

/// What every request can reach.
pub(crate) struct Inner {
    pub(crate) options: Options,
    registry: RwLock<Arc<Registry>>,
    state: Mutex<store::State>,
    random: Mutex<SmallRng>,
}

impl Inner {
    /// The resources as they are now.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn random(&self) -> MutexGuard<'_, SmallRng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the resources anew from the definitions in `state`; watches of changed ones see it and end.
    fn rebuild_registry(&self, state: &mut store::State) {
        const TABLE: (&str, &str) = ("apiextensions.k8s.io", "customresourcedefinitions");
        let definitions: Vec<_> = state.list(TABLE, None).map(|(_, stored)| stored.clone()).collect();
        let rows = definitions.iter().map(|d| (spec_id(&d.raw.value), &*d.raw.value));
        let registry = Arc::new(crd::registry(rows));
        let old =
            std::mem::replace(&mut *self.registry.write().unwrap_or_else(PoisonError::into_inner), registry.clone());
        for resource in old.all().filter(|r| r.custom.is_some()) {
            let now = registry.get(&resource.group, &resource.version, &resource.plural);
            let id = |r: &resources::ResourceInfo| r.custom.as_ref().map(|c| c.id);
            if now.and_then(|r| id(&r)) != id(resource) {
                state.wake(resource.storage());
            }
        }
    }
}

/// Tells one state of a definition's spec from another.
fn spec_id(definition: &serde_json::Value) -> u64 {
    use std::hash::{Hash as _, Hasher as _};
    let mut hasher = std::hash::DefaultHasher::new();
    definition["metadata"]["uid"].to_string().hash(&mut hasher);
    definition["spec"].to_string().hash(&mut hasher);
    hasher.finish()
}

/// Why a control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder cannot be used.
    #[error("failed to use the state in {path}")]
    Load {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ControlPlane {
    /// A control plane with the namespaces that every cluster has, and no nodes.
    ///
    /// # Errors
    /// When the state folder cannot be read or written.
    pub fn new(options: Options) -> Result<Self, StartError> {
        let age = u64::try_from(options.history_age.as_millis()).unwrap_or(u64::MAX);
        let state = store::State::open(options.data_dir.as_deref(), options.history_events, age)
            .map_err(|source| StartError::Load { path: options.data_dir.clone().unwrap_or_default(), source })?;
        // A restart goes on with other numbers than those that it has given out.
        let random = options.seed.stream(&format!("control/{}", state.revision()));
        let inner = Arc::new(Inner {
            options,
            registry: RwLock::new(Arc::new(Registry::builtin())),
            state: Mutex::new(state),
            random: Mutex::new(random),
        });
        let mut txn = verbs::Txn::begin(&inner);
        inner.rebuild_registry(&mut txn.state);
        if let Some(namespaces) = Registry::builtin().get("", "v1", "namespaces") {
            verbs::system_namespaces(&mut txn, &namespaces);
        }
        drop(txn);
        Ok(Self { inner })
    }

    /// All objects of a resource as they are stored, for checks of what is true behind what the API shows.
    pub fn objects(&self, group: &str, plural: &str) -> Vec<Arc<serde_json::Value>> {
        let state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.list((group, plural), None).map(|(_, stored)| stored.raw.value.clone()).collect()
    }

    /// The API as a service for requests in this process.
    pub fn service(&self) -> ApiService {
        ApiService::new(self.inner.clone(), None)
    }

    /// A client over [`Self::service`] that calls itself `user_agent`. Needs a tokio runtime.
    pub fn client(&self, user_agent: &str) -> kube::Client {
        kube::Client::new(ApiService::new(self.inner.clone(), Some(user_agent.to_owned())), "default")
    }

    /// The controllers that every cluster has, as tasks of the current runtime that end when the returned set is dropped.
    pub fn start_controllers(&self) -> tokio::task::JoinSet<()> {
        controllers::start(self.client("kube-controller-manager"), self.inner.options.clock, self.inner.options.seed)
    }

    /// Serves plain HTTP/1.1 and HTTP/2 (prior knowledge) until the future is dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        http::serve(self.service(), listener).await
    }
}

/// A kubeconfig for a control plane that is served at `address` without TLS.
pub fn kubeconfig(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: tidepool\n  cluster:\n    server: http://{address}\n\
         users:\n- name: admin\n  user: {{}}\ncontexts:\n- name: tidepool\n  context:\n    cluster: tidepool\n    user: admin\n\
         current-context: tidepool\n"
    )
}
