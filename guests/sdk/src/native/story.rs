//! A story: policies at work on a pretended cluster, round by round. The host's own checker looks at every plan.

use serde_json::{Value, json};
use tidepool_model::{
    plan::{Action, Plan},
    pretend::World,
    render::{self, Deciding},
    snapshot::PdMember,
};

/// More rounds than any story takes.
const ROUNDS_MAX: usize = 60;

/// A cluster, its policies, and what they do.
pub struct Story {
    /// The cluster.
    pub world: World,
    policies: Vec<Deciding<'static>>,
    line: fn(&Action) -> String,
}

impl Story {
    /// A cluster of which nothing exists yet. `line` says an action in a line.
    pub fn new(world: World, policies: Vec<Deciding<'static>>, line: fn(&Action) -> String) -> Self {
        Self { world, policies, line }
    }

    /// The cluster has come to rest.
    #[must_use]
    pub fn at_rest(mut self) -> Self {
        self.run();
        self
    }

    /// A cluster that another operator left running: `objects` are what it left, the TidbCluster among them.
    ///
    /// # Panics
    /// When there is no TidbCluster.
    pub fn taken_over(objects: &[Value], policies: Vec<Deciding<'static>>, line: fn(&Action) -> String) -> Self {
        let cluster = objects.iter().find(|object| object["kind"] == "TidbCluster").expect("a TidbCluster");
        let mut world = World::new(cluster.clone());
        objects.iter().filter(|object| object["kind"] != "TidbCluster").for_each(|object| world.put(object.clone()));
        let raw = |value: Value| serde_json::value::to_raw_value(&value).expect("JSON");
        let id = cluster["status"]["clusterID"].as_str().and_then(|id| id.parse::<u64>().ok());
        world.pd.documents.insert("cluster".into(), Ok(raw(json!({ "id": id }))));
        let config = json!({"replication": {"max-replicas": 3, "location-labels": ""}});
        world.pd.documents.insert("config".into(), Ok(raw(config)));
        world.pd.members = Ok(members(&cluster["status"]["pd"]));
        Self::new(world, policies, line)
    }

    /// The user changes the spec.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.world.cluster["spec"]);
        let generation = self.world.cluster["metadata"]["generation"].as_i64().unwrap_or_default();
        self.world.cluster["metadata"]["generation"] = (generation + 1).into();
    }

    /// The user puts an annotation on the TidbCluster.
    pub fn annotate(&mut self, key: &str, value: &str) {
        self.world.cluster["metadata"]["annotations"][key] = value.into();
    }

    /// One round, and what was done in it.
    pub fn round(&mut self) -> Vec<String> {
        let round = render::round(&mut self.world, &self.policies).unwrap_or_else(|error| panic!("{error}"));
        let actions = round.plans.iter().flat_map(|(_, plan)| &plan.actions);
        actions.filter(|action| !matches!(action, Action::Event { .. })).map(self.line).collect()
    }

    /// The world follows, and then one round.
    pub fn settled_round(&mut self) -> Vec<String> {
        self.world.settle();
        self.round()
    }

    /// The plans of a round that is not carried out.
    pub fn plans(&self) -> Vec<Plan> {
        let mut copy = self.world.clone();
        let round = render::round(&mut copy, &self.policies).unwrap_or_else(|error| panic!("{error}"));
        round.plans.into_iter().map(|(_, plan)| plan).collect()
    }

    /// Reasons of what would be waited for in the next round.
    pub fn waiting(&self) -> Vec<String> {
        self.plans().iter().flat_map(|plan| plan.waiting.iter().map(|on| on.reason.clone())).collect()
    }

    /// Reasons of the events that the next round would publish.
    pub fn events(&self) -> Vec<String> {
        let actions = self.plans().into_iter().flat_map(|plan| plan.actions);
        let reason = |action| if let Action::Event { reason, .. } = action { Some(reason) } else { None };
        actions.filter_map(reason).collect()
    }

    /// A round in which the first action whose line begins with `fails` fails, and so nothing after it is done. The
    /// status is written all the same. What was done before.
    ///
    /// # Panics
    /// When no such action is planned.
    pub fn failing_round(&mut self, fails: &str) -> Vec<String> {
        let plans = self.plans();
        let mut done = Vec::new();
        for (policy, mut plan) in self.policies.iter().zip(plans) {
            let failed = plan.actions.iter().position(|action| (self.line)(action).starts_with(fails));
            plan.actions.truncate(failed.unwrap_or(plan.actions.len()));
            self.world.apply(&policy.descriptor, &plan);
            done.extend(plan.actions.iter().map(self.line));
            if failed.is_some() {
                return done;
            }
        }
        panic!("no action {fails:?} among {done:#?}");
    }

    /// Rounds until nothing is done any more, with a world that follows at once. What was done.
    ///
    /// # Panics
    /// When they do not end.
    pub fn run(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let status = self.world.cluster["status"].clone();
            let done = self.settled_round();
            if done.is_empty() && self.world.cluster["status"] == status {
                return all;
            }
            all.extend(done);
        }
        panic!("no rest: {all:#?}");
    }

    /// Settled rounds until `wanted` holds. What was done.
    ///
    /// # Panics
    /// When it never does.
    pub fn until(&mut self, wanted: impl Fn(&Self) -> bool) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..ROUNDS_MAX {
            if wanted(self) {
                return all;
            }
            all.extend(self.settled_round());
        }
        panic!("it did not come to that: {all:#?}");
    }

    /// The status of a component.
    pub fn status(&self, component: &str) -> &Value {
        &self.world.cluster["status"][component]
    }

    /// A StatefulSet.
    ///
    /// # Panics
    /// When it is not there.
    pub fn set(&self, name: &str) -> &Value {
        self.world.get("StatefulSet", name).expect("the StatefulSet is there")
    }

    /// Name of PD's leader; empty without one.
    pub fn leader(&self) -> String {
        let mut members = self.world.pd.members.iter().flatten();
        members.find(|member| member.leader).map(|member| member.name.clone()).unwrap_or_default()
    }

    /// This member leads PD.
    pub fn lead(&mut self, name: &str) {
        self.world.pd.members.iter_mut().flatten().for_each(|member| member.leader = member.name == name);
    }

    /// A member of PD and its pod are well, or not.
    pub fn set_health(&mut self, name: &str, healthy: bool) {
        let mut members = self.world.pd.members.iter_mut().flatten();
        if let Some(member) = members.find(|member| member.name == name) {
            member.healthy = healthy;
        }
        self.world.set_ready(name.split('.').next().unwrap_or_default(), healthy);
    }
}

/// The members that a status of PD tells of.
fn members(status: &Value) -> Vec<PdMember> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let member = |member: &Value| PdMember {
        id: text(&member["id"]),
        name: text(&member["name"]),
        client_url: text(&member["clientURL"]),
        healthy: true,
        leader: member["name"] == status["leader"]["name"],
    };
    status["members"].as_object().into_iter().flatten().map(|(_, value)| member(value)).collect()
}
