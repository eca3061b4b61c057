//! One PD cluster: its state, and the queue of what will happen by itself.

use std::collections::BTreeMap;

use rand::{Rng, rngs::SmallRng};
use serde_json::Value;

use super::{
    TimeMs,
    config::Config,
    etcd::Member,
    fleet::StartArgs,
    leadership::{Cause, Leadership},
    process::{Phase, Process},
    regions::Regions,
    schedulers::Schedulers,
    stores::Store,
    timing::{ETCD_UP, LISTEN, draw},
};

/// Members of one etcd cluster with the stores that use it.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Cluster {
    pub id: u64,
    pub now: TimeMs,
    /// Not kept: a restored cluster draws anew.
    #[serde(skip, default = "super::keep::no_rng")]
    pub rng: SmallRng,
    #[serde(with = "super::keep::pairs")]
    events: BTreeMap<(TimeMs, u64), Event>,
    next_seq: u64,
    pub members: Vec<Member>,
    pub processes: BTreeMap<String, Process>,
    next_life: u64,
    pub lead: Leadership,
    pub config: Config,
    /// When the first store registered.
    pub bootstrapped: Option<TimeMs>,
    pub stores: BTreeMap<u64, Store>,
    pub ids: IdAllocator,
    pub regions: Regions,
    pub schedulers: Schedulers,
    /// The marker of a restore from volume snapshots.
    pub snapshot_recovering: bool,
    /// Microservice processes: service and name.
    #[serde(with = "super::keep::pairs")]
    pub ms: BTreeMap<(String, String), MsProcess>,
    /// Who acts, by service.
    #[serde(default)]
    pub ms_primaries: BTreeMap<String, MsPrimary>,
}

/// Something that happens by itself.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) enum Event {
    /// The etcd of a process takes part.
    EtcdUp { process: String, life: u64 },
    /// The server of a process answers.
    Served { process: String, life: u64 },
    /// A terminated process ends.
    Ended { process: String, life: u64 },
    /// The leader can no longer prolong its lease.
    StepsDown { epoch: u64 },
    /// A leader that was removed from etcd stops answering as one.
    RemovedStops { epoch: u64 },
    /// The next leader serves.
    Elected { epoch: u64 },
    /// Leader priorities are compared.
    PriorityCheck { epoch: u64 },
    /// A leader without the regions asks whether they have been reported.
    PreparePoll { epoch: u64 },
    /// Preparing and Offline stores are looked at.
    StoreCheck { epoch: u64 },
    /// Regions move.
    Schedule,
    /// A pause of a scheduler ends.
    Recheck,
    /// What etcd knows of a microservice process that was killed ends.
    MsLeaseEnds { service: String, name: String, life: TimeMs },
    /// One of a microservice's processes becomes its primary: `target`, or whoever is first.
    MsElected { service: String, epoch: u64, target: String },
}

/// Ids of stores, regions and peers: rising, in blocks, a leader begins a new block.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct IdAllocator {
    last: u64,
    block_end: u64,
}

/// Ids that a leader takes from etcd at once.
const ID_BLOCK: u64 = 1_000;

impl IdAllocator {
    pub fn next(&mut self) -> u64 {
        self.last += 1;
        self.block_end = self.block_end.max(self.last.div_ceil(ID_BLOCK) * ID_BLOCK);
        self.last
    }

    /// The id is taken, from before this simulation.
    pub fn taken(&mut self, id: u64) {
        self.last = self.last.max(id);
    }

    /// A new leader does not know how far the last one came in its block.
    pub fn new_leader(&mut self) {
        self.last = self.block_end;
    }
}

/// A TSO or scheduling process.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct MsProcess {
    pub address: String,
    pub version: String,
    pub started_at: TimeMs,
    pub stopped_at: Option<TimeMs>,
}

/// Which process of a microservice acts.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct MsPrimary {
    /// Its name, and when it started: another life does not inherit it.
    pub who: Option<(String, TimeMs)>,
    /// Rises with each change, so that elections that were overtaken come to nothing.
    pub epoch: u64,
    /// Somebody will be elected.
    pub electing: bool,
}

impl Cluster {
    pub fn new(mut rng: SmallRng, now: TimeMs, config: &Value) -> Self {
        let id = ((now / 1_000) << 32) | u64::from(rng.random::<u32>());
        Self {
            id,
            now,
            rng,
            events: BTreeMap::new(),
            next_seq: 0,
            members: Vec::new(),
            processes: BTreeMap::new(),
            next_life: 0,
            lead: Leadership::default(),
            config: Config::new(config),
            bootstrapped: None,
            stores: BTreeMap::new(),
            ids: IdAllocator::default(),
            regions: Regions::default(),
            schedulers: Schedulers::default(),
            snapshot_recovering: false,
            ms: BTreeMap::new(),
            ms_primaries: BTreeMap::new(),
        }
    }

    /// Lets happen what happens by itself until `now`.
    pub fn advance(&mut self, now: TimeMs) {
        while let Some((&key, _)) = self.events.first_key_value() {
            if key.0 > now {
                break;
            }
            let Some(event) = self.events.remove(&key) else { break };
            self.now = self.now.max(key.0);
            self.happen(event);
        }
        self.now = self.now.max(now);
    }

    /// When the next event is due.
    pub fn next_change_ms(&self) -> Option<TimeMs> {
        self.events.first_key_value().map(|(key, _)| key.0)
    }

    pub fn after(&mut self, delay_ms: u64, event: Event) {
        self.next_seq += 1;
        self.events.insert((self.now + delay_ms, self.next_seq), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::EtcdUp { process, life } => self.etcd_up(&process, life),
            Event::Served { process, life } => self.served(&process, life),
            Event::Ended { process, life } => self.ended(&process, life),
            Event::StepsDown { epoch } if epoch == self.lead.epoch => self.steps_down(),
            Event::RemovedStops { epoch } if epoch == self.lead.term => self.steps_down(),
            Event::Elected { epoch } if epoch == self.lead.epoch => self.elected(),
            Event::PriorityCheck { epoch } if epoch == self.lead.term => self.priority_check(),
            Event::PreparePoll { epoch } if epoch == self.lead.term => self.prepare_poll(),
            Event::StoreCheck { epoch } if epoch == self.lead.term => self.store_check(),
            Event::Schedule => self.schedule_step(),
            Event::Recheck => self.regions_changed(),
            Event::MsLeaseEnds { service, name, life } => self.ms_lease_ends(&service, &name, life),
            Event::MsElected { service, epoch, target } => self.ms_elected(&service, epoch, &target),
            _ => {}
        }
    }

    /// A new process of this cluster, from the start to its etcd taking part after `etcd_up_ms`.
    pub fn add_process(&mut self, process: &str, args: StartArgs, member: u64, etcd_up_ms: Option<u64>) {
        self.next_life += 1;
        let life = self.next_life;
        let initial_cluster = self.initial_cluster(&args);
        self.processes.insert(
            process.into(),
            Process {
                args,
                member,
                phase: Phase::Booting,
                started_at: self.now,
                listen_at: self.now + LISTEN,
                life,
                paused: false,
                believes_until: 0,
                ready: false,
                synced: false,
                removed: None,
                campaigns: Vec::new(),
                faults: super::Faults::default(),
                initial_cluster,
            },
        );
        if let Some(delay) = etcd_up_ms {
            self.after(delay, Event::EtcdUp { process: process.into(), life });
        }
    }

    fn initial_cluster(&self, args: &StartArgs) -> String {
        let own = format!("{}={}", args.name, args.advertise_peer_url);
        if args.join.is_empty() {
            return own;
        }
        let others = self.members.iter().filter(|member| member.started() && member.name != args.name);
        let mut all: Vec<String> = others.map(|member| format!("{}={}", member.name, member.peer_url)).collect();
        all.push(own);
        all.join(",")
    }

    /// The first member of a new cluster starts.
    pub fn start_first(&mut self, now: TimeMs, process: &str, args: StartArgs) -> u64 {
        self.advance(now);
        let member = self.new_member(&args);
        let delay = draw(&mut self.rng, ETCD_UP);
        self.add_process(process, args, member, Some(delay));
        member
    }

    /// Adds a voter that has not started.
    pub fn new_member(&mut self, args: &StartArgs) -> u64 {
        let id = self.rng.random_range(1 << 60..1 << 63);
        self.members.push(Member {
            id,
            name: String::new(),
            peer_url: args.advertise_peer_url.clone(),
            client_url: String::new(),
            version: args.version.clone(),
            leader_priority: 0,
            connected_since: None,
        });
        self.members.sort_by_key(|member| member.id);
        id
    }

    /// A member joins the list as one that has started before, and starts.
    pub fn adopt(&mut self, now: TimeMs, process: &str, args: StartArgs, member: u64) {
        if self.members.iter().all(|known| known.id != member) {
            self.members.push(Member {
                id: member,
                name: args.name.clone(),
                peer_url: args.advertise_peer_url.clone(),
                client_url: args.advertise_client_url.clone(),
                version: args.version.clone(),
                leader_priority: 0,
                connected_since: None,
            });
            self.members.sort_by_key(|member| member.id);
        }
        self.restart(now, process, args, member);
    }

    /// A process starts with the data of `member`.
    pub fn restart(&mut self, now: TimeMs, process: &str, args: StartArgs, member: u64) {
        self.advance(now);
        let known = self.members.iter().any(|it| it.id == member);
        // With the data of a removed member etcd never finds its peers: the process runs and nothing answers.
        let delay = known.then(|| self.restart_delay());
        self.add_process(process, args, member, delay);
    }

    fn etcd_up(&mut self, process: &str, life: u64) {
        let now = self.now;
        let Some(it) = self.processes.get_mut(process).filter(|it| it.life == life && it.phase == Phase::Booting)
        else {
            return;
        };
        it.phase = Phase::WaitsForEtcd;
        let (id, args) = (it.member, it.args.clone());
        let count = self.members.len();
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else { return };
        let cause = if count == 2 && !member.started() { Cause::SecondJoined } else { Cause::Returned };
        member.connected_since = Some(now);
        member.name = args.name;
        member.peer_url = args.advertise_peer_url;
        member.client_url = args.advertise_client_url;
        member.version = args.version;
        self.liveness_changed(cause);
        self.start_waiting_servers();
    }

    pub fn process_of(&self, member: u64) -> Option<(&String, &Process)> {
        self.processes.iter().find(|(_, it)| it.member == member && it.running())
    }

    /// A member that was removed, while its process runs.
    pub fn removed_member(&self, id: u64) -> Option<Member> {
        let (_, it) = self.process_of(id)?;
        Some(Member {
            id,
            name: it.args.name.clone(),
            peer_url: it.args.advertise_peer_url.clone(),
            client_url: it.args.advertise_client_url.clone(),
            version: it.args.version.clone(),
            leader_priority: 0,
            connected_since: None,
        })
    }

    pub fn member(&self, id: u64) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }
}
