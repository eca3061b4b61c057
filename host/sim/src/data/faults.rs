//! What a scenario does to the data plane: pods that crash, nodes that vanish, PDs that do not answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Shared, network::Key, process::process_name};

/// What is wrong with one pod. All fields may be set at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFault {
    /// Its program ends with these last words, again and again.
    pub crash: Option<String>,
    /// It runs, but never passes a probe.
    pub never_ready: bool,
    /// Its program takes so much longer to start, milliseconds.
    pub slow_start_ms: u64,
    /// Its image cannot be pulled.
    pub image_missing: bool,
    /// It stands still: accepts connections, answers nothing, sends no heartbeat.
    pub silent: bool,
}

/// What is wrong with the answers of one pod's HTTP server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerFault {
    /// Every answer comes so much later, milliseconds.
    pub slow_ms: u64,
    /// Every request is answered with this status and not handled.
    pub fail_status: Option<u16>,
    /// Requests are handled, but the answer is lost.
    pub drop_answers: bool,
}

/// All faults that stand now.
#[derive(Debug, Default)]
pub struct FaultTable {
    pods: BTreeMap<Key, PodFault>,
    answers: BTreeMap<Key, AnswerFault>,
    /// Nodes that nobody can reach, with the time since when, milliseconds since the Unix epoch.
    pub lost_nodes: BTreeMap<String, u64>,
    /// Pods whose programs are to be killed once, at the next look.
    pub kills: BTreeSet<Key>,
    none: PodFault,
}

impl FaultTable {
    /// The faults of a pod, none by default.
    pub fn pod(&self, pod: &Key) -> &PodFault {
        self.pods.get(pod).unwrap_or(&self.none)
    }

    /// The faults of a pod's answers, none by default.
    pub fn answer(&self, pod: &Key) -> AnswerFault {
        self.answers.get(pod).cloned().unwrap_or_default()
    }
}

/// A handle by which a scenario sets and clears faults. Clones share one data plane.
#[derive(Clone)]
pub struct Faults {
    pub(super) shared: Arc<Shared>,
}

impl Faults {
    /// Replaces the faults of a pod; they outlive the pod and hold for the next one of its name.
    pub fn set_pod(&self, namespace: &str, pod: &str, fault: PodFault) {
        let key = (namespace.to_owned(), pod.to_owned());
        let now = self.shared.clock.now_ms();
        {
            let mut world = self.shared.world();
            let was_silent = world.faults.pod(&key).silent;
            if was_silent != fault.silent {
                world.set_silent(&key, fault.silent, now);
            }
            world.faults.pods.insert(key, fault);
        }
        self.shared.look_again();
    }

    /// Ends all faults of a pod.
    pub fn clear_pod(&self, namespace: &str, pod: &str) {
        self.set_pod(namespace, pod, PodFault::default());
        self.set_answers(namespace, pod, AnswerFault::default());
    }

    /// Kills a pod's programs once (SIGKILL); its containers are started again.
    pub fn kill(&self, namespace: &str, pod: &str) {
        self.shared.world().faults.kills.insert((namespace.to_owned(), pod.to_owned()));
        self.shared.look_again();
    }

    /// Replaces the faults of a pod's answers.
    pub fn set_answers(&self, namespace: &str, pod: &str, fault: AnswerFault) {
        self.shared.world().faults.answers.insert((namespace.to_owned(), pod.to_owned()), fault);
    }

    /// The PD cluster that a pod belongs to has no leader for so long, milliseconds.
    pub fn pd_without_leader(&self, namespace: &str, pod: &str, for_ms: u64) {
        let now = self.shared.clock.now_ms();
        let process = process_name(&(namespace.to_owned(), pod.to_owned()));
        let mut world = self.shared.world();
        if let Some(cluster) = world.fleet.cluster_id(&process) {
            world.fleet.no_leader_until(now, cluster, now.saturating_add(for_ms));
        }
    }

    /// Nobody reaches the node any more: its pods stand still, its kubelet is not heard of.
    pub fn lose_node(&self, name: &str) {
        let now = self.shared.clock.now_ms();
        self.shared.world().faults.lost_nodes.entry(name.to_owned()).or_insert(now);
        self.shared.look_again();
    }

    /// The node is back, with its pods as they were.
    pub fn recover_node(&self, name: &str) {
        self.shared.world().faults.lost_nodes.remove(name);
        self.shared.look_again();
    }
}
