//! `/metrics`, `/healthz` and `/readyz` over HTTP.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::{accept, metrics::Metrics, store::Store};

/// Connections at a time: probes and a few scrapers.
const CONNECTIONS_MAX: usize = 32;

/// Serves until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, store: Arc<Store>) {
    accept::each(listener, CONNECTIONS_MAX, |stream| one(stream, metrics.clone(), store.clone())).await;
}

async fn one(stream: TcpStream, metrics: Arc<Metrics>, store: Arc<Store>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let response = respond(request.uri().path(), &metrics, &store);
        async move { Ok::<_, Infallible>(response) }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, "a connection for metrics broke");
    }
}

fn respond(path: &str, metrics: &Metrics, store: &Store) -> Response<Full<bytes::Bytes>> {
    let (status, kind, body) = match path {
        "/metrics" => (StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics.text()),
        "/healthz" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" if store.synced() => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", "the watches are not synced yet\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "not found\n".to_owned()),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
