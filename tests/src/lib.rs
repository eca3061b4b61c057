//! What the tests of several crates share.

pub mod golden;
pub mod policies;
pub mod render;
pub mod situations;
pub mod vector;
