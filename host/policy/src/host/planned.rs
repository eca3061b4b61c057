//! `tidepool:policy/planned`: the plan notes actions; nothing happens during the call.

use serde_json::Value;
use tidepool_model::{
    plan::{Action, EventType, ObjectRef, Precondition},
    waiting::WaitingOn,
};
use wasmtime::{Result, component::Resource};

use crate::{
    bindings::tidepool::policy::planned as wit,
    state::{CallState, PlanHandle},
};

type Handle = Resource<PlanHandle>;

impl wit::Host for CallState {}

impl wit::HostPlan for CallState {
    fn create(&mut self, _: Handle, object: String) -> Result<()> {
        let object = self.json("object", &object)?;
        self.note(Action::Create { object })
    }

    fn replace(&mut self, _: Handle, object: String, expect: wit::Precondition) -> Result<()> {
        let object = self.json("object", &object)?;
        self.note(Action::Replace { object, expect: precondition(expect) })
    }

    fn merge_patch(
        &mut self,
        _: Handle,
        target: wit::ObjectRef,
        patch: String,
        expect: wit::Precondition,
    ) -> Result<()> {
        let patch = self.json("patch", &patch)?;
        self.note(Action::MergePatch { target: object_ref(target), patch, expect: precondition(expect) })
    }

    fn delete(&mut self, _: Handle, target: wit::ObjectRef, expect: wit::Precondition) -> Result<()> {
        self.note(Action::Delete { target: object_ref(target), expect: precondition(expect) })
    }

    fn transfer_pd_leader(&mut self, _: Handle, to: String) -> Result<()> {
        self.take_plan_bytes(to.len())?;
        self.note(Action::TransferPdLeader { to })
    }

    fn delete_pd_member(&mut self, _: Handle, id: String) -> Result<()> {
        self.take_plan_bytes(id.len())?;
        self.note(Action::DeletePdMember { id })
    }

    fn delete_store(&mut self, _: Handle, id: u64) -> Result<()> {
        self.note(Action::DeleteStore { id })
    }

    fn set_store_labels(&mut self, _: Handle, id: u64, labels: String) -> Result<()> {
        let labels = self.json("labels", &labels)?;
        self.note(Action::SetStoreLabels { id, labels })
    }

    fn begin_evict_leader(&mut self, _: Handle, store: u64) -> Result<()> {
        self.note(Action::BeginEvictLeader { store })
    }

    fn end_evict_leader(&mut self, _: Handle, store: u64) -> Result<()> {
        self.note(Action::EndEvictLeader { store })
    }

    fn set_pd_replication(&mut self, _: Handle, config: String) -> Result<()> {
        let config = self.json("config", &config)?;
        self.note(Action::SetPdReplication { config })
    }

    fn component_call(&mut self, _: Handle, call: u32, pod: String, body: Vec<u8>) -> Result<()> {
        self.take_plan_bytes(pod.len().saturating_add(body.len()))?;
        let body = String::from_utf8(body)?;
        self.note(Action::ComponentCall { call, pod, body })
    }

    fn event(&mut self, _: Handle, kind: wit::EventType, reason: String, message: String) -> Result<()> {
        self.take_plan_bytes(reason.len().saturating_add(message.len()))?;
        let kind = match kind {
            wit::EventType::Normal => EventType::Normal,
            wit::EventType::Warning => EventType::Warning,
        };
        self.note(Action::Event { kind, reason, message })
    }

    fn set_status(&mut self, _: Handle, status: String) -> Result<()> {
        self.plan.status = Some(self.json("status", &status)?);
        Ok(())
    }

    fn wait(&mut self, _: Handle, on: wit::WaitingOn) -> Result<()> {
        self.take_wait()?;
        self.take_plan_bytes(on.reason.len().saturating_add(on.subject.len()).saturating_add(on.message.len()))?;
        let wit::WaitingOn { reason, subject, message, deadline_ms } = on;
        self.plan.waiting.push(WaitingOn { reason, subject, message, deadline_ms });
        Ok(())
    }

    fn hold_later(&mut self, _: Handle) -> Result<()> {
        self.plan.hold_later = true;
        Ok(())
    }

    fn requeue_after_ms(&mut self, _: Handle, ms: u32) -> Result<()> {
        let earlier = self.plan.requeue_after_ms;
        self.plan.requeue_after_ms = Some(earlier.map_or(ms, |earlier| earlier.min(ms)));
        Ok(())
    }

    fn drop(&mut self, handle: Handle) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl CallState {
    fn note(&mut self, action: Action) -> Result<()> {
        self.take_action()?;
        self.plan.actions.push(action);
        Ok(())
    }

    /// Text from a guest, counted before it is parsed; `serde_json` limits its depth.
    fn json(&mut self, what: &str, text: &str) -> Result<Value> {
        self.take_plan_bytes(text.len())?;
        serde_json::from_str(text).map_err(|error| wasmtime::format_err!("the plan's {what} is not JSON: {error}"))
    }
}

fn precondition(expect: wit::Precondition) -> Precondition {
    Precondition { uid: expect.uid, resource_version: expect.resource_version }
}

fn object_ref(target: wit::ObjectRef) -> ObjectRef {
    ObjectRef { api_version: target.api_version, kind: target.kind, name: target.name }
}
