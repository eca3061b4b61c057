//! Watch: the changes of a resource as lines, from a version on or after a list.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Request, Txn,
    read::{check_list_options, revision},
    txn::view,
};
use crate::control::{
    Inner,
    error::ApiError,
    http::{Answer, ResponseBody},
    present::{self, Form, Include},
    resources::ResourceInfo,
    selectors::Selectors,
    store::{Change, Cursor, View},
};

/// How long a watch lasts that asks for no time.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30 * 60);
/// How often a quiet watch that takes bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Changes that are taken under one lock.
const BATCH: usize = 256;

/// Starts a watch.
pub(super) fn watch(request: &Request<'_>) -> Result<Answer, ApiError> {
    let query = &request.query;
    let form = present::negotiate(request.call.header(header::ACCEPT))?;
    let include = present::include(query.get("includeObject"))?;
    check_list_options(query, true)?;
    let selectors = Selectors::parse(&request.resource, query.get("labelSelector"), query.get("fieldSelector"))?;
    let from = revision(query).map_err(|message| ApiError::new(500, "", message))?;
    let timeout = query.number("timeoutSeconds")?.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
    let bookmarks = query.flag("allowWatchBookmarks");
    let initial = query.find("sendInitialEvents").map(|v| v != "false");
    let watched = Watched {
        inner: request.inner.clone(),
        resource: request.resource.clone(),
        prefix: prefix(request, &selectors),
        selectors,
        form,
        include,
        first: true,
    };
    let mut stream = Stream {
        watched,
        cursor: None,
        lines: VecDeque::new(),
        bookmarks,
        next_bookmark: Instant::now() + BOOKMARK_EVERY,
        end: Instant::now() + timeout.map_or(TIMEOUT_DEFAULT, Duration::from_secs),
        done: false,
    };
    stream.start(from, initial);
    let body = futures::stream::unfold(stream, |mut stream| async move {
        let line = stream.next().await?;
        Some((line, stream))
    });
    let body = ResponseBody::Stream(Box::pin(body));
    Ok(Answer { code: 200, content_type: "application/json".into(), etag: None, warnings: Vec::new(), body })
}

/// Keys that can be of interest start like this; a whole key if a name is selected.
fn prefix(request: &Request<'_>, selectors: &Selectors) -> String {
    let namespace = request.namespace.as_ref().map(|ns| format!("{ns}/")).unwrap_or_default();
    match (selectors.name(), request.resource.namespaced == request.namespace.is_some()) {
        (Some(name), true) => format!("{namespace}{name}"),
        _ => namespace,
    }
}

/// What is watched and in which form it is sent.
struct Watched {
    inner: Arc<Inner>,
    resource: Arc<ResourceInfo>,
    prefix: String,
    selectors: Selectors,
    form: Form,
    include: Include,
    /// No event has been sent: the first Table has the columns.
    first: bool,
}

struct Stream {
    watched: Watched,
    cursor: Option<Cursor>,
    lines: VecDeque<Bytes>,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
    done: bool,
}

impl Stream {
    /// Sends what there is, or starts to read after `from`.
    fn start(&mut self, from: Option<u64>, initial: Option<bool>) {
        let inner = self.watched.inner.clone();
        let mut txn = Txn::begin(&inner);
        let now = txn.now_ms();
        txn.state.compact(now);
        let current = txn.state.revision();
        let resource = self.watched.resource.clone();
        let listed = match initial {
            Some(wanted) => wanted,
            None => from.is_none_or(|revision| revision == 0),
        };
        let after = if listed || initial == Some(false) && from.is_none() { current } else { from.unwrap_or(current) };
        match txn.state.cursor(resource.storage(), after) {
            Ok(cursor) => self.cursor = Some(cursor),
            Err(_) => {
                let text = format!("too old resource version: {after} ({current})");
                let status = ApiError::new(410, "Expired", text).status();
                return self.fail(&status);
            }
        }
        if !listed {
            return;
        }
        let prefix = self.watched.prefix.clone();
        for (key, stored) in txn.state.list(resource.storage(), None) {
            if !key.starts_with(&prefix) {
                continue;
            }
            let shown = view(&resource, stored);
            if self.watched.selectors.matches(&shown.value) {
                let line = self.watched.line("ADDED", &shown);
                self.lines.push_back(line);
            }
        }
        drop(txn);
        if initial == Some(true) && self.bookmarks {
            let line = self.watched.bookmark(current, true);
            self.lines.push_back(line);
        }
    }

    fn fail(&mut self, status: &Value) {
        self.lines.push_back(line("ERROR", status.to_string().as_bytes()));
        self.done = true;
    }

    /// The next line; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if self.done || Instant::now() >= self.end {
                return None;
            }
            self.read();
            if !self.lines.is_empty() || self.done {
                continue;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        let until = if self.bookmarks { self.end.min(self.next_bookmark) } else { self.end };
        let cursor = self.cursor.as_mut();
        let changed = async {
            match cursor {
                Some(cursor) => cursor.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = changed => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    fn read(&mut self) {
        let inner = self.watched.inner.clone();
        let (read, revision) = {
            let txn = Txn::begin(&inner);
            let Some(cursor) = &mut self.cursor else { return };
            (txn.state.read(cursor, BATCH), txn.state.revision())
        };
        let Ok(changes) = read else {
            let status = ApiError::new(410, "Expired", "too old resource version").status();
            return self.fail(&status);
        };
        if self.watched.is_gone(&inner) {
            self.done = true;
        }
        let quiet = changes.is_empty();
        for change in changes {
            if let Some(line) = self.watched.event(&change) {
                self.lines.push_back(line);
            }
        }
        if self.bookmarks && quiet && Instant::now() >= self.next_bookmark {
            let line = self.watched.bookmark(revision, false);
            self.lines.push_back(line);
            self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
        }
    }
}

impl Watched {
    /// Whether the custom resource that is watched has another schema now, or none: clients watch anew.
    fn is_gone(&self, inner: &Inner) -> bool {
        let Some(custom) = &self.resource.custom else { return false };
        let registry = inner.registry();
        let now = registry.get(&self.resource.group, &self.resource.version, &self.resource.plural);
        now.and_then(|r| r.custom.as_ref().map(|c| c.id)) != Some(custom.id)
    }

    /// A change as this watch sees it: what comes into its selection is added, what leaves it is deleted.
    fn event(&mut self, change: &Change) -> Option<Bytes> {
        if !change.key.starts_with(&self.prefix) {
            return None;
        }
        let resource = self.resource.clone();
        let before = change.before.as_ref().map(|stored| view(&resource, stored));
        let after = view(&resource, &change.object);
        if self.selectors.is_empty() {
            let kind = match (&before, change.removed) {
                (_, true) => "DELETED",
                (None, false) => "ADDED",
                (Some(_), false) => "MODIFIED",
            };
            return Some(self.line(kind, &after));
        }
        let was = before.as_ref().is_some_and(|b| self.selectors.matches(&b.value));
        let is = !change.removed && self.selectors.matches(&after.value);
        match (was, is) {
            (false, false) => None,
            (false, true) => Some(self.line("ADDED", &after)),
            (true, true) => Some(self.line("MODIFIED", &after)),
            (true, false) if change.removed => Some(self.line("DELETED", &after)),
            (true, false) => {
                // It left the selection: its old content, under the version at which it left.
                let mut old = (*before?.value).clone();
                old["metadata"]["resourceVersion"] = change.revision.to_string().into();
                Some(self.line("DELETED", &View::new(Arc::new(old))))
            }
        }
    }

    fn line(&mut self, kind: &str, shown: &View) -> Bytes {
        let first = std::mem::replace(&mut self.first, false);
        match self.form {
            Form::Json | Form::Yaml => line(kind, shown.full()),
            Form::Partial(version) => line(kind, present::partial(&shown.value, version).to_string().as_bytes()),
            Form::Table(version) => {
                let metadata = json!({"resourceVersion": shown.value["metadata"]["resourceVersion"]});
                let now = self.inner.options.clock.now();
                let objects = std::slice::from_ref(&shown.value);
                let mut table = present::table(&self.resource, objects, metadata, version, self.include, now);
                if !first {
                    table["columnDefinitions"] = Value::Null;
                }
                line(kind, table.to_string().as_bytes())
            }
        }
    }

    fn bookmark(&self, revision: u64, initial: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let mut object =
            json!({"kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata});
        match self.form {
            Form::Table(version) => {
                object["kind"] = "Table".into();
                object["apiVersion"] = format!("meta.k8s.io/{version}").into();
                object["columnDefinitions"] = Value::Null;
                object["rows"] = json!([]);
            }
            Form::Partial(version) => object = present::partial(&object, version),
            Form::Json | Form::Yaml => {}
        }
        line("BOOKMARK", object.to_string().as_bytes())
    }
}

fn line(kind: &str, object: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + 40);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
    out.freeze()
}
