//! What happened in a scenario, in lines that a person can follow and a test can compare.

use std::collections::BTreeMap;

use serde_json::Value;
use tidepool_api::labels::PVC_DEFER_DELETING;
use tidepool_model::WaitingOn;
use tidepool_sim::{audit::Entry, data::pd::MemberView};

use crate::{
    history::{CONTROLLERS, state::State},
    world::{OPERATOR, SECOND_OPERATOR, World},
};

/// Lines so far, and how far the world has been told.
#[derive(Default)]
pub struct Transcript {
    lines: Vec<String>,
    audited: usize,
    components: BTreeMap<String, String>,
    muted: bool,
}

/// Volumes have long names that say nothing: they are only counted.
const COUNTED: &str = "persistentvolumes";

impl Transcript {
    /// From now on nothing is told but what is said, or everything again.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// A line of the script.
    pub fn command(&mut self, line: &str) {
        let plain = line.is_empty() || line.starts_with('#');
        self.lines.push(if plain { line.to_owned() } else { format!("> {line}") });
    }

    /// Something that happened.
    pub fn say(&mut self, seconds: f64, text: &str) {
        for line in text.lines() {
            self.lines.push(format!("{seconds:9.1}  {line}"));
        }
    }

    /// A line without a time.
    pub fn line(&mut self, text: &str) {
        self.lines.push(format!("           {text}"));
    }

    /// Notes what is new: writes of operator and controllers, and what each component waits for.
    pub fn look(&mut self, world: &World) {
        let written = world.audit(self.audited);
        self.audited += written.len();
        let mut told: Vec<Told> = Vec::new();
        for entry in &written {
            let Some((text, name)) = told_of(entry) else { continue };
            let seconds = seconds(entry, world.started_ms()).unwrap_or_else(|| world.seconds());
            match told.last_mut().filter(|last| last.text == text && (last.seconds - seconds).abs() < 0.05) {
                Some(last) => last.names.push(name),
                None => told.push(Told { seconds, text, names: vec![name] }),
            }
        }
        if !self.muted {
            told.iter().for_each(|told| self.say(told.seconds, &told.line()));
        }
        self.components(world);
    }

    fn components(&mut self, world: &World) {
        for (key, cluster) in &world.progress() {
            for component in &cluster.components {
                let name = format!("{} {}", key.name, component.component);
                let mut text = format!("{}/{} ready", component.ready, component.desired);
                if !component.phase.is_empty() {
                    text = format!("{text}, {}", component.phase);
                }
                for on in &component.waiting {
                    text = format!("{text}; waits: {}", waiting(on, world.started_ms()));
                }
                if self.components.get(&name) != Some(&text) {
                    if !self.muted {
                        self.say(world.seconds(), &format!("{name}: {text}"));
                    }
                    self.components.insert(name, text);
                }
            }
        }
    }

    /// The whole text.
    pub fn text(self) -> String {
        self.lines.join("\n") + "\n"
    }
}

/// Writes of one kind at one time.
struct Told {
    seconds: f64,
    text: String,
    names: Vec<String>,
}

impl Told {
    fn line(&self) -> String {
        if self.text.contains(COUNTED) {
            return self.text.replace(COUNTED, &format!("{} {COUNTED}", self.names.len()));
        }
        self.text.replace("NAME", &self.names.join(" "))
    }
}

/// A write that matters to somebody who follows the story, and the name of what was written.
fn told_of(entry: &Entry) -> Option<(String, String)> {
    let Entry { user_agent, verb, resource, name, status, .. } = entry;
    let refused = if *status >= 300 { format!(" -> {status}") } else { String::new() };
    let who = match (user_agent.as_str(), resource.as_str()) {
        (OPERATOR | SECOND_OPERATOR, "leases" | "events" | "tidbclusters/status") => return None,
        (OPERATOR, _) => "operator",
        (SECOND_OPERATOR, _) => "operator 2",
        (CONTROLLERS, "pods") if ["create", "delete"].contains(&verb.as_str()) => "controller",
        _ => return None,
    };
    let what = if resource == COUNTED { String::new() } else { " NAME".to_owned() };
    Some((format!("{who}: {verb} {resource}{what}{refused}"), name.clone()))
}

fn seconds(entry: &Entry, started_ms: u64) -> Option<f64> {
    let time: jiff::Timestamp = entry.time.parse().ok()?;
    let started = i64::try_from(started_ms).ok()?;
    Some((time.as_millisecond() - started) as f64 / 1000.0)
}

fn waiting(on: &WaitingOn, started_ms: u64) -> String {
    let until = on.deadline_ms.map(|ms| format!(" until {:.0}", (ms as f64 - started_ms as f64) / 1000.0));
    format!("{} {}{}", on.reason, on.subject, until.unwrap_or_default())
}

/// A cluster's status in lines.
pub fn status(status: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        lines.push(format!("{}={} {}: {}", text("type"), text("status"), text("reason"), text("message")));
    }
    let parts = ["tso", "scheduling"].map(|service| (service, &status["pdms"][service]));
    let components = ["pd", "tikv", "tidb"].map(|component| (component, &status[component]));
    for (component, of) in parts.into_iter().chain(components).filter(|(_, of)| !of.is_null()) {
        let set = &of["statefulSet"];
        let mut line = format!("{component}: {} {}/{}", text(&of["phase"]), set["readyReplicas"], set["replicas"]);
        for (kind, key) in [("members", "members"), ("stores", "stores"), ("tombstones", "tombstoneStores")] {
            let number = of[key].as_object().map(serde_json::Map::len);
            if let Some(number) = number.or_else(|| of[key].as_array().map(Vec::len)) {
                line = format!("{line}, {kind} {number}");
            }
        }
        lines.push(line);
    }
    lines
}

/// A pod in a line.
pub fn pod(pod: &Value) -> String {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
    let ready = if ready { "ready" } else { "not ready" };
    format!("{} {} {ready}", text(&pod["metadata"]["name"]), text(&pod["status"]["phase"]))
}

/// A claim in a line.
pub fn claim(claim: &Value) -> String {
    let annotations = claim["metadata"]["annotations"].as_object();
    let left = annotations.is_some_and(|all| all.contains_key(PVC_DEFER_DELETING));
    let left = if left { ", left behind" } else { "" };
    format!("{} {}{left}", text(&claim["metadata"]["name"]), text(&claim["status"]["phase"]))
}

/// PD's members, as they are.
pub fn pd(now: &State) -> Vec<String> {
    let member = |member: &MemberView| {
        let leads = if member.leader { " leads" } else { "" };
        format!("{}{}{leads}", member.name, if member.healthy { "" } else { " down" })
    };
    now.pd.values().map(|pd| format!("pd: {}", pd.members.iter().map(member).collect::<Vec<_>>().join(", "))).collect()
}

/// An event on a TidbCluster in a line; none for the others.
pub fn event(event: &Value) -> Option<String> {
    (event["involvedObject"]["kind"] == "TidbCluster").then(|| {
        let [kind, reason, message] = ["type", "reason", "message"].map(|key| text(&event[key]));
        format!("{kind} {reason}: {message}")
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
