//! Scenarios: scripts that say what somebody does to a cluster. What happens is written down and compared.
//!
//! One command a line; a `#` begins a comment, which the transcript keeps. Times are virtual seconds since the start.
//!
//! ```text
//! apply FILE                      write the documents of a file of the repository, or say why not
//! force FILE                      the same, without looking at it first: what the API server and the operator say
//! patch CLUSTER JSON              change a TidbCluster by a merge patch
//! wait-ready CLUSTER SECONDS      until it is Ready for what its spec says now
//! wait-pods SECONDS               until every StatefulSet has the pods it wants, all ready
//! certs CLUSTER                   write new certificates for it (each Secret of a cluster with TLS)
//! certs CLUSTER new-ca            the same from another authority; the old one stays trusted
//! certs CLUSTER stranger          the operator's certificate becomes one that nobody knows
//! certs CLUSTER none              the operator's certificate is gone
//! advance SECONDS                 let time pass
//! quiet SECONDS                   let time pass; anything that the operator writes is wrong (S16)
//! delete KIND NAME | delete pods  as `kubectl delete`
//! kill POD                        end a pod's programs once
//! fault POD crash|silent|never-ready|image-missing|slow SECONDS|status CODE|drop-answers|none
//! no-leader POD SECONDS           the PD that this pod belongs to has no leader for so long
//! lose-node NODE, recover-node NODE
//! show status CLUSTER | pods | events
//! ```

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use kube::api::DeleteParams;
use serde_json::Value;
use tidepool_api::TidbCluster;
use tidepool_sim::data::faults::{AnswerFault, PodFault};

use crate::{
    certs::Certs,
    history::History,
    transcript::Transcript,
    world::{NAMESPACE, OPERATOR, World},
};

/// Between two looks at the world.
const STEP: Duration = Duration::from_secs(1);

/// Plays the script and answers with what happened.
///
/// # Errors
/// When the world cannot start, or a command is none.
pub async fn play(script: &str, seed: u64) -> anyhow::Result<String> {
    let mut scene = Scene {
        world: World::start(seed).await?,
        history: History::default(),
        transcript: Transcript::default(),
        certs: None,
    };
    for line in script.lines() {
        scene.transcript.command(line);
        if let Err(error) = scene.command(line.trim()).await {
            scene.transcript.say(scene.world.seconds(), &format!("! {error:#}"));
        }
        scene.look().await?;
    }
    scene.history.secrets(&scene.world.told());
    for violation in &scene.history.violations {
        scene.transcript.say(scene.world.seconds(), &format!("BROKEN {violation}"));
    }
    let text = scene.transcript.text();
    scene.world.stop().await;
    Ok(text)
}

struct Scene {
    world: World,
    history: History,
    transcript: Transcript,
    certs: Option<Certs>,
}

impl Scene {
    async fn command(&mut self, line: &str) -> anyhow::Result<()> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match (verb, &words[..]) {
            ("", _) | ("#", _) => Ok(()),
            ("apply", [file]) => self.apply(file).await,
            ("force", [file]) => self.force(file).await,
            ("patch", [cluster, ..]) => {
                let patch = rest.split_once(' ').map_or("", |(_, patch)| patch);
                self.world.patch(cluster, &serde_json::from_str(patch)?).await
            }
            ("certs", [cluster, how @ ..]) => self.certificates(cluster, how).await,
            ("wait-ready", [cluster, seconds]) => self.wait_ready(cluster, seconds.parse()?).await,
            ("wait-pods", [seconds]) => self.wait_pods(seconds.parse()?).await,
            ("advance", [seconds]) => self.advance(seconds.parse()?).await,
            ("quiet", [seconds]) => self.quiet(seconds.parse()?).await,
            ("show", what) => self.show(what).await,
            _ => {
                self.history.disturb();
                self.trouble(verb, &words).await
            }
        }
    }

    /// Commands after which pods are down by somebody else's doing.
    async fn trouble(&mut self, verb: &str, words: &[&str]) -> anyhow::Result<()> {
        let faults = self.world.faults()?;
        match (verb, words) {
            ("delete", ["pods"]) => {
                for pod in self.world.list("v1", "Pod").await? {
                    self.delete("Pod", pod["metadata"]["name"].as_str().unwrap_or_default()).await?;
                }
            }
            ("delete", [kind, name]) => self.delete(kind, name).await?,
            ("kill", [pod]) => faults.kill(NAMESPACE, pod),
            ("fault", [pod, "none"]) => faults.clear_pod(NAMESPACE, pod),
            ("fault", [pod, fault @ ("slow" | "status" | "drop-answers"), ..]) => {
                let number = words.get(2).and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
                let mut answers = AnswerFault { drop_answers: *fault == "drop-answers", ..AnswerFault::default() };
                match *fault {
                    "slow" => answers.slow_ms = number * 1000,
                    "status" => answers.fail_status = u16::try_from(number).ok(),
                    _ => {}
                }
                faults.set_answers(NAMESPACE, pod, answers);
            }
            ("fault", [pod, fault]) => faults.set_pod(NAMESPACE, pod, pod_fault(fault)?),
            ("no-leader", [pod, seconds]) => faults.pd_without_leader(NAMESPACE, pod, seconds.parse::<u64>()? * 1000),
            ("lose-node", [node]) => faults.lose_node(node),
            ("recover-node", [node]) => faults.recover_node(node),
            _ => bail!("not a command: {verb} {}", words.join(" ")),
        }
        Ok(())
    }

    async fn delete(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        let api_version = match kind {
            "StatefulSet" | "Deployment" => "apps/v1",
            "TidbCluster" => "pingcap.com/v1alpha1",
            _ => "v1",
        };
        self.world.api(api_version, kind).delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn apply(&self, file: &str) -> anyhow::Result<()> {
        self.world.apply(file, &read(file)?).await
    }

    async fn force(&self, file: &str) -> anyhow::Result<()> {
        let object: Value = serde_saphyr::from_str(&read(file)?)?;
        self.world.apply_object(&object).await
    }

    async fn certificates(&mut self, cluster: &str, how: &[&str]) -> anyhow::Result<()> {
        let now = self.world.clock.now_ms();
        let live = serde_json::to_value(self.world.clusters().get(cluster).await?)?;
        let mut live: TidbCluster = serde_json::from_value(live)?;
        // Certificates come first, whether TLS is switched on already or about to be.
        live.spec.tls_cluster.get_or_insert_default().enabled = true;
        let certs = match &mut self.certs {
            Some(certs) => certs,
            none => none.insert(Certs::new(now)?),
        };
        let secrets = match how {
            ["new-ca"] => {
                certs.succeed(now)?;
                certs.secrets(&live)?
            }
            ["stranger"] => Certs::new(now)?.secrets(&live)?,
            ["none"] => return self.delete("Secret", &live.cluster_client_tls_secret()).await,
            [] => certs.secrets(&live)?,
            _ => bail!("certs how?"),
        };
        let client = live.cluster_client_tls_secret();
        for secret in secrets.iter().filter(|secret| how != ["stranger"] || secret["metadata"]["name"] == client) {
            self.world.apply_object(secret).await?;
        }
        Ok(())
    }

    async fn wait_ready(&mut self, cluster: &str, seconds: u64) -> anyhow::Result<()> {
        for _ in 0..seconds {
            let live = self.world.clusters().get(cluster).await?;
            let progress = self.world.cluster(cluster);
            let ready = progress.is_some_and(|progress| {
                Some(progress.generation) == live.metadata.generation
                    && progress.ready.as_ref().is_some_and(|ready| ready.ready)
            });
            if ready {
                self.history.calm();
                self.transcript.say(self.world.seconds(), &format!("{cluster} is Ready"));
                return Ok(());
            }
            self.step().await?;
        }
        let why = self.world.cluster(cluster).and_then(|progress| progress.ready.clone()).unwrap_or_default();
        bail!("{cluster} is not Ready after {seconds} s: {}: {}", why.reason, why.message)
    }

    async fn wait_pods(&mut self, seconds: u64) -> anyhow::Result<()> {
        for _ in 0..seconds {
            let sets = self.world.list("apps/v1", "StatefulSet").await?;
            if sets.iter().all(|set| set["status"]["readyReplicas"].as_i64() == set["spec"]["replicas"].as_i64()) {
                return Ok(());
            }
            self.step().await?;
        }
        bail!("not all pods are ready after {seconds} s")
    }

    async fn advance(&mut self, seconds: u64) -> anyhow::Result<()> {
        for _ in 0..seconds {
            self.step().await?;
        }
        Ok(())
    }

    async fn quiet(&mut self, seconds: u64) -> anyhow::Result<()> {
        let before = self.world.audit(0).len();
        self.advance(seconds).await?;
        // PD still moves leaders about, and the status follows what PD says.
        let allowed = ["leases", "tidbclusters/status"];
        let written = self.world.audit(before);
        let written = written.iter().filter(|e| e.user_agent == OPERATOR && !allowed.contains(&e.resource.as_str()));
        let written: Vec<String> =
            written.map(|entry| format!("{} {} {}", entry.verb, entry.resource, entry.name)).collect();
        if !written.is_empty() {
            self.history.violations.push(format!("S16: writes at rest: {}", written.join(", ")));
        }
        Ok(())
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        self.world.pass(STEP).await;
        self.look().await
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        self.history.look(&self.world).await?;
        self.transcript.look(&self.world);
        Ok(())
    }

    async fn show(&mut self, what: &[&str]) -> anyhow::Result<()> {
        let lines = match what {
            ["status", cluster] => {
                let live = serde_json::to_value(self.world.clusters().get(cluster).await?)?;
                crate::transcript::status(&live["status"])
            }
            ["pods"] => self.world.list("v1", "Pod").await?.iter().map(crate::transcript::pod).collect(),
            ["events"] => self.world.list("v1", "Event").await?.iter().filter_map(crate::transcript::event).collect(),
            _ => bail!("show what?"),
        };
        for line in lines {
            self.transcript.line(&line);
        }
        Ok(())
    }
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

/// A file of the repository.
fn read(file: &str) -> anyhow::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {file}"))
}
