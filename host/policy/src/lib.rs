//! The sandbox: loads policies, asks them, and holds them to their limits. Nothing here knows Kubernetes or TiDB.
//!
//! ```text
//! file --load--> LoadedPolicy --publish--> Registry --current--> decide(snapshot) -> Decision
//! ```
//!
//! A [`LoadedPolicy`] is verified, compiled and linked; each [`LoadedPolicy::decide`] gets a fresh instance, so no
//! state survives a call. Calls are synchronous and belong on a thread that may block, never on an async worker.

mod bindings;
mod cache;
mod engine;
mod host;
pub mod inspect;
pub mod limits;
mod load;
mod policy;
mod reads;
mod registry;
mod state;

pub use cache::Cache;
pub use engine::Runtime;
pub use load::LoadError;
pub use policy::{Decision, LoadedPolicy, LogLevel, LogLine};
pub use reads::{Part, Reads};
pub use registry::{Refused, Registry, Swapped};
