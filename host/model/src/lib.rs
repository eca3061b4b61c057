//! The vocabulary of a decision, and its rules: pure data, no Kubernetes client, no clock, no WebAssembly.
//!
//! ```text
//! Snapshot --policy--> Plan --check--> Checked --apply--> …
//! ```
//!
//! A [`snapshot::Snapshot`] is what one policy call sees, a [`plan::Plan`] what it answers, and [`check()`] the host's
//! verdict on it. Both are immutable and serialise to the JSON that records, vectors and `tidepool replay` use.

pub mod check;
pub mod descriptor;
pub mod known;
mod merge;
pub mod plan;
pub mod pretend;
pub mod record;
pub mod render;
pub mod snapshot;
pub mod waiting;

pub use check::check;
pub use descriptor::Descriptor;
pub use known::{Known, Unknown};
pub use merge::merge;
pub use plan::{Action, Plan};
pub use snapshot::Snapshot;
pub use waiting::WaitingOn;
