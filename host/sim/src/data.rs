//! Nodes, kubelets, volumes and the TiDB processes: what lies below the control plane.
//!
//! One task ([`plane`]) does what scheduler, volume provisioner and kubelets do, through an ordinary `kube::Client`, so
//! that it can serve a real API server as well. The programs in the pods ([`process`], [`pd`]) live in a [`world`]
//! behind one lock; [`gateway`] answers HTTP for them. Nothing ticks: whoever has to move later says when.

pub mod api;
pub mod faults;
pub mod gateway;
pub mod keep;
pub mod kubelet;
mod lookup;
pub mod mirror;
pub mod network;
mod node_loss;
pub mod nodes;
pub mod pd;
pub mod plane;
pub mod process;
pub mod quantity;
pub mod scheduler;
pub mod selector;
pub mod volumes;
pub mod world;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::Client;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::{faults::Faults, gateway::Gateway, keep::Keeper, nodes::NodesOptions, world::World};
use crate::{
    audit::AuditLog,
    clock::{Clock, Seed},
};

/// How a data plane is set up.
#[derive(Clone)]
pub struct Options {
    /// The only source of time.
    pub clock: Clock,
    /// The only source of randomness.
    pub seed: Seed,
    /// The machines.
    pub nodes: NodesOptions,
    /// Where mutating requests to PD and the components are noted.
    pub audit: AuditLog,
    /// Where the state of the databases is kept; in memory alone without.
    pub data_dir: Option<PathBuf>,
    /// Between two renewals of a node's lease. In virtual time rare renewals keep a cluster at rest cheap.
    pub lease_period: Duration,
}

/// A kubelet renews its lease so often.
pub const LEASE_PERIOD_REAL: Duration = Duration::from_secs(10);
/// Renewals in virtual time, where nobody waits for them.
pub const LEASE_PERIOD_VIRTUAL: Duration = Duration::from_secs(3_600);

/// What the task, the gateway and the handles share.
pub struct Shared {
    pub(crate) clock: Clock,
    pub(crate) client: Client,
    pub(crate) audit: AuditLog,
    world: Mutex<World>,
    changed: Notify,
}

impl Shared {
    /// The state, locked for moments only: never across an await.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something changed that no watch tells: all pods are to be looked at.
    pub fn look_again(&self) {
        self.changed.notify_one();
    }
}

/// Why a data plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kept state cannot be used.
    #[error("failed to read the data plane's state in {path}")]
    Kept {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The API server refuses what has to be there.
    #[error("failed to create nodes and storage classes")]
    Install(#[from] kube::Error),
}

/// A running data plane; dropping it stops it.
pub struct DataPlane {
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl DataPlane {
    /// Creates the nodes and starts the data plane of the API server behind `client`.
    ///
    /// # Errors
    /// When the API server refuses nodes or classes, or the kept state cannot be read.
    pub async fn start(client: Client, options: Options) -> Result<Self, StartError> {
        let (keeper, world) = match &options.data_dir {
            Some(dir) => {
                let failed = |source| StartError::Kept { path: dir.clone(), source };
                let (keeper, world) = Keeper::open(dir, options.seed).map_err(failed)?;
                (Some(keeper), world)
            }
            None => (None, World::new(options.seed)),
        };
        nodes::install(&client, options.clock, options.nodes).await?;
        let shared = Arc::new(Shared {
            clock: options.clock,
            client,
            audit: options.audit.clone(),
            world: Mutex::new(world),
            changed: Notify::new(),
        });
        let stop = CancellationToken::new();
        let plane = plane::Plane::new(shared.clone(), keeper, &options).await?;
        let task = tokio::spawn(plane.run(stop.clone()));
        Ok(Self { shared, stop, task })
    }

    /// The HTTP servers of all components, on one address.
    pub fn gateway(&self) -> Gateway {
        Gateway::new(self.shared.clone())
    }

    /// The handle to break things.
    pub fn faults(&self) -> Faults {
        Faults { shared: self.shared.clone() }
    }

    /// The shared state, for checks of what is true behind what the APIs show.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Stops after the present step.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::debug!(%error, "the data plane did not end well");
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
