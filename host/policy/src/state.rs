//! What one call owns: the snapshot it reads, the plan it notes, its log, and its limits.

use std::sync::Arc;

use tidepool_model::{Plan, Snapshot};
use wasmtime::{StoreLimits, StoreLimitsBuilder, component::ResourceTable};

use crate::{
    limits::{
        ACTIONS_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX, MEMORY_BYTES_MAX, PLAN_BYTES_MAX, TABLE_ELEMENTS_MAX, WAITS_MAX,
    },
    policy::{LogLevel, LogLine},
    reads::Reads,
};

/// Behind the guest's handle of the snapshot; there is one snapshot a call, so the handle needs no data.
pub struct SnapshotHandle;

/// Behind the guest's handle of the plan.
pub struct PlanHandle;

/// The data of a [`wasmtime::Store`]: one call.
pub struct CallState {
    pub(crate) table: ResourceTable,
    pub(crate) limits: StoreLimits,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) reads: Reads,
    pub(crate) plan: Plan,
    pub(crate) log: Vec<LogLine>,
    plan_bytes: usize,
}

impl CallState {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY_BYTES_MAX).table_elements(TABLE_ELEMENTS_MAX).build();
        Self {
            table: ResourceTable::new(),
            limits,
            snapshot,
            reads: Reads::default(),
            plan: Plan::default(),
            log: Vec::new(),
            plan_bytes: 0,
        }
    }

    /// Counts `bytes` that the guest adds to its plan, before anything is parsed.
    pub(crate) fn take_plan_bytes(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.plan_bytes = self.plan_bytes.saturating_add(bytes);
        if self.plan_bytes > PLAN_BYTES_MAX {
            wasmtime::bail!("the plan is larger than {PLAN_BYTES_MAX} bytes");
        }
        Ok(())
    }

    /// Whether one more action fits.
    pub(crate) fn take_action(&self) -> wasmtime::Result<()> {
        if self.plan.actions.len() >= ACTIONS_MAX {
            wasmtime::bail!("the plan has more than {ACTIONS_MAX} actions");
        }
        Ok(())
    }

    /// Whether one more wait fits.
    pub(crate) fn take_wait(&self) -> wasmtime::Result<()> {
        if self.plan.waiting.len() >= WAITS_MAX {
            wasmtime::bail!("the plan waits on more than {WAITS_MAX} things");
        }
        Ok(())
    }

    /// Keeps a line of the guest's log as far as there is room.
    pub(crate) fn log(&mut self, level: LogLevel, mut text: String) {
        if self.log.len() < LOG_LINES_MAX {
            let cut = text.floor_char_boundary(LOG_LINE_BYTES_MAX);
            text.truncate(cut);
            self.log.push(LogLine { level, text });
        }
    }
}
