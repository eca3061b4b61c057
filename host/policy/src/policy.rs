//! One loaded policy, and one decision of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tidepool_model::{
    Descriptor, Snapshot,
    record::{Outcome, Record},
};
use wasmtime::{Engine, Store, Trap};

use crate::{
    bindings::{ComponentPolicy, ComponentPolicyPre, exports::tidepool::policy::policy::Failure},
    limits::{CALL_TIME_MAX, EPOCH_TICK, FUEL_BASE, FUEL_PER_ROW, HOSTCALL_BYTES_MAX},
    reads::Reads,
    state::{CallState, PlanHandle, SnapshotHandle},
};

/// A policy that is verified, compiled and linked, ready to decide. Cheap to clone.
#[derive(Clone)]
pub struct LoadedPolicy {
    pub(crate) engine: Engine,
    pub(crate) pre: ComponentPolicyPre<CallState>,
    pub(crate) descriptor: Arc<Descriptor>,
    pub(crate) digest: String,
}

/// What came out of one call.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The plan, or why there is none.
    pub outcome: Outcome,
    /// What it was made from.
    pub reads: Reads,
    /// Fuel burnt; the same for the same snapshot and digest.
    pub fuel: u64,
    /// What the policy wrote to the log.
    pub log: Vec<LogLine>,
    /// Wall-clock time of the call, instantiation included.
    pub duration: Duration,
}

/// One line that a policy wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How important the policy finds it.
    pub level: LogLevel,
    /// The text, cut at a limit.
    pub text: String,
}

/// Levels of a policy's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Helps to follow a decision.
    Debug,
    /// Worth noting.
    Info,
    /// Unusual.
    Warn,
    /// Wrong.
    Error,
}

impl LoadedPolicy {
    /// What the policy says about itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// `sha256:…` of the component file.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Asks the policy once, in a fresh instance. Blocks for at most [`CALL_TIME_MAX`].
    pub fn decide(&self, snapshot: Arc<Snapshot>) -> Decision {
        let started = Instant::now();
        let fuel_granted = FUEL_BASE.saturating_add(FUEL_PER_ROW.saturating_mul(snapshot.rows() as u64));
        let mut store = Store::new(&self.engine, CallState::new(snapshot));
        let outcome = match self.call(&mut store, fuel_granted) {
            Ok(Ok(())) => Outcome::Plan(std::mem::take(&mut store.data_mut().plan)),
            Ok(Err(Failure::InvalidSpec(text))) => Outcome::InvalidSpec(text),
            Ok(Err(Failure::Internal(text))) => Outcome::Fault(text),
            Err(error) => Outcome::Fault(fault(&error)),
        };
        let fuel = fuel_granted.saturating_sub(store.get_fuel().unwrap_or(0));
        let log = std::mem::take(&mut store.data_mut().log);
        Decision { outcome, reads: store.data().reads, fuel, log, duration: started.elapsed() }
    }

    /// The record of a decision that [`Self::decide`] made on `snapshot` for `cluster` (`namespace/name`).
    ///
    /// # Errors
    /// When the snapshot cannot be written as JSON.
    pub fn record(
        &self,
        cluster: String,
        snapshot: Arc<Snapshot>,
        decision: &Decision,
    ) -> Result<Record, serde_json::Error> {
        let snapshot_digest = tidepool_model::record::digest(&serde_json::to_vec(&*snapshot)?);
        Ok(Record {
            cluster,
            component: self.descriptor.component.clone(),
            policy: self.digest.clone(),
            snapshot_digest,
            snapshot,
            outcome: decision.outcome.clone(),
            fuel: decision.fuel,
        })
    }

    fn call(&self, store: &mut Store<CallState>, fuel: u64) -> wasmtime::Result<Result<(), Failure>> {
        let policy = instantiate(&self.pre, store, fuel)?;
        let snapshot = store.data_mut().table.push(SnapshotHandle)?;
        let plan = store.data_mut().table.push(PlanHandle)?;
        policy.tidepool_policy_policy().call_reconcile(store, snapshot, plan)
    }
}

/// A fresh instance with all limits set.
pub(crate) fn instantiate(
    pre: &ComponentPolicyPre<CallState>,
    store: &mut Store<CallState>,
    fuel: u64,
) -> wasmtime::Result<ComponentPolicy> {
    store.limiter(|state| &mut state.limits);
    store.set_fuel(fuel)?;
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    store.epoch_deadline_trap();
    store.set_epoch_deadline((CALL_TIME_MAX.as_millis() / EPOCH_TICK.as_millis()) as u64);
    pre.instantiate(&mut *store)
}

/// Says what went wrong in words that a policy's author can act on.
pub(crate) fn fault(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            "the policy used up its fuel: it loops, or does too much for the size of its input".into()
        }
        Some(Trap::Interrupt) => format!("the policy did not answer within {} s", CALL_TIME_MAX.as_secs()),
        Some(Trap::UnreachableCodeReached) => "the policy panicked (unreachable code reached)".into(),
        Some(Trap::StackOverflow) => "the policy overflowed its stack".into(),
        Some(trap) => format!("the policy trapped: {trap}"),
        None => format!("the policy call failed: {}", error.root_cause()),
    }
}
