//! What the tests of several crates share.

pub mod certs;
pub mod deciders;
pub mod golden;
pub mod history;
pub mod parallel;
pub mod policies;
pub mod program;
pub mod render;
pub mod scenario;
pub mod situations;
pub mod transcript;
pub mod vector;
pub mod wire;
pub mod world;
