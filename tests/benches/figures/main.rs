//! What things cost, beside their goals: one table at the end. Nothing here fails because it is slow.
//!
//! `make bench` measures all. One part alone: `cargo bench -p tidepool-tests -- decide/tikv`, `-- contract`,
//! `-- swap`, `-- process`, `-- world`.

mod decisions;
mod processes;
mod swaps;
mod table;
mod timing;
mod worlds;

use std::time::Duration;

use criterion::Criterion;
use table::Table;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let wanted = args.iter().find(|arg| !arg.starts_with('-'));
    // A part that nobody asked for is not even set up.
    let wants = |part: &str| wanted.is_none_or(|wanted| wanted.starts_with(part));
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
        .configure_from_args();
    let mut table = Table::default();
    if wants("decide") {
        decisions::decide(&mut criterion, &mut table);
    }
    if wants("contract") {
        decisions::contract(&mut criterion, &mut table);
    }
    if wants("swap") {
        swaps::measure(&mut criterion, &mut table);
    }
    criterion.final_summary();
    // Criterion does not measure these: they take seconds, and nobody decides anything by their third digit.
    let only_listing = args.iter().any(|arg| arg == "--list" || arg == "--test");
    if wants("process") && !only_listing {
        processes::measure(&mut table);
    }
    if wants("world") && !only_listing {
        worlds::measure(&mut table);
    }
    print!("{table}");
}
