//! One pod's life on its node, from mounted volumes to the last breath.
//!
//! [`PodMachine`] is a state machine: it moves when it is looked at and says what it needs from the API server and
//! when to look again. Writing is the caller's part.

pub mod container;
pub mod events;
pub mod mounts;
pub mod status;
mod stopping;

use k8s_openapi::api::core::v1::{Container, Pod};
use rand::{Rng, rngs::SmallRng};

use self::{
    container::{ContainerRun, Phase, Shown},
    events::{About, Happening},
    mounts::Mounted,
};
use super::{
    network::Key,
    process::{
        Process,
        launch::{self, Kind},
    },
    world::World,
};

/// Time to pull an image and create the containers, milliseconds.
const CREATE_MS: (u64, u64) = (300, 1_500);
/// Time that an init container takes, milliseconds.
const INIT_MS: (u64, u64) = (200, 900);
/// Between two tries to mount what is missing, milliseconds.
const MOUNT_AGAIN_MS: u64 = 5_000;
/// Between two tries to pull an image that is missing, milliseconds.
const PULL_AGAIN_MS: u64 = 15_000;

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its volumes and the files in them are wanted.
    Mounting {
        /// When to try, milliseconds since the Unix epoch.
        next: u64,
    },
    /// Its images are pulled.
    Pulling {
        /// Done then.
        until: u64,
    },
    /// Its init containers run, one after the other.
    Initialising {
        /// The one that runs.
        index: usize,
        /// It is done then.
        until: u64,
    },
    /// Its containers run, or are started again.
    Running,
    /// It was told to end.
    Stopping {
        /// All containers are gone then.
        until: u64,
        /// Its grace period ends first: the rest is killed.
        cut: bool,
    },
    /// No container is left.
    Ended,
}

/// What a look at a pod asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Look again then, milliseconds since the Unix epoch.
    pub wake: Option<u64>,
    /// Gather its mounted files, then look again: see [`PodMachine::mounted`].
    pub mounts: bool,
    /// Ask the discovery service for it, then look again.
    pub discovery: bool,
    /// It has ended and was deleted: remove the object.
    pub removal: bool,
}

/// A pod on a node.
#[derive(Debug)]
pub struct PodMachine {
    /// Namespace and name.
    pub key: Key,
    /// Its uid: a pod of the same name and another uid is another pod.
    pub uid: String,
    /// Its node.
    pub node: String,
    /// Its address, empty until its sandbox exists.
    pub ip: String,
    /// When the kubelet saw it first, milliseconds since the Unix epoch.
    pub seen_at: u64,
    /// Where it is.
    pub stage: Stage,
    /// Init containers, in order.
    pub init: Vec<ContainerRun>,
    /// The other containers.
    pub main: Vec<ContainerRun>,
    /// Events that wait to be written.
    pub happenings: Vec<Happening>,
    /// Since when each condition has its value.
    pub conditions: status::Conditions,
    /// The status that was written last.
    pub written: Option<serde_json::Value>,
    /// It ran before the simulator did.
    resumes: bool,
    files: Option<Mounted>,
    /// `files` were gathered since a container ended last: a container sees its files as they are when it starts.
    fresh: bool,
    rng: SmallRng,
}

impl PodMachine {
    /// A pod that was just bound to its node, or that runs there already according to its status.
    pub fn new(pod: &Pod, world: &World, now: u64) -> Self {
        let key = key_of(pod);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let spec = pod.spec.as_ref();
        let containers = |list: Option<&Vec<Container>>| -> Vec<ContainerRun> {
            list.into_iter()
                .flatten()
                .map(|c| ContainerRun::new(c, c.restart_policy.as_deref() == Some("Always")))
                .collect()
        };
        let mut init = containers(spec.and_then(|spec| spec.init_containers.as_ref()));
        let mut main = containers(spec.map(|spec| &spec.containers));
        if !init.is_empty() {
            let waits = Phase::Waiting { reason: "PodInitializing", message: String::new() };
            init.iter_mut().skip(1).chain(&mut main).for_each(|run| run.phase = waits.clone());
        }
        let resumes = status::restore(pod, &mut init, &mut main);
        let reported = pod.status.as_ref();
        Self {
            rng: world.seed.stream(&format!("pod/{}/{}", key.0, uid)),
            ip: reported.and_then(|status| status.pod_ip.clone()).unwrap_or_default(),
            seen_at: reported.and_then(|s| s.start_time.as_ref()).map_or(now, |time| status::milliseconds(time, now)),
            node: spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            conditions: status::Conditions::of(pod, now),
            stage: Stage::Mounting { next: now },
            happenings: Vec::new(),
            written: None,
            files: None,
            fresh: false,
            key,
            uid,
            init,
            main,
            resumes,
        }
    }

    /// Moves as far as it can at `now`.
    pub fn step(&mut self, pod: &Pod, world: &mut World, now: u64) -> Needs {
        if pod.metadata.deletion_timestamp.is_some() && !matches!(self.stage, Stage::Stopping { .. } | Stage::Ended) {
            self.begin_stopping(pod, world, now);
        }
        loop {
            match self.stage {
                Stage::Mounting { next } if next <= now => return Needs { mounts: true, ..Needs::default() },
                Stage::Mounting { next } => return wake(next),
                Stage::Pulling { until } if until <= now => self.pulled(pod, world, now),
                Stage::Pulling { until } => return wake(until),
                Stage::Initialising { index, until } if until <= now => self.init_done(index, now),
                Stage::Initialising { until, .. } => return wake(until),
                Stage::Running => return self.run(pod, world, now),
                Stage::Stopping { until, cut } if until <= now => self.finish_stopping(world, now, cut),
                Stage::Stopping { until, .. } => return wake(until),
                Stage::Ended => {
                    return Needs { removal: pod.metadata.deletion_timestamp.is_some(), ..Needs::default() };
                }
            }
        }
    }

    /// Its files are there, or something is missing.
    pub fn mounted(&mut self, mounted: Result<Mounted, mounts::Missing>, world: &mut World, now: u64) {
        match mounted {
            Ok(mounted) => {
                self.files = Some(mounted);
                self.fresh = true;
                if self.stage == Stage::Running {
                    return;
                }
                self.stage = if self.resumes {
                    self.resume_programs(world, now);
                    Stage::Running
                } else {
                    Stage::Pulling { until: now + self.rng.random_range(CREATE_MS.0..=CREATE_MS.1) }
                };
            }
            Err(missing) => {
                self.stage = Stage::Mounting { next: now + MOUNT_AGAIN_MS };
                if let Some((container, message)) = &missing.container {
                    self.wait(container, "CreateContainerConfigError", message);
                    self.happen("Warning", "Failed", format!("Error: {message}"), Some(container));
                } else {
                    self.happen("Warning", "FailedMount", missing.message, None);
                }
            }
        }
    }

    /// Whether all containers pass their probes.
    pub fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Running) && self.main.iter().all(|run| run.ready)
    }

    fn pulled(&mut self, pod: &Pod, world: &mut World, now: u64) {
        if world.faults.pod(&self.key).image_missing {
            let images: Vec<(String, String)> =
                self.main.iter().map(|run| (run.name.clone(), run.image.clone())).collect();
            for (name, image) in images {
                let message = format!("failed to pull and unpack image \"{image}\": not found");
                self.wait(&name, "ErrImagePull", &message);
                self.happen("Warning", "Failed", format!("Failed to pull image \"{image}\": not found"), Some(&name));
                self.happen("Warning", "Failed", "Error: ErrImagePull".to_owned(), Some(&name));
            }
            self.stage = Stage::Pulling { until: now + PULL_AGAIN_MS };
            return;
        }
        if self.ip.is_empty() {
            self.ip = status::allocate_ip(pod, world, &self.key);
        }
        self.stage = self.next_init(0, now);
    }

    /// Starts the `index`th init container, if there is one.
    fn next_init(&mut self, index: usize, now: u64) -> Stage {
        let Some(run) = self.init.get_mut(index) else { return Stage::Running };
        run.begin(now);
        let name = run.name.clone();
        let stays = run.stays;
        if stays {
            run.ready = true;
        }
        self.started(&name);
        let takes = if stays { 0 } else { self.rng.random_range(INIT_MS.0..=INIT_MS.1) };
        Stage::Initialising { index, until: now + takes }
    }

    fn init_done(&mut self, index: usize, now: u64) {
        if let Some(run) = self.init.get_mut(index)
            && !run.stays
        {
            run.end(now, 0, "Completed", "", false);
            run.ready = true;
        }
        self.stage = self.next_init(index + 1, now);
    }

    fn run(&mut self, pod: &Pod, world: &mut World, now: u64) -> Needs {
        let mut needs = Needs::default();
        if world.faults.kills.remove(&self.key) {
            self.kill_all(pod, world, now);
        }
        let specs = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        for (index, spec) in specs.iter().enumerate() {
            // A program may end and start again at once; a bound keeps a mistake from looping for ever.
            for _ in 0..4 {
                if !self.run_container(index, spec, pod, world, now, &mut needs) {
                    break;
                }
            }
        }
        if self.main.iter().all(|run| matches!(run.phase, Phase::Ended(_))) {
            self.stage = Stage::Ended;
        }
        needs
    }

    /// Looks at one container; true when it changed and is to be looked at again.
    fn run_container(
        &mut self,
        index: usize,
        spec: &Container,
        pod: &Pod,
        world: &mut World,
        now: u64,
        needs: &mut Needs,
    ) -> bool {
        let Some(run) = self.main.get_mut(index) else { return false };
        match run.phase.clone() {
            Phase::Ended(_) => false,
            Phase::BackOff { until } if until > now => {
                sooner(&mut needs.wake, Some(until));
                false
            }
            Phase::BackOff { .. } if !self.fresh => {
                needs.mounts = true;
                false
            }
            Phase::BackOff { .. } | Phase::Waiting { .. } => {
                if matches!(run.phase, Phase::BackOff { .. }) {
                    run.begin_again(now);
                } else {
                    run.begin(now);
                }
                self.started(&spec.name);
                self.start_program(spec, pod, world, now);
                true
            }
            Phase::Running { .. } => self.watch_container(index, spec, pod, world, now, needs),
        }
    }

    fn watch_container(
        &mut self,
        index: usize,
        spec: &Container,
        pod: &Pod,
        world: &mut World,
        now: u64,
        needs: &mut Needs,
    ) -> bool {
        let mut shown = Shown { listening: true, serving: true };
        if self.is_program(spec, world) {
            let Some(mut process) = world.processes.remove(&self.key) else { return false };
            let progress = process.step(world, now);
            if let Some((code, message)) = progress.exited {
                process.gone(world, now);
                self.ended(index, pod, now, code, &message);
                return true;
            }
            world.processes.insert(self.key.clone(), process);
            shown = progress.shown;
            needs.discovery |= progress.asks_discovery;
            sooner(&mut needs.wake, progress.wake.filter(|_| !progress.asks_discovery));
        } else if world.faults.pod(&self.key).never_ready {
            shown = Shown::default();
        }
        let never = world.faults.pod(&self.key).never_ready;
        if let Some(run) = self.main.get_mut(index) {
            let wake = run.observe(spec.readiness_probe.as_ref(), shown, now);
            run.ready &= !never;
            sooner(&mut needs.wake, wake);
        }
        false
    }

    fn ended(&mut self, index: usize, pod: &Pod, now: u64, code: i32, message: &str) {
        let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
        let again = policy == "Always" || (policy == "OnFailure" && code != 0);
        let Some(run) = self.main.get_mut(index) else { return };
        run.end(now, code, if code == 0 { "Completed" } else { "Error" }, message, again);
        self.fresh = false;
        if let Phase::BackOff { until } = run.phase
            && until > now
        {
            let name = run.name.clone();
            let text = format!(
                "Back-off restarting failed container {name} in pod {}_{}({})",
                self.key.1, self.key.0, self.uid
            );
            self.happen("Warning", "BackOff", text, Some(&name));
        }
    }

    /// SIGKILL to everything that runs.
    fn kill_all(&mut self, pod: &Pod, world: &mut World, now: u64) {
        if let Some(mut process) = world.processes.remove(&self.key) {
            process.gone(world, now);
        }
        for index in 0..self.main.len() {
            if matches!(self.main.get(index).map(|run| &run.phase), Some(Phase::Running { .. })) {
                self.ended(index, pod, now, 137, "");
            }
        }
    }

    /// The container with the simulated program: the first that is one.
    fn is_program(&self, spec: &Container, world: &World) -> bool {
        world.processes.contains_key(&self.key)
            && self.files.as_ref().is_some_and(|files| files.program.as_deref() == Some(spec.name.as_str()))
    }

    fn start_program(&mut self, spec: &Container, pod: &Pod, world: &mut World, now: u64) {
        let Some(files) = &self.files else { return };
        if files.program.as_deref() != Some(spec.name.as_str()) {
            return;
        }
        let launch = launch::read(pod, spec, &files.files(&spec.name), files.disk.clone());
        let process = Process::start(launch, world, now);
        world.processes.insert(self.key.clone(), process);
    }

    fn resume_programs(&mut self, world: &mut World, now: u64) {
        let Some(files) = &self.files else { return };
        let Some((pod, spec)) = files.program_spec() else { return };
        let launch = launch::read(pod, spec, &files.files(&spec.name), files.disk.clone());
        let process = Process::resume(launch, world, now);
        world.processes.insert(self.key.clone(), process);
    }

    fn wait(&mut self, container: &str, reason: &'static str, message: &str) {
        if let Some(run) = self.main.iter_mut().find(|run| run.name == container) {
            run.phase = Phase::Waiting { reason, message: message.to_owned() };
        }
    }

    /// The events of a container that is created and started.
    fn started(&mut self, container: &str) {
        let image = self.init.iter().chain(&self.main).find(|run| run.name == container).map(|run| run.image.clone());
        let image = image.unwrap_or_default();
        let present = format!("Container image \"{image}\" already present on machine");
        self.happen("Normal", "Pulled", present, Some(container));
        self.happen("Normal", "Created", format!("Created container: {container}"), Some(container));
        self.happen("Normal", "Started", format!("Started container {container}"), Some(container));
    }

    fn happen(&mut self, kind: &'static str, reason: &'static str, message: String, container: Option<&str>) {
        let init = container.is_some_and(|name| self.init.iter().any(|run| run.name == name));
        let list = if init { "initContainers" } else { "containers" };
        self.happenings.push(Happening {
            about: About {
                kind: "Pod",
                namespace: self.key.0.clone(),
                name: self.key.1.clone(),
                uid: self.uid.clone(),
                api_version: "v1",
                field: container.map(|name| format!("spec.{list}{{{name}}}")).unwrap_or_default(),
            },
            kind,
            reason,
            message,
            component: "kubelet",
            host: self.node.clone(),
        });
    }
}

/// Whether the simulator has a program for this container; others just run.
pub fn has_program(pod: &Pod, spec: &Container) -> bool {
    launch::kind_of(pod, spec) != Kind::Plain
}

/// Namespace and name of a pod.
pub fn key_of(pod: &Pod) -> Key {
    (pod.metadata.namespace.clone().unwrap_or_default(), pod.metadata.name.clone().unwrap_or_default())
}

fn wake(at: u64) -> Needs {
    Needs { wake: Some(at), ..Needs::default() }
}

/// Keeps the earlier of two times.
fn sooner(wake: &mut Option<u64>, other: Option<u64>) {
    *wake = match (*wake, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}
