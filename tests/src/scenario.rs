//! Scenarios: scripts that say what somebody does to a cluster. What happens is written down and compared, and judged
//! by the safety rules.
//!
//! One command a line; a `#` begins a comment, which the transcript keeps. Times are virtual seconds since the start.
//! Names may leave out the namespace: everything is in one.
//!
//! ```text
//! load FOLDER                     only as the first command: what another operator left running is there from the start
//! with lease                      only at the start: operators take turns by a lease
//! start FILE [SECONDS]            apply a file and wait until its clusters are Ready; nothing is told of it
//! apply FILE                      write the documents of a file of the repository, or say why not
//! force FILE                      the same, without looking at it first: what the API server and the operator say
//! patch CLUSTER JSON              change a TidbCluster by a merge patch
//! edit KIND NAME JSON             change another object by a merge patch
//! wait-ready CLUSTER SECONDS      until it is Ready for what its spec says now
//! wait-pods SECONDS               until every StatefulSet has the pods it wants, all ready
//! wait-for SECONDS KIND NAME POINTER JSON   until an object has this value there
//! certs CLUSTER                   write new certificates for it (each Secret of a cluster with TLS)
//! certs CLUSTER new-ca            the same from another authority; the old one stays trusted
//! certs CLUSTER stranger          the operator's certificate becomes one that nobody knows
//! certs CLUSTER none              the operator's certificate is gone
//! advance SECONDS                 let time pass
//! quiet SECONDS                   let time pass; anything that the operator writes is wrong (S16), and so is more than
//!                                 a round in each resync (L6)
//! lead POD                        make this member lead PD, as with pd-ctl
//! delete KIND NAME | delete pods | delete pods-of COMPONENT   as `kubectl delete`
//! kill POD                        end a pod's programs once
//! fault POD crash|silent|never-ready|image-missing|slow SECONDS|status CODE|drop-answers|none
//! no-leader POD SECONDS           the PD that this pod belongs to has no leader for so long
//! lose-node NODE, recover-node NODE
//! kill-operator                   SIGKILL, and a new one starts at once
//! second-operator                 one more operator starts
//! freeze-operator, thaw-operator  the first one stands still, and goes on as if nothing had happened
//! rogue delete KIND NAME | patch KIND NAME JSON | status CLUSTER JSON | create JSON | pd SERVICE METHOD PATH [JSON]
//!                                 a wrong deed in the operator's name; KIND NAME may be PersistentVolume of:CLAIM
//! rogue unguarded KIND NAME JSON  the same without a precondition
//! expect RULE                     this rule must have been broken since the last `expect`; else that is wrong
//! show status CLUSTER | pods | events | pd | claims
//! ```

mod certificates;
mod commands;
mod trouble;
mod waits;

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    certs::{Certs, leaked},
    history::Violation,
    transcript::Transcript,
    world::{Setup, World},
};

/// Between two looks at the world.
const STEP: Duration = Duration::from_secs(1);

/// What came of a script.
pub struct Played {
    /// What happened.
    pub transcript: String,
    /// Rules that were broken without being expected, each with how to see it again.
    pub broken: Vec<String>,
}

/// Plays the script. `again` is the command that plays it once more.
///
/// # Errors
/// When the world cannot start.
pub async fn play(script: &str, seed: u64, again: &str) -> anyhow::Result<Played> {
    play_in(script, Setup::new(seed), again).await
}

/// As [`play`], in a world of one's own.
///
/// # Errors
/// When the world cannot start.
pub async fn play_in(script: &str, mut setup: Setup, again: &str) -> anyhow::Result<Played> {
    let lines: Vec<&str> = script.lines().collect();
    prepare(&lines, &mut setup)?;
    let world = World::start_with(setup).await?;
    let mut scene = Scene { world, transcript: Transcript::default(), expected: BTreeSet::new(), certs: None };
    for line in lines {
        scene.transcript.command(line);
        if let Err(error) = scene.command(line.trim()).await {
            scene.transcript.say(scene.world.seconds(), &format!("! {error:#}"));
        }
        scene.look();
    }
    Ok(scene.end(again).await)
}

/// What has to be so before the world starts.
fn prepare(lines: &[&str], setup: &mut Setup) -> anyhow::Result<()> {
    for line in lines {
        match line.split_once(' ') {
            Some(("load", folder)) => {
                setup.objects = serde_json::from_str(&read(&format!("{}/objects.json", folder.trim()))?)?;
                let cluster = setup.objects.iter().find(|object| object["kind"] == "TidbCluster");
                let namespace = cluster.and_then(|cluster| cluster["metadata"]["namespace"].as_str());
                namespace.context("a start state with a TidbCluster")?.clone_into(&mut setup.namespace);
            }
            Some(("with", "lease")) => setup.lease = true,
            _ => {}
        }
    }
    Ok(())
}

struct Scene {
    world: World,
    transcript: Transcript,
    /// Violations that the script has expected.
    expected: BTreeSet<Violation>,
    certs: Option<Certs>,
}

impl Scene {
    async fn command(&mut self, line: &str) -> anyhow::Result<()> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match (verb, &words[..]) {
            ("" | "#" | "load" | "with", _) => Ok(()),
            ("start", [file, seconds @ ..]) => self.start(file, seconds.first().copied()).await,
            ("apply", [file]) => self.world.apply(file, &read(file)?).await,
            ("force", [file]) => self.world.apply_object(&serde_saphyr::from_str::<Value>(&read(file)?)?).await,
            ("patch", [cluster, ..]) => self.world.patch(cluster, &serde_json::from_str(after(rest, 1))?).await,
            ("edit", [kind, name, ..]) => self.edit(kind, name, after(rest, 2)).await,
            ("certs", [cluster, how @ ..]) => self.certificates(cluster, how).await,
            ("wait-ready", [cluster, seconds]) => self.wait_ready(cluster, seconds.parse()?).await,
            ("wait-pods", [seconds]) => self.wait_pods(seconds.parse()?).await,
            ("wait-for", [seconds, kind, name, pointer, ..]) => {
                self.wait_for(seconds.parse()?, (kind, name, pointer), after(rest, 4)).await
            }
            ("advance", [seconds]) => self.advance(seconds.parse()?).await,
            ("quiet", [seconds]) => self.quiet(seconds.parse()?).await,
            ("lead", [pod]) => self.lead(pod).await,
            ("rogue", words) => self.rogue(words, rest).await,
            ("expect", [rule]) => self.expect(rule),
            ("show", what) => self.show(what).await,
            _ => self.trouble(verb, &words).await,
        }
    }

    async fn step(&mut self) {
        self.world.pass(STEP).await;
        self.look();
    }

    fn look(&mut self) {
        self.world.history.look();
        self.transcript.look(&self.world);
    }

    /// A rule is broken on purpose.
    fn expect(&mut self, rule: &str) -> anyhow::Result<()> {
        let violations = self.world.history.violations();
        let new: Vec<Violation> =
            violations.into_iter().filter(|v| v.rule == rule && !self.expected.contains(v)).collect();
        if new.is_empty() {
            self.world.history.broken("expected", rule, format!("nobody noticed that {rule} was broken"));
            bail!("{rule} was not broken");
        }
        for violation in new {
            let Violation { rule, object, what, .. } = &violation;
            self.transcript.say(self.world.seconds(), &format!("{rule}: {object}: {what}"));
            self.expected.insert(violation);
        }
        Ok(())
    }

    async fn end(mut self, again: &str) -> Played {
        // What a rogue wrote on purpose was read again.
        let on_purpose = self.expected.iter().any(|violation| violation.rule == "S28");
        if let Some(mark) = leaked(&self.world.told()).filter(|_| !on_purpose) {
            self.world.history.broken(
                "S28",
                "what the operator tells",
                format!("it holds {mark}, which is a Secret's"),
            );
        }
        let mut broken = Vec::new();
        for violation in self.world.history.violations() {
            if self.expected.contains(&violation) {
                continue;
            }
            let Violation { rule, step, ms, object, what } = violation;
            let seconds = (ms as f64 - self.world.started_ms() as f64) / 1000.0;
            self.transcript.say(self.world.seconds(), &format!("BROKEN {rule} at {seconds:.1}: {object}: {what}"));
            broken.push(format!("{rule}: {object}: {what} (request {step}, {seconds:.1} s; again: {again})"));
        }
        let transcript = std::mem::take(&mut self.transcript).text();
        self.world.stop().await;
        Played { transcript, broken }
    }
}

/// What follows the first `words` words.
fn after(line: &str, words: usize) -> &str {
    (0..words).fold(line, |line, _| line.trim_start().split_once(' ').map_or("", |(_, rest)| rest)).trim()
}

/// A file of the repository.
fn read(file: &str) -> anyhow::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {file}"))
}

/// The API version of the kinds that scripts name.
fn api_version(kind: &str) -> &'static str {
    match kind {
        "StatefulSet" | "Deployment" | "ControllerRevision" => "apps/v1",
        "TidbCluster" => "pingcap.com/v1alpha1",
        "Lease" => "coordination.k8s.io/v1",
        "Role" | "RoleBinding" => "rbac.authorization.k8s.io/v1",
        _ => "v1",
    }
}
