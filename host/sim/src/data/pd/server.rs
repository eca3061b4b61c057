//! Serves a simulated PD process over HTTP, in-process or on a listener.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{Answer, Fleet, Reply, Request};
use crate::clock::Clock;

/// The largest body that a request may have; PD's own requests are small.
const BODY_BYTES_MAX: usize = 8 << 20;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A fleet that tasks share, with the clock that it lives by.
#[derive(Clone)]
pub struct SharedFleet {
    fleet: Arc<Mutex<Fleet>>,
    clock: Clock,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nothing listens at the process.
    #[error("connection refused")]
    Refused,
    /// The request's body could not be read.
    #[error("failed to read the request")]
    Body,
}

impl SharedFleet {
    /// Shares `fleet`; its time is `clock`'s.
    pub fn new(fleet: Fleet, clock: Clock) -> Self {
        Self { fleet: Arc::new(Mutex::new(fleet)), clock }
    }

    /// Does something with the fleet at the present time. Must not block.
    pub fn with<T>(&self, work: impl FnOnce(&mut Fleet, u64) -> T) -> T {
        let now = self.clock.now_ms();
        work(&mut self.fleet.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// The process as a tower service: in-process, no connection. A refused connection is an error.
    pub fn service(&self, process: &str) -> PdService {
        PdService { fleet: self.clone(), process: process.into() }
    }

    /// Answers an HTTP request as `process` does, after the time that it takes; never, if the process hangs.
    ///
    /// # Errors
    /// When the connection would be refused.
    pub async fn answer<B>(
        &self,
        process: &str,
        request: http::Request<B>,
    ) -> Result<http::Response<Full<Bytes>>, ServeError>
    where
        B: hyper::body::Body,
        B::Error: Into<BoxError>,
    {
        let mut request = read(request).await?;
        loop {
            match self.with(|fleet, now| fleet.handle(now, process, &request)) {
                Answer::Reply(reply) => {
                    tokio::time::sleep(Duration::from_millis(reply.after_ms)).await;
                    return Ok(response(&reply));
                }
                Answer::Hang => std::future::pending().await,
                Answer::Refused => return Err(ServeError::Refused),
                Answer::Retry { after_ms } => {
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                    request.waited_ms += after_ms;
                }
            }
        }
    }
}

/// Reads an HTTP request whole.
///
/// # Errors
/// When its body breaks off or is too large.
pub async fn read<B>(request: http::Request<B>) -> Result<Request, ServeError>
where
    B: hyper::body::Body,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let body = http_body_util::Limited::new(body, BODY_BYTES_MAX);
    let body = body.collect().await.map_err(|_| ServeError::Body)?.to_bytes();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Request {
        method: head.method.to_string(),
        path: head.uri.path().into(),
        query: head.uri.query().unwrap_or_default().into(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: body.to_vec(),
        waited_ms: 0,
    })
}

/// A reply as an HTTP response.
pub fn response(reply: &Reply) -> http::Response<Full<Bytes>> {
    let mut builder = http::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(Bytes::from(reply.body.clone()))).unwrap_or_default()
}

/// One process as a tower service.
#[derive(Clone)]
pub struct PdService {
    fleet: SharedFleet,
    process: String,
}

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Full<Bytes>>, ServeError>> + Send>>;

impl<B> tower::Service<http::Request<B>> for PdService
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Full<Bytes>>;
    type Error = ServeError;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answering {
        let service = self.clone();
        Box::pin(async move { service.fleet.answer(&service.process, request).await })
    }
}

/// The server's certificates for the next connection, so that a rotation needs no restart.
pub type TlsSource = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// Serves connections of `listener` until it is dropped. An answer that is an error closes the connection.
pub async fn serve<F, A>(listener: TcpListener, tls: Option<TlsSource>, answer: F)
where
    F: Fn(http::Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<http::Response<Full<Bytes>>, ServeError>> + Send + 'static,
{
    // Dropping the set ends the open connections as well, as the end of a process does.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, answer) = (tls.clone(), answer.clone());
        connections.spawn(async move {
            match tls {
                None => serve_stream(stream, answer).await,
                Some(tls) => serve_tls(stream, TlsAcceptor::from(tls()), answer).await,
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_tls<F, A>(stream: TcpStream, acceptor: TlsAcceptor, answer: F)
where
    F: Fn(http::Request<Incoming>) -> A,
    A: Future<Output = Result<http::Response<Full<Bytes>>, ServeError>>,
{
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => serve_stream(stream, answer).await,
        Err((_, mut stream)) => {
            // Closing with unread input would reset the connection and lose the alert.
            let _ = stream.shutdown().await;
            let mut rest = [0; 1024];
            let drain = async { while matches!(stream.read(&mut rest).await, Ok(1..)) {} };
            let _ = tokio::time::timeout(LINGER, drain).await;
        }
    }
}

/// How long a refused TLS client may take to read why.
const LINGER: Duration = Duration::from_secs(2);

async fn serve_stream<S, F, A>(stream: S, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(http::Request<Incoming>) -> A,
    A: Future<Output = Result<http::Response<Full<Bytes>>, ServeError>>,
{
    let service = hyper::service::service_fn(answer);
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to a simulated PD ended");
    }
}
