//! The programs in the containers: what they wait for, when they serve, why they end.
//!
//! A program moves when it is looked at ([`Process::step`]), which says when to look again. Whatever runs well
//! asks for nothing, so a cluster at rest costs nothing.

pub mod components;
pub mod config;
pub mod launch;
mod stores;

use rand::{Rng, rngs::SmallRng};
use tidepool_pd::discovery::Discovery;

use self::launch::{Kind, Launch};
use super::{
    kubelet::container::Shown,
    pd::{Phase, Start, StartArgs, Stop},
    world::World,
};

/// Waits of a start script before it starts its program, milliseconds.
const SCRIPT_MS: (u64, u64) = (200, 1_500);
/// Between two questions to the discovery service, as in the start script: up to four seconds.
const ASK_AGAIN_MS: (u64, u64) = (500, 4_000);
/// Between two tries to reach PD, or whatever else is not there yet.
const CONNECT_AGAIN_MS: (u64, u64) = (800, 1_600);
/// From reaching PD to serving.
const PREPARE_MS: (u64, u64) = (600, 2_500);
/// The first TiDB server of a database creates the system tables.
const BOOTSTRAP_SQL_MS: u64 = 4_000;
/// … which splits off so many regions.
const SYSTEM_REGIONS: usize = 40;
/// From SIGTERM to the end, for programs other than PD.
const STOP_MS: (u64, u64) = (200, 1_500);
/// From a fatal mistake to the end.
const FAIL_MS: u64 = 300;

/// A running program.
#[derive(Debug)]
pub struct Process {
    /// What it was told.
    pub launch: Launch,
    /// What the discovery service remembers; for the other kinds unused.
    pub discovery: Discovery,
    /// Milliseconds since the Unix epoch.
    pub started_at: u64,
    /// Since when it serves.
    pub serving_since: Option<u64>,
    state: State,
    rng: SmallRng,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The start script waits.
    Script { until: u64 },
    /// A PD without data wants to be told what to do.
    Asking { next: u64 },
    /// A PD was told and is about to start.
    Told { until: u64, flags: String },
    /// Looks for PD.
    Connecting { next: u64 },
    /// Found it and gets ready.
    Preparing { until: u64 },
    /// Does its work.
    Live,
    /// Dies of a mistake.
    Failing { at: u64, message: String },
    /// Was told to end.
    Stopping,
}

/// How a program is, and when to look at it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What probes see.
    pub shown: Shown,
    /// It ended with this code and these last words.
    pub exited: Option<(i32, String)>,
    /// A PD that has to be told whom to join: see [`Process::told`].
    pub asks_discovery: bool,
    /// Milliseconds since the Unix epoch; never, unless something changes.
    pub wake: Option<u64>,
}

impl Process {
    /// A program that starts now.
    pub fn start(launch: Launch, world: &World, now: u64) -> Self {
        let purpose = format!("process/{}/{}/{}", launch.pod.0, launch.pod.1, now);
        let mut rng = world.seed.stream(&purpose);
        let slow = world.faults.pod(&launch.pod).slow_start_ms;
        let wait = if launch.kind == Kind::Plain { 0 } else { draw(&mut rng, SCRIPT_MS) };
        let state = State::Script { until: now + wait + slow };
        Self { launch, discovery: Discovery::default(), started_at: now, serving_since: None, state, rng }
    }

    /// Moves as far as it can at `now`.
    pub fn step(&mut self, world: &mut World, now: u64) -> Progress {
        // Whatever it was about to do, it stands still.
        if world.faults.pod(&self.launch.pod).silent {
            return Progress::default();
        }
        if let Some(message) = world.faults.pod(&self.launch.pod).crash.clone()
            && !matches!(self.state, State::Failing { .. } | State::Script { .. } | State::Stopping)
        {
            self.state = State::Failing { at: now, message };
        }
        while self.advance(world, now) {}
        let progress = self.progress(world, now);
        if progress.shown.serving && self.serving_since.is_none() {
            self.serving_since = Some(now);
        }
        progress
    }

    /// One transition, if one is due.
    fn advance(&mut self, world: &mut World, now: u64) -> bool {
        let next = match &self.state {
            State::Script { until } if *until <= now => self.script_done(world, now),
            State::Told { until, flags } if *until <= now => {
                let flags = flags.clone();
                self.start_pd(world, now, &flags)
            }
            State::Connecting { next } if *next <= now => self.connect(world, now),
            State::Preparing { until } if *until <= now => State::Live,
            _ => return false,
        };
        let moved = next != self.state;
        self.state = next;
        moved
    }

    fn script_done(&mut self, world: &mut World, now: u64) -> State {
        let launch = &self.launch;
        if let Some(text) = &launch.config
            && let Err(message) = config::check(launch.kind, text)
        {
            return State::Failing { at: now + FAIL_MS, message };
        }
        match launch.kind {
            Kind::Plain | Kind::Discovery => State::Live,
            Kind::Pd if world.has_pd_data(&launch.disk) => self.start_pd(world, now, ""),
            Kind::Pd => State::Asking { next: now },
            _ => State::Connecting { next: now },
        }
    }

    /// The discovery service answered a PD: flags to start with, or why it has to ask again.
    pub fn told(&mut self, answer: Result<String, String>, now: u64) {
        self.state = match answer {
            Ok(flags) => State::Told { until: now + draw(&mut self.rng, SCRIPT_MS), flags },
            Err(reason) => {
                tracing::debug!(pod = %self.launch.pod.1, %reason, "discovery does not answer yet");
                State::Asking { next: now + draw(&mut self.rng, ASK_AGAIN_MS) }
            }
        };
    }

    fn start_pd(&mut self, world: &mut World, now: u64, flags: &str) -> State {
        match world.start_pd(now, &self.launch.pod, self.pd_arguments(flags)) {
            Start::Runs => State::Live,
            Start::Exits { after_ms, reason } => State::Failing { at: now + after_ms, message: reason.to_string() },
        }
    }

    /// The command line that the start script would end with.
    fn pd_arguments(&self, flags: &str) -> StartArgs {
        let launch = &self.launch;
        let scheme = if launch.tls { "https" } else { "http" };
        let flag = |name: &str| {
            flags.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        let config = launch.config.as_deref().and_then(|text| text.parse::<toml::Table>().ok());
        let founded = flag("--initial-cluster=");
        let named = founded.split_once('=').map(|(name, _)| name.to_owned());
        let own_name = launch.member_name().to_owned();
        StartArgs {
            name: named.unwrap_or(own_name),
            data_dir: launch.disk.clone(),
            advertise_client_url: format!("{scheme}://{}:2379", launch.host),
            advertise_peer_url: format!("{scheme}://{}:2380", launch.host),
            initial_cluster: founded,
            join: flag("--join="),
            version: launch.version.clone(),
            config: serde_json::to_value(config.unwrap_or_default()).unwrap_or_default(),
            api_mode: launch.api_mode,
        }
    }

    fn connect(&mut self, world: &mut World, now: u64) -> State {
        let again = State::Connecting { next: now + draw(&mut self.rng, CONNECT_AGAIN_MS) };
        let Some(pd) = world.pd_for(&self.launch) else { return again };
        match self.launch.kind {
            Kind::Tikv | Kind::Tiflash => match stores::register(world, now, &self.launch, &pd) {
                stores::Registered::Yes => State::Preparing { until: now + draw(&mut self.rng, PREPARE_MS) },
                stores::Registered::NotYet => again,
                stores::Registered::Never(message) => State::Failing { at: now + FAIL_MS, message },
            },
            Kind::Tso | Kind::Scheduling => match world.fleet.cluster_id(&pd) {
                Some(cluster) if world.fleet.leader(now, cluster).is_some() => {
                    world.run_service(now, cluster, &self.launch);
                    State::Preparing { until: now + draw(&mut self.rng, PREPARE_MS) }
                }
                _ => again,
            },
            _ => match world.fleet.cluster_id(&pd) {
                Some(cluster) if world.database_usable(now, cluster) => {
                    let mut until = now + draw(&mut self.rng, PREPARE_MS);
                    if self.launch.kind == Kind::Tidb && world.database(cluster).first_sql_start() {
                        until += BOOTSTRAP_SQL_MS;
                        world.fleet.split_regions(now, cluster, SYSTEM_REGIONS);
                    }
                    world.note_cluster(&self.launch.pod, cluster);
                    State::Preparing { until }
                }
                _ => again,
            },
        }
    }

    fn progress(&self, world: &mut World, now: u64) -> Progress {
        let waits = |until: u64| Progress { wake: Some(until), ..Progress::default() };
        match &self.state {
            State::Script { until } | State::Told { until, .. } => waits(*until),
            State::Preparing { until } => waits(*until),
            State::Connecting { next } => waits(*next),
            State::Asking { next } => Progress { asks_discovery: *next <= now, ..waits(*next) },
            State::Failing { at, message } if *at <= now => {
                Progress { exited: Some((1, message.clone())), ..Progress::default() }
            }
            State::Failing { at, .. } => waits(*at),
            State::Stopping => Progress { shown: Shown { listening: true, serving: false }, ..Progress::default() },
            State::Live => Progress { shown: self.shown(world, now), ..Progress::default() },
        }
    }

    fn shown(&self, world: &mut World, now: u64) -> Shown {
        let faults = world.faults.pod(&self.launch.pod);
        if faults.never_ready || faults.silent {
            return Shown::default();
        }
        if self.launch.kind != Kind::Pd {
            return Shown { listening: true, serving: true };
        }
        let process = process_name(&self.launch.pod);
        Shown {
            listening: world.fleet.accepts_tcp(now, &process),
            serving: world.fleet.phase(now, &process) == Phase::Serving,
        }
    }

    /// Whether it does its work, seen from outside.
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Was told to end (SIGTERM); returns when it is gone.
    pub fn terminate(&mut self, world: &mut World, now: u64) -> u64 {
        let was_live = self.is_live();
        self.state = State::Stopping;
        match self.launch.kind {
            Kind::Plain => now + 100,
            Kind::Pd if was_live => world.fleet.stop(now, &process_name(&self.launch.pod), Stop::Term).max(now),
            Kind::Tso | Kind::Scheduling => {
                world.stop_service(now, &self.launch, true);
                now + draw(&mut self.rng, STOP_MS)
            }
            _ => now + draw(&mut self.rng, STOP_MS),
        }
    }

    /// Is gone; what others see of it ends now.
    pub fn gone(&mut self, world: &mut World, now: u64) {
        match self.launch.kind {
            Kind::Pd => {
                world.fleet.stop(now, &process_name(&self.launch.pod), Stop::Kill);
            }
            Kind::Tikv | Kind::Tiflash => stores::stopped(world, now, &self.launch),
            Kind::Tso | Kind::Scheduling => world.stop_service(now, &self.launch, false),
            _ => {}
        }
    }

    /// A program that ran before the simulator did: it goes on without start script or questions.
    pub fn resume(launch: Launch, world: &mut World, now: u64) -> Self {
        let mut process = Self::start(launch, world, now);
        let name = process_name(&process.launch.pod);
        process.state = match process.launch.kind {
            Kind::Plain | Kind::Discovery => State::Live,
            Kind::Pd if world.fleet.phase(now, &name) != Phase::Gone => State::Live,
            Kind::Pd if world.has_pd_data(&process.launch.disk) => process.start_pd(world, now, ""),
            Kind::Pd => process.adopt_pd(world, now),
            Kind::Tikv | Kind::Tiflash if stores::runs(world, now, &process.launch) => State::Live,
            Kind::Tikv | Kind::Tiflash => {
                if let Some(ids) = process.launch.known_ids {
                    world.store_disks.entry(process.launch.disk.clone()).or_insert(ids);
                }
                State::Connecting { next: now }
            }
            _ if world.cluster_of(&process.launch.pod).is_some() => State::Live,
            _ => State::Connecting { next: now },
        };
        process
    }
}

impl Process {
    /// A PD that ran elsewhere before: its pod's labels tell who it was.
    fn adopt_pd(&self, world: &mut World, now: u64) -> State {
        let Some((cluster, member)) = self.launch.known_ids else { return State::Asking { next: now } };
        world.adopt_pd(now, &self.launch.pod, self.pd_arguments(""), cluster, member);
        State::Live
    }
}

/// The name of a pod's program in the PD fleet.
pub fn process_name(pod: &super::network::Key) -> String {
    format!("{}/{}", pod.0, pod.1)
}

fn draw(rng: &mut SmallRng, range: (u64, u64)) -> u64 {
    rng.random_range(range.0..=range.1)
}
