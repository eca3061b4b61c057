//! A simulated PD: what `pd-server` v8.5.7 answers and how its members, stores and regions behave over time.
//!
//! [`Fleet`] is the entry: every PD process of a simulation, the etcd clusters they form, and the stores in them.
//! It is a pure state machine. Time enters as `now_ms` (milliseconds since the Unix epoch, never going back), the
//! only randomness is the seed, nothing sleeps or does I/O. What happens by itself (elections, leases, region moves)
//! is computed when somebody looks, so idle simulated time costs nothing.
//!
//! [`server`] serves a process over HTTP, on a listener or in-process. All measured delays are in [`timing`].
//! The outside truth is `tests/goldens/pd-api`, recorded from a real PD.

mod cluster;
mod config;
mod etcd;
mod fleet;
mod gojson;
mod handlers;
pub(super) mod keep;
mod leadership;
mod process;
mod regions;
mod request;
mod route;
mod schedulers;
pub mod server;
mod stores;
pub mod timing;
mod wire;

pub use fleet::{Fleet, JoinRefusal, MemberView, Start, StartArgs, Stop};
pub use process::{Faults, Phase};
pub use request::{Answer, Reply, Request};
pub use stores::{StoreRefusal, StoreSpec, StoreView};

/// Milliseconds since the Unix epoch.
pub type TimeMs = u64;
