//! The operator: one file per step of the loop, and what drives the steps.
//!
//! ```text
//! watch -> store -> observe -> decide -> check -> apply -> status
//!                      \________ round: one cluster ________/
//!          queue -> controller: all clusters
//! ```
//!
//! `apply` is the only code that writes for a policy; `status`, `events` and `leader` write for the host itself.
//! Nothing here knows TiDB beyond names and addresses. `discovery` is a
//! program of its own, which runs beside each cluster. Everything runs on tokio's clock and in a fixed order, so that
//! under virtual time on one thread the same seed gives the same writes.

mod accept;
mod apply;
mod check;
mod cluster;
mod controller;
mod decide;
mod discovery;
mod events;
mod identity;
mod kinds;
mod leader;
mod metrics;
mod observe;
mod operator;
mod policies;
mod preview;
mod progress;
mod queue;
mod record;
mod render;
mod round;
mod serve;
mod status;
mod store;
mod watch;

pub use apply::Error as ApplyError;
pub use cluster::ClusterKey;
pub use decide::Executor;
pub use discovery::{DiscoveryError, DiscoveryServer, Settings as DiscoverySettings};
pub use identity::{IdentityError, client_config};
pub use leader::LeaseConfig;
pub use metrics::Metrics;
pub use operator::{Config, Operator, RunError};
pub use policies::{Policies, Policy, Settings};
pub use preview::{Change, ComponentPreview, Deciders, Preview, PreviewError, plan, plan_from_nothing};
pub use progress::{ClusterProgress, ComponentProgress, Progress, Ready};
pub use record::Recorder;
pub use render::render;
pub use round::{Failure, Step};
