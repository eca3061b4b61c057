//! The live view: what is happening in each component, what is waited for and until when.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal, Write},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::{Timestamp, fmt::strtime};
use tidepool_model::WaitingOn;
use tidepool_operator::{ClusterKey, ClusterProgress, ComponentProgress, Progress};

/// How often the spinners turn.
const TICK: Duration = Duration::from_millis(120);

/// Columns for the names of cluster and component.
const NAME_CHARS: usize = 28;

/// Columns before the name: a sign and a space.
const MARGIN: usize = 2;

/// On a terminal that is narrower than this, lines are too long rather than too many.
const WRAP_CHARS_MIN: usize = 30;

/// Kinds of actions of one round that are named; the rest is counted.
const ACTIONS_MAX: usize = 5;

/// Shows progress on standard error: as moving lines on a terminal, as a list of changes elsewhere, or in the log.
pub struct Follow {
    started_ms: u64,
    /// What was said last, by cluster and component.
    shown: BTreeMap<(ClusterKey, String), String>,
    view: View,
}

enum View {
    /// A line for each change, with the seconds since the start.
    Lines,
    /// An entry of the program's log for each change.
    Log,
    /// A line for each component, which changes in its place.
    Bars(MultiProgress, BTreeMap<(ClusterKey, String), ProgressBar>),
}

impl Follow {
    /// A view of what happens from `now_ms` (milliseconds since the Unix epoch) on.
    pub fn start(now_ms: u64) -> Self {
        let view = if std::io::stderr().is_terminal() {
            View::Bars(MultiProgress::new(), BTreeMap::new())
        } else {
            View::Lines
        };
        Self { started_ms: now_ms, shown: BTreeMap::new(), view }
    }

    /// What happens goes to the log.
    pub fn in_log() -> Self {
        Self { started_ms: 0, shown: BTreeMap::new(), view: View::Log }
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
            View::Lines => say(text),
            View::Log => tracing::info!("{text}"),
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
        let settled = component.waiting.is_empty() && !component.held && component.ready >= component.desired;
        let said = self.said(component, settled);
        let text = said.join(" · ");
        if self.shown.get(&place) == Some(&text) {
            return;
        }
        let name = format!("{key} {}", component.component);
        match &mut self.view {
            View::Log => tracing::info!("{name}: {text}"),
            View::Lines => {
                let seconds = cluster.now_ms.saturating_sub(self.started_ms) as f64 / 1000.0;
                say(&format!("{seconds:7.1}s  {name:<NAME_CHARS$} {text}"));
            }
            View::Bars(bars, lines) => {
                let bar = lines.entry(place.clone()).or_insert_with(|| bars.add(ProgressBar::new_spinner()));
                show_on(bar, &name, &said, settled);
            }
        }
        self.shown.insert(place, text);
    }

    /// What there is to say of a component, piece by piece. What was done last is no news on a line that stays.
    fn said(&self, component: &ComponentProgress, settled: bool) -> Vec<String> {
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
        let quiet = settled && matches!(self.view, View::Bars(..));
        let actions = if quiet { Vec::new() } else { grouped(&component.actions) };
        parts.extend(actions.iter().take(ACTIONS_MAX).cloned());
        if let Some(more @ 1..) = actions.len().checked_sub(ACTIONS_MAX) {
            parts.push(format!("and {more} more"));
        }
        parts.extend(last_of_each(&component.waiting).map(|on| waits(on, |ms| self.until(ms))));
        if parts.is_empty() { vec!["nothing to do".to_owned()] } else { parts }
    }

    /// A moment, on the scale that the view shows.
    fn until(&self, ms: u64) -> String {
        match self.view {
            View::Lines => format!("{:.1}s", ms.saturating_sub(self.started_ms) as f64 / 1000.0),
            View::Log | View::Bars(..) => clock(ms),
        }
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

/// Shows on a component's line, and on further ones below it, what there is to say. What is well has a tick.
fn show_on(bar: &ProgressBar, name: &str, said: &[String], settled: bool) {
    let template = if settled { "{prefix:.green} {msg}" } else { "{spinner:.cyan} {msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix("✓");
    let columns = usize::from(console::Term::stderr().size().1).saturating_sub(MARGIN);
    bar.set_message(wrapped(&format!("{name:<NAME_CHARS$} "), said, columns));
    if settled {
        bar.disable_steady_tick();
    } else {
        bar.enable_steady_tick(TICK);
    }
}

/// `head` and the pieces, on as many lines as it takes; what does not fit on one line goes on below the first piece.
fn wrapped(head: &str, pieces: &[String], columns: usize) -> String {
    let indent = head.chars().count();
    let room = columns.saturating_sub(indent).max(WRAP_CHARS_MIN);
    let mut lines = vec![String::new()];
    let text = pieces.join(" · ");
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            word.clone_into(line);
        } else if line.chars().count() + 1 + word.chars().count() <= room {
            *line = format!("{line} {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    format!("{head}{}", lines.join(&format!("\n{:1$}", "", indent + MARGIN)))
}

/// Actions of one kind in one word, where there are many: `merge-patch 3 pods`.
fn grouped(actions: &[String]) -> Vec<String> {
    let kind = |action: &String| action.rsplit_once('/').map_or(action.clone(), |(kind, _)| kind.to_owned());
    let mut groups: Vec<(String, Vec<&String>)> = Vec::new();
    for action in actions {
        match groups.iter_mut().find(|(known, _)| *known == kind(action)) {
            Some((_, group)) => group.push(action),
            None => groups.push((kind(action), vec![action])),
        }
    }
    let told = |(kind, group): (String, Vec<&String>)| match (group.as_slice(), kind.split_once(' ')) {
        ([one], _) => (*one).clone(),
        (many, Some((verb, kind))) => format!("{verb} {} {kind}s", many.len()),
        (many, None) => format!("{kind} {} times", many.len()),
    };
    groups.into_iter().map(told).collect()
}

/// Of waits for the same, the last one is nearest to the cause.
fn last_of_each(waiting: &[WaitingOn]) -> impl Iterator<Item = &WaitingOn> {
    let same = |a: &WaitingOn, b: &WaitingOn| a.reason == b.reason && a.subject == b.subject;
    let later = |at: usize| waiting.get(at + 1..).unwrap_or_default();
    waiting.iter().enumerate().filter(move |(at, on)| !later(*at).iter().any(|other| same(on, other))).map(|(_, on)| on)
}

/// What is waited for, and until when, by the clock.
pub fn waiting(on: &WaitingOn) -> String {
    waits(on, clock)
}

fn waits(on: &WaitingOn, moment: impl Fn(u64) -> String) -> String {
    let name = on.subject.rsplit('/').next().unwrap_or_default();
    let subject = if on.message.contains(name) { String::new() } else { format!(" {}", on.subject) };
    let until = on.deadline_ms.map(|ms| format!(" (until {})", moment(ms))).unwrap_or_default();
    format!("waits: {}{subject}: {}{until}", on.reason, on.message)
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

    fn said(component: &ComponentProgress) -> String {
        Follow { started_ms: 1000, shown: BTreeMap::new(), view: View::Lines }.said(component, false).join(" · ")
    }

    #[test]
    fn a_line_names_single_actions_and_counts_those_of_a_kind() {
        let of = |actions: &[&str]| {
            let actions = actions.iter().map(|action| (*action).to_owned()).collect();
            said(&ComponentProgress { ready: 1, desired: 2, actions, ..ComponentProgress::default() })
        };
        assert_eq!(of(&["create pod/a"]), "1/2 ready · create pod/a");
        assert_eq!(of(&["create pod/a", "delete pod/a", "create pod/b"]), "1/2 ready · create 2 pods · delete pod/a");
        let many = ["a x/1", "b x/1", "c x/1", "d x/1", "e x/1", "f x/1", "g x/1"];
        assert!(of(&many).ends_with("e x/1 · and 2 more"), "{}", of(&many));
    }

    #[test]
    fn a_wait_says_its_subject_once_and_the_same_subject_once() {
        let on = |subject: &str, message: &str, deadline_ms| WaitingOn {
            reason: "R".into(),
            subject: subject.into(),
            message: message.into(),
            deadline_ms,
        };
        let waiting =
            vec![on("pd", "first", None), on("pd", "cause", Some(3500)), on("pod/a-0", "pod a-0 is not ready", None)];
        let text = said(&ComponentProgress { waiting, ..ComponentProgress::default() });
        assert_eq!(text, "waits: R pd: cause (until 2.5s) · waits: R: pod a-0 is not ready");
    }

    #[test]
    fn long_lines_go_on_below() {
        let pieces = ["3/3 ready".to_owned(), "waits: for something that is long to say".to_owned()];
        let text = wrapped("name ", &pieces, 40);
        assert_eq!(text, "name 3/3 ready · waits: for something\n       that is long to say");
    }
}
