//! Situations in a cluster's life, staged in a pretended world. The vectors start from here (`cargo run -p
//! tidepool-tests --example vectors`); after that the files are what counts.

use std::sync::Arc;

use serde_json::{Value, json};
use tidepool_model::{
    Snapshot, Unknown, merge,
    pretend::World,
    render::{Deciding, RenderError, rest, round},
};

use crate::render;

/// A situation that a policy is asked in.
pub struct Situation {
    /// The policy's component.
    pub component: &'static str,
    /// File name of the vector.
    pub name: &'static str,
    /// The situation, and what the policy must do in it.
    pub description: &'static str,
    stage: fn(&mut Stage) -> Result<(), RenderError>,
}

/// A world and those who act in it.
pub struct Stage {
    /// The world.
    pub world: World,
    policies: Vec<Deciding<'static>>,
}

impl Situation {
    /// What the policy sees.
    ///
    /// # Errors
    /// When the policies do not get as far as the situation.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, RenderError> {
        let mut stage = Stage { world: World::new(cluster()), policies: render::policies() };
        (self.stage)(&mut stage)?;
        let policy = stage.policies.iter().find(|policy| policy.descriptor.component == self.component);
        let policy = policy.ok_or_else(|| RenderError::NoRest { component: self.component.to_owned() })?;
        Ok(Arc::new(stage.world.snapshot(&policy.descriptor, &policy.settings)))
    }
}

impl Stage {
    /// The cluster comes up and nobody writes any more.
    fn rest(&mut self) -> Result<(), RenderError> {
        rest(&mut self.world, &self.policies)
    }

    /// The policies before `component` are done; it has not been asked yet.
    fn before(&mut self, component: &str) -> Result<(), RenderError> {
        let at = self.policies.iter().position(|policy| policy.descriptor.component == component);
        rest(&mut self.world, self.policies.get(..at.unwrap_or_default()).unwrap_or_default())
    }

    /// Everybody is asked once, then the pods follow.
    fn round(&mut self) -> Result<(), RenderError> {
        round(&mut self.world, &self.policies)?;
        self.world.settle();
        Ok(())
    }

    /// Everybody is asked once; the pods do not follow yet.
    fn act(&mut self) -> Result<(), RenderError> {
        round(&mut self.world, &self.policies).map(drop)
    }

    /// The user changes the TidbCluster.
    fn edit(&mut self, change: Value) {
        merge(&mut self.world.cluster, &change);
        let generation = self.world.cluster["metadata"]["generation"].as_i64().unwrap_or_default();
        self.world.cluster["metadata"]["generation"] = (generation + 1).into();
    }

    fn pd_is_silent(&mut self) {
        let failed = || Unknown::Failed("no answer within 5 s".into());
        self.world.pd.members = Err(failed());
        self.world.pd.stores = Err(failed());
        self.world.pd.documents.values_mut().for_each(|document| *document = Err(failed()));
    }

    fn pod_is_not_ready(&mut self, pod: &str) {
        if let Some(pod) = self.world.get_mut("Pod", pod) {
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        }
    }

    fn unhealthy_member(&mut self, name: &str) {
        for member in self.world.pd.members.iter_mut().flatten().filter(|member| member.name == name) {
            member.healthy = false;
        }
    }

    fn leader(&mut self, name: &str) {
        for member in self.world.pd.members.iter_mut().flatten() {
            member.leader = member.name == name;
        }
    }
}

/// The README's cluster.
fn cluster() -> Value {
    let text = include_str!("../../examples/basic.yaml");
    let mut cluster: Value = serde_saphyr::from_str(text).expect("the example is YAML");
    cluster["metadata"]["namespace"] = "default".into();
    cluster
}

macro_rules! situation {
    ($component:literal, $name:literal, $description:literal, $stage:expr) => {
        Situation { component: $component, name: $name, description: $description, stage: $stage }
    };
}

mod pdms;
mod requests;

/// All situations.
pub fn all() -> Vec<Situation> {
    let mut all = discovery();
    all.extend(pdms::all());
    all.extend(pd());
    all.extend(pd_members());
    all.extend(requests::all());
    all.extend(tikv());
    all.extend(tidb());
    all.extend(housekeeping());
    all
}

fn discovery() -> Vec<Situation> {
    vec![
        situation!("discovery", "from-nothing", "Nothing exists: all five objects are created.", |_| Ok(())),
        situation!("discovery", "at-rest", "Everything is as wanted: nothing is written.", Stage::rest),
        situation!("discovery", "service-gone", "Somebody deleted the Service: only it is created again.", |stage| {
            stage.rest()?;
            stage.world.remove("Service", "basic-discovery");
            Ok(())
        }),
        situation!("discovery", "paused", "The cluster is paused: discovery goes on, PD's members need it.", |stage| {
            stage.edit(json!({"spec": {"paused": true}}));
            Ok(())
        }),
        situation!("discovery", "no-pd", "The cluster joins another one's PD: no discovery of its own.", |stage| {
            stage.edit(json!({"spec": {"pd": null, "cluster": {"name": "other"}}}));
            Ok(())
        }),
    ]
}

fn pd() -> Vec<Situation> {
    vec![
        situation!(
            "pd",
            "from-nothing",
            "Nothing of PD exists: Services, ConfigMap and StatefulSet are created, later components wait.",
            |stage| stage.before("pd")
        ),
        situation!("pd", "at-rest", "Everything is as wanted: nothing is written, nothing is waited for.", Stage::rest),
        situation!("pd", "scale-out", "3 -> 5: one replica more, not two.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"pd": {"replicas": 5}}}));
            Ok(())
        }),
        situation!("pd", "scale-in", "5 -> 3: the last member leaves PD before its pod may go.", |stage| {
            stage.edit(json!({"spec": {"pd": {"replicas": 5}}}));
            stage.rest()?;
            stage.edit(json!({"spec": {"pd": {"replicas": 3}}}));
            Ok(())
        }),
        situation!("pd", "scale-in-leader", "5 -> 3 while the last member leads: the leader moves first.", |stage| {
            stage.edit(json!({"spec": {"pd": {"replicas": 5}}}));
            stage.rest()?;
            stage.leader("basic-pd-4");
            stage.edit(json!({"spec": {"pd": {"replicas": 3}}}));
            Ok(())
        }),
        situation!("pd", "config-change", "A new configuration: its ConfigMap, then the pods one by one.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"pd": {"config": "[replication]\nmax-replicas = 5\n"}}}));
            Ok(())
        }),
        situation!("pd", "upgrade-begins", "A new version: the template changes, no pod restarts yet.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"version": "v8.5.8"}}));
            Ok(())
        }),
        situation!("pd", "upgrade-under-way", "One step into an upgrade: one pod at a time.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"version": "v8.5.8"}}));
            stage.round()?;
            stage.round()
        }),
        situation!("pd", "upgrade-and-scale", "Version and replicas at once: not both in one pass.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"version": "v8.5.8", "pd": {"replicas": 5}}}));
            Ok(())
        }),
    ]
}

fn pd_members() -> Vec<Situation> {
    vec![
        situation!("pd", "upgrade-of-the-leader", "The next pod to restart leads: the leader moves first.", |stage| {
            stage.rest()?;
            stage.leader("basic-pd-2");
            stage.edit(json!({"spec": {"version": "v8.5.8"}}));
            stage.round()
        }),
        situation!("pd", "silent", "PD does not answer: unknown is not gone, and nothing is taken away.", |stage| {
            stage.rest()?;
            stage.pd_is_silent();
            stage.edit(json!({"spec": {"pd": {"replicas": 1}}}));
            Ok(())
        }),
        situation!(
            "pd",
            "member-unhealthy",
            "A member does not answer during an upgrade: no other restarts.",
            |stage| {
                stage.rest()?;
                stage.edit(json!({"spec": {"version": "v8.5.8"}}));
                stage.round()?;
                stage.unhealthy_member("basic-pd-1");
                stage.pod_is_not_ready("basic-pd-1");
                Ok(())
            }
        ),
        situation!("pd", "paused", "The cluster is paused: nothing is written but the status.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"paused": true, "pd": {"replicas": 5}}}));
            Ok(())
        }),
        situation!("pd", "suspended", "PD is to be suspended: first the phase says so.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"pd": {"suspendAction": {"suspendStatefulSet": true}}}}));
            Ok(())
        }),
        situation!("pd", "suspending", "PD's phase is Suspend: its StatefulSet goes, its claims stay.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"pd": {"suspendAction": {"suspendStatefulSet": true}}}}));
            stage.round()
        }),
        situation!("pd", "edited-by-hand", "Somebody changed a label of the StatefulSet: it is set back.", |stage| {
            stage.rest()?;
            if let Some(set) = stage.world.get_mut("StatefulSet", "basic-pd") {
                set["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "somebody".into();
            }
            Ok(())
        }),
        situation!("pd", "joins-another", "PD runs elsewhere: nothing of it is created here.", |stage| {
            stage.edit(json!({"spec": {"pd": null, "cluster": {"name": "other"}}}));
            stage.before("pd")
        }),
    ]
}

fn tikv() -> Vec<Situation> {
    vec![
        situation!("tikv", "from-nothing", "PD serves, nothing of TiKV exists: all of it is created.", |stage| {
            stage.before("tikv")
        }),
        situation!("tikv", "at-rest", "Everything is as wanted: nothing is written.", Stage::rest),
        situation!("tikv", "scale-out", "3 -> 4: one replica more.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"tikv": {"replicas": 4}}}));
            Ok(())
        }),
        situation!("tikv", "scale-in", "4 -> 3: PD is asked to empty the store; the pod stays meanwhile.", |stage| {
            stage.edit(json!({"spec": {"tikv": {"replicas": 4}}}));
            stage.rest()?;
            stage.edit(json!({"spec": {"tikv": {"replicas": 3}}}));
            Ok(())
        }),
        situation!(
            "tikv",
            "config-change",
            "A new configuration: one store at a time, without its leaders.",
            |stage| {
                stage.rest()?;
                stage.edit(json!({"spec": {"tikv": {"config": "[raftstore]\nstore-pool-size = 3\n"}}}));
                Ok(())
            }
        ),
        situation!("tikv", "upgrade-begins", "A new version of TiKV alone: the template changes first.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"tikv": {"version": "v8.5.8"}}}));
            Ok(())
        }),
        situation!("tikv", "upgrade-under-way", "One step into an upgrade: leaders leave the store first.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"tikv": {"version": "v8.5.8"}}}));
            stage.round()
        }),
        situation!("tikv", "pd-silent", "PD does not answer: no store is taken away.", |stage| {
            stage.edit(json!({"spec": {"tikv": {"replicas": 4}}}));
            stage.rest()?;
            stage.pd_is_silent();
            stage.edit(json!({"spec": {"tikv": {"replicas": 3}}}));
            Ok(())
        }),
        situation!("tikv", "paused", "The cluster is paused: nothing is written but the status.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"paused": true, "tikv": {"replicas": 4}}}));
            Ok(())
        }),
    ]
}

fn tidb() -> Vec<Situation> {
    vec![
        situation!("tidb", "from-nothing", "TiKV serves, nothing of TiDB exists: all of it is created.", |stage| {
            stage.before("tidb")
        }),
        situation!("tidb", "at-rest", "Everything is as wanted: nothing is written.", Stage::rest),
        situation!("tidb", "scale-out", "2 -> 3: one replica more.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"tidb": {"replicas": 3}}}));
            Ok(())
        }),
        situation!("tidb", "scale-in", "2 -> 1: one replica less.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"tidb": {"replicas": 1}}}));
            Ok(())
        }),
        situation!("tidb", "config-change", "A new configuration reaches the pods one by one.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"tidb": {"config": "[log]\nlevel = \"warn\"\n"}}}));
            Ok(())
        }),
        situation!("tidb", "upgrade-under-way", "One step into an upgrade.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"tidb": {"version": "v8.5.8"}}}));
            stage.round()
        }),
        situation!("tidb", "pod-not-ready", "A pod is not ready during an upgrade: no other restarts.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"tidb": {"version": "v8.5.8"}}}));
            stage.round()?;
            stage.pod_is_not_ready("basic-tidb-1");
            Ok(())
        }),
    ]
}

fn housekeeping() -> Vec<Situation> {
    vec![
        situation!("housekeeping", "from-nothing", "Nothing exists yet: only conditions are written.", |_| Ok(())),
        situation!("housekeeping", "at-rest", "Everything is as wanted: nothing is written.", Stage::rest),
        situation!("housekeeping", "new-claims", "Claims without their labels get them.", |stage| {
            stage.before("housekeeping")
        }),
    ]
}
