//! The member that acts, and how it makes way: another one takes over first, which is confirmed by reading, and only
//! then its pod goes.

use serde_json::json;
use tidepool_sdk::{
    Plan,
    live::LiveSet,
    slots,
    wait::{self, Reason},
};

use crate::world::{Member, Registry, World};

/// Whether the pod may be taken down now; if not, what has to happen first is planned, and the wait said.
pub fn makes_way(world: &World<'_>, set: &LiveSet, pod: &str, plan: &mut Plan) -> bool {
    // A pod that does not run, or the only one, keeps nobody from anything that could be had.
    if set.replicas() <= 1 || !world.pod(pod).is_some_and(|row| row.ready) {
        return true;
    }
    let name = world.service.name();
    let (members, primary) = match &world.registry {
        Registry::Apart { members, primary } => (members, primary),
        Registry::InPd => return true,
        Registry::Unknown(why) => {
            let message = format!("{pod} stays while it is not known which member of {name} acts: {why}");
            plan.wait(wait::on(Reason::PdUnknown, world.name(), message));
            return false;
        }
    };
    let Some(member) = members.iter().find(|member| member.pod() == pod) else { return true };
    match primary {
        None => {
            let message = format!("{pod} stays until {name} has a primary again");
            plan.wait(wait::on(Reason::LeaderTransfer, world.name(), message));
            false
        }
        Some(primary) if primary == pod => hands_over(world, set, member, plan),
        Some(_) => true,
    }
}

fn hands_over(world: &World<'_>, set: &LiveSet, acting: &Member, plan: &mut Plan) -> bool {
    // An old one cannot be told: the others take over when it is gone.
    if !acting.hands_over() {
        return true;
    }
    let (name, pod) = (world.service.name(), acting.pod());
    let Some(next) = successor(world, set, pod) else {
        let message = format!("no other member of {name} is there to take over from {pod}");
        plan.wait(wait::on(Reason::NoCandidate, wait::pod(pod), message));
        return false;
    };
    let body = json!({ "new_primary": next.name }).to_string();
    plan.component_call(world.service.transfer_call(), pod, &body);
    let message = format!("{} takes over {name} from {pod}", next.pod());
    plan.wait(wait::on(Reason::LeaderTransfer, wait::pod(next.pod()), message));
    false
}

/// Who takes over: the ready member with the highest ordinal above, which has the new template, else the one with the
/// lowest below, which stays longest.
fn successor<'a>(world: &'a World<'_>, set: &LiveSet, leaving: &str) -> Option<&'a Member> {
    let ready = |pod: &str| world.pod(pod).is_some_and(|row| row.ready && !row.deleting);
    let at = |ordinal: &i32| {
        let pod = world.pod_name(*ordinal);
        world.registry.member(&pod).filter(|member| ready(&pod) && !member.name.is_empty())
    };
    let ordinals: Vec<i32> = slots::present(set.replicas()).into_iter().collect();
    let own = ordinals.iter().position(|ordinal| world.pod_name(*ordinal) == leaving).unwrap_or(ordinals.len());
    let (below, above) = ordinals.split_at(own);
    above.iter().skip(1).rev().find_map(at).or_else(|| below.iter().find_map(at))
}
