//! Who did not answer when it was asked last.
//!
//! A pod that stands still may be ready for Kubernetes for ever, and then a Service leads every so many requests to it. Each
//! of them costs a timeout, and a change that meets it is not done. Who is known to be silent is therefore not asked through
//! a Service, until it answers a probe again. This says how to reach PD, and nothing of how PD is.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use tidepool_pd::Error;

/// More are not kept: it is a matter of some pods that hang, and not a list of all that ever did.
const SILENT_MAX: usize = 4_096;

/// The servers that were silent last, by `host:port`.
#[derive(Debug, Default)]
pub struct Silence(Mutex<BTreeSet<String>>);

impl Silence {
    /// Notes what came of a request to a server.
    pub fn note<T>(&self, authority: &str, answer: &Result<T, Error>) {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Err(Error::Timeout { .. }) if silent.len() < SILENT_MAX => {
                silent.insert(authority.to_owned());
            }
            Err(Error::Timeout { .. }) => {}
            _ => {
                silent.remove(authority);
            }
        }
    }

    /// Whether the server did not answer last time.
    pub fn has(&self, authority: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(authority)
    }
}
