//! The plan under construction. Every method only notes an action.

use k8s_openapi::serde::Serialize;
use serde_json::Value;
use tidepool_model::{
    plan::{EventType, ObjectRef, Precondition},
    snapshot::ObjectHead,
    waiting::WaitingOn,
};

use crate::Failure;

/// What the policy wants to be done. Methods are called in the order in which the actions are to be carried out.
///
/// In the sandbox each method is one import of the contract, so the import list of a policy names the only actions
/// that it can plan at all.
pub struct Plan {
    sink: sink::Sink,
}

impl Plan {
    #[doc(hidden)]
    pub fn from_sink(sink: sink::Sink) -> Self {
        Self { sink }
    }

    #[doc(hidden)]
    pub fn into_sink(self) -> sink::Sink {
        self.sink
    }

    /// Create `object`. It needs `apiVersion`, `kind` and `metadata.name`.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn create(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        sink::create(&mut self.sink, serde_json::to_value(object)?);
        Ok(())
    }

    /// Replace the object of this kind and name, if it is still the one that was read.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn replace(&mut self, object: &impl Serialize, expect: Precondition) -> Result<(), Failure> {
        sink::replace(&mut self.sink, serde_json::to_value(object)?, expect);
        Ok(())
    }

    /// Apply an RFC 7396 merge patch, if the object is still the one that was read.
    pub fn merge_patch(&mut self, target: ObjectRef, patch: Value, expect: Precondition) {
        sink::merge_patch(&mut self.sink, target, patch, expect);
    }

    /// Delete an object, if it is still the one that was read.
    pub fn delete(&mut self, target: ObjectRef, expect: Precondition) {
        sink::delete(&mut self.sink, target, expect);
    }

    /// Move PD's leadership to the member named `to`.
    pub fn transfer_pd_leader(&mut self, to: &str) {
        sink::transfer_pd_leader(&mut self.sink, to);
    }

    /// Remove the member with this id (decimal) from PD.
    pub fn delete_pd_member(&mut self, id: &str) {
        sink::delete_pd_member(&mut self.sink, id);
    }

    /// Have PD empty and bury a store.
    pub fn delete_store(&mut self, id: u64) {
        sink::delete_store(&mut self.sink, id);
    }

    /// Set labels of a store; `labels` is a JSON object of strings.
    pub fn set_store_labels(&mut self, id: u64, labels: Value) {
        sink::set_store_labels(&mut self.sink, id, labels);
    }

    /// Have PD move the region leaders off a store.
    pub fn begin_evict_leader(&mut self, store: u64) {
        sink::begin_evict_leader(&mut self.sink, store);
    }

    /// Take back [`Self::begin_evict_leader`].
    pub fn end_evict_leader(&mut self, store: u64) {
        sink::end_evict_leader(&mut self.sink, store);
    }

    /// Change PD's replication settings; `config` is a JSON object as for PD's `config/replicate`.
    pub fn set_pd_replication(&mut self, config: Value) {
        sink::set_pd_replication(&mut self.sink, config);
    }

    /// The component call at index `call` of the descriptor, on one pod.
    pub fn component_call(&mut self, call: u32, pod: &str, body: &str) {
        sink::component_call(&mut self.sink, call, pod, body);
    }

    /// Publish an event on the TidbCluster.
    pub fn event(&mut self, kind: EventType, reason: &str, message: &str) {
        sink::event(&mut self.sink, kind, reason, message);
    }

    /// The component's new status.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn set_status(&mut self, status: &impl Serialize) -> Result<(), Failure> {
        sink::set_status(&mut self.sink, serde_json::to_value(status)?);
        Ok(())
    }

    /// Something is waited for.
    pub fn wait(&mut self, on: WaitingOn) {
        sink::wait(&mut self.sink, on);
    }

    /// Later components are not reconciled in this round.
    pub fn hold_later(&mut self) {
        sink::hold_later(&mut self.sink);
    }

    /// Ask again after `ms` milliseconds at the latest.
    pub fn requeue_after_ms(&mut self, ms: u32) {
        sink::requeue_after_ms(&mut self.sink, ms);
    }
}

/// The precondition "still the object that was read": same uid, same version.
pub fn unchanged(head: &ObjectHead) -> Precondition {
    Precondition { uid: Some(head.uid.clone()), resource_version: Some(head.resource_version.clone()) }
}

/// Natively the plan is the host's own type.
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod sink {
    use serde_json::Value;
    use tidepool_model::{
        plan::{Action, EventType, ObjectRef, Plan, Precondition},
        waiting::WaitingOn,
    };

    pub type Sink = Plan;

    pub fn create(sink: &mut Sink, object: Value) {
        sink.actions.push(Action::Create { object });
    }

    pub fn replace(sink: &mut Sink, object: Value, expect: Precondition) {
        sink.actions.push(Action::Replace { object, expect });
    }

    pub fn merge_patch(sink: &mut Sink, target: ObjectRef, patch: Value, expect: Precondition) {
        sink.actions.push(Action::MergePatch { target, patch, expect });
    }

    pub fn delete(sink: &mut Sink, target: ObjectRef, expect: Precondition) {
        sink.actions.push(Action::Delete { target, expect });
    }

    pub fn transfer_pd_leader(sink: &mut Sink, to: &str) {
        sink.actions.push(Action::TransferPdLeader { to: to.into() });
    }

    pub fn delete_pd_member(sink: &mut Sink, id: &str) {
        sink.actions.push(Action::DeletePdMember { id: id.into() });
    }

    pub fn delete_store(sink: &mut Sink, id: u64) {
        sink.actions.push(Action::DeleteStore { id });
    }

    pub fn set_store_labels(sink: &mut Sink, id: u64, labels: Value) {
        sink.actions.push(Action::SetStoreLabels { id, labels });
    }

    pub fn begin_evict_leader(sink: &mut Sink, store: u64) {
        sink.actions.push(Action::BeginEvictLeader { store });
    }

    pub fn end_evict_leader(sink: &mut Sink, store: u64) {
        sink.actions.push(Action::EndEvictLeader { store });
    }

    pub fn set_pd_replication(sink: &mut Sink, config: Value) {
        sink.actions.push(Action::SetPdReplication { config });
    }

    pub fn component_call(sink: &mut Sink, call: u32, pod: &str, body: &str) {
        sink.actions.push(Action::ComponentCall { call, pod: pod.into(), body: body.into() });
    }

    pub fn event(sink: &mut Sink, kind: EventType, reason: &str, message: &str) {
        sink.actions.push(Action::Event { kind, reason: reason.into(), message: message.into() });
    }

    pub fn set_status(sink: &mut Sink, status: Value) {
        sink.status = Some(status);
    }

    pub fn wait(sink: &mut Sink, on: WaitingOn) {
        sink.waiting.push(on);
    }

    pub fn hold_later(sink: &mut Sink) {
        sink.hold_later = true;
    }

    pub fn requeue_after_ms(sink: &mut Sink, ms: u32) {
        sink.requeue_after_ms = Some(sink.requeue_after_ms.map_or(ms, |earlier| earlier.min(ms)));
    }
}

/// In the sandbox it is a resource of the host.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod sink {
    use serde_json::Value;
    use tidepool_model::{
        plan::{EventType, ObjectRef, Precondition},
        waiting::WaitingOn,
    };

    use crate::bindings::tidepool::policy::planned as wit;

    pub type Sink = wit::Plan;

    pub fn create(sink: &mut Sink, object: Value) {
        sink.create(&object.to_string());
    }

    pub fn replace(sink: &mut Sink, object: Value, expect: Precondition) {
        sink.replace(&object.to_string(), &precondition(expect));
    }

    pub fn merge_patch(sink: &mut Sink, target: ObjectRef, patch: Value, expect: Precondition) {
        sink.merge_patch(&object_ref(target), &patch.to_string(), &precondition(expect));
    }

    pub fn delete(sink: &mut Sink, target: ObjectRef, expect: Precondition) {
        sink.delete(&object_ref(target), &precondition(expect));
    }

    pub fn transfer_pd_leader(sink: &mut Sink, to: &str) {
        sink.transfer_pd_leader(to);
    }

    pub fn delete_pd_member(sink: &mut Sink, id: &str) {
        sink.delete_pd_member(id);
    }

    pub fn delete_store(sink: &mut Sink, id: u64) {
        sink.delete_store(id);
    }

    pub fn set_store_labels(sink: &mut Sink, id: u64, labels: Value) {
        sink.set_store_labels(id, &labels.to_string());
    }

    pub fn begin_evict_leader(sink: &mut Sink, store: u64) {
        sink.begin_evict_leader(store);
    }

    pub fn end_evict_leader(sink: &mut Sink, store: u64) {
        sink.end_evict_leader(store);
    }

    pub fn set_pd_replication(sink: &mut Sink, config: Value) {
        sink.set_pd_replication(&config.to_string());
    }

    pub fn component_call(sink: &mut Sink, call: u32, pod: &str, body: &str) {
        sink.component_call(call, pod, body.as_bytes());
    }

    pub fn event(sink: &mut Sink, kind: EventType, reason: &str, message: &str) {
        let kind = match kind {
            EventType::Normal => wit::EventType::Normal,
            EventType::Warning => wit::EventType::Warning,
        };
        sink.event(kind, reason, message);
    }

    pub fn set_status(sink: &mut Sink, status: Value) {
        sink.set_status(&status.to_string());
    }

    pub fn wait(sink: &mut Sink, on: WaitingOn) {
        let WaitingOn { reason, subject, message, deadline_ms } = on;
        sink.wait(&wit::WaitingOn { reason, subject, message, deadline_ms });
    }

    pub fn hold_later(sink: &mut Sink) {
        sink.hold_later();
    }

    pub fn requeue_after_ms(sink: &mut Sink, ms: u32) {
        sink.requeue_after_ms(ms);
    }

    fn precondition(expect: Precondition) -> wit::Precondition {
        wit::Precondition { uid: expect.uid, resource_version: expect.resource_version }
    }

    fn object_ref(target: ObjectRef) -> wit::ObjectRef {
        wit::ObjectRef { api_version: target.api_version, kind: target.kind, name: target.name }
    }
}
