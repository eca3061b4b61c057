//! The history of a running simulation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidepool_sim::audit::{Entry, Observer};

use super::{
    Judge, Step, Violation,
    calls::Call,
    state::{Source, State},
};

/// Judges what happens while it happens. Clones share one history.
#[derive(Clone)]
pub struct History {
    source: Source,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    judge: Judge,
    before: Option<State>,
    steps: usize,
}

impl History {
    /// The history of what `source` shows, from the request with this number on.
    pub fn new(source: Source, steps: usize) -> Self {
        Self { source, inner: Arc::new(Mutex::new(Inner { steps, ..Inner::default() })) }
    }

    /// Looks at what time alone has changed.
    pub fn look(&self) {
        let now = self.source.now();
        let mut inner = self.lock();
        let next = inner.steps;
        inner.judge.look(next, &now);
    }

    /// An operator calls a component at this address, over TLS or in the clear.
    pub fn called(&self, authority: &str, tls: bool) {
        let now = self.source.now_for_calls();
        let mut inner = self.lock();
        let next = inner.steps;
        inner.judge.call(next, Call { authority, tls }, &now);
    }

    /// A rule was broken that nobody's single request shows.
    pub fn broken(&self, rule: &'static str, object: &str, what: String) {
        let ms = self.source.clock.now_ms();
        let mut inner = self.lock();
        let step = inner.steps;
        inner.judge.violations.push(Violation { rule, step, ms, object: object.to_owned(), what });
    }

    /// Rules that were broken so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().judge.violations.clone()
    }

    /// What is true now.
    pub fn now(&self) -> State {
        self.source.now()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for History {
    fn before(&self) {
        let now = self.source.now();
        self.lock().before = Some(now);
    }

    fn after(&self, entry: &Entry) {
        let after = self.source.now();
        let mut inner = self.lock();
        let before = inner.before.take().unwrap_or_else(|| after.clone());
        let number = inner.steps;
        inner.steps += 1;
        inner.judge.step(number, Step { entry, before: &before, after: &after });
    }
}
