//! Record: what was decided, kept for a while in memory and, if wanted, in a folder.
//!
//! A record is a whole snapshot, so a decision that repeats the one before it, as every one at rest does, is kept only
//! once: in the folder by content, in memory because the ring would otherwise hold nothing else.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tidepool_model::{
    Snapshot,
    record::{Outcome, Record, digest},
};

use crate::cluster::ClusterKey;

/// Records kept in memory for each component of a cluster.
const RECORDS_MAX: usize = 32;

/// A file of records is set aside at this size, and the one set aside before is dropped.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The records of all clusters.
#[derive(Default)]
pub struct Recorder {
    directory: Option<PathBuf>,
    /// A write to the folder has failed; said once, not with every decision.
    failed: AtomicBool,
    kept: Mutex<BTreeMap<(ClusterKey, String), VecDeque<Kept>>>,
}

/// One decision, without the digest that only a reader needs.
#[derive(Clone)]
struct Kept {
    policy: String,
    snapshot: Arc<Snapshot>,
    outcome: Outcome,
    fuel: u64,
}

impl Recorder {
    /// Records in memory, and as JSON lines in `directory` if there is one.
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self { directory, ..Self::default() }
    }

    /// Keeps a decision.
    pub fn note(
        &self,
        cluster: &ClusterKey,
        component: &str,
        policy: &str,
        snapshot: &Arc<Snapshot>,
        outcome: &Outcome,
        fuel: u64,
    ) {
        let decision = Kept { policy: policy.to_owned(), snapshot: snapshot.clone(), outcome: outcome.clone(), fuel };
        let new = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let ring = kept.entry((cluster.clone(), component.to_owned())).or_default();
            let repeats = ring.back().is_some_and(|last| {
                last.policy == decision.policy && idle(&last.outcome) && idle(outcome) && last.outcome == *outcome
            });
            if repeats {
                ring.pop_back();
            } else if ring.len() >= RECORDS_MAX {
                ring.pop_front();
            }
            ring.push_back(decision.clone());
            !repeats
        };
        if let (true, Some(directory)) = (new, &self.directory) {
            self.told(directory, append(directory, cluster, component, decision));
        }
    }

    /// Deciding goes on without a record rather than stopping because a disk is full.
    fn told(&self, directory: &Path, written: std::io::Result<()>) {
        if let Err(error) = written
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            let directory = directory.display();
            tracing::error!(%error, "failed to write a record to {directory}; decisions are missing there from now on");
        }
    }

    /// The records of one component, oldest first.
    pub fn records(&self, cluster: &ClusterKey, component: &str) -> Vec<Record> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = kept.get(&(cluster.clone(), component.to_owned()));
        ring.into_iter().flatten().filter_map(|kept| kept.clone().finish(cluster, component).ok()).collect()
    }

    /// All records, oldest first within each component of a cluster.
    pub fn all(&self) -> Vec<Record> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let finish = |((cluster, component), ring): ((ClusterKey, String), VecDeque<Kept>)| {
            ring.into_iter().filter_map(move |kept| kept.finish(&cluster, &component).ok())
        };
        kept.into_iter().flat_map(finish).collect()
    }

    /// Drops the records of a cluster that is gone.
    pub fn forget(&self, cluster: &ClusterKey) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|(key, _), _| key != cluster);
    }
}

/// A plan without actions: one such decision after another says nothing new.
fn idle(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Plan(plan) => plan.actions.is_empty(),
        Outcome::InvalidSpec(_) | Outcome::Fault(_) => true,
    }
}

impl Kept {
    fn finish(self, cluster: &ClusterKey, component: &str) -> Result<Record, serde_json::Error> {
        let Self { policy, snapshot, outcome, fuel } = self;
        let snapshot_digest = digest(&serde_json::to_vec(&*snapshot)?);
        let (cluster, component) = (cluster.to_string(), component.to_owned());
        Ok(Record { cluster, component, policy, snapshot_digest, snapshot, outcome, fuel })
    }
}

fn append(directory: &Path, cluster: &ClusterKey, component: &str, decision: Kept) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    // Neither name of a Kubernetes object can hold a slash or be a way out of the folder.
    let path = directory.join(format!("{}.{}.{component}.jsonl", cluster.namespace, cluster.name));
    if fs::metadata(&path).is_ok_and(|file| file.len() > FILE_BYTES_MAX) {
        fs::rename(&path, path.with_extension("jsonl.old"))?;
    }
    let mut line = serde_json::to_vec(&decision.finish(cluster, component)?)?;
    line.push(b'\n');
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let whole = file.metadata()?.len();
    // Of a full disk's half a record nothing stays: the next one would be read as its end.
    file.write_all(&line).inspect_err(|_| drop(file.set_len(whole)))
}
