//! What a whole world costs: a demo until it is Ready, simulated seconds per second, and memory. Each is measured once;
//! they take seconds, and nobody decides anything by their third digit.

use std::{
    fs,
    time::{Duration, Instant},
};

use tidepool_tests::{
    program::{self, Running},
    world::{World, in_virtual_time},
};

/// Simulated seconds per second of a 3/3/2 cluster at rest.
const SPEED_MIN: f64 = 10_000.0;

/// Longest wait for a demo in real time.
const READY_MAX: Duration = Duration::from_secs(600);

/// How much is simulated to measure that.
const AT_REST: Duration = Duration::from_secs(24 * 3600);

fn main() {
    // `cargo bench -- --list` and the like are for harnesses that have single measurements.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    println!("{:<44}{:>14}  goal", "world", "measured");
    row("demo to Ready, virtual time, whole process", &format!("{:.2} s", virtual_demo().as_secs_f64()), "");
    let (ready, kib) = real_demo();
    row("demo to Ready, real time, whole process", &format!("{:.2} s", ready.as_secs_f64()), "");
    row("resident memory of the demo when Ready", &format!("{:.0} MiB", kib as f64 / 1024.0), "");
    let speed = in_virtual_time(at_rest());
    let verdict = if speed >= SPEED_MIN { "" } else { "  missed" };
    row("simulated seconds per second at rest, 3/3/2", &format!("{speed:.0}"), &format!(">= {SPEED_MIN:.0}{verdict}"));
}

fn row(what: &str, measured: &str, goal: &str) {
    println!("{what:<44}{measured:>14}  {goal}");
}

fn virtual_demo() -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let started = Instant::now();
    let ended = program::run(program::tidepool(folder.path(), &["demo", "--exit-when-ready"]));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    started.elapsed()
}

/// Time until Ready is told, and resident memory then.
fn real_demo() -> (Duration, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let started = Instant::now();
    let demo = Running::start(program::tidepool(folder.path(), &["demo", "--time", "real", "--listen", "127.0.0.1:0"]));
    demo.wait_for("Ready:", READY_MAX);
    let took = started.elapsed();
    let status = fs::read_to_string(format!("/proc/{}/status", demo.id())).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    (took, resident.trim().trim_end_matches(" kB").parse().unwrap_or_default())
}

async fn at_rest() -> f64 {
    let world = World::start(1).await.expect("a world");
    world.apply("examples/basic.yaml", include_str!("../../examples/basic.yaml")).await.expect("applied");
    loop {
        world.pass(Duration::from_secs(10)).await;
        if world.cluster("basic").is_some_and(|cluster| cluster.ready.as_ref().is_some_and(|ready| ready.ready)) {
            break;
        }
        assert!(world.seconds() < 3600.0, "not Ready within an hour");
    }
    let started = Instant::now();
    world.pass(AT_REST).await;
    let took = started.elapsed();
    world.stop().await;
    AT_REST.as_secs_f64() / took.as_secs_f64()
}
