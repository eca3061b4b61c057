//! The HTTP face: one tower service for requests in this process and over a socket.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};
use tower::Service;

use super::{
    Inner,
    error::{ApiError, go_quote},
};

/// A body larger than this is refused, as a real server does.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// An answer that is one document.
#[derive(Clone, Debug)]
pub struct Document {
    /// Content-Type.
    pub content_type: String,
    /// The bytes.
    pub body: Bytes,
    /// ETag, quoted, if there is one.
    pub etag: Option<String>,
}

impl Document {
    /// JSON.
    pub fn json(value: &Value) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_default().into();
        Self { content_type: "application/json".into(), body, etag: None }
    }

    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        let body = Bytes::from(text.into());
        Self { content_type: "text/plain; charset=utf-8".into(), body, etag: None }
    }
}

/// The body of an answer: whole, or the lines of a watch as they come.
pub enum ResponseBody {
    /// All of it, taken once.
    Whole(Option<Bytes>),
    /// Made as it is read; dropping it ends the watch.
    Stream(Pin<Box<dyn futures::Stream<Item = Bytes> + Send>>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Stream(lines) => lines.as_mut().poll_next(cx).map(|line| line.map(|b| Ok(Frame::data(b)))),
        }
    }
}

/// The API. Clones share the control plane.
#[derive(Clone)]
pub struct ApiService {
    inner: Arc<Inner>,
    user_agent: Option<Arc<str>>,
}

impl ApiService {
    pub(super) fn new(inner: Arc<Inner>, user_agent: Option<String>) -> Self {
        Self { inner, user_agent: user_agent.map(Into::into) }
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { Ok(api.answer(request).await) })
    }
}

/// A request, read whole.
pub(super) struct Call {
    pub(super) method: http::Method,
    /// Path segments, decoded, without empty ones.
    pub(super) path: Vec<String>,
    pub(super) query: String,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
    pub(super) user_agent: String,
}

impl Call {
    /// A header as text, empty if it is missing or not ASCII.
    pub(super) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

/// What a request is answered with.
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) content_type: String,
    pub(super) etag: Option<String>,
    pub(super) warnings: Vec<String>,
    pub(super) body: ResponseBody,
}

impl Answer {
    pub(super) fn json(code: u16, value: &Value) -> Self {
        Self { code, ..Document::json(value).into() }
    }
}

impl From<Document> for Answer {
    fn from(document: Document) -> Self {
        let body = ResponseBody::Whole(Some(document.body));
        Self { code: 200, content_type: document.content_type, etag: document.etag, warnings: Vec::new(), body }
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        let answer = match error.plain {
            true => Document::text(error.message.clone()).into(),
            false => {
                let body = error.body().into();
                Document { content_type: "application/json".into(), body, etag: None }.into()
            }
        };
        Self { code: error.code, warnings: error.warnings, ..answer }
    }
}

impl ApiService {
    async fn answer<B>(self, request: Request<B>) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let (parts, body) = request.into_parts();
        let answer = match collect(body).await {
            Ok(body) => super::route::handle(&self.inner, &self.read(parts, body)),
            Err(error) => Err(error),
        };
        respond(answer.unwrap_or_else(Answer::from))
    }

    fn read(&self, parts: http::request::Parts, body: Bytes) -> Call {
        let path = parts.uri.path().split('/').filter(|s| !s.is_empty()).map(decode).collect();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let mut call =
            Call { method: parts.method, path, query, headers: parts.headers, body, user_agent: String::new() };
        call.user_agent = match &self.user_agent {
            Some(name) => name.to_string(),
            None => call.header(header::USER_AGENT).to_owned(),
        };
        call
    }
}

/// `%41` becomes `A`; what is no valid escape stays.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()).filter(|_| byte == b'%') {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn collect<B>(body: B) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ApiError::bad_request(format!("failed to read the body: {e}")))?;
        bytes.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        if bytes.len() > BODY_BYTES_MAX {
            let text = format!("Request entity too large: limit is {BODY_BYTES_MAX}");
            return Err(ApiError::new(413, "RequestEntityTooLarge", text));
        }
    }
    Ok(bytes.into())
}

fn respond(answer: Answer) -> Response<ResponseBody> {
    let mut response = Response::new(answer.body);
    *response.status_mut() = http::StatusCode::from_u16(answer.code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(name, value);
        }
    };
    set(header::CONTENT_TYPE, &answer.content_type);
    answer.etag.iter().for_each(|etag| set(header::ETAG, etag));
    answer.warnings.iter().for_each(|w| set(header::WARNING, &format!("299 - {}", go_quote(w))));
    response
}

/// Serves connections until the listener fails or the future is dropped.
pub(super) async fn serve(service: ApiService, listener: TcpListener) -> std::io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            Some(_) = connections.join_next() => continue,
        };
        // Small watch events must not wait for more.
        let _ = socket.set_nodelay(true);
        let service = hyper_util::service::TowerToHyperService::new(service.clone());
        connections.spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // An error here is a client that went away.
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}
