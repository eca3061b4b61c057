//! The safety rules that only a history shows, looked at again and again while a scenario runs.
//!
//! Each look compares the state with what it was before. Rules carry the numbers of `ARCHITECTURE.md`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidepool_api::labels::PVC_DEFER_DELETING;
use tidepool_sim::audit::Entry;

use crate::{
    certs::leaked,
    world::{OPERATOR, World},
};

/// A status may be behind the pods for this long: one resync of the operator.
const STATUS_LAG_SECONDS: f64 = 60.0;

/// What has been seen, and what was wrong with it.
#[derive(Default)]
pub struct History {
    /// Rules that were broken: number and what happened.
    pub violations: Vec<String>,
    disturbed: bool,
    cluster_ids: BTreeMap<String, String>,
    was_ready: BTreeMap<String, i64>,
    deferred: BTreeSet<String>,
    wrong_since: BTreeMap<String, f64>,
    audited: usize,
}

/// One component of a cluster: how many pods it wants and how many are well.
struct Group {
    cluster: String,
    component: String,
    wanted: i64,
    ready: i64,
}

impl History {
    /// From now on pods may be down by somebody else's doing, until the cluster is Ready again.
    pub fn disturb(&mut self) {
        self.disturbed = true;
    }

    /// The cluster is Ready: what goes down from here on is our doing.
    pub fn calm(&mut self) {
        self.disturbed = false;
    }

    /// Looks at the world once.
    ///
    /// # Errors
    /// When the world cannot be read.
    pub async fn look(&mut self, world: &World) -> anyhow::Result<()> {
        let written = world.audit(self.audited);
        if written.is_empty() && self.wrong_since.is_empty() {
            // Nobody wrote anything, so nothing has changed.
            return Ok(());
        }
        let sets = world.list("apps/v1", "StatefulSet").await?;
        let clusters = world.list("pingcap.com/v1alpha1", "TidbCluster").await?;
        let groups: Vec<Group> = sets.iter().map(group).collect();
        self.availability(&groups);
        for cluster in &clusters {
            self.one_cluster_id(cluster);
            self.readiness(world.seconds(), cluster, &groups);
        }
        written.iter().for_each(|entry| self.write(entry));
        self.audited += written.len();
        Ok(())
    }

    /// S1, S7, S24: one member, one store at a time, and never all servers.
    fn availability(&mut self, groups: &[Group]) {
        for Group { cluster, component, wanted, ready } in groups {
            let name = format!("{cluster}/{component}");
            if ready >= wanted {
                self.was_ready.insert(name, *wanted);
                continue;
            }
            let Some(was) = self.was_ready.get(&name).filter(|_| !self.disturbed) else { continue };
            // Those that are still to come are not down.
            let down = wanted.min(was) - ready;
            match component.as_str() {
                "pd" if down > 1 => self.broken("S1", &format!("{down} members of {cluster} are down at once")),
                "tikv" if down > 1 => self.broken("S7", &format!("{down} stores of {cluster} are down at once")),
                "tidb" if *ready == 0 && *wanted > 1 => self.broken("S24", &format!("no TiDB of {cluster} serves")),
                _ => {}
            }
        }
    }

    /// S4: one cluster id for the life of the resource.
    fn one_cluster_id(&mut self, cluster: &Value) {
        let name = text(&cluster["metadata"]["uid"]).to_owned();
        let id = text(&cluster["status"]["clusterID"]);
        if id.is_empty() {
            return;
        }
        let first = self.cluster_ids.entry(name).or_insert_with(|| id.to_owned()).clone();
        if first != id {
            self.broken("S4", &format!("cluster id {first} became {id}"));
        }
    }

    /// S29: the status does not say Ready for long while a component is below its count.
    fn readiness(&mut self, now: f64, cluster: &Value, groups: &[Group]) {
        let name = text(&cluster["metadata"]["name"]).to_owned();
        let conditions = cluster["status"]["conditions"].as_array();
        let ready = conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
        let short = groups.iter().find(|group| group.cluster == name && group.ready < group.wanted);
        let Some(short) = short.filter(|_| ready) else {
            self.wrong_since.remove(&name);
            return;
        };
        let since = *self.wrong_since.entry(name.clone()).or_insert(now);
        if now - since > STATUS_LAG_SECONDS {
            let Group { component, wanted, ready, .. } = short;
            self.broken("S29", &format!("{name} says Ready while {component} has {ready} of {wanted}"));
            self.wrong_since.remove(&name);
        }
    }

    /// S28: no Secret's contents. S12: claims are never deleted where the spec does not allow it, and no scenario's does, but
    /// for those that a member left behind. S19: every write has a precondition.
    fn write(&mut self, entry: &Entry) {
        let Entry { user_agent, verb, resource, name, status, body, .. } = entry;
        self.secrets(&serde_json::to_string(entry).unwrap_or_default());
        if user_agent != OPERATOR || *status >= 300 {
            return;
        }
        let metadata = &body["metadata"];
        let guarded = [metadata, &body["preconditions"]]
            .iter()
            .any(|held| held["resourceVersion"].is_string() || held["uid"].is_string());
        let own = ["leases", "events", "tidbclusters/status"].contains(&resource.as_str());
        if body["metadata"]["annotations"][PVC_DEFER_DELETING].is_string() {
            self.deferred.insert(name.clone());
        }
        if (verb.as_str(), resource.as_str()) == ("delete", "persistentvolumeclaims") && !self.deferred.remove(name) {
            self.broken("S12", &format!("the claim {name} was deleted"));
        }
        if ["update", "patch", "delete"].contains(&verb.as_str()) && !guarded && !own {
            self.broken("S19", &format!("{verb} {resource} {name} has no precondition"));
        }
    }

    /// S28: nothing of what is in a Secret turns up in what is written or told.
    pub fn secrets(&mut self, told: &str) {
        if let Some(mark) = leaked(told) {
            let at = told.find(mark).unwrap_or_default();
            let around: String = told.chars().skip(at.saturating_sub(80)).take(160).collect();
            self.broken("S28", &format!("contents of a Secret: …{around}…"));
        }
    }

    fn broken(&mut self, rule: &str, what: &str) {
        let line = format!("{rule}: {what}");
        if !self.violations.contains(&line) {
            self.violations.push(line);
        }
    }
}

fn group(set: &Value) -> Group {
    let labels = &set["metadata"]["labels"];
    Group {
        cluster: text(&labels["app.kubernetes.io/instance"]).to_owned(),
        component: text(&labels["app.kubernetes.io/component"]).to_owned(),
        wanted: set["spec"]["replicas"].as_i64().unwrap_or_default(),
        ready: set["status"]["readyReplicas"].as_i64().unwrap_or_default(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
