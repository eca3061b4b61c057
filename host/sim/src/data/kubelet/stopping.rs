//! The end of a pod: told to stop, given its grace period, gone.

use k8s_openapi::api::core::v1::{Container, Pod};
use regex::Regex;

use super::{PodMachine, Stage, container::Phase};
use crate::data::world::World;

/// A container without a simulated program takes so long to end, milliseconds.
const PLAIN_STOP_MS: u64 = 200;

impl PodMachine {
    /// Tells every running container to end.
    pub(super) fn begin_stopping(&mut self, pod: &Pod, world: &mut World, now: u64) {
        let grace = pod.metadata.deletion_grace_period_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0) * 1_000;
        let running: Vec<String> = self.running().map(ToOwned::to_owned).collect();
        for name in &running {
            self.happen("Normal", "Killing", format!("Stopping container {name}"), Some(name));
        }
        let deadline = now.saturating_add(grace);
        let mut until = if running.is_empty() { now } else { now + PLAIN_STOP_MS };
        let hook = pod.spec.iter().flat_map(|spec| &spec.containers).map(pre_stop_ms).max().unwrap_or(0);
        if let Some(mut process) = world.processes.remove(&self.key) {
            until = until.max(process.terminate(world, now) + hook);
            world.processes.insert(self.key.clone(), process);
        }
        until = until.max(now + hook);
        self.stage = Stage::Stopping { until: until.min(deadline), cut: until > deadline };
    }

    /// The last container is gone.
    pub(super) fn finish_stopping(&mut self, world: &mut World, now: u64, cut: bool) {
        self.forget_program(world, now);
        for run in self.init.iter_mut().chain(&mut self.main) {
            match run.phase {
                Phase::Running { .. } if cut => run.end(now, 137, "Error", "", false),
                Phase::Running { .. } => run.end(now, 0, "Completed", "", false),
                _ => {}
            }
        }
        self.stage = Stage::Ended;
    }

    /// The pod is gone, gracefully or not: so is its program.
    pub fn forget_program(&mut self, world: &mut World, now: u64) {
        if let Some(mut process) = world.processes.remove(&self.key) {
            process.gone(world, now);
        }
    }

    fn running(&self) -> impl Iterator<Item = &str> {
        let all = self.init.iter().chain(&self.main);
        all.filter(|run| matches!(run.phase, Phase::Running { .. })).map(|run| run.name.as_str())
    }
}

/// How long a container's preStop hook takes: the seconds it sleeps.
fn pre_stop_ms(container: &Container) -> u64 {
    let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let sleep = hook.and_then(|hook| hook.sleep.as_ref()).and_then(|sleep| u64::try_from(sleep.seconds).ok());
    let words = hook.and_then(|hook| hook.exec.as_ref()).and_then(|exec| exec.command.as_ref());
    let command = words.map(|words| words.join(" ")).unwrap_or_default();
    let pattern = Regex::new(r"\bsleep (\d+)");
    let slept = pattern.ok().and_then(|pattern| pattern.captures(&command).and_then(|found| found[1].parse().ok()));
    sleep.or(slept).unwrap_or(0) * 1_000
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_hook_takes_as_long_as_it_sleeps() {
        let with = |hook| from_value::<Container>(json!({"name": "c", "lifecycle": {"preStop": hook}})).unwrap();
        assert_eq!(pre_stop_ms(&with(json!({"exec": {"command": ["sh", "-c", "sleep 30"]}}))), 30_000);
        assert_eq!(pre_stop_ms(&with(json!({"sleep": {"seconds": 5}}))), 5_000);
        assert_eq!(pre_stop_ms(&Container::default()), 0);
    }
}
