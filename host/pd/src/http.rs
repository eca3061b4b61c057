//! HTTP for short requests and answers: one service, a deadline and a limit on the body.

mod socket;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, Uri, header, uri::Scheme};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::body::Body;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use self::socket::Socket;
use crate::error::Error;

/// An error of a transport.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request takes at most this long: the limit of the operator that clusters are taken over from, and shorter than
/// PD's own retries against a dead leader, so that one bad PD costs a round 5 s and not a minute.
const TIMEOUT_SECONDS: u64 = 5;

/// Requests of people, which are passed on, may take this long to be answered.
const PASS_SECONDS_MAX: u64 = 30;

/// An answer holds at most this many bytes. A store is about 1.5 KB, so this is room for ten thousand of them.
const BODY_BYTES_MAX: usize = 16 << 20;

/// How the host calls itself.
const USER_AGENT: &str = "tidepool";

/// An answer's body broke off. A type of its own, for the compiler cannot prove that a boxed error's conversion into a
/// boxed error is `Send` inside a boxed future.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the body")]
pub struct Broken(#[source] BoxError);

type Inner = BoxCloneSyncService<Request<Full<Bytes>>, Response<UnsyncBoxBody<Bytes, Broken>>, BoxError>;
type Dial = BoxCloneSyncService<Uri, Socket, BoxError>;

/// A request was about to go out in the clear that should not, or the other way round.
#[derive(Debug, thiserror::Error)]
#[error("this client speaks {0} only")]
struct WrongScheme(&'static str);

/// A client for the HTTP APIs of PD and of the other components. Clones share connections.
///
/// It speaks either `http` or, made by [`Self::secured`], `https`; a request for the other is refused, so that none goes out
/// in the clear by mistake.
#[derive(Clone)]
pub struct Http {
    service: Inner,
    dial: Option<Dial>,
    encrypted: bool,
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
        Self { service: BoxCloneSyncService::new(service), dial: None, encrypted: false }
    }

    /// With a way to open the connections that TLS needs.
    #[must_use]
    pub fn dialing<C, F, S, E>(self, connect: C) -> Self
    where
        C: Fn(Uri) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<S, E>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        E: Into<BoxError> + 'static,
    {
        let dial = tower::service_fn(connect).map_response(Socket::new).map_err(Into::into);
        Self { dial: Some(BoxCloneSyncService::new(dial)), ..self }
    }

    /// Over the network, names resolved by the system.
    pub fn network() -> Self {
        let mut http = HttpConnector::new();
        http.set_connect_timeout(Some(Duration::from_secs(TIMEOUT_SECONDS)));
        let mut below = http.clone();
        below.enforce_http(false);
        let connect = move |uri| {
            let connecting = below.clone().oneshot(uri);
            async move { connecting.await.map(TokioIo::into_inner) }
        };
        Self::over(Client::builder(TokioExecutor::new()).build(http)).dialing(connect)
    }

    /// Over the network, every name and port leading to `address`: one server answers for all, by the Host header.
    pub fn fixed(address: SocketAddr) -> Self {
        let connect = tower::service_fn(move |_: Uri| {
            Box::pin(async move { TcpStream::connect(address).await.map(TokioIo::new) })
        });
        let plain = Self::over(Client::builder(TokioExecutor::new()).build(connect));
        plain.dialing(move |_| TcpStream::connect(address))
    }

    /// The same way, over TLS. None where connections cannot be opened.
    ///
    /// Each request has a connection of its own: a Service then chooses anew each time, and a certificate that changed is
    /// seen at once.
    pub fn secured(&self, tls: Arc<rustls::ClientConfig>) -> Option<Self> {
        let tls = Arc::unwrap_or_clone(tls);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
        let connector = connector.wrap_connector(self.dial.clone()?);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Some(Self { encrypted: true, dial: self.dial.clone(), ..Self::over(client) })
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

    /// Passes a whole request on and answers as soon as the headers are there, however long the body then takes.
    ///
    /// # Errors
    /// When no answer begins in time.
    pub async fn pass(&self, request: Request<Full<Bytes>>) -> Result<Response<UnsyncBoxBody<Bytes, Broken>>, Error> {
        let name = format!("{} {}", request.method(), request.uri());
        let begun = self.service.clone().oneshot(request);
        match tokio::time::timeout(Duration::from_secs(PASS_SECONDS_MAX), begun).await {
            Ok(answer) => answer.map_err(|source| Error::Transport { request: name, source }),
            Err(_) => Err(Error::Timeout { request: name, seconds: PASS_SECONDS_MAX }),
        }
    }

    fn form(&self, method: &Method, url: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Error> {
        let failed = |source: BoxError| Error::Request { request: format!("{method} {url}"), source };
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| failed(error.into()))?;
        let wanted = if self.encrypted { Scheme::HTTPS } else { Scheme::HTTP };
        if uri.scheme() != Some(&wanted) {
            return Err(failed(WrongScheme(if self.encrypted { "https" } else { "http" }).into()));
        }
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
