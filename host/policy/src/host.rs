//! The imports of a policy, one file per interface.

mod log;
mod observed;
mod planned;
