//! Commands after which pods, nodes or operators are not well.

use anyhow::bail;
use kube::api::DeleteParams;
use tidepool_sim::data::faults::{AnswerFault, PodFault};

use super::{Scene, api_version};
use crate::{
    history::state,
    world::{OPERATOR, SECOND_OPERATOR},
};

impl Scene {
    pub(super) async fn trouble(&mut self, verb: &str, words: &[&str]) -> anyhow::Result<()> {
        let faults = self.world.faults()?;
        let namespace = self.world.namespace.clone();
        match (verb, words) {
            ("delete", ["pods"]) => self.delete_pods(None).await?,
            ("delete", ["pods-of", component]) => self.delete_pods(Some(component)).await?,
            ("delete", [kind, name]) => self.delete(kind, name).await?,
            ("kill", [pod]) => faults.kill(&namespace, pod),
            ("fault", [pod, "none"]) => faults.clear_pod(&namespace, pod),
            ("fault", [pod, fault @ ("slow" | "status" | "drop-answers"), ..]) => {
                let number = words.get(2).and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
                faults.set_answers(&namespace, pod, answers(fault, number));
            }
            ("fault", [pod, fault]) => faults.set_pod(&namespace, pod, pod_fault(fault)?),
            ("no-leader", [pod, seconds]) => faults.pd_without_leader(&namespace, pod, seconds.parse::<u64>()? * 1000),
            ("lose-node", [node]) => faults.lose_node(node),
            ("recover-node", [node]) => faults.recover_node(node),
            ("kill-operator", []) => self.world.start_operator(OPERATOR)?,
            ("second-operator", []) => self.world.start_operator(SECOND_OPERATOR)?,
            ("freeze-operator", []) => self.world.operator(OPERATOR)?.line.freeze(),
            ("thaw-operator", []) => self.world.operator(OPERATOR)?.line.thaw(),
            _ => bail!("not a command: {verb} {}", words.join(" ")),
        }
        Ok(())
    }

    async fn delete_pods(&self, component: Option<&str>) -> anyhow::Result<()> {
        for pod in self.world.list("v1", "Pod").await? {
            if component.is_none_or(|component| state::component(&pod) == component) {
                self.delete("Pod", pod["metadata"]["name"].as_str().unwrap_or_default()).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn delete(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        self.world.api(api_version(kind), kind).delete(name, &DeleteParams::default()).await?;
        Ok(())
    }
}

fn answers(fault: &str, number: u64) -> AnswerFault {
    let mut answers = AnswerFault { drop_answers: fault == "drop-answers", ..AnswerFault::default() };
    match fault {
        "slow" => answers.slow_ms = number * 1000,
        "status" => answers.fail_status = u16::try_from(number).ok(),
        _ => {}
    }
    answers
}

fn pod_fault(fault: &str) -> anyhow::Result<PodFault> {
    let mut fault_of_pod = PodFault::default();
    match fault {
        "crash" => fault_of_pod.crash = Some("panic: on purpose".into()),
        "silent" => fault_of_pod.silent = true,
        "never-ready" => fault_of_pod.never_ready = true,
        "image-missing" => fault_of_pod.image_missing = true,
        _ => bail!("not a fault: {fault}"),
    }
    Ok(fault_of_pod)
}
