//! The discovery service's HTTP, with or without mutual TLS, and its limits.

use std::{convert::Infallible, future::Future, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tidepool_api::certificates::{CA, CERTIFICATE, PRIVATE_KEY};
use tidepool_pd::tls::{self, NowMs, Pem};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{DiscoveryError, Service};
use crate::accept;

/// Connections at a time. A cluster has far fewer pods that ask at once.
const CONNECTIONS_MAX: usize = 128;
/// A client has this long for its handshake and for its headers, seconds.
const HEADERS_SECONDS_MAX: u64 = 5;
/// A connection ends after this time, whatever it does, seconds: longer than PD's own answers take.
const CONNECTION_SECONDS_MAX: u64 = 60;
/// Line and headers of a request, bytes; hyper's least.
const HEADERS_BYTES_MAX: usize = 8 << 10;

/// Serves questions until it is dropped.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>) {
    each(listener, move |stream| one(stream, service.clone())).await;
}

async fn one(stream: TcpStream, service: Arc<Service>) {
    let Some(folder) = service.settings.tls.clone() else { return http(stream, service).await };
    // Read anew each time, so that a certificate that rotates needs no restart.
    let config = match tls_config(&folder, service.settings.now_ms.clone()).await {
        Ok(config) => config,
        Err(error) => return tracing::warn!(%error, "no certificate to serve with"),
    };
    let accepted = TlsAcceptor::from(config).accept(stream);
    match tokio::time::timeout(Duration::from_secs(HEADERS_SECONDS_MAX), accepted).await {
        Ok(Ok(stream)) => http(stream, service).await,
        Ok(Err(error)) => tracing::info!(%error, "a client was refused"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Unpin + Send, service: Arc<Service>) {
    let answer = move |request: Request<Incoming>| {
        let service = service.clone();
        async move {
            let (status, text) = service.answer(request.method(), request.uri().path()).await;
            let mut response = Response::new(Full::new(Bytes::from(text)));
            *response.status_mut() = status;
            let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, plain);
            Ok::<_, Infallible>(response)
        }
    };
    connection(stream, answer).await;
}

/// One request on one connection, within its limits.
pub(super) async fn connection<F, R, B>(stream: impl AsyncRead + AsyncWrite + Unpin + Send, answer: F)
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEADERS_SECONDS_MAX))
        .max_buf_size(HEADERS_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Accepts connections, so many at a time and each for so long.
pub(super) async fn each<F, R>(listener: TcpListener, serve: F)
where
    F: Fn(TcpStream) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let limited = |stream| {
        let served = serve(stream);
        async move { drop(tokio::time::timeout(Duration::from_secs(CONNECTION_SECONDS_MAX), served).await) }
    };
    accept::each(listener, CONNECTIONS_MAX, limited).await;
}

/// The service's own certificate, from the files of its Secret.
pub(super) async fn tls_config(folder: &Path, now: NowMs) -> Result<Arc<ServerConfig>, DiscoveryError> {
    let read = |name: &str| {
        let path = folder.join(name);
        async move { tokio::fs::read(&path).await.map_err(|source| DiscoveryError::Certificate { path, source }) }
    };
    let (ca, certificate, key) = (read(CA).await?, read(CERTIFICATE).await?, read(PRIVATE_KEY).await?);
    Ok(tls::server(&Pem { ca: &ca, certificate: &certificate, key: &key }, now)?)
}
