//! One file per verb, each with its arguments and one `run`.

pub mod certs;
pub mod completions;
pub mod crd;
pub mod demo;
pub mod discovery;
pub mod plan;
pub mod policy;
pub mod render;
pub mod replay;
pub mod run;
pub mod sim;
pub mod version;
