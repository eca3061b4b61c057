//! What one policy call may use. All limits are aggregates over the whole call.

use std::time::Duration;

/// Largest component file that is read at all. The largest guest language (Python) makes 19 MiB.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// Linear memory of one instance. The largest guest language needs 13 MiB.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Elements of one table; interpreters need up to 8,192.
pub const TABLE_ELEMENTS_MAX: usize = 16_384;

/// Stack of a call. Interpreters recurse, so more than the 128 KiB that a Rust policy is happy with.
pub const STACK_BYTES_MAX: usize = 512 << 10;

/// Fuel that every call gets. A Rust policy burns 0.04 M for 30 pods, an interpreter up to 7 M.
pub const FUEL_BASE: u64 = 200_000_000;

/// More fuel for each row of the snapshot, so that large clusters are not starved: interpreters burn 0.14 M a row.
pub const FUEL_PER_ROW: u64 = 500_000;

/// Wall-clock backstop. Fuel decides; this only catches a host function or a machine that is stuck.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(5);

/// How often the epoch advances: the resolution of [`CALL_TIME_MAX`].
pub const EPOCH_TICK: Duration = Duration::from_millis(50);

/// Bytes that one call of a host function may carry over the boundary.
pub const HOSTCALL_BYTES_MAX: usize = 16 << 20;

/// Actions of one plan. A round of a cluster of 1,000 pods that labels each of them still fits.
pub const ACTIONS_MAX: usize = 4_096;

/// Bytes of all actions, the status and the waits of one plan, as the guest passed them.
pub const PLAN_BYTES_MAX: usize = 16 << 20;

/// Waits of one plan; more than a person can read.
pub const WAITS_MAX: usize = 64;

/// Log lines of one call; further ones are counted, not kept.
pub const LOG_LINES_MAX: usize = 64;

/// Bytes of one log line; the rest is cut.
pub const LOG_LINE_BYTES_MAX: usize = 2_048;

/// Bytes of a descriptor.
pub const DESCRIPTOR_BYTES_MAX: usize = 64 << 10;

/// Instances alive at once, over all policies: the size of the pool.
pub const CONCURRENT_CALLS_MAX: u32 = 16;

/// Core instances of one component; a Python guest has 38.
pub const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 40;

/// Memories and tables of one component.
pub const MEMORIES_PER_COMPONENT_MAX: u32 = 3;

/// Memory that a slot of the pool keeps between two calls: what a decision on 30 pods touches. Setting so much back to
/// what it was is cheaper than a fault for each page. It is 16 MiB in all slots together.
pub const RESIDENT_BYTES_MAX: usize = 1 << 20;
