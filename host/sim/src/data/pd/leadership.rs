//! Quorum, elections and the PD leader's lease: who leads, who believes what, and when that changes.
//!
//! Three things are kept apart: the member that answers as leader (`serving`), the member that the leader key in etcd
//! names and that followers forward to (`key`), and etcd's own leader, which follows `serving`. The key outlives a
//! leader that died, because without quorum, or until etcd's new leader lets the lease end, nobody can remove it.

use rand::{Rng, seq::IndexedRandom};

use super::{
    Phase, Stop, TimeMs,
    cluster::{Cluster, Event},
    etcd::{ChangeRefusal, check_add, check_remove, quorum},
    fleet::{JoinRefusal, StartArgs},
    process::{Process, Removal},
    stores::StoreRefusal,
    timing::{
        CAMPAIGN_WINDOW, CAMPAIGNS_MAX, ETCD_UP, JOIN_ETCD_UP, JOIN_SECOND_ETCD_UP, LEADER_KILLED, LEADER_REMOVED,
        LEADER_REMOVED_ANSWERS, LEADER_SILENT, LEADER_TERMINATED, PRIORITY_CHECK, QUORUM_BACK, QUORUM_LOST_STEPS_DOWN,
        RESIGN_NEW_ANSWERS, RESIGN_REPLY, Range, SERVER_UP, SINGLE_RESTART, TERMINATE, TERMINATE_LEADER,
        TRANSFER_NEW_ANSWERS, TRANSFER_OLD_STOPS, TRANSFER_REPLY, TRANSFER_TIMEOUT, WOKEN_LEADER_BELIEVES, draw,
        draw_low,
    },
};

/// Who leads.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Leadership {
    /// The member that answers as leader.
    pub serving: Option<u64>,
    /// The member that the leader key names.
    pub key: Option<u64>,
    /// Since when `serving` leads.
    pub since: TimeMs,
    /// Counts plans: a scheduled change of an older epoch is void.
    pub epoch: u64,
    /// Counts leaders: timers of an older term are void.
    pub term: u64,
    plan: Plan,
    /// Where the leadership will go, if that is decided.
    successor: Option<u64>,
    /// No election before that, by order of a scenario.
    blocked_until: TimeMs,
}

/// What is scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Plan {
    #[default]
    Nothing,
    StepDown,
    Election,
}

/// Why the set of living members changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Killed,
    Silent,
    Terminated,
    Removed,
    Returned,
    /// The second member of a cluster has started for the first time.
    SecondJoined,
}

/// What became of an order to move the leadership.
pub(super) enum Moved {
    /// Answer so much later.
    Submitted(u64),
    /// No such target.
    NoTarget,
    /// Fails after so long.
    TimesOut(u64),
}

impl Cluster {
    /// Voters whose etcd takes part.
    fn living(&self) -> usize {
        self.members.iter().filter(|member| self.member_lives(member.id)).count()
    }

    fn member_lives(&self, id: u64) -> bool {
        self.process_of(id).is_some_and(|(_, it)| it.votes())
    }

    pub fn has_quorum(&self) -> bool {
        !self.members.is_empty() && self.living() >= quorum(self.members.len())
    }

    /// The process that answers as leader.
    pub fn serving_leader(&self) -> Option<&Process> {
        let (_, it) = self.process_of(self.lead.serving?)?;
        it.serves().then_some(it)
    }

    /// True if this process answers as leader.
    pub fn leads(&self, it: &Process) -> bool {
        it.phase == Phase::Serving && (self.lead.serving == Some(it.member) || self.now < it.believes_until)
    }

    /// The leader that this process knows, which may be dead.
    pub fn known_leader(&self, it: &Process) -> Option<u64> {
        if self.leads(it) {
            return Some(it.member);
        }
        if it.removed.is_some() {
            return it.remembered_leader(self.now);
        }
        // A leader that stepped down has forgotten itself.
        self.lead.key.filter(|key| *key != it.member)
    }

    /// A store that talks to `process` reaches the leader.
    pub fn reachable_leader(&self, process: &str) -> Result<(), StoreRefusal> {
        let it = self.processes.get(process).filter(|it| it.serves()).ok_or(StoreRefusal::NoLeader)?;
        let leader = self.known_leader(it).and_then(|id| self.process_of(id)).ok_or(StoreRefusal::NoLeader)?;
        if leader.1.serves() && self.leads(leader.1) { Ok(()) } else { Err(StoreRefusal::NoLeader) }
    }

    fn plan(&mut self, plan: Plan, delay_ms: u64) {
        self.lead.epoch += 1;
        self.lead.plan = plan;
        let epoch = self.lead.epoch;
        match plan {
            Plan::Nothing => {}
            Plan::StepDown => self.after(delay_ms, Event::StepsDown { epoch }),
            Plan::Election => {
                let delay = delay_ms.max(self.lead.blocked_until.saturating_sub(self.now));
                self.after(delay, Event::Elected { epoch });
            }
        }
    }

    /// Looks at quorum and leader after members came or went, and plans what follows.
    pub fn liveness_changed(&mut self, cause: Cause) {
        let leader_lives = self.lead.serving.is_some_and(|id| self.member(id).is_some() && self.member_lives(id));
        match (self.has_quorum(), leader_lives) {
            (true, true) => {
                if self.lead.plan == Plan::StepDown {
                    self.plan(Plan::Nothing, 0);
                }
            }
            (true, false) if self.lead.plan != Plan::Election => {
                let delay = self.election_delay(cause);
                self.plan(Plan::Election, delay);
            }
            (true, false) => {}
            (false, true) if self.lead.plan != Plan::StepDown => {
                let delay = draw(&mut self.rng, QUORUM_LOST_STEPS_DOWN);
                self.plan(Plan::StepDown, delay);
            }
            (false, true) => {}
            (false, false) => self.plan(Plan::Nothing, 0),
        }
    }

    fn election_delay(&mut self, cause: Cause) -> u64 {
        let range: Range = match cause {
            Cause::Killed => LEADER_KILLED,
            Cause::Silent => LEADER_SILENT,
            Cause::Removed => LEADER_REMOVED,
            Cause::Terminated => return draw_low(&mut self.rng, LEADER_TERMINATED),
            Cause::SecondJoined => (10, 40),
            Cause::Returned if self.members.len() == 1 => (50, 150),
            Cause::Returned => return draw_low(&mut self.rng, QUORUM_BACK),
        };
        draw(&mut self.rng, range)
    }

    pub fn steps_down(&mut self) {
        if self.lead.plan == Plan::StepDown {
            self.lead.plan = Plan::Nothing;
        }
        self.lead.serving = None;
        self.leader_left();
    }

    /// The planned election ends: the next leader serves.
    pub fn elected(&mut self) {
        self.lead.plan = Plan::Nothing;
        if !self.has_quorum() {
            return;
        }
        let Some(winner) = self.choose_leader() else {
            self.plan(Plan::Election, SERVER_UP.0);
            return;
        };
        self.leader_left();
        let now = self.now;
        self.lead.successor = None;
        self.lead.serving = Some(winner);
        self.lead.key = Some(winner);
        self.lead.since = now;
        self.lead.term += 1;
        if self.lead.term > 1 {
            self.ids.new_leader();
        }
        for it in self.processes.values_mut().filter(|it| it.member == winner && it.running()) {
            it.campaigns.retain(|at| now - at < CAMPAIGN_WINDOW);
            it.campaigns.push(now);
        }
        self.new_term();
        self.start_waiting_servers();
        self.followers_sync();
        self.schedule_priority_check();
    }

    fn choose_leader(&mut self) -> Option<u64> {
        let candidates: Vec<u64> =
            self.members.iter().map(|member| member.id).filter(|id| self.member_lives(*id)).collect();
        if let Some(successor) = self.lead.successor.filter(|id| candidates.contains(id)) {
            return Some(successor);
        }
        let fresh: Vec<u64> = candidates.iter().copied().filter(|id| !self.is_worn_out(*id)).collect();
        let serving: Vec<u64> = fresh
            .iter()
            .copied()
            .filter(|id| self.process_of(*id).is_some_and(|(_, it)| it.phase == Phase::Serving))
            .collect();
        let pool = [serving, fresh, candidates].into_iter().find(|pool| !pool.is_empty())?;
        pool.choose(&mut self.rng).copied()
    }

    /// It has won so often lately that it would hand the leadership on at once.
    fn is_worn_out(&self, id: u64) -> bool {
        let Some((_, it)) = self.process_of(id) else { return false };
        it.campaigns.iter().filter(|at| self.now - **at < CAMPAIGN_WINDOW).count() >= CAMPAIGNS_MAX
    }

    /// Moves the leadership to the member called `target`.
    pub fn transfer(&mut self, target: &str) -> Moved {
        let Some(id) = self.members.iter().find(|member| member.name == target).map(|member| member.id) else {
            return Moved::NoTarget;
        };
        self.move_leadership(id, TRANSFER_NEW_ANSWERS, TRANSFER_REPLY)
    }

    /// Moves the leadership to any member but the one that was asked.
    pub fn resign(&mut self, asked: u64) -> Moved {
        let others: Vec<u64> = self
            .members
            .iter()
            .filter(|member| member.id != asked && member.started() && self.member_lives(member.id))
            .map(|member| member.id)
            .collect();
        match others.choose(&mut self.rng) {
            Some(&id) => self.move_leadership(id, RESIGN_NEW_ANSWERS, RESIGN_REPLY),
            None => Moved::Submitted(0),
        }
    }

    fn move_leadership(&mut self, id: u64, new_answers: Range, reply: Range) -> Moved {
        if self.lead.serving == Some(id) {
            return Moved::Submitted(0);
        }
        if !self.member_lives(id) || self.is_worn_out(id) {
            return Moved::TimesOut(TRANSFER_TIMEOUT);
        }
        self.lead.successor = Some(id);
        let old_stops = draw(&mut self.rng, TRANSFER_OLD_STOPS);
        let new_answers = draw(&mut self.rng, new_answers).max(old_stops);
        self.plan(Plan::Election, new_answers);
        let epoch = self.lead.epoch;
        self.after(old_stops, Event::StepsDown { epoch });
        Moved::Submitted(draw(&mut self.rng, reply).max(new_answers))
    }

    pub fn schedule_priority_check(&mut self) {
        let leader = self.lead.serving.and_then(|id| self.member(id)).map_or(0, |member| member.leader_priority);
        if self.lead.serving.is_some() && self.members.iter().any(|member| member.leader_priority > leader) {
            let passed = (self.now - self.lead.since) % PRIORITY_CHECK;
            self.after(PRIORITY_CHECK - passed, Event::PriorityCheck { epoch: self.lead.term });
        }
    }

    pub fn priority_check(&mut self) {
        let leader = self.lead.serving.and_then(|id| self.member(id)).map_or(0, |member| member.leader_priority);
        let better = self
            .members
            .iter()
            .filter(|member| member.leader_priority > leader && self.member_lives(member.id))
            .max_by_key(|member| member.leader_priority)
            .map(|member| member.id);
        let moved = better.map(|id| self.move_leadership(id, TRANSFER_NEW_ANSWERS, TRANSFER_REPLY));
        if !matches!(moved, Some(Moved::Submitted(_))) {
            self.schedule_priority_check();
        }
    }

    /// How long a process with data needs until its etcd takes part.
    pub fn restart_delay(&mut self) -> u64 {
        // Nobody else can let the lease of its former life end, so a single member waits for it.
        let range = if self.members.len() == 1 && self.lead.term > 0 { SINGLE_RESTART } else { ETCD_UP };
        draw(&mut self.rng, range)
    }

    /// A process without data joins.
    pub fn join(&mut self, now: TimeMs, process: &str, args: StartArgs) -> Result<u64, JoinRefusal> {
        self.advance(now);
        let leader = self.serving_leader().ok_or(JoinRefusal::Unanswered)?;
        let (observer, since) = (leader.member, leader.started_at);
        if !self.has_quorum() {
            return Err(JoinRefusal::Unanswered);
        }
        if self.members.iter().any(|member| member.name == args.name) {
            return Err(JoinRefusal::MissingData);
        }
        if let Some(member) = self.members.iter().find(|member| !member.started()) {
            return Err(JoinRefusal::UnstartedMember(member.id));
        }
        check_add(&self.members, &args.advertise_peer_url, observer, since, now)
            .map_err(|refusal| JoinRefusal::Etcd(refusal.to_string().replace("etcdserver: ", "")))?;
        // Two have no quorum until the second has started.
        let range = if self.members.len() == 1 { JOIN_SECOND_ETCD_UP } else { JOIN_ETCD_UP };
        let id = self.new_member(&args);
        self.liveness_changed(Cause::Killed);
        let delay = draw(&mut self.rng, range);
        self.add_process(process, args, id, Some(delay));
        Ok(id)
    }

    /// Servers whose etcd has found a leader go on to start.
    pub fn start_waiting_servers(&mut self) {
        if self.lead.serving.is_none() || !self.has_quorum() {
            return;
        }
        let waiting: Vec<(String, u64)> = self
            .processes
            .iter()
            .filter(|(_, it)| it.phase == Phase::WaitsForEtcd && it.votes())
            .map(|(process, it)| (process.clone(), it.life))
            .collect();
        for (process, life) in waiting {
            if let Some(it) = self.processes.get_mut(&process) {
                it.phase = Phase::Starting;
            }
            let delay = draw_low(&mut self.rng, SERVER_UP);
            self.after(delay, Event::Served { process, life });
        }
    }

    pub fn served(&mut self, process: &str, life: u64) {
        if let Some(it) = self.processes.get_mut(process).filter(|it| it.life == life && it.phase == Phase::Starting) {
            it.phase = Phase::Serving;
        }
        self.followers_sync();
        if self.processes.get(process).is_some_and(|it| self.lead.serving == Some(it.member)) {
            self.leader_loads_regions();
            self.begin_prepare();
        }
    }

    /// Serving followers of a leader receive its regions.
    pub fn followers_sync(&mut self) {
        let (serving, bootstrapped) = (self.lead.serving, self.bootstrapped.is_some());
        if serving.is_none() {
            return;
        }
        for it in self.processes.values_mut().filter(|it| it.serves() && it.removed.is_none()) {
            if Some(it.member) != serving {
                it.ready = true;
                it.synced |= bootstrapped;
            }
        }
    }

    /// Stops a process and says when it is gone.
    pub fn stop(&mut self, now: TimeMs, process: &str, how: Stop) -> TimeMs {
        self.advance(now);
        let Some(it) = self.processes.get_mut(process).filter(|it| it.running()) else { return now };
        let (member, life, voted) = (it.member, it.life, it.votes());
        if how == Stop::Kill || it.paused {
            it.phase = Phase::Gone;
            self.member_left(member, voted, Cause::Killed);
            return now;
        }
        if it.phase == Phase::Closing {
            return now;
        }
        it.phase = Phase::Closing;
        let led = self.lead.serving == Some(member);
        let range = if led && self.members.len() > 1 { TERMINATE_LEADER } else { TERMINATE };
        let delay = draw(&mut self.rng, range);
        self.after(delay, Event::Ended { process: process.into(), life });
        self.member_left(member, voted, Cause::Terminated);
        if led && !self.has_quorum() {
            // The lease was given up while there was a quorum.
            self.lead.key = None;
        }
        self.now + delay
    }

    pub fn ended(&mut self, process: &str, life: u64) {
        if let Some(it) = self.processes.get_mut(process).filter(|it| it.life == life) {
            it.phase = Phase::Gone;
        }
    }

    /// A member's etcd no longer takes part.
    fn member_left(&mut self, member: u64, voted: bool, cause: Cause) {
        if let Some(it) = self.members.iter_mut().find(|it| it.id == member) {
            it.connected_since = None;
        }
        if self.lead.serving == Some(member) && cause != Cause::Silent {
            self.lead.serving = None;
            self.leader_left();
        }
        if voted {
            self.liveness_changed(cause);
        }
    }

    pub fn pause(&mut self, now: TimeMs, process: &str) {
        self.advance(now);
        let Some(it) = self.processes.get_mut(process).filter(|it| it.running() && !it.paused) else { return };
        let (member, voted) = (it.member, it.votes());
        it.paused = true;
        self.member_left(member, voted, Cause::Silent);
    }

    pub fn resume(&mut self, now: TimeMs, process: &str) {
        self.advance(now);
        let believes = now + draw(&mut self.rng, WOKEN_LEADER_BELIEVES);
        let lead = (self.lead.serving, self.lead.since);
        let Some(it) = self.processes.get_mut(process).filter(|it| it.paused) else { return };
        it.paused = false;
        // It led when it was paused, and somebody else leads since.
        if lead.0 != Some(it.member) && it.campaigns.last().is_some_and(|won| *won < lead.1) {
            it.believes_until = believes;
        }
        let (member, votes) = (it.member, it.votes());
        if !votes {
            return;
        }
        if let Some(it) = self.members.iter_mut().find(|it| it.id == member) {
            it.connected_since = Some(now);
        }
        self.liveness_changed(Cause::Returned);
        if self.lead.plan == Plan::StepDown && self.lead.serving == Some(member) {
            // Its lease ran out while it stood still; it only has to notice.
            self.plan(Plan::StepDown, believes - now);
        }
        self.start_waiting_servers();
        self.followers_sync();
    }

    /// Removes a voter, if etcd's rules allow it. Gives true if it was the leader.
    pub fn remove_member(&mut self, id: u64, observer: u64) -> Result<bool, ChangeRefusal> {
        let since = self.process_of(observer).map_or(self.now, |(_, it)| it.started_at);
        check_remove(&self.members, id, observer, since, self.now)?;
        self.members.retain(|member| member.id != id);
        let removal = Removal { at: self.now, leader: self.lead.key, members: self.members.clone() };
        for it in self.processes.values_mut().filter(|it| it.member == id && it.running()) {
            it.removed = Some(removal.clone());
        }
        let led = self.lead.serving == Some(id);
        if led {
            let new_answers = draw(&mut self.rng, LEADER_REMOVED);
            let old_stops = draw(&mut self.rng, LEADER_REMOVED_ANSWERS);
            self.plan(Plan::Election, new_answers);
            // Whatever becomes of the election, the removed leader stops.
            self.after(old_stops, Event::RemovedStops { epoch: self.lead.term });
        } else {
            self.liveness_changed(Cause::Removed);
        }
        Ok(led)
    }

    pub fn no_leader_until(&mut self, now: TimeMs, until: TimeMs) {
        self.advance(now);
        self.lead.serving = None;
        self.lead.key = None;
        self.lead.blocked_until = until;
        self.leader_left();
        if self.has_quorum() {
            self.plan(Plan::Election, until.saturating_sub(now));
        }
    }

    /// True in about one of `n` cases.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_range(0..n) == 0
    }
}
