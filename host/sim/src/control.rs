//! The embedded Kubernetes control plane: an API server that `kubectl` and `kube` believe.
//!
//! A request goes [`http`](mod@http) -> `route` -> a verb -> `store`. What differs between resources is data:
//! [`resources`] says what exists, [`strategy`] what a built-in type adds to a verb, [`schema`] what fields it has,
//! custom resources bring their own schema. [`table`], [`discovery`], [`openapi`] and [`reviews`] answer what has no
//! storage. Controllers are ordinary clients.

pub mod age;
pub mod builtin;
pub mod controllers;
pub mod discovery;
mod error;
pub mod http;
mod jsonpath;
pub mod openapi;
mod path;
pub mod rbac;
pub mod resources;
pub mod reviews;
mod route;
pub mod schema;
pub mod strategy;
pub mod table;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

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
}

/// Events of history unless told otherwise: minutes of a busy demo, a few megabytes.
const HISTORY_EVENTS_DEFAULT: usize = 10_000;

impl Options {
    /// Real time, state in memory, no audit file.
    pub fn new(clock: Clock, seed: Seed) -> Self {
        Self { clock, seed, audit: AuditLog::default(), data_dir: None, history_events: HISTORY_EVENTS_DEFAULT }
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
    pub(crate) registry: std::sync::RwLock<Arc<Registry>>,
}

/// Why a control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder cannot be used.
    #[error("failed to read the state in {path}")]
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
        let registry = std::sync::RwLock::new(Arc::new(Registry::builtin()));
        Ok(Self { inner: Arc::new(Inner { options, registry }) })
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
