//! One address for the HTTP servers of all components: the Host header says which one is meant.
//!
//! `basic-pd.ns:2379`, `basic-pd-0.basic-pd-peer.ns.svc:2379`, `basic-tikv-0.basic-tikv-peer.ns:20180`, … with or
//! without `.svc` and a domain. What a cluster's network would refuse is answered with 502 and the reason.

mod connection;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body;
use serde_json::Value;
use tokio::{io::DuplexStream, net::TcpListener, task::JoinSet};
use tower::Service;

use super::{
    Shared, lookup,
    network::{Key, Target},
    pd::{Answer, server},
    process::{
        components,
        launch::{Kind, kind_word},
        process_name,
    },
};
use crate::audit::Entry;

/// The longest body that is noted in the audit log, bytes.
const AUDIT_BODY_BYTES_MAX: usize = 4_096;

/// What a connection within this process holds in each direction, bytes.
const CONNECTION_BYTES: usize = 64 << 10;
/// Namespace of names without one.
const NAMESPACE: &str = "default";

/// The components' HTTP servers. Clones share one data plane.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    channel: Channel,
}

/// A request as the audit log has it.
struct Noted {
    pod: Key,
    user_agent: String,
    method: String,
    path: String,
    body: Vec<u8>,
}

/// How a request got here.
#[derive(Clone, Debug)]
enum Channel {
    /// In the clear, over TCP or in this process.
    Plain,
    /// Over TLS, to the pod that was chosen when the connection was opened.
    Secured { host: String, pod: Key },
}

impl Gateway {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, channel: Channel::Plain }
    }

    fn over(&self, channel: Channel) -> Self {
        Self { shared: self.shared.clone(), channel }
    }

    /// Answers one request, after the time that the component takes; never, if it hangs.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let authority = authority(&request);
        let target = match self.target(&authority) {
            Ok(target) => target,
            Err(error) => return refused(&error),
        };
        let mutates = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let user_agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let user_agent = user_agent.unwrap_or_default().to_owned();
        let Ok(asked) = server::read(request).await else {
            return refused("failed to read the request");
        };
        let noted = mutates.then(|| Noted {
            pod: target.pod.clone(),
            user_agent,
            method: asked.method.clone(),
            path: path_and_query(&asked),
            body: asked.body.clone(),
        });
        self.exchange(&authority, &target, asked, noted.as_ref()).await
    }

    /// Who answers: whom the name leads to now, or over TLS whom it led to when the connection was opened.
    fn target(&self, authority: &str) -> Result<Target, String> {
        let network = &self.shared.world().network;
        let found = match &self.channel {
            Channel::Plain => network.resolve(authority, NAMESPACE),
            Channel::Secured { host, .. } if authority.rsplit_once(':').map_or(authority, |(host, _)| host) != host => {
                return Err(format!("this connection is not to {authority}"));
            }
            Channel::Secured { pod, .. } => network.resolve_at(authority, NAMESPACE, pod),
        };
        found.map_err(|error| error.to_string())
    }

    /// Opens a connection within this process, for TLS. Its other end is served until either side ends it.
    pub fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(CONNECTION_BYTES);
        tokio::spawn(connection::serve_tls(self.clone(), far));
        near
    }

    async fn exchange(
        &self,
        authority: &str,
        target: &Target,
        mut request: super::pd::Request,
        noted: Option<&Noted>,
    ) -> Response<Full<Bytes>> {
        let fault = self.shared.world().faults.answer(&target.pod);
        if fault.slow_ms > 0 {
            tokio::time::sleep(Duration::from_millis(fault.slow_ms)).await;
        }
        if let Some(status) = fault.fail_status {
            self.note(noted, status);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return plain(status, "injected fault\n");
        }
        loop {
            if noted.is_some() {
                self.shared.audit.before();
            }
            match self.once(target, &request).await {
                Answer::Reply(reply) => {
                    self.note(noted, reply.status);
                    tokio::time::sleep(Duration::from_millis(reply.after_ms)).await;
                    if fault.drop_answers {
                        std::future::pending::<()>().await;
                    }
                    return server::response(&reply);
                }
                Answer::Hang => std::future::pending::<()>().await,
                Answer::Refused => {
                    self.note(noted, StatusCode::BAD_GATEWAY.as_u16());
                    return refused(&format!("failed to connect to {authority}: connection refused"));
                }
                Answer::Retry { after_ms } => {
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                    request.waited_ms += after_ms;
                }
            }
        }
    }

    /// What the program says at this moment.
    async fn once(&self, target: &Target, request: &super::pd::Request) -> Answer {
        let now = self.shared.clock.now_ms();
        let kind = {
            let mut world = self.shared.world();
            let reachable = world.network.pod(&target.pod).is_none_or(|pod| pod.reachable);
            if !reachable || world.faults.pod(&target.pod).silent {
                return Answer::Hang;
            }
            let Some(kind) = world.processes.get(&target.pod).map(|process| process.launch.kind) else {
                return Answer::Refused;
            };
            if components::http_port(kind) != Some(target.port) {
                return Answer::Refused;
            }
            let tls = world.processes.get(&target.pod).is_some_and(|process| process.launch.tls);
            if matches!((&self.channel, tls), (Channel::Plain, true) | (Channel::Secured { .. }, false)) {
                return Answer::Refused;
            }
            match kind {
                Kind::Pd => return world.fleet.handle(now, &process_name(&target.pod), request),
                Kind::Discovery => kind,
                _ => return components::answer(&mut world, &target.pod, request, now),
            }
        };
        debug_assert_eq!(kind, Kind::Discovery);
        lookup::answer(&self.shared, &target.pod, request).await
    }

    /// Notes a request that changes something, at the moment at which it was handled.
    fn note(&self, noted: Option<&Noted>, status: u16) {
        let Some(Noted { pod, user_agent, method, path, body }) = noted else { return };
        let kind = self.shared.world().processes.get(pod).map_or("unknown", |process| kind_word(process.launch.kind));
        let body = match body.len() {
            0 => Value::Null,
            n if n > AUDIT_BODY_BYTES_MAX => Value::from(format!("({n} bytes)")),
            _ => serde_json::from_slice(body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(body))),
        };
        self.shared.audit.record(Entry {
            time: format!("{:.3}", self.shared.clock.now()),
            user_agent: user_agent.clone(),
            verb: method.clone(),
            resource: kind.to_owned(),
            namespace: pod.0.clone(),
            name: path.clone(),
            status,
            body,
        });
        self.shared.look_again();
    }

    /// Serves HTTP/1.1 and HTTP/2, plain and over TLS, until the future is dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await?;
            connections.spawn(connection::serve(self.over(Channel::Plain), stream));
            while connections.try_join_next().is_some() {}
        }
    }
}

impl<B> Service<Request<B>> for Gateway
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.answer(request).await) })
    }
}

/// Host and port that the request is for.
fn authority<B>(request: &Request<B>) -> String {
    let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    header.or_else(|| request.uri().authority().map(ToString::to_string)).unwrap_or_default()
}

fn path_and_query(request: &super::pd::Request) -> String {
    if request.query.is_empty() { request.path.clone() } else { format!("{}?{}", request.path, request.query) }
}

fn refused(reason: &str) -> Response<Full<Bytes>> {
    plain(StatusCode::BAD_GATEWAY, &format!("{reason}\n"))
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let builder = Response::builder().status(status).header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
    builder.body(Full::new(Bytes::from(text.to_owned()))).unwrap_or_default()
}
