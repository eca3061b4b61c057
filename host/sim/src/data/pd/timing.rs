//! The delays of a real PD v8.5.7, in milliseconds, as measured (`tests/goldens/pd-api/timings.json`).
//!
//! A range is what several runs saw; the simulator draws from it. Three members on one machine, default
//! configuration. A value without a range is a constant of PD or of TiKV.

use rand::{Rng, rngs::SmallRng};

/// Least and greatest delay.
pub type Range = (u64, u64);

/// The leader is killed, until a follower names another.
pub const LEADER_KILLED: Range = (10_940, 12_720);
/// The leader stops answering, until a follower names another.
pub const LEADER_SILENT: Range = (11_250, 12_270);
/// The leader gets SIGTERM, until a follower names another; most often the least value.
pub const LEADER_TERMINATED: Range = (330, 1_840);
/// The leader is removed from etcd: it still answers as leader for so long.
pub const LEADER_REMOVED_ANSWERS: Range = (3_380, 4_580);
/// The leader is removed from etcd, until a follower names another.
pub const LEADER_REMOVED: Range = (11_210, 12_120);
/// Quorum is lost, until the leader steps down.
pub const QUORUM_LOST_STEPS_DOWN: Range = (4_300, 4_960);
/// Quorum is back, until there is a leader; skewed to the median of 4.4 s.
pub const QUORUM_BACK: Range = (1_600, 13_660);
/// A transfer or resign, until the old leader stops answering as leader.
pub const TRANSFER_OLD_STOPS: Range = (40, 90);
/// A transfer, until the new leader answers.
pub const TRANSFER_NEW_ANSWERS: Range = (210, 700);
/// A transfer, until its own answer.
pub const TRANSFER_REPLY: Range = (502, 846);
/// A resign, until the new leader answers.
pub const RESIGN_NEW_ANSWERS: Range = (90, 350);
/// A resign, until its own answer.
pub const RESIGN_REPLY: Range = (503, 538);
/// A transfer to a member that cannot take over fails after so long.
pub const TRANSFER_TIMEOUT: u64 = 5_000;
/// A leader that was paused believes for so long after it wakes that it leads.
pub const WOKEN_LEADER_BELIEVES: Range = (500, 1_000);

/// SIGTERM of a leader of several, until its process is gone.
pub const TERMINATE_LEADER: Range = (740, 1_860);
/// SIGTERM of any other process, until it is gone.
pub const TERMINATE: Range = (20, 250);
/// A process starts, until its port accepts connections.
pub const LISTEN: u64 = 100;
/// A process starts, until its etcd takes part.
pub const ETCD_UP: Range = (130, 300);
/// etcd has a leader, until the server answers.
pub const SERVER_UP: Range = (100, 500);
/// The only member restarts: its old lease has to end first.
pub const SINGLE_RESTART: Range = (4_900, 5_100);
/// The second member joins, until its etcd takes part and there is a quorum again.
pub const JOIN_SECOND_ETCD_UP: Range = (15_690, 16_700);
/// A later member joins, until its etcd takes part.
pub const JOIN_ETCD_UP: Range = (650, 900);
/// A join that is refused, until the process ends.
pub const JOIN_REFUSED: u64 = 300;
/// A join to members that do not answer, until the process ends.
pub const JOIN_UNANSWERED: u64 = 10_000;
/// A removed follower still forwards to the leader it knew for so long.
pub const ZOMBIE_FORWARDS: u64 = 5_000;

/// etcd counts a member as active once it has been connected for so long.
pub const ACTIVE_AFTER: u64 = 5_000;
/// An etcd read or write without quorum fails after so long.
pub const ETCD_TIMEOUT: u64 = 10_000;
/// Waits of a member that knows no leader, before it gives up with 503; 3 s in total.
pub const REDIRECT_WAITS: [u64; 5] = [100, 200, 400, 800, 1_500];
/// A health check waits so long for each member that does not answer, one after another.
pub const HEALTH_PING: u64 = 3_050;
/// More than three elections won in this time make a member hand the leadership on.
pub const CAMPAIGN_WINDOW: u64 = 300_000;
/// The elections that may be won in [`CAMPAIGN_WINDOW`].
pub const CAMPAIGNS_MAX: usize = 3;
/// How often the leader compares priorities.
pub const PRIORITY_CHECK: u64 = 60_000;

/// A store's heartbeat.
pub const STORE_HEARTBEAT: u64 = 10_000;
/// Without a heartbeat for longer a store shows as Disconnected.
pub const DISCONNECTED_AFTER: u64 = 20_000;
/// A store's heartbeat is written to etcd at most so often.
pub const HEARTBEAT_PERSISTED: u64 = 300_000;
/// Preparing to Serving and Offline to Tombstone are checked so often.
pub const STORE_CHECK: u64 = 10_000;
/// A Tombstone store is forgotten so long after its last heartbeat.
pub const TOMBSTONE_KEPT: u64 = 30 * 24 * 3_600_000;
/// A PD that starts alone serves, until it asks for the first time whether the regions have been reported.
pub const PREPARE_FIRST: Range = (2_940, 3_800);
/// A PD that starts alone asks so often whether the regions have been reported.
pub const PREPARE_POLL: u64 = 3_000;
/// … and stops waiting after so long.
pub const PREPARE_MAX: u64 = 300_000;

/// Evicting leaders: until the first batch moves, then between batches.
pub const EVICT: (u64, u64) = (540, 240);
/// Moving peers off a store: until the first has moved, then between two.
pub const DRAIN: (u64, u64) = (2_860, 420);
/// Adding missing peers.
pub const MAKE_UP: (u64, u64) = (500, 100);
/// Balancing leaders.
pub const BALANCE_LEADER: (u64, u64) = (400, 400);
/// Balancing peers.
pub const BALANCE_REGION: (u64, u64) = (2_000, 1_000);
/// A store ends, until its regions have elected leaders elsewhere.
pub const REGION_ELECTION: u64 = 10_000;
/// A microservice's entry outlives its process for so long.
pub const MS_LEASE: u64 = 5_000;
/// A microservice has no primary, until one of its processes is. Not measured: an etcd transaction and a lease.
pub const MS_ELECTED: Range = (100, 900);

/// A delay from `range`.
pub fn draw(rng: &mut SmallRng, range: Range) -> u64 {
    rng.random_range(range.0..=range.1)
}

/// A delay from `range`, most often near its least value.
pub fn draw_low(rng: &mut SmallRng, range: Range) -> u64 {
    let share = rng.random::<f64>();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let extra = ((range.1 - range.0) as f64 * share.powi(2)) as u64;
    range.0 + extra
}
