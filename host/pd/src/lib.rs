//! What the host asks of PD, and PD's HTTP API behind it.
//!
//! [`Pd`] is the seam: every read either answers or fails, never "empty because it failed", and every change succeeds
//! only when PD says, or is seen, to have done it. [`HttpPd`] is the implementation; the transport below it is
//! [`Http`], a `tower` service, so that a simulated PD in the same process and a real one across the network are asked
//! with the same code. [`wire`] has PD's own JSON shapes. [`discovery`] decides how a PD comes into being.

mod client;
pub mod discovery;
mod error;
mod http;
mod read;
pub mod tls;
pub mod wire;

use std::{collections::BTreeSet, future::Future, pin::Pin};

use serde_json::{Value, value::RawValue};
use tidepool_model::snapshot::{PdMember, Store};

pub use client::{HttpPd, Place};
pub use error::Error;
pub use http::{BoxError, Broken, Http};

/// The answer to one question, when it comes.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A service of PD that may run apart from it, in PD's own JSON.
#[derive(Debug)]
pub struct Service {
    /// A list of members, `null` for none, or what a PD says that runs its services itself.
    pub members: Box<RawValue>,
    /// Address of the member that acts: a text, empty while there is none. The members may be known where this is not.
    pub primary: Result<Box<RawValue>, Error>,
}

/// One cluster's PD.
pub trait Pd: Send + Sync {
    /// Members with their health and who leads, ordered by id. None leads while PD says that it has no leader.
    fn members(&self) -> Answer<'_, Vec<PdMember>>;

    /// Stores in every state, tombstones among them, ordered by id. Empty before the first store has bootstrapped PD.
    fn stores(&self) -> Answer<'_, Vec<Store>>;

    /// Stores that an evict-leader scheduler is set for.
    fn evicting(&self) -> Answer<'_, BTreeSet<u64>>;

    /// PD's configuration, in its own JSON.
    fn config(&self) -> Answer<'_, Box<RawValue>>;

    /// The cluster's id, in PD's own JSON.
    fn cluster(&self) -> Answer<'_, Box<RawValue>>;

    /// Who runs a service of PD (`tso`, `scheduling`) apart from it, and who of them acts.
    fn service<'a>(&'a self, service: &'a str) -> Answer<'a, Service>;

    /// Asks PD to hand leadership to the member named `to`. Whether it did shows the next read of the members.
    fn transfer_leader<'a>(&'a self, to: &'a str) -> Answer<'a, ()>;

    /// Removes a member. One that is not there is removed.
    fn delete_member(&self, id: u64) -> Answer<'_, ()>;

    /// Has PD empty and bury a store. One that is not listed any more is done.
    fn delete_store(&self, id: u64) -> Answer<'_, ()>;

    /// Sets labels of a store; labels that are not named stay.
    fn set_store_labels<'a>(&'a self, id: u64, labels: &'a Value) -> Answer<'a, ()>;

    /// Has PD move the region leaders off a store.
    fn begin_evict_leader(&self, store: u64) -> Answer<'_, ()>;

    /// Takes back [`Self::begin_evict_leader`]; done when PD lists no such scheduler any more.
    fn end_evict_leader(&self, store: u64) -> Answer<'_, ()>;

    /// Changes replication settings.
    fn set_replication<'a>(&'a self, config: &'a Value) -> Answer<'a, ()>;
}
