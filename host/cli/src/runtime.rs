//! The async runtimes, and how they are told to stop.

use anyhow::Context;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

/// Real time, on all cores.
///
/// # Errors
/// When the threads cannot be started.
pub fn real() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("failed to start the runtime")
}

/// Virtual time on one thread: the clock jumps to the next timer when all is idle, and everything happens in a fixed
/// order.
///
/// # Errors
/// When the runtime cannot be started.
pub fn simulated() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().start_paused(true).build().context("failed to start the runtime")
}

/// Ready on SIGINT or SIGTERM. Without signal handlers it never is, and the signals end the program themselves.
pub async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
