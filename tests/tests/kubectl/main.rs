//! The ordinary `kubectl`, and the program in several processes, against a simulated cluster in real time.
//!
//! These fail where kubectl is missing, unless TIDEPOOL_SKIP_KUBECTL=1.

mod demo;
mod invalid;
mod kubectl;
mod objects;
mod processes;

use std::time::Duration;

use kubectl::Kubectl;

/// Longest wait for the program to start: the first one compiles the policies.
const START_MAX: Duration = Duration::from_secs(300);

/// Longest wait for a cluster in real time, on a busy machine.
const READY_MAX: Duration = Duration::from_secs(420);

/// Longest wait for what happens at once.
const SOON: Duration = Duration::from_secs(60);
