//! The resources a user writes: `TidbCluster` (group `pingcap.com`, taken over from the existing operator) and
//! `PolicyModule` (group `tidepool.dev`), as types, with their defaults, their validation and the names derived from them.
//!
//! The host and the WASM guests both use this crate, so the default build is small: no schema, no YAML, no regular
//! expressions. Reading is tolerant (an unknown field is skipped, `null` is the zero value), because a cluster that is
//! taken over may hold more than we know; files written by a person are checked strictly by `input`.

#[macro_use]
mod object;
#[cfg(feature = "schema")]
mod schema;
#[cfg(feature = "input")]
mod schema_check;

pub mod certificates;
pub mod cluster;
pub mod component;
pub mod conditions;
pub mod config;
pub(crate) mod config_toml;
#[cfg(feature = "schema")]
pub mod crd;
pub mod defaults;
pub mod derived;
pub mod discovery;
pub mod duration;
pub mod fault;
#[cfg(feature = "input")]
pub mod input;
pub mod kind;
pub mod labels;
pub mod names;
pub mod pd;
pub mod pdms;
pub mod policy_module;
pub mod pump;
pub mod quantity;
pub mod shared;
pub mod status;
pub mod syntax;
pub mod ticdc;
pub mod tidb;
pub mod tiflash;
pub mod tikv;
pub mod tiproxy;
pub mod validate;
pub mod version;
pub mod view;

pub use cluster::{TidbCluster, TidbClusterSpec};
pub use component::{ComponentSpec, Resources};
pub use config::Config;
pub use fault::{Fault, FaultKind};
pub use kind::Component;
pub use object::{Fields, Rule};
pub use policy_module::PolicyModule;
pub use status::TidbClusterStatus;
pub use version::Version;
pub use view::View;

/// The Kubernetes types this crate's fields are made of, so that a user needs no version of its own.
pub use k8s_openapi;
