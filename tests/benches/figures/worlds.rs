//! What a whole world costs at rest, in virtual time, with everything in this process.

use std::time::Duration;

use tidepool_tests::world::{OPERATOR, Setup, World, in_virtual_time, sandboxed};

use crate::{
    table::{Goal, Table, Unit},
    timing,
};

/// The cluster: 3 PD, 3 TiKV, 2 TiDB.
const CLUSTER: &str = include_str!("../../../examples/basic.yaml");

/// Simulated seconds per second.
const SPEED_MIN: Goal = Goal::AtLeast(10_000.0);

/// How much is simulated to measure that.
const AT_REST: Duration = Duration::from_secs(24 * 3600);

/// Nothing is written for a cluster at rest.
const WRITES_MAX: Goal = Goal::AtMost(0.0);

/// A round every so often, when it is rounds that are counted.
const OFTEN: Duration = Duration::from_millis(100);

/// For so long.
const LONG: Duration = Duration::from_secs(300);

/// Lets a cluster come up and rest, as usual and with a round every moment.
pub fn measure(table: &mut Table) {
    let day = in_virtual_time(rest(None, AT_REST));
    let speed = AT_REST.as_secs_f64() / day.took.as_secs_f64();
    table.note("simulated seconds per second, 3/3/2 at rest", speed, Unit::PerSecond, Some(SPEED_MIN));
    table.remark("of one core; one day, operator and policies included");
    table.note("writes of the operator in a day at rest", day.writes as f64, Unit::Count, Some(WRITES_MAX));
    let each = AT_REST.as_secs_f64() / 30.0;
    table.note("rounds in a day at rest", day.rounds as f64, Unit::Count, Some(Goal::AtMost(each)));
    table.remark("one each resync of 30 s");
    let busy = in_virtual_time(rest(Some(OFTEN), LONG));
    let rate = busy.rounds as f64 / busy.took.as_secs_f64();
    table.note("rounds per second, 3/3/2 at rest", rate, Unit::PerSecond, None);
    table.remark("of one core, the simulator's share included");
}

/// What happened while a cluster was at rest.
struct Rest {
    took: Duration,
    rounds: u64,
    writes: usize,
}

async fn rest(resync: Option<Duration>, pass: Duration) -> Rest {
    let setup = Setup { policies: sandboxed().expect("the policies"), resync, ..Setup::new(1) };
    let world = World::start_with(setup).await.expect("a world");
    world.apply("examples/basic.yaml", CLUSTER).await.expect("applied");
    while !world.cluster("basic").is_some_and(|cluster| cluster.ready.as_ref().is_some_and(|ready| ready.ready)) {
        assert!(world.seconds() < 3600.0, "not Ready within an hour");
        world.pass(Duration::from_secs(10)).await;
    }
    // What follows on the last write is over by then.
    world.pass(Duration::from_secs(600)).await;
    let (rounds, seen) = (rounds(&world), world.audit(0).len());
    let started = timing::on_a_core();
    world.pass(pass).await;
    let took = timing::on_a_core().saturating_sub(started);
    let writes = world.audit(seen).iter().filter(|entry| entry.user_agent == OPERATOR).count();
    let rest = Rest { took, rounds: self::rounds(&world) - rounds, writes };
    world.stop().await;
    rest
}

fn rounds(world: &World) -> u64 {
    let text = world.operator(OPERATOR).expect("it runs").metrics.text();
    let values = text.lines().filter_map(|line| line.strip_prefix("tidepool_rounds_total")?.rsplit(' ').next());
    values.filter_map(|value| value.parse::<u64>().ok()).sum()
}
