//! What somebody asks of single pods by annotations: to give away leadership, to be made anew, to get new volumes.
//!
//! Each request is served in steps that are seen in PD or Kubernetes before the next, one pod at a time, and only while
//! nothing else changes PD.

use serde_json::json;
use tidepool_sdk::{
    EventType, Failure, PdMember as Member, Plan, PodRow,
    api::{
        labels::{PD_EVICT_LEADER_EXPIRATION_TIME, PD_TRANSFER_LEADER, REPLACE_VOLUME},
        status::{PdStatus, Phase},
    },
    claims,
    flow::Step,
    live::{Live, LiveSet},
    slots, time,
    wait::{self, Reason},
    world::pod_reference,
};

use crate::{
    members,
    world::{World, watch},
};

/// Value of the annotation that asks for a pod without leadership.
const NOT_LEADER: &str = "none";
/// Value of the annotation that asks for a pod to be made anew once it does not lead.
const DELETE_POD: &str = "delete-pod";

/// Serves the first request that is not done. What only waits holds up nothing else.
///
/// # Errors
/// When pods or claims could not be read.
pub fn serve(world: &World<'_>, set: &LiveSet, status: &PdStatus, plan: &mut Plan) -> Result<Step, Failure> {
    let asked = |key| world.snapshot.annotations(watch::POD, key);
    if [asked(PD_TRANSFER_LEADER)?, asked(REPLACE_VOLUME)?].iter().flatten().all(Option::is_none) {
        return Ok(Step::Done);
    }
    for row in &world.pods {
        let Some(pod) = world.live_pod(&row.name)?.filter(|pod| !pod.deleting()) else { continue };
        let request = Request { world, set, status, row, pod: &pod };
        let served = if pod.annotation(REPLACE_VOLUME) == Some("true") {
            request.replace_volumes(plan)?
        } else if let Some(wanted @ (NOT_LEADER | DELETE_POD)) = pod.annotation(PD_TRANSFER_LEADER) {
            request.give_up_leadership(wanted == DELETE_POD, plan)
        } else {
            Served::Done
        };
        match served {
            Served::Done => {}
            Served::Acted => return Ok(Step::Wait),
            Served::Waits => return Ok(Step::Done),
        }
    }
    Ok(Step::Done)
}

/// What came of a request in a pass.
enum Served {
    /// Nothing is left to do.
    Done,
    /// Something was done, and is looked at before anything else happens.
    Acted,
    /// It waits for something else.
    Waits,
}

/// A pod of which something is asked.
struct Request<'a> {
    world: &'a World<'a>,
    set: &'a LiveSet,
    status: &'a PdStatus,
    row: &'a PodRow,
    pod: &'a Live,
}

impl Request<'_> {
    /// Leadership goes to another member, and then, if that is asked for, the pod is deleted.
    fn give_up_leadership(&self, delete: bool, plan: &mut Plan) -> Served {
        let given = self.pod.annotation(PD_EVICT_LEADER_EXPIRATION_TIME);
        if given.is_some_and(|text| time::parse(text).is_none_or(|until| until <= self.world.now_ms())) {
            let none = json!({PD_TRANSFER_LEADER: null, PD_EVICT_LEADER_EXPIRATION_TIME: null});
            let patch = json!({"metadata": {"annotations": none}});
            plan.merge_patch(pod_reference(self.pod.name()), patch, self.pod.unchanged());
            return Served::Done;
        }
        let Some(all) = self.members(plan) else { return Served::Waits };
        match self.member(all) {
            Some(member) if member.leader => self.hand_over(all, member, plan),
            _ if !delete => Served::Done,
            _ if !members::can_spare(all, self.pod.name()) => self.at_risk(plan),
            _ => {
                plan.delete(pod_reference(self.pod.name()), self.pod.unchanged());
                let message = format!("pod {} is made anew, as its annotation asks", self.pod.name());
                plan.wait(wait::on(Reason::PodsNotReady, wait::pod(self.pod.name()), message));
                Served::Acted
            }
        }
    }

    /// The member leaves PD, then volumes and pod go, and a new member comes in a pod of the same name.
    fn replace_volumes(&self, plan: &mut Plan) -> Result<Served, Failure> {
        let Some(all) = self.members(plan) else { return Ok(Served::Waits) };
        let Some(member) = self.member(all) else { return self.start_anew(plan) };
        let unhealthy = self.status.members.values().find(|member| !member.health);
        if let Some(other) = unhealthy.filter(|other| other.id != member.id) {
            let message = format!("{} gets new volumes when {} is healthy", self.pod.name(), other.name);
            plan.wait(wait::on(Reason::MemberUnhealthy, wait::pd_member(&other.name), message));
            return Ok(Served::Waits);
        }
        if member.leader {
            return Ok(self.hand_over(all, member, plan));
        }
        if !members::can_remove(all, &member.id) {
            return Ok(self.at_risk(plan));
        }
        plan.delete_pd_member(&member.id);
        let message = format!("{} leaves PD: its volumes are replaced, as the pod's annotation asks", member.name);
        plan.event(EventType::Normal, "PDMemberDeleted", &message);
        plan.wait(wait::on(Reason::MemberRemoval, wait::pd_member(&member.name), message));
        Ok(Served::Acted)
    }

    /// PD does not list the member any more: its process has ended, and its data is of no use.
    fn start_anew(&self, plan: &mut Plan) -> Result<Served, Failure> {
        let name = self.pod.name();
        if self.row.ready {
            let message = format!("the member in pod {name} has left PD and still runs");
            plan.wait(wait::on(Reason::MemberRemoval, wait::pod(name), message));
            return Ok(Served::Waits);
        }
        for claim in claims::of_pod(self.world.snapshot, watch::CLAIM, self.set, name)? {
            if !claim.deleting() {
                claims::delete(plan, &claim);
            }
        }
        plan.delete(pod_reference(name), self.pod.unchanged());
        let message = format!("pod {name} is made anew with new volumes");
        plan.wait(wait::on(Reason::PodsNotReady, wait::pod(name), message));
        Ok(Served::Acted)
    }

    /// PD's members, if nothing else is going on.
    fn members(&self, plan: &mut Plan) -> Option<&[Member]> {
        let subject = wait::pod(self.pod.name());
        if !self.status.synced {
            let message = "what the pod's annotation asks for waits until PD's members are known";
            plan.wait(wait::on(Reason::PdUnknown, subject, message));
            return None;
        }
        if self.status.common.phase != Phase::NORMAL {
            let phase = &self.status.common.phase;
            let message = format!("what the pod's annotation asks for waits while PD is in phase {phase}");
            plan.wait(wait::on(Reason::Upgrading, subject, message));
            return None;
        }
        self.world.members.as_deref().ok()
    }

    fn member<'b>(&self, all: &'b [Member]) -> Option<&'b Member> {
        all.iter()
            .find(|m| members::pod_of(&m.name) == self.pod.name() && members::is_own(self.world.cluster, &m.client_url))
    }

    fn hand_over(&self, all: &[Member], leader: &Member, plan: &mut Plan) -> Served {
        let others = slots::present(self.set.replicas()).into_iter().filter(|ordinal| *ordinal != self.row.ordinal);
        let pods = others.map(|ordinal| self.world.pod_name(ordinal));
        match members::heir(self.world.cluster, pods, all, leader) {
            Some(to) => {
                members::hand_over(plan, &leader.name, &to.name, "as the pod's annotation asks");
                Served::Acted
            }
            None => {
                let message = format!("no healthy member can lead instead of {}", leader.name);
                plan.wait(wait::on(Reason::NoCandidate, wait::pd_member(&leader.name), message));
                Served::Waits
            }
        }
    }

    fn at_risk(&self, plan: &mut Plan) -> Served {
        let name = self.pod.name();
        let message = format!("without {name} the healthy members would be too few");
        plan.wait(wait::on(Reason::QuorumAtRisk, wait::pod(name), message));
        Served::Waits
    }
}
