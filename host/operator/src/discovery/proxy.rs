//! PD's dashboard, for those who reach the discovery Service and not PD: `/dashboard…` and nothing else is passed on.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tidepool_api::{Component, names, names::ports};
use tidepool_pd::BoxError;
use tokio::net::TcpListener;

use super::{
    Settings,
    server::{connection, each},
};

/// The longest body that is passed on, bytes: the dashboard's own requests are small.
const BODY_BYTES_MAX: usize = 1 << 20;
/// What may be asked for.
const PREFIX: &str = "/dashboard";
/// Headers of one connection alone.
const OF_THE_CONNECTION: [header::HeaderName; 5] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE, header::TRAILER];

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, settings: Settings) {
    each(listener, move |stream| {
        let settings = settings.clone();
        async move {
            let answer = move |request| {
                let settings = settings.clone();
                async move { Ok::<_, Infallible>(pass(&settings, request).await.unwrap_or_else(|refused| refused)) }
            };
            connection(stream, answer).await;
        }
    })
    .await;
}

async fn pass(settings: &Settings, request: Request<Incoming>) -> Result<Answer, Answer> {
    let path = request.uri().path();
    let below = path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    // A path that climbs would leave the dashboard at PD.
    if !below || path.contains("..") || path.to_ascii_lowercase().contains("%2e") {
        return Err(said(StatusCode::NOT_FOUND, "only /dashboard is served here\n"));
    }
    let http = settings.client_for(settings.pd_tls).await.map_err(|reason| said(StatusCode::BAD_GATEWAY, &reason))?;
    let request = towards_pd(settings, request).await?;
    let answer = http.pass(request).await.map_err(|error| said(StatusCode::BAD_GATEWAY, &error.chain()))?;
    let mut answer = answer.map(|body| body.map_err(Into::into).boxed_unsync());
    OF_THE_CONNECTION.iter().for_each(|name| {
        answer.headers_mut().remove(name);
    });
    Ok(answer)
}

async fn towards_pd(settings: &Settings, request: Request<Incoming>) -> Result<Request<Full<Bytes>>, Answer> {
    let (mut parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| said(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long\n"))?.to_bytes();
    let scheme = if settings.pd_tls { "https" } else { "http" };
    let pd = names::member_name(&settings.cluster, Component::Pd);
    let authority = format!("{pd}.{}:{}", settings.namespace, ports::PD_CLIENT);
    let rest = parts.uri.path_and_query().map_or(PREFIX, |rest| rest.as_str());
    let uri: Result<Uri, _> = format!("{scheme}://{authority}{rest}").parse();
    parts.uri = uri.map_err(|_| said(StatusCode::BAD_REQUEST, "failed to read the request\n"))?;
    OF_THE_CONNECTION.iter().for_each(|name| {
        parts.headers.remove(name);
    });
    let host = header::HeaderValue::from_str(&authority);
    parts.headers.insert(header::HOST, host.map_err(|_| said(StatusCode::BAD_REQUEST, "failed to name PD\n"))?);
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Request::from_parts(parts, Full::new(body)))
}

fn said(status: StatusCode, text: &str) -> Answer {
    let body = Full::new(Bytes::from(text.to_owned())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}
