//! A whole simulated cluster: control plane, controllers and data plane, in this process or served to others.

mod load;

use std::{net::SocketAddr, path::PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

pub use self::load::LoadError;
use crate::{
    audit::AuditLog,
    clock::{Clock, Seed},
    control::{self, ControlPlane},
    data::{self, DataPlane, faults::Faults, gateway::Gateway, nodes::NodesOptions},
};

/// Name of the extension in a kubeconfig's cluster that says where the components' HTTP servers are: all on one
/// address, told apart by the Host header.
pub const COMPONENT_ADDRESS_EXTENSION: &str = "tidepool.dev/component-address";
/// Who installs what a simulation starts with.
const INSTALLER: &str = "tidepool-simulator";
/// The kubelets' and scheduler's name in the audit log.
const DATA_PLANE: &str = "tidepool-data-plane";

/// How a simulation is set up.
#[derive(Clone)]
pub struct Options {
    /// The only source of time.
    pub clock: Clock,
    /// The only source of randomness.
    pub seed: Seed,
    /// The machines, if there is a data plane.
    pub nodes: NodesOptions,
    /// Between two renewals of a node's lease.
    pub lease_period: std::time::Duration,
    /// Only the control plane: no nodes, scheduler or kubelets.
    pub bare: bool,
    /// Where every mutating request is noted.
    pub audit: AuditLog,
    /// Where the state is kept; in memory alone without.
    pub data_dir: Option<PathBuf>,
    /// CustomResourceDefinitions that are there from the start.
    pub crds: Vec<Value>,
    /// Other objects that are there from the start, as another cluster left them, with their status.
    pub objects: Vec<Value>,
}

impl Options {
    /// Real time, state in memory, the default nodes, no custom resources.
    pub fn new(clock: Clock, seed: Seed) -> Self {
        Self {
            clock,
            seed,
            nodes: NodesOptions::default(),
            lease_period: data::LEASE_PERIOD_REAL,
            bare: false,
            audit: AuditLog::default(),
            data_dir: None,
            crds: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// Virtual time from its usual start: needs a paused tokio clock.
    pub fn in_virtual_time(seed: Seed) -> Self {
        let clock = Clock::starting_at(crate::clock::VIRTUAL_EPOCH_MS);
        Self { lease_period: data::LEASE_PERIOD_VIRTUAL, ..Self::new(clock, seed) }
    }
}

/// Why a simulation cannot start or be served.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The control plane cannot start.
    #[error("failed to start the control plane")]
    Control(#[from] control::StartError),
    /// A custom resource definition is not accepted.
    #[error("failed to install the CustomResourceDefinition {name}")]
    Crd {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of the start state is not accepted.
    #[error(transparent)]
    Load(#[from] load::LoadError),
    /// The data plane cannot start.
    #[error("failed to start the data plane")]
    Data(#[from] data::StartError),
    /// An address cannot be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A running simulation; dropping it stops it.
pub struct Simulation {
    control: ControlPlane,
    controllers: JoinSet<()>,
    data: Option<DataPlane>,
}

impl Simulation {
    /// Starts control plane, controllers and data plane in the present runtime.
    ///
    /// # Errors
    /// When the state folder or a custom resource definition is not in order.
    pub async fn start(options: Options) -> Result<Self, SimulationError> {
        let control = ControlPlane::new(control::Options {
            audit: options.audit.clone(),
            data_dir: options.data_dir.clone(),
            ..control::Options::new(options.clock, options.seed)
        })?;
        install_crds(&control.client(INSTALLER), &options.crds).await?;
        load::load(&control.client(INSTALLER), &options.objects).await?;
        let controllers = control.start_controllers();
        let data = if options.bare {
            None
        } else {
            let data_options = data::Options {
                clock: options.clock,
                seed: options.seed,
                nodes: options.nodes,
                audit: options.audit,
                lease_period: options.lease_period,
                data_dir: options.data_dir,
            };
            Some(DataPlane::start(control.client(DATA_PLANE), data_options).await?)
        };
        Ok(Self { control, controllers, data })
    }

    /// The API server.
    pub fn control(&self) -> &ControlPlane {
        &self.control
    }

    /// A client of the API server that calls itself `user_agent`.
    pub fn client(&self, user_agent: &str) -> Client {
        self.control.client(user_agent)
    }

    /// The components' HTTP servers; none in a bare simulation.
    pub fn gateway(&self) -> Option<Gateway> {
        self.data.as_ref().map(DataPlane::gateway)
    }

    /// A client of the components within this process; none in a bare simulation.
    pub fn http(&self) -> Option<tidepool_pd::Http> {
        let gateway = self.gateway()?;
        let below = gateway.clone();
        let connect = move |_| std::future::ready(Ok::<_, std::convert::Infallible>(below.connect()));
        Some(tidepool_pd::Http::over(gateway).dialing(connect))
    }

    /// The handle to break things; none in a bare simulation.
    pub fn faults(&self) -> Option<Faults> {
        self.data.as_ref().map(DataPlane::faults)
    }

    /// The data plane; none in a bare simulation.
    pub fn data(&self) -> Option<&DataPlane> {
        self.data.as_ref()
    }

    /// Listens on `address` for the API server and on the next port of the same host for the components, or on any free
    /// one if that is taken.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn serve(&self, address: SocketAddr) -> Result<Served, SimulationError> {
        let (listener, api) = listen(address).await?;
        let mut tasks = JoinSet::new();
        let control = self.control.clone();
        tasks.spawn(async move { log_end("API server", control.serve(listener).await) });
        let components = match self.gateway() {
            None => None,
            Some(gateway) => {
                let (listener, components) = listen_beside(address, api).await?;
                tasks.spawn(async move { log_end("component gateway", gateway.serve(listener).await) });
                Some(components)
            }
        };
        Ok(Served { api, components, _tasks: tasks })
    }

    /// Stops after the present step of each part.
    pub async fn shutdown(mut self) {
        if let Some(data) = self.data.take() {
            data.stop().await;
        }
        self.controllers.shutdown().await;
    }
}

/// A simulation that others can reach, until this is dropped.
pub struct Served {
    /// Where the API server listens.
    pub api: SocketAddr,
    /// Where the components' HTTP servers listen.
    pub components: Option<SocketAddr>,
    _tasks: JoinSet<()>,
}

impl Served {
    /// A kubeconfig for the API server, which also says where the components are.
    pub fn kubeconfig(&self) -> String {
        let plain = control::kubeconfig(self.api);
        let Some(components) = self.components else { return plain };
        let server = format!("    server: http://{}\n", self.api);
        let extended = format!(
            "{server}    extensions:\n    - name: {COMPONENT_ADDRESS_EXTENSION}\n      extension:\n        \
             address: {components}\n"
        );
        plain.replace(&server, &extended)
    }
}

/// The components keep their address over a restart if the API server does: an operator goes on asking there.
async fn listen_beside(asked: SocketAddr, api: SocketAddr) -> Result<(TcpListener, SocketAddr), SimulationError> {
    if let (1.., Some(next)) = (asked.port(), api.port().checked_add(1))
        && let Ok(listening) = listen(SocketAddr::new(api.ip(), next)).await
    {
        return Ok(listening);
    }
    listen(SocketAddr::new(api.ip(), 0)).await
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SimulationError> {
    let failed = |source| SimulationError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let actual = listener.local_addr().map_err(failed)?;
    Ok((listener, actual))
}

fn log_end(what: &str, ended: std::io::Result<()>) {
    if let Err(error) = ended {
        tracing::warn!(%error, what, "a listener of the simulation failed");
    }
}

/// Creates the definitions, or brings those up to date that a kept state has.
async fn install_crds(client: &Client, crds: &[Value]) -> Result<(), SimulationError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds {
        let name = crd.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let installed = async {
            data::api::ensure(&api, crd).await?;
            let spec = serde_json::json!({"spec": crd.get("spec")});
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&spec)).await
        };
        if let Err(source) = installed.await {
            return Err(SimulationError::Crd { name, source: Box::new(source) });
        }
    }
    Ok(())
}
