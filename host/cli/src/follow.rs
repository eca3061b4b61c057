//! The live view: what is happening in each component, what is waited for and until when.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal, Write},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::{Timestamp, fmt::strtime};
use tidepool_operator::{ClusterKey, ClusterProgress, ComponentProgress, Progress};

/// How often the spinners turn.
const TICK: Duration = Duration::from_millis(120);

/// Actions of one round that are named; the rest is counted.
const ACTIONS_MAX: usize = 5;

/// Shows progress on standard error: as moving lines on a terminal, as a log of changes elsewhere.
pub struct Follow {
    started_ms: u64,
    /// What was said last, by cluster and component.
    shown: BTreeMap<(ClusterKey, String), String>,
    view: View,
}

enum View {
    Log,
    Bars(MultiProgress, BTreeMap<(ClusterKey, String), ProgressBar>),
}

impl Follow {
    /// A view of what happens from `now_ms` (milliseconds since the Unix epoch) on.
    pub fn start(now_ms: u64) -> Self {
        let view =
            if std::io::stderr().is_terminal() { View::Bars(MultiProgress::new(), BTreeMap::new()) } else { View::Log };
        Self { started_ms: now_ms, shown: BTreeMap::new(), view }
    }

    /// Shows what is new in `progress`.
    pub fn show(&mut self, progress: &Progress) {
        self.drop_gone(progress);
        for (key, cluster) in progress {
            for component in &cluster.components {
                self.component(key, cluster, component);
            }
        }
    }

    /// A line above the moving ones.
    pub fn say(&self, text: &str) {
        match &self.view {
            View::Log => say(text),
            View::Bars(bars, _) => {
                if bars.println(text).is_err() {
                    say(text);
                }
            }
        }
    }

    /// Takes the moving lines away.
    pub fn end(&mut self) {
        if let View::Bars(_, lines) = &mut self.view {
            lines.values().for_each(ProgressBar::finish);
        }
    }

    fn component(&mut self, key: &ClusterKey, cluster: &ClusterProgress, component: &ComponentProgress) {
        let place = (key.clone(), component.component.clone());
        let text = line(component);
        if self.shown.get(&place) == Some(&text) {
            return;
        }
        let name = format!("{key} {}", component.component);
        let settled = component.waiting.is_empty() && !component.held && component.ready >= component.desired;
        match &mut self.view {
            View::Log => {
                let seconds = cluster.now_ms.saturating_sub(self.started_ms) as f64 / 1000.0;
                say(&format!("{seconds:7.1}s  {name:<28} {text}"));
            }
            View::Bars(bars, lines) => {
                let bar = lines.entry(place.clone()).or_insert_with(|| new_bar(bars, &name));
                bar.set_message(text.clone());
                if settled {
                    bar.disable_steady_tick();
                } else {
                    bar.enable_steady_tick(TICK);
                }
            }
        }
        self.shown.insert(place, text);
    }

    /// Clusters that were deleted leave the view.
    fn drop_gone(&mut self, progress: &Progress) {
        let gone: BTreeSet<ClusterKey> =
            self.shown.keys().map(|(key, _)| key).filter(|key| !progress.contains_key(key)).cloned().collect();
        for key in gone {
            self.shown.retain(|(other, _), _| *other != key);
            if let View::Bars(bars, lines) = &mut self.view {
                lines.extract_if(.., |(other, _), _| *other == key).for_each(|(_, bar)| bars.remove(&bar));
            }
            self.say(&format!("{key} is gone"));
        }
    }
}

fn new_bar(bars: &MultiProgress, name: &str) -> ProgressBar {
    let bar = bars.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {prefix:<28} {wide_msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    bar
}

/// One component in one line.
fn line(component: &ComponentProgress) -> String {
    let mut parts = Vec::new();
    if component.desired > 0 {
        parts.push(format!("{}/{} ready", component.ready, component.desired));
    }
    if !component.phase.is_empty() {
        parts.push(component.phase.clone());
    }
    if component.held {
        parts.push("held back by an earlier component".to_owned());
    }
    parts.extend(component.actions.iter().take(ACTIONS_MAX).cloned());
    if let Some(more @ 1..) = component.actions.len().checked_sub(ACTIONS_MAX) {
        parts.push(format!("and {more} more"));
    }
    parts.extend(component.waiting.iter().map(waiting));
    if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(" · ") }
}

/// What is waited for, and until when.
pub fn waiting(on: &tidepool_model::WaitingOn) -> String {
    let until = on.deadline_ms.map(|ms| format!(" (until {})", clock(ms))).unwrap_or_default();
    format!("waits: {} {}: {}{until}", on.reason, on.subject, on.message)
}

/// Time of day, UTC.
pub fn clock(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.and_then(|time| strtime::format("%H:%M:%SZ", time).ok()).unwrap_or_else(|| "an unknown time".into())
}

/// Standard error may be gone; there is nobody to tell then.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_first_actions_and_counts_the_rest() {
        let actions = |count: usize| (0..count).map(|number| format!("create pod/{number}")).collect();
        let of = |actions| line(&ComponentProgress { ready: 1, desired: 2, actions, ..ComponentProgress::default() });
        assert_eq!(of(actions(1)), "1/2 ready · create pod/0");
        assert!(of(actions(5)).ends_with("create pod/4"));
        assert!(of(actions(7)).ends_with("create pod/4 · and 2 more"));
    }
}
