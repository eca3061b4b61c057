//! Medians of single calls. Criterion decides how often, shows and keeps what it measured; the table wants the median of
//! calls, and of two ways to do the same thing wants them measured side by side. Time is that of the thread on a core:
//! what else the machine does meanwhile is no property of a decision.

use std::{hint::black_box, time::Duration};

use criterion::Criterion;

/// The median of `work` on what `setup` makes, nanoseconds. None if it was not asked for this one.
pub fn median<S, R>(
    criterion: &mut Criterion,
    name: &str,
    mut setup: impl FnMut() -> S,
    mut work: impl FnMut(S) -> R,
) -> Option<f64> {
    let mut all = Vec::new();
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let one = |_| {
                let made = setup();
                timed(&mut all, || work(made))
            };
            (0..times).map(one).sum()
        });
    });
    middle(all)
}

/// The medians of two things that are done in turn, so that whatever else the machine does meets both alike;
/// Criterion sees the second.
pub fn medians<R, S>(
    criterion: &mut Criterion,
    name: &str,
    mut first: impl FnMut() -> R,
    mut second: impl FnMut() -> S,
) -> Option<(f64, f64)> {
    let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let one = |_| {
                timed(&mut firsts, &mut first);
                timed(&mut seconds, &mut second)
            };
            (0..times).map(one).sum()
        });
    });
    Some((middle(firsts)?, middle(seconds)?))
}

fn timed<R>(all: &mut Vec<Duration>, work: impl FnOnce() -> R) -> Duration {
    let started = on_a_core();
    black_box(work());
    let took = on_a_core().saturating_sub(started);
    all.push(took);
    took
}

/// How long this thread has had a core so far.
#[allow(unsafe_code)]
pub fn on_a_core() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Unix, and the answer goes to a variable of the right type.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "the clock of the thread can be read");
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}

fn middle(mut times: Vec<Duration>) -> Option<f64> {
    times.sort_unstable();
    times.get(times.len() / 2).map(|time| time.as_nanos() as f64)
}
