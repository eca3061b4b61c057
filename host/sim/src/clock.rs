//! Time and randomness of a simulation: the only two sources of nondeterminism.
//!
//! The clock is tokio's: in real time it advances with the machine, under [`tokio::time::pause`] it jumps to the
//! next timer as soon as every task is idle. So the same code runs in real and in virtual time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rand::{SeedableRng, rngs::SmallRng};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// Where virtual time starts: 2026-01-01T00:00:00Z, in milliseconds since the Unix epoch.
pub const VIRTUAL_EPOCH_MS: u64 = 1_767_225_600_000;

/// A wall clock on top of tokio's monotonic one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch_ms: u64,
    start: Instant,
}

impl Clock {
    /// A clock that shows the machine's time now and advances with tokio's clock.
    pub fn system() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::starting_at(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    /// A clock that shows `epoch_ms` (milliseconds since the Unix epoch) now.
    pub fn starting_at(epoch_ms: u64) -> Self {
        Self { epoch_ms, start: Instant::now() }
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.epoch_ms + u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - self.epoch_ms)
    }

    /// The same instant as a timestamp, to the millisecond.
    pub fn now(&self) -> Timestamp {
        i64::try_from(self.now_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
    }
}

/// The seed of a simulation. Each user of randomness has a stream of its own, so that adding one does not
/// reshuffle the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of random numbers for `purpose`, for example `"pd/basic-pd-0"`.
    pub fn stream(self, purpose: &str) -> SmallRng {
        let digest = Sha256::new().chain_update(self.0.to_be_bytes()).chain_update(purpose).finalize();
        SmallRng::from_seed(digest.into())
    }
}
