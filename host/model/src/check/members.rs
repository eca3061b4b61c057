//! S1, S2, S3: PD keeps its quorum and its leader.

use std::collections::BTreeSet;

use super::{
    ClusterFacts, Facts, Violation,
    facts::pod_of,
    workload::{Disruption, disruption},
};
use crate::{
    known::Unknown,
    plan::{Action, Plan},
    snapshot::PdMember,
};

/// With fewer members there is no redundancy to protect: any restart is an outage, and refusing it for ever helps nobody.
const REDUNDANT_MEMBERS_MIN: usize = 3;

pub(super) fn check(facts: &dyn Facts, cluster: &ClusterFacts, plan: &Plan, violations: &mut Vec<Violation>) {
    let mut view = View { facts, removed: BTreeSet::new(), restarted: BTreeSet::new() };
    for action in &plan.actions {
        match action {
            Action::DeletePdMember { id } => view.remove_member(id, violations),
            _ => match disruption(facts, action) {
                Ok(Some(disruption)) if disruption.component == "pd" => {
                    view.disrupt(cluster, &disruption, violations);
                }
                Ok(_) => {}
                Err(unknown) => {
                    let message = format!(
                        "which pods {} of {} takes down is unknown: {unknown}",
                        action.verb(),
                        action.subject()
                    );
                    violations.push(Violation::new("S33", message));
                }
            },
        }
    }
}

/// PD as the actions so far leave it.
struct View<'a> {
    facts: &'a dyn Facts,
    /// Ids of members that earlier actions of the plan removed.
    removed: BTreeSet<String>,
    /// Pods that earlier actions of the plan restart.
    restarted: BTreeSet<String>,
}

impl View<'_> {
    fn members(&self) -> Result<Vec<&PdMember>, Unknown> {
        let members = self.facts.pd().members.as_ref().map_err(Clone::clone)?;
        Ok(members.iter().filter(|member| !self.removed.contains(&member.id)).collect())
    }

    /// S2: the remaining healthy members are a quorum of the remaining members. S3: not the leader.
    fn remove_member(&mut self, id: &str, violations: &mut Vec<Violation>) {
        let members = match self.members() {
            Ok(members) => members,
            Err(unknown) => {
                let message = format!("removal of PD member {id} while the members are unknown: {unknown}");
                violations.push(Violation::new("S33", message));
                return;
            }
        };
        let Some(target) = members.iter().find(|member| member.id == id) else {
            violations.push(Violation::new("S2", format!("removal of PD member {id}, which PD does not have")));
            return;
        };
        let healthy = members.iter().filter(|member| member.id != id && member.healthy).count();
        let quorum = quorum(members.len() - 1);
        if healthy < quorum {
            let message = format!(
                "removal of PD member {} would leave {healthy} healthy members, fewer than the new quorum {quorum}",
                target.name
            );
            violations.push(Violation::new("S2", message));
        }
        if target.leader && healthy > 0 {
            violations.push(Violation::new("S3", format!("removal of PD member {}, which is the leader", target.name)));
        }
        self.removed.insert(id.to_owned());
    }

    fn disrupt(&mut self, cluster: &ClusterFacts, disruption: &Disruption, violations: &mut Vec<Violation>) {
        if cluster.suspends("pd") {
            return;
        }
        match self.members().map(|members| members.into_iter().cloned().collect::<Vec<_>>()) {
            Ok(members) => {
                removed_pods(cluster, &members, &disruption.removed, violations);
                for pod in &disruption.restarted {
                    self.restart(&members, pod, violations);
                }
            }
            Err(unknown) => self.disrupt_unknown(disruption, &unknown, violations),
        }
    }

    /// S1 and S3 for one pod that is restarted.
    fn restart(&mut self, members: &[PdMember], pod: &str, violations: &mut Vec<Violation>) {
        self.restarted.insert(pod.to_owned());
        let Some(member) = members.iter().find(|member| pod_of(&member.name) == pod) else { return };
        let others =
            members.iter().filter(|m| m.id != member.id && m.healthy && !self.restarted.contains(pod_of(&m.name)));
        let healthy = others.count();
        if member.healthy {
            let needed = if members.len() >= REDUNDANT_MEMBERS_MIN { quorum(members.len()) } else { members.len() - 1 };
            if healthy < needed {
                let message = format!(
                    "restart of pod {pod} would leave {healthy} healthy PD members of {}, {needed} are needed",
                    members.len()
                );
                violations.push(Violation::new("S1", message));
            }
            if self.restarted.len() > 1 {
                let pods: Vec<_> = self.restarted.iter().map(String::as_str).collect();
                violations.push(Violation::new("S1", format!("more than one PD pod at a time: {}", pods.join(", "))));
            }
        }
        if member.leader && healthy > 0 {
            let message = format!("restart of pod {pod}, PD's leader, while another healthy member can lead");
            violations.push(Violation::new("S3", message));
        }
    }

    /// S33: while PD does not answer, a pod that serves as far as Kubernetes can tell is left alone.
    fn disrupt_unknown(&mut self, disruption: &Disruption, unknown: &Unknown, violations: &mut Vec<Violation>) {
        let ready = |pod: &str| -> bool {
            let pods = self.facts.objects("v1", "Pod");
            pods.map_or(true, |pods| pods.iter().any(|p| p.head.name == pod && is_ready(p)))
        };
        let gone = disruption.removed.iter();
        let touched = disruption.restarted.iter().filter(|pod| ready(pod));
        for pod in gone.chain(touched) {
            let message = format!("pod {pod} would be taken down while PD's members are unknown: {unknown}");
            violations.push(Violation::new("S33", message));
        }
    }
}

/// A pod that does not come back must have left PD first. The last member of all cannot leave, since there would be no PD
/// to ask; it goes if the user wants no PD.
fn removed_pods(cluster: &ClusterFacts, members: &[PdMember], removed: &[String], violations: &mut Vec<Violation>) {
    if members.len() == 1 && cluster.spec["pd"]["replicas"] == 0 {
        return;
    }
    for pod in removed {
        if members.iter().any(|member| pod_of(&member.name) == pod) {
            let message = format!("pod {pod} would be removed while it is still a member of PD");
            violations.push(Violation::new("S2", message));
        }
    }
}

pub(super) fn is_ready(pod: &crate::snapshot::Object) -> bool {
    let pod = super::facts::value(pod);
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn quorum(members: usize) -> usize {
    members / 2 + 1
}
