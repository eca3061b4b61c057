//! The audit log: one line of JSON for every mutating request, to the API server, PD or a component.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use serde::{Deserialize, Serialize};

/// Entries kept in memory for tests and the demo; the file has all of them.
const ENTRIES_IN_MEMORY_MAX: usize = 100_000;

/// A request that changed something, or tried to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// RFC 3339, milliseconds, of the simulation's clock.
    pub time: String,
    /// Who asked, from the User-Agent header.
    pub user_agent: String,
    /// `create`, `update`, `patch`, `delete`, … for Kubernetes; the HTTP method for PD and components.
    pub verb: String,
    /// `pods`, `statefulsets/scale`, … for Kubernetes; `pd` or a component's name otherwise.
    pub resource: String,
    /// Empty for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The object's name; for PD and components the path of the request.
    pub name: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// The patch or the body; the values of Secrets are left out.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub body: serde_json::Value,
}

/// Who is told of each request that may change something, at the moment at which it is handled. No lock is held
/// meanwhile, so what is there can be read.
pub trait Observer: Send + Sync {
    /// A request is about to be handled.
    fn before(&self);

    /// It was handled. Nothing happened since [`Observer::before`], which is left out where a request was not handled
    /// at all.
    fn after(&self, entry: &Entry);
}

/// Where entries go. Clones share one log.
#[derive(Clone, Default)]
pub struct AuditLog {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    file: Option<Sink>,
    entries: Vec<Entry>,
    observer: Option<Weak<dyn Observer>>,
}

struct Sink {
    path: PathBuf,
    file: File,
    /// A write has failed; said once, not with every request.
    failed: bool,
}

impl AuditLog {
    /// A log that also appends to the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn to_file(path: &Path) -> std::io::Result<Self> {
        let file = Some(Sink { path: path.to_owned(), file: File::create(path)?, failed: false });
        Ok(Self { inner: Arc::new(Mutex::new(Inner { file, ..Inner::default() })) })
    }

    /// From now on `observer` is told of each request, instead of an earlier one, as long as somebody else keeps it: what it
    /// looks at holds this log, so the log must not hold it.
    pub fn observe(&self, observer: Weak<dyn Observer>) {
        self.lock().observer = Some(observer);
    }

    /// A request that may change something is about to be handled.
    pub(crate) fn before(&self) {
        if let Some(observer) = self.observer() {
            observer.before();
        }
    }

    /// Notes `entry`. A full disk must not stop the simulation, so a failed write is only logged.
    pub fn record(&self, entry: Entry) {
        if let Some(observer) = self.observer() {
            observer.after(&entry);
        }
        let mut inner = self.lock();
        if let Some(sink) = &mut inner.file {
            sink.write(&entry);
        }
        if inner.entries.len() < ENTRIES_IN_MEMORY_MAX {
            inner.entries.push(entry);
        }
    }

    /// What has been recorded, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries_from(0)
    }

    /// What has been recorded after the first `seen` entries.
    pub fn entries_from(&self, seen: usize) -> Vec<Entry> {
        self.lock().entries.get(seen..).unwrap_or_default().to_vec()
    }

    fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.lock().observer.as_ref().and_then(Weak::upgrade)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    fn write(&mut self, entry: &Entry) {
        let mut line = serde_json::to_string(entry).unwrap_or_default();
        line.push('\n');
        if let Err(error) = self.file.write_all(line.as_bytes())
            && !std::mem::replace(&mut self.failed, true)
        {
            let path = self.path.display();
            tracing::error!(%error, "failed to write the audit log {path}; it is not complete from now on");
        }
    }
}
