//! HTTP for short requests and answers: one service, a deadline and a limit on the body.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::body::Body;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpStream;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::error::Error;

/// An error of a transport.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request takes at most this long: the limit of the operator that clusters are taken over from, and shorter than
/// PD's own retries against a dead leader, so that one bad PD costs a round 5 s and not a minute.
const TIMEOUT_SECONDS: u64 = 5;

/// An answer holds at most this many bytes. A store is about 1.5 KB, so this is room for ten thousand of them.
const BODY_BYTES_MAX: usize = 16 << 20;

/// How the host calls itself.
const USER_AGENT: &str = "tidepool";

/// An answer's body broke off. A type of its own, for the compiler cannot prove that a boxed error's conversion into a
/// boxed error is `Send` inside a boxed future.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the body")]
struct Broken(#[source] BoxError);

type Inner = BoxCloneSyncService<Request<Full<Bytes>>, Response<UnsyncBoxBody<Bytes, Broken>>, BoxError>;

/// A client for the HTTP APIs of PD and of the other components. Clones share connections.
#[derive(Clone)]
pub struct Http {
    service: Inner,
}

impl Http {
    /// Sends requests to `service`, which routes them by the host in their URI.
    pub fn over<S, B>(service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = service
            .map_response(|response: Response<B>| {
                response.map(|body| body.map_err(|error| Broken(error.into())).boxed_unsync())
            })
            .map_err(Into::into);
        Self { service: BoxCloneSyncService::new(service) }
    }

    /// Over the network, names resolved by the system. `tls` is the identity and the roots for `https`.
    pub fn network(tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        let mut http = HttpConnector::new();
        http.set_connect_timeout(Some(Duration::from_secs(TIMEOUT_SECONDS)));
        let Some(tls) = tls else {
            return Self::over(Client::builder(TokioExecutor::new()).build(http));
        };
        http.enforce_http(false);
        let tls = Arc::unwrap_or_clone(tls);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let connector = connector.wrap_connector(http);
        Self::over(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// Over the network, every name and port leading to `address`: one server answers for all, by the Host header.
    pub fn fixed(address: SocketAddr) -> Self {
        let connect = tower::service_fn(move |_: Uri| {
            Box::pin(async move { TcpStream::connect(address).await.map(TokioIo::new) })
        });
        Self::over(Client::builder(TokioExecutor::new()).build(connect))
    }

    /// Sends one request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// When there is no complete answer in time.
    pub async fn send(&self, method: Method, url: &str, body: Bytes) -> Result<(u16, Bytes), Error> {
        let request = self.form(&method, url, body)?;
        let name = format!("{method} {url}");
        match tokio::time::timeout(Duration::from_secs(TIMEOUT_SECONDS), self.exchange(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(Error::Transport { request: name, source }),
            Err(_) => Err(Error::Timeout { request: name, seconds: TIMEOUT_SECONDS }),
        }
    }

    fn form(&self, method: &Method, url: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Error> {
        let failed = |source: BoxError| Error::Request { request: format!("{method} {url}"), source };
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| failed(error.into()))?;
        let mut request = Request::builder().method(method).header(header::USER_AGENT, USER_AGENT);
        if let Some(authority) = uri.authority() {
            request = request.header(header::HOST, authority.as_str());
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.uri(uri).body(Full::new(body)).map_err(|error| failed(error.into()))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), BoxError> {
        let response = self.service.clone().oneshot(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await?;
        Ok((status, body.to_bytes()))
    }
}
