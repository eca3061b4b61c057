//! Watches the folder of policies: a file that changes is verified, compiled and swapped in, or refused with a reason.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context;
use notify::{EventKind, RecursiveMode, Watcher};
use tidepool_policy::{Refused, Registry, Swapped};

/// A file that is being written makes many events; this long after the last one it is read.
const SETTLE: Duration = Duration::from_millis(200);

/// Watches until dropped.
pub struct Watch {
    _watcher: notify::RecommendedWatcher,
}

/// What became of a changed file.
pub type Change = Result<Swapped, Refused>;

/// Loads what changes in `directory` into `registry`, on a thread of its own, and tells `told` of each change.
///
/// # Errors
/// When the folder cannot be watched.
pub fn watch(
    directory: &Path,
    registry: Arc<Registry>,
    told: impl Fn(Change) + Send + 'static,
) -> anyhow::Result<Watch> {
    let (sender, receiver) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_))
        {
            // The receiver is gone only when the program ends.
            let _ = sender.send(event.paths);
        }
    })
    .context("failed to watch the folder of policies")?;
    watcher
        .watch(directory, RecursiveMode::NonRecursive)
        .with_context(|| format!("failed to watch {}", directory.display()))?;
    thread::Builder::new().name("policy-folder".into()).spawn(move || {
        while let Ok(paths) = receiver.recv() {
            for path in settled(paths, &receiver) {
                match registry.load_file(&path) {
                    Ok(Some(swapped)) => told(Ok(swapped)),
                    Ok(None) => {}
                    Err(refused) => told(Err(refused)),
                }
            }
        }
    })?;
    Ok(Watch { _watcher: watcher })
}

/// A change for people.
pub fn told(change: &Change) -> String {
    match change {
        Ok(Swapped { component, before: Some(before), now }) => {
            format!("{component} is now decided by {now}, no more by {before}")
        }
        Ok(Swapped { component, before: None, now }) => format!("{component} is now decided by {now}"),
        Err(refused) => format!("refused, the old policy goes on: {refused}"),
    }
}

/// All policy files that changed until nothing changed for a while.
fn settled(first: Vec<PathBuf>, more: &mpsc::Receiver<Vec<PathBuf>>) -> BTreeSet<PathBuf> {
    let mut changed: BTreeSet<PathBuf> = first.into_iter().collect();
    while let Ok(paths) = more.recv_timeout(SETTLE) {
        changed.extend(paths);
    }
    changed.retain(|path| path.extension().is_some_and(|extension| extension == "wasm") && path.is_file());
    changed
}
