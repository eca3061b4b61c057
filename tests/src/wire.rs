//! What lies between an operator and the servers that it talks to: a place where requests are counted, held up, broken,
//! and where an operator is killed between two of them.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use kube::client::Body as KubeBody;
use rand::{Rng, rngs::SmallRng};
use serde_json::{Value, json};
use tidepool_sim::{
    control::{ApiService, http::ResponseBody},
    data::gateway::Gateway,
};
use tokio::sync::Notify;
use tower::Service;

use crate::history::History;

/// Who else edits objects, in the audit log.
const SOMEBODY: &str = "somebody";

/// When an operator is killed, relative to the request at which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The request is never sent (F1).
    Before,
    /// The request is handled, the answer is not read (F2).
    After,
}

/// How often what goes wrong, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Somebody else edits the object just before it is written (F7).
    pub edited: u32,
    /// A request is answered with 500 and not handled (F8).
    pub failed: u32,
    /// A request is handled, and its answer is lost (F2, F8).
    pub lost: u32,
    /// Watched changes come late, and then only the last of each object (F3, F5), or twice (F6).
    pub watches: u32,
}

/// One operator's connections. Clones share them.
#[derive(Clone)]
pub struct Line {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    killed: Notify,
    thawed: Notify,
}

struct State {
    rng: SmallRng,
    rates: Rates,
    changes: usize,
    kill: Option<(usize, Kill)>,
    frozen: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    Fail,
    Lose,
    Edit,
    Killed(Kill),
}

impl Line {
    /// Connections on which all goes well.
    pub fn new(rng: SmallRng) -> Self {
        let state = State { rng, rates: Rates::default(), changes: 0, kill: None, frozen: false };
        let shared = Shared { state: Mutex::new(state), killed: Notify::new(), thawed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// From now on requests go wrong so often.
    pub fn break_down(&self, rates: Rates) {
        self.lock().rates = rates;
    }

    /// The operator is killed at the change with this number, counted from 0 and from now on.
    pub fn kill_at(&self, number: usize, kill: Kill) {
        let mut state = self.lock();
        (state.changes, state.kill) = (0, Some((number, kill)));
    }

    /// Counts changes anew.
    pub fn count(&self) {
        self.lock().changes = 0;
    }

    /// Changes since they were last counted anew.
    pub fn changes(&self) -> usize {
        self.lock().changes
    }

    /// Until this is ready, the operator lives.
    pub async fn killed(&self) {
        self.shared.killed.notified().await;
    }

    /// Nothing gets through until [`Self::thaw`], as if the operator's process stood still.
    pub fn freeze(&self) {
        self.lock().frozen = true;
    }

    /// Ends [`Self::freeze`]; what was held up goes on.
    pub fn thaw(&self) {
        self.lock().frozen = false;
        self.shared.thawed.notify_waiters();
    }

    async fn pass(&self) {
        loop {
            let thawed = self.shared.thawed.notified();
            if !self.lock().frozen {
                return;
            }
            thawed.await;
        }
    }

    fn fate(&self, method: &Method, path: &str) -> Fate {
        let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let own = ["/leases", "/events"].iter().any(|part| path.contains(part));
        let mut state = self.lock();
        if changes && !own {
            let number = state.changes;
            state.changes += 1;
            if let Some((at, kill)) = state.kill
                && at == number
            {
                state.kill = None;
                return Fate::Killed(kill);
            }
        }
        let State { rng, rates, .. } = &mut *state;
        let mut happens = |rate: u32| rate > 0 && rng.random_range(0..1_000) < rate;
        if happens(rates.failed) {
            Fate::Fail
        } else if changes && happens(rates.lost) {
            Fate::Lose
        } else if changes && !own && happens(rates.edited) {
            Fate::Edit
        } else {
            Fate::Pass
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn dies(&self) -> ! {
        self.shared.killed.notify_one();
        std::future::pending().await
    }
}

/// The API server at the end of a line.
#[derive(Clone)]
pub struct ApiOverLine {
    inner: ApiService,
    agent: HeaderValue,
    line: Line,
}

impl ApiOverLine {
    /// `inner`, as the operator that calls itself `agent` reaches it.
    pub fn new(inner: ApiService, agent: &'static str, line: Line) -> Self {
        Self { inner, agent: HeaderValue::from_static(agent), line }
    }

    async fn exchange(mut self, mut request: Request<KubeBody>) -> Response<LineBody> {
        request.headers_mut().insert(header::USER_AGENT, self.agent.clone());
        self.line.pass().await;
        let fate = self.line.fate(request.method(), request.uri().path());
        match fate {
            Fate::Fail => return refused(),
            Fate::Killed(Kill::Before) => self.line.dies().await,
            Fate::Edit => self.edit(request.uri().path()).await,
            _ => {}
        }
        let watches = request.uri().query().is_some_and(|query| query.contains("watch="));
        let Ok(response) = self.inner.call(request).await;
        match fate {
            Fate::Killed(_) => self.line.dies().await,
            Fate::Lose => std::future::pending().await,
            _ if watches => response.map(|body| self.line.late(body)),
            _ => response.map(LineBody::Whole),
        }
    }

    /// Somebody else changes the object; where it is none, this fails, and nothing has happened.
    async fn edit(&mut self, path: &str) {
        let number = self.line.lock().rng.random_range(0..1_000_000);
        let patch = json!({"metadata": {"annotations": {"somebody": number.to_string()}}});
        let request = Request::patch(path.trim_end_matches("/status"))
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .header(header::USER_AGENT, SOMEBODY)
            .body(Full::new(Bytes::from(patch.to_string())));
        if let Ok(request) = request {
            let Ok(_) = self.inner.call(request).await;
        }
    }
}

impl Service<Request<KubeBody>> for ApiOverLine {
    type Response = Response<LineBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<KubeBody>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { Ok(api.exchange(request).await) })
    }
}

fn refused() -> Response<LineBody> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 500,
        "reason": "InternalError", "message": "on purpose"});
    let body = ResponseBody::Whole(Some(Bytes::from(status.to_string())));
    let mut response = Response::new(LineBody::Whole(body));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The body of an answer that came over a line.
pub enum LineBody {
    /// As it was sent.
    Whole(ResponseBody),
    /// A watch whose changes come late.
    Late(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Body for LineBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Late(lines) => lines.as_mut().poll_next(cx).map(|lines| lines.map(|lines| Ok(Frame::data(lines)))),
        }
    }
}

impl Line {
    /// A watch, whose changes are sometimes held back for a while; then each object's last one comes, perhaps twice.
    fn late(&self, body: ResponseBody) -> LineBody {
        let frames = body.into_data_stream().filter_map(|frame| std::future::ready(frame.ok())).fuse();
        let late = futures::stream::unfold((self.clone(), Box::pin(frames)), |(line, mut frames)| async move {
            let mut held = vec![frames.next().await?];
            let (pause, twice) = {
                let State { rng, rates, .. } = &mut *line.lock();
                let late = rates.watches > 0 && rng.random_range(0..1_000) < rates.watches;
                (late.then(|| Duration::from_millis(rng.random_range(10..5_000))), late && rng.random_bool(0.5))
            };
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
                while let Some(Some(frame)) = futures::FutureExt::now_or_never(frames.next()) {
                    held.push(frame);
                }
            }
            line.pass().await;
            let mut lines = last_of_each(&held.concat());
            if twice {
                lines = [lines.clone(), lines].concat();
            }
            Some((Bytes::from(lines), (line, frames)))
        });
        LineBody::Late(Box::pin(late))
    }
}

/// Leaves out changes that a later one of the same object replaces: all but additions and removals.
fn last_of_each(lines: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(lines);
    let events: Vec<(&str, Value)> =
        text.lines().map(|line| (line, serde_json::from_str(line).unwrap_or_default())).collect();
    let uid = |event: &Value| event["object"]["metadata"]["uid"].to_string();
    let replaced = |at: usize, event: &Value| {
        let later = events.iter().skip(at + 1).find(|(_, later)| uid(later) == uid(event));
        event["type"] == "MODIFIED" && later.is_some_and(|(_, later)| later["type"] == "MODIFIED")
    };
    let kept = events.iter().enumerate().filter(|(at, (_, event))| !replaced(*at, event));
    kept.flat_map(|(_, (line, _))| [line.as_bytes(), b"\n"].concat()).collect()
}

/// PD and the components at the end of a line, and who notes how they are called.
#[derive(Clone)]
pub struct GatewayOverLine {
    inner: Gateway,
    agent: HeaderValue,
    line: Line,
    history: History,
}

impl GatewayOverLine {
    /// `inner`, as the operator that calls itself `agent` reaches it.
    pub fn new(inner: Gateway, agent: &'static str, line: Line, history: History) -> Self {
        Self { inner, agent: HeaderValue::from_static(agent), line, history }
    }

    async fn exchange(mut self, mut request: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        request.headers_mut().insert(header::USER_AGENT, self.agent.clone());
        self.line.pass().await;
        let fate = self.line.fate(request.method(), request.uri().path());
        match fate {
            Fate::Fail => {
                let mut response = Response::new(Full::new(Bytes::from_static(b"on purpose")));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                return response;
            }
            Fate::Killed(Kill::Before) => self.line.dies().await,
            _ => {}
        }
        if let Some(authority) = request.uri().authority() {
            self.history.called(authority.as_str(), false);
        }
        let Ok(response) = self.inner.call(request).await;
        match fate {
            Fate::Killed(_) => self.line.dies().await,
            Fate::Lose => std::future::pending().await,
            _ => response,
        }
    }
}

impl Service<Request<Full<Bytes>>> for GatewayOverLine {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.exchange(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_change_of_an_object_is_told() {
        let line = |kind: &str, uid: &str, n: u32| {
            json!({"type": kind, "object": {"metadata": {"uid": uid}, "n": n}}).to_string() + "\n"
        };
        let told = [
            line("ADDED", "a", 1),
            line("MODIFIED", "a", 2),
            line("MODIFIED", "b", 3),
            line("MODIFIED", "a", 4),
            line("DELETED", "a", 5),
        ];
        let kept = last_of_each(told.concat().as_bytes());
        let expected = [&told[0], &told[2], &told[3], &told[4]].map(String::as_str).concat();
        assert_eq!(String::from_utf8(kept).expect("text"), expected);
    }
}
