//! The discovery service of one cluster: tells PD pods without data whom to join, and others where PD is.
//!
//! Everybody in the Kubernetes cluster can reach it, so a question is untrusted: it has a size, connections have a number
//! and a time, only this service's own cluster is answered for, and no address that a question holds is ever followed.
//! What is decided lies in [`tidepool_pd::discovery`].

mod proxy;
mod server;

use std::{
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Method, StatusCode};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use tidepool_api::{TidbCluster, cluster, names};
use tidepool_pd::{
    Http, HttpPd,
    discovery::{self, Candidate, Discovery, Member, Refusal},
    tls::NowMs,
};
use tokio::net::TcpListener;

use crate::identity;

/// How a discovery service is set up.
#[derive(Clone)]
pub struct Settings {
    /// The API server.
    pub client: Client,
    /// The way to PD.
    pub http: Http,
    /// Namespace of the cluster.
    pub namespace: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Folder of its certificate (`ca.crt`, `tls.crt`, `tls.key`), if clients must show one.
    pub tls: Option<PathBuf>,
    /// PD speaks TLS; for the proxy.
    pub pd_tls: bool,
    /// Milliseconds since the Unix epoch.
    pub now_ms: NowMs,
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// An address cannot be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its certificate cannot be read.
    #[error("failed to read {path}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its certificate does not serve.
    #[error("failed to use the certificate of the discovery service")]
    Tls(#[from] tidepool_pd::tls::TlsError),
}

/// A discovery service that listens and does not serve yet.
pub struct DiscoveryServer {
    service: Arc<Service>,
    listener: TcpListener,
    proxy: TcpListener,
}

impl DiscoveryServer {
    /// Listens for questions on `address`, and for the dashboard's on `proxy`.
    ///
    /// # Errors
    /// When an address is taken, or the certificate is not in order.
    pub async fn bind(settings: Settings, address: SocketAddr, proxy: SocketAddr) -> Result<Self, DiscoveryError> {
        if let Some(folder) = &settings.tls {
            server::tls_config(folder, settings.now_ms.clone()).await?;
        }
        let listen = |address: SocketAddr| async move {
            let bound = TcpListener::bind(address).await;
            bound.map_err(|source| DiscoveryError::Listen { address, source })
        };
        let (listener, proxy) = (listen(address).await?, listen(proxy).await?);
        Ok(Self { service: Arc::new(Service { settings, memory: Mutex::default() }), listener, proxy })
    }

    /// Where it listens: for questions, and for the dashboard's.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.listener.local_addr()?, self.proxy.local_addr()?))
    }

    /// Serves until `stop` is ready.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { service, listener, proxy } = self;
        let questions = server::serve(listener, service.clone());
        let dashboard = proxy::serve(proxy, service.settings.clone());
        tokio::select! {
            () = stop => {}
            () = questions => {}
            () = dashboard => {}
        }
    }
}

/// What answers questions.
struct Service {
    settings: Settings,
    memory: Mutex<Discovery>,
}

impl Service {
    /// Status and text of an answer.
    async fn answer(&self, method: &Method, path: &str) -> (StatusCode, String) {
        if method != Method::GET {
            return (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        }
        // A client may escape what base64 is filled up with.
        let path = path.replace("%3D", "=").replace("%3d", "=");
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let answer = match parts.as_slice() {
            ["new", encoded] | ["new", encoded, "pd"] => {
                self.found(encoded).await.map_err(|refusal| refusal.to_string())
            }
            ["verify", encoded] => self.verified(encoded).await,
            _ => return (StatusCode::NOT_FOUND, "404: Page Not Found\n".to_owned()),
        };
        match answer {
            Ok(text) => (StatusCode::OK, text),
            Err(text) => {
                tracing::info!(reason = text, "a question has no answer yet");
                (StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }

    async fn found(&self, encoded: &str) -> Result<String, Refusal> {
        let asker = discovery::asker(encoded)?;
        if asker.namespace != self.settings.namespace {
            return Err(Refusal::Namespace { asked: asker.namespace, own: self.settings.namespace.clone() });
        }
        let cluster = self.cluster(&asker.cluster).await?;
        let members = self.members(&cluster).await;
        let now = (self.settings.now_ms)();
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).answer(&asker, &cluster, members, now)
    }

    async fn verified(&self, encoded: &str) -> Result<String, String> {
        let asked = discovery::asked(encoded).map_err(|refusal| refusal.to_string())?;
        let cluster = self.cluster(&asked.cluster).await.map_err(|refusal| format!("{refusal}{}", asked.input))?;
        Ok(discovery::verified(&asked, &cluster))
    }

    /// The cluster as it is now. Only this service's own: its role lets it read no other one.
    async fn cluster(&self, name: &str) -> Result<TidbCluster, Refusal> {
        let Settings { client, namespace, cluster: own, .. } = &self.settings;
        if name != own {
            return Err(Refusal::Cluster(name.to_owned()));
        }
        let kind = GroupVersionKind::gvk(cluster::GROUP, cluster::VERSION, cluster::KIND);
        let resource = ApiResource::from_gvk_with_plural(&kind, "tidbclusters");
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let object = api.get(own).await.map_err(|error| Refusal::NotRead(error.to_string()))?;
        let read = serde_json::to_value(object).and_then(serde_json::from_value);
        read.map_err(|error| Refusal::NotRead(error.to_string()))
    }

    /// What the first PD that answers lists, or why none does.
    async fn members(&self, cluster: &TidbCluster) -> Result<Vec<Member>, String> {
        let mut last = Err("no PD is known".to_owned());
        for candidate in discovery::candidates(cluster) {
            last = self.ask(&candidate).await;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    async fn ask(&self, candidate: &Candidate) -> Result<Vec<Member>, String> {
        let http = self.settings.client_for(candidate.scheme == "https").await?;
        let pd = HttpPd::new(http, &format!("{}://{}", candidate.scheme, candidate.authority));
        pd.member_list().await.map_err(|error| error.chain())
    }
}

impl Settings {
    /// The client for PDs that speak TLS or do not. The certificate is read anew each time, so that none is kept too long.
    async fn client_for(&self, tls: bool) -> Result<Http, String> {
        if !tls {
            return Ok(self.http.clone());
        }
        let secret = names::client_tls_secret(&self.cluster);
        let read = identity::client_config(&self.client, &self.namespace, &secret, self.now_ms.clone()).await;
        let config = read.map_err(|error| error.to_string())?;
        self.http.secured(config).ok_or_else(|| "this way to PD has no TLS".to_owned())
    }
}
