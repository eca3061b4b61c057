//! The simulator, the operator and the policies together, in virtual time.

mod client;
mod killed;
mod mutants;
mod repeat;
mod scenarios;
mod secrets;
mod seeds;
mod takeover;
