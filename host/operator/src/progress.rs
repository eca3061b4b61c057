//! What is going on, for a person who watches: published after each round, for the live view of the CLI.

use std::{collections::BTreeMap, sync::Arc};

use tidepool_model::WaitingOn;
use tokio::sync::watch;

use crate::cluster::ClusterKey;

/// All clusters after their last rounds.
pub type Progress = BTreeMap<ClusterKey, Arc<ClusterProgress>>;

/// One cluster after its last round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterProgress {
    /// Condition `Ready`: whether it is true, its reason and message. None before it was ever set.
    pub ready: Option<Ready>,
    /// Components in the order of the round.
    pub components: Vec<ComponentProgress>,
    /// When the round was, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The status has been judged for this `metadata.generation`.
    pub generation: i64,
}

/// Condition `Ready` of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// It is true.
    pub ready: bool,
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// One component after the last round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentProgress {
    /// Its name.
    pub component: String,
    /// `phase` of its status; empty without.
    pub phase: String,
    /// Pods that are ready.
    pub ready: u32,
    /// Pods that its workloads want.
    pub desired: u32,
    /// What is waited for.
    pub waiting: Vec<WaitingOn>,
    /// What was done in this round, for people: `create statefulset/basic-pd`.
    pub actions: Vec<String>,
    /// Digest of the policy that decided.
    pub policy: String,
    /// An earlier component held it back in this round.
    pub held: bool,
}

/// Publishes progress.
pub(crate) struct Feed {
    sender: watch::Sender<Arc<Progress>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { sender: watch::Sender::new(Arc::default()) }
    }
}

impl Feed {
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Progress>> {
        self.sender.subscribe()
    }

    /// Publishes a cluster's progress; false if it says nothing new.
    pub(crate) fn publish(&self, key: &ClusterKey, progress: ClusterProgress) -> bool {
        self.sender.send_if_modified(|all| {
            // At rest only the time differs, which is no news.
            let same =
                |old: &Arc<ClusterProgress>| ClusterProgress { now_ms: progress.now_ms, ..(**old).clone() } == progress;
            if all.get(key).is_some_and(same) {
                return false;
            }
            Arc::make_mut(all).insert(key.clone(), Arc::new(progress.clone()));
            true
        })
    }

    /// All clusters now.
    pub(crate) fn all(&self) -> Arc<Progress> {
        self.sender.borrow().clone()
    }

    pub(crate) fn forget(&self, key: &ClusterKey) {
        self.sender.send_if_modified(|all| all.contains_key(key) && Arc::make_mut(all).remove(key).is_some());
    }
}
