//! The simulator, the operator and the policies together, in virtual time.

mod client;
mod repeat;
mod scenarios;
mod secrets;
