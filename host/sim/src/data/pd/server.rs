//! Serves a simulated PD process over HTTP, in-process or on a listener.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

use super::{Answer, Fleet, Request};
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

async fn read<B>(request: http::Request<B>) -> Result<Request, ServeError>
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
pub fn response(reply: &super::Reply) -> http::Response<Full<Bytes>> {
    let mut builder = http::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(Bytes::from(reply.body.clone()))).unwrap_or_default()
}
