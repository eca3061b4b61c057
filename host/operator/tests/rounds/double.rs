//! An API server small enough to break on purpose: objects, versions, watches, merge patches, preconditions.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tidepool_model::merge;
use tokio::sync::mpsc;

/// Group and version, plural, namespace (or empty), name.
type Key = (String, String, String, String);

/// What is answered.
type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Where a watch's events go.
type Watcher = mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>;

/// The API server. Clones share one state.
#[derive(Clone, Default)]
pub struct Api {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<(u64, &'static str, Key, Value)>,
    watchers: Vec<(Query, Watcher)>,
    writes: Vec<String>,
    faults: VecDeque<(String, u16)>,
    accepts: Vec<(String, String)>,
}

#[derive(Clone)]
struct Query {
    version: String,
    plural: String,
    namespace: String,
    label: Option<(String, String)>,
}

impl Api {
    pub fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Creates or replaces an object as somebody else would.
    pub fn put(&self, plural: &str, object: Value) {
        let version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        let key = (version, plural.to_owned(), text("namespace"), text("name"));
        self.state.lock().unwrap().store(key, object);
    }

    pub fn get(&self, version: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (version.to_owned(), plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.state.lock().unwrap().objects.get(&key).cloned()
    }

    pub fn all(&self, plural: &str) -> Vec<Value> {
        self.state.lock().unwrap().objects.iter().filter(|(key, _)| key.1 == plural).map(|(_, o)| o.clone()).collect()
    }

    pub fn remove(&self, version: &str, plural: &str, namespace: &str, name: &str) {
        let key = (version.to_owned(), plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.state.lock().unwrap().delete(&key);
    }

    /// Writes that came in over HTTP so far, `METHOD plural/name`.
    pub fn writes(&self) -> Vec<String> {
        self.state.lock().unwrap().writes.clone()
    }

    pub fn clear_writes(&self) {
        self.state.lock().unwrap().writes.clear();
    }

    /// The next request that is called so (`METHOD plural/name`) gets this status instead of an answer.
    pub fn fail(&self, request: &str, status: u16) {
        self.state.lock().unwrap().faults.push_back((request.to_owned(), status));
    }

    /// What requests for lists of a plural said they accept.
    pub fn accepts(&self, plural: &str) -> Vec<String> {
        self.state.lock().unwrap().accepts.iter().filter(|(p, _)| p == plural).map(|(_, a)| a.clone()).collect()
    }

    async fn answer(&self, request: Request<Body>) -> Reply {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
        let accept = parts.headers.get("accept").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let (mut query, name, subresource) = read_path(parts.uri.path());
        let parameters = parts.uri.query().unwrap_or_default();
        query.label = parameter(parameters, "labelSelector")
            .and_then(|label| label.split_once('=').map(|(key, value)| (key.into(), value.into())));
        if parameter(parameters, "dryRun").is_some() {
            let mut stored = body;
            stored["filledIn"] = json!("by the server");
            return ok(stored);
        }
        let mut state = self.state.lock().unwrap();
        let called = format!("{} {}/{name}{subresource}", parts.method, query.plural);
        if parts.method != Method::GET {
            state.writes.push(called.clone());
        }
        if state.faults.front().is_some_and(|(request, _)| *request == called) {
            let (_, status) = state.faults.pop_front().unwrap();
            return failure(status, "InjectedFault");
        }
        let key = (query.version.clone(), query.plural.clone(), query.namespace.clone(), name.clone());
        match parts.method {
            Method::GET if name.is_empty() && parameter(parameters, "watch").is_some() => {
                state.watch(query, parameter(parameters, "resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0))
            }
            Method::GET if name.is_empty() => {
                state.accepts.push((query.plural.clone(), accept));
                state.list(&query)
            }
            Method::GET => state.objects.get(&key).map_or_else(|| failure(404, "NotFound"), |o| ok(o.clone())),
            Method::POST => state.create(key, body),
            Method::PUT => state.change(key, body, false),
            Method::PATCH => state.change(key, body, true),
            _ => state.remove(&key, &body),
        }
    }
}

impl State {
    fn watch(&mut self, query: Query, from: u64) -> Reply {
        let (sender, receiver) = mpsc::unbounded_channel();
        for (version, kind, key, object) in &self.history {
            if *version > from && query.selects(key, object) {
                let _ = sender.send(Ok(event(kind, object)));
            }
        }
        self.watchers.push((query, sender));
        let stream = futures::stream::unfold(receiver, |mut receiver| async move {
            let frame = receiver.recv().await?;
            Some((frame, receiver))
        });
        Response::new(StreamBody::new(stream).boxed_unsync())
    }

    fn list(&self, query: &Query) -> Reply {
        let selected = self.objects.iter().filter(|(key, object)| query.selects(key, object));
        let items: Vec<Value> = selected.map(|(_, object)| object.clone()).collect();
        let metadata = json!({"resourceVersion": self.version.to_string()});
        ok(json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": metadata}))
    }

    fn create(&mut self, key: Key, object: Value) -> Reply {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.writes.last_mut().unwrap().push_str(&name);
        let key = (key.0, key.1, key.2, name);
        if self.objects.contains_key(&key) { failure(409, "AlreadyExists") } else { ok(self.store(key, object)) }
    }

    fn change(&mut self, key: Key, body: Value, patch: bool) -> Reply {
        let Some(mut object) = self.objects.get(&key).cloned() else { return failure(404, "NotFound") };
        for field in ["uid", "resourceVersion"] {
            let expected = &body["metadata"][field];
            if !expected.is_null() && *expected != object["metadata"][field] {
                return failure(409, "Conflict");
            }
        }
        if patch {
            merge(&mut object, &body);
        } else {
            object = body;
        }
        ok(self.store(key, object))
    }

    fn remove(&mut self, key: &Key, options: &Value) -> Reply {
        let Some(kept) = self.objects.get(key) else { return failure(404, "NotFound") };
        let expected = &options["preconditions"]["uid"];
        if !expected.is_null() && *expected != kept["metadata"]["uid"] {
            return failure(409, "Conflict");
        }
        self.delete(key);
        ok(json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
    }

    fn store(&mut self, key: Key, mut object: Value) -> Value {
        self.version += 1;
        let kept = self.objects.get(&key);
        let uid = kept.map_or_else(|| json!(format!("uid-{}", self.version)), |o| o["metadata"]["uid"].clone());
        let kind = if kept.is_some() { "MODIFIED" } else { "ADDED" };
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = uid;
        }
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(key.clone(), object.clone());
        self.tell(kind, key, object.clone());
        object
    }

    fn delete(&mut self, key: &Key) {
        if let Some(mut object) = self.objects.remove(key) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.tell("DELETED", key.clone(), object);
        }
    }

    fn tell(&mut self, kind: &'static str, key: Key, object: Value) {
        self.watchers
            .retain(|(query, sender)| !query.selects(&key, &object) || sender.send(Ok(event(kind, &object))).is_ok());
        self.history.push((self.version, kind, key, object));
    }
}

impl Query {
    fn selects(&self, key: &Key, object: &Value) -> bool {
        let labelled = |(key, value): &(String, String)| object["metadata"]["labels"][key] == json!(value);
        key.0 == self.version
            && key.1 == self.plural
            && (self.namespace.is_empty() || self.namespace == key.2)
            && self.label.as_ref().is_none_or(labelled)
    }
}

fn read_path(path: &str) -> (Query, String, String) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (version, rest) = if parts[0] == "api" {
        (parts[1].to_owned(), &parts[2..])
    } else {
        (format!("{}/{}", parts[1], parts[2]), &parts[3..])
    };
    let (namespace, rest) = if rest[0] == "namespaces" && rest.len() > 2 { (rest[1], &rest[2..]) } else { ("", rest) };
    let name = rest.get(1).copied().unwrap_or_default().to_owned();
    let subresource = rest.get(2).map(|s| format!("/{s}")).unwrap_or_default();
    (Query { version, plural: rest[0].to_owned(), namespace: namespace.to_owned(), label: None }, name, subresource)
}

fn parameter(parameters: &str, key: &str) -> Option<String> {
    let of_key = |pair: &str| pair.split_once('=').filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned());
    let value = parameters.split('&').find_map(of_key)?;
    Some(value.replace("%2F", "/").replace("%3D", "="))
}

fn event(kind: &str, object: &Value) -> Frame<Bytes> {
    Frame::data(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n").into())
}

fn ok(value: Value) -> Reply {
    Response::new(http_body_util::Full::new(Bytes::from(value.to_string())).boxed_unsync())
}

fn failure(code: u16, reason: &str) -> Reply {
    let mut response = ok(
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason}),
    );
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}
