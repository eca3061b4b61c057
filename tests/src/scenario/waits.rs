//! Commands that wait, and what may happen meanwhile.

use std::collections::BTreeMap;

use anyhow::bail;
use serde_json::Value;
use tidepool_api::input;
use tidepool_operator::ClusterProgress;

use super::{Scene, api_version, read};
use crate::{history::is_operator, world::OPERATOR};

/// A cluster that only comes up is given so long, seconds.
const START_SECONDS: u64 = 1_800;

/// The operator looks at a cluster at rest so often, seconds.
const RESYNC_SECONDS: u64 = 30;

/// … and so often while it waits for something, which may be outside the API server.
const WAITING_SECONDS: u64 = 5;

impl Scene {
    /// Brings clusters up without telling how.
    pub(super) async fn start(&mut self, file: &str, seconds: Option<&str>) -> anyhow::Result<()> {
        let text = read(file)?;
        let seconds = seconds.map_or(Ok(START_SECONDS), str::parse)?;
        self.transcript.mute(true);
        let started = async {
            self.world.apply(file, &text).await?;
            for document in input::read([(file, text.as_str())])? {
                if document.value["kind"] == "TidbCluster" {
                    let name = document.value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                    self.wait_ready(&name, seconds).await?;
                }
            }
            self.settle().await;
            anyhow::Ok(())
        };
        let started = started.await;
        self.transcript.mute(false);
        started
    }

    /// Until nothing is written any more, so that the transcript begins at rest.
    async fn settle(&mut self) {
        let (mut still, mut seen) = (0, 0);
        while still < RESYNC_SECONDS {
            let written = !self.operator_writes(&mut seen).is_empty();
            still = if written { 0 } else { still + 1 };
            self.step().await;
        }
    }

    /// Writes of operators after the first `seen` requests, but for leases: `verb resource name`.
    fn operator_writes(&self, seen: &mut usize) -> Vec<String> {
        let entries = self.world.audit(*seen);
        *seen += entries.len();
        let writes = entries.iter().filter(|e| is_operator(&e.user_agent) && e.resource != "leases");
        writes.map(|entry| format!("{} {} {}", entry.verb, entry.resource, entry.name)).collect()
    }

    pub(super) async fn wait_ready(&mut self, cluster: &str, seconds: u64) -> anyhow::Result<()> {
        for _ in 0..seconds {
            let live = self.world.clusters().get(cluster).await?;
            let progress = self.world.cluster(cluster);
            let ready = progress.is_some_and(|progress| {
                Some(progress.generation) == live.metadata.generation
                    && progress.ready.as_ref().is_some_and(|ready| ready.ready)
            });
            if ready {
                self.transcript.say(self.world.seconds(), &format!("{cluster} is Ready"));
                return Ok(());
            }
            self.step().await;
        }
        let why = self.world.cluster(cluster).and_then(|progress| progress.ready.clone()).unwrap_or_default();
        bail!("{cluster} is not Ready after {seconds} s: {}: {}", why.reason, why.message)
    }

    pub(super) async fn wait_pods(&mut self, seconds: u64) -> anyhow::Result<()> {
        for _ in 0..seconds {
            let sets = self.world.list("apps/v1", "StatefulSet").await?;
            let ready = |set: &Value| {
                let wanted = set["spec"]["replicas"].as_i64().unwrap_or_default();
                set["status"]["readyReplicas"].as_i64().unwrap_or_default() == wanted
            };
            if sets.iter().all(ready) {
                return Ok(());
            }
            self.step().await;
        }
        bail!("not all pods are ready after {seconds} s")
    }

    pub(super) async fn wait_for(
        &mut self,
        seconds: u64,
        (kind, name, pointer): (&str, &str, &str),
        json: &str,
    ) -> anyhow::Result<()> {
        let wanted: Value = serde_json::from_str(json)?;
        for _ in 0..seconds {
            let found = self.world.api(api_version(kind), kind).get_opt(name).await?;
            let found = serde_json::to_value(found)?;
            if found.pointer(pointer).unwrap_or(&Value::Null) == &wanted {
                return Ok(());
            }
            self.step().await;
        }
        bail!("{kind} {name} has no {pointer} = {json} after {seconds} s")
    }

    pub(super) async fn advance(&mut self, seconds: u64) -> anyhow::Result<()> {
        for _ in 0..seconds {
            self.step().await;
        }
        Ok(())
    }

    /// S16 and L6: at rest nothing is written, and nothing is looked at more often than in each resync.
    pub(super) async fn quiet(&mut self, seconds: u64) -> anyhow::Result<()> {
        let mut seen = 0;
        self.operator_writes(&mut seen);
        let rounds = self.rounds()?;
        self.advance(seconds).await?;
        let mut written: BTreeMap<String, usize> = BTreeMap::new();
        for write in self.operator_writes(&mut seen) {
            *written.entry(write).or_default() += 1;
        }
        if !written.is_empty() {
            self.world.history.broken("S16", "at rest", format!("writes: {written:?}"));
        }
        let rounds = self.rounds()? - rounds;
        let between = |cluster: &ClusterProgress| match cluster.components.iter().any(|c| !c.waiting.is_empty()) {
            true => WAITING_SECONDS,
            false => RESYNC_SECONDS,
        };
        let allowed: u64 = self.world.progress().values().map(|cluster| seconds / between(cluster) + 1).sum();
        if rounds > allowed {
            self.world.history.broken("L6", "at rest", format!("{rounds} rounds in {seconds} s, {allowed} are enough"));
        }
        Ok(())
    }

    /// Rounds of the first operator so far.
    fn rounds(&self) -> anyhow::Result<u64> {
        let text = self.world.operator(OPERATOR)?.metrics.text();
        let counts = text.lines().filter(|line| line.starts_with("tidepool_rounds_total"));
        Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }
}
