//! S5, S6, S7, S8, S9, S17: TiKV's and TiFlash's pods and stores.

use serde_json::json;
use tidepool_sim::data::pd::StoreView;

use super::{
    Case, Story, broken, kept,
    story::{anew, by, by_operator, nothing, pod, put, ready, remove, set},
};
use crate::{history::state::State, world::USER};

pub const CASES: &[Case] = &[
    broken("S5", "a store with leaders", |story| {
        story.store(1).leader_count = 2;
        story.deletes_pod("c-tikv-1");
    }),
    kept("S5", "a store without", |story| story.deletes_pod("c-tikv-1")),
    broken("S5", "a store with leaders before its time is over", |story| {
        leaving(story, "2026-01-01T00:00:00Z", 89_999)
    }),
    kept("S5", "a store with leaders when its time is over", |story| leaving(story, "2026-01-01T00:00:00Z", 90_000)),
    kept("S5", "a store with leaders when the time that the spec gives is over", |story| {
        story.spec("tikv.evictLeaderTimeout", "1m".into());
        leaving(story, "2026-01-01T00:00:00Z", 60);
    }),
    kept("S5", "a store with leaders where no other store is Up", |story| {
        for other in [0, 2, 3] {
            story.store(other).state_name = "Offline";
        }
        story.store(1).leader_count = 2;
        story.deletes_pod("c-tikv-1");
    }),
    kept("S5", "a store with leaders that PD does not think Up", |story| {
        (story.store(1).leader_count, story.store(1).state_name) = (2, "Disconnected");
        story.deletes_pod("c-tikv-1");
    }),
    kept("S5", "a store with leaders that does not run", |story| {
        (story.store(1).leader_count, story.store(1).running) = (2, false);
        story.deletes_pod("c-tikv-1");
    }),
    broken("S6", "a store while another one is away", |story| {
        story.store(2).state_name = "Disconnected";
        story.deletes_pod("c-tikv-1");
    }),
    broken("S6", "a store while another one is down", |story| {
        story.store(2).state_name = "Down";
        story.deletes_pod("c-tikv-1");
    }),
    kept("S6", "a store while another one leaves", |story| {
        story.store(2).state_name = "Offline";
        story.deletes_pod("c-tikv-1");
    }),
    kept("S6", "a store that is away itself", |story| {
        story.store(1).state_name = "Disconnected";
        story.deletes_pod("c-tikv-1");
    }),
    broken("S7", "a second pod while the first is away", |story| {
        story.deletes_pod("c-tikv-1");
        story.deletes_pod("c-tikv-2");
    }),
    broken("S7", "a second pod while the first's store does not run", |story| {
        story.deletes_pod("c-tikv-1");
        story.becomes("pods", "c-tikv-1", anew);
        story.store(1).running = false;
        story.deletes_pod("c-tikv-2");
    }),
    broken("S7", "a second pod while the first's store is not Up", |story| {
        story.deletes_pod("c-tikv-1");
        story.becomes("pods", "c-tikv-1", anew);
        story.store(1).state_name = "Offline";
        story.deletes_pod("c-tikv-2");
    }),
    kept("S7", "a second pod when the first is back", |story| {
        story.deletes_pod("c-tikv-1");
        story.becomes("pods", "c-tikv-1", anew);
        story.deletes_pod("c-tikv-2");
    }),
    broken("S8", "a store without which there are fewer than replicas", |story| {
        story.store(0).state_name = "Down";
        story.does(removal(4), nothing);
    }),
    kept("S8", "a store without which there are enough", |story| story.does(removal(4), nothing)),
    kept("S8", "the store that is not Up itself", |story| {
        story.store(3).state_name = "Down";
        story.does(removal(4), nothing);
    }),
    kept("S8", "a store that somebody else deletes", |story| {
        story.store(0).state_name = "Down";
        let entry = by(USER, "DELETE", "pd", "/pd/api/v1/store/4");
        story.does(entry, nothing);
    }),
    kept("S8", "a store whose deletion is refused", |story| {
        story.store(0).state_name = "Down";
        let mut entry = removal(4);
        entry.status = 400;
        story.does(entry, nothing);
    }),
    broken("S8", "a store, by force", |story| {
        story.store(0).state_name = "Down";
        story.does(by_operator("DELETE", "pd", "/pd/api/v1/store/4?force=true"), nothing);
    }),
    kept("S8", "a store of TiFlash", |story| {
        story.store(0).state_name = "Down";
        flash(story);
        story.does(removal(9), nothing);
    }),
    broken("S8", "a store of TiKV where TiFlash makes up the number", |story| {
        story.store(0).state_name = "Down";
        flash(story);
        story.does(removal(4), nothing);
    }),
    kept("S8", "a store of a PD that keeps two replicas", |story| {
        story.store(0).state_name = "Down";
        story.spec("pd.config", "[replication]\nmax-replicas = 2\n".into());
        story.does(removal(4), nothing);
    }),
    broken("S8", "a store of a PD that keeps three replicas, beside another PD that keeps two", |story| {
        story.store(0).state_name = "Down";
        let metadata = json!({"name": "b", "namespace": "n", "uid": "b"});
        let spec = json!({"pd": {"config": "max-replicas = 2"}});
        put(&mut story.now, "tidbclusters", json!({"metadata": metadata, "spec": spec}));
        story.does(removal(4), nothing);
    }),
    broken("S9", "a pod whose store is not a tombstone", |story| {
        story.becomes("statefulsets", "c-tikv", |set| set["spec"]["replicas"] = 3.into());
        story.set_deletes_pod("c-tikv-3");
    }),
    kept("S9", "a pod whose store is one", |story| {
        story.becomes("statefulsets", "c-tikv", |set| set["spec"]["replicas"] = 3.into());
        story.store(3).state_name = "Tombstone";
        story.set_deletes_pod("c-tikv-3");
    }),
    broken("S9", "a pod of TiFlash whose store is not a tombstone", |story| {
        flash(story);
        story.does(by_operator("delete", "statefulsets", "c-tiflash"), |now| remove(now, "statefulsets", "c-tiflash"));
    }),
    kept("S9", "a pod of TiFlash that comes back", |story| {
        flash(story);
        story.deletes_pod("c-tiflash-0");
    }),
    kept("S17", "they leave while the operator does something else", |story| {
        story.does(by_operator("POST", "pd", "/pd/api/v1/store/3/label"), |now| evicting(now, 2, true));
        story.does(by_operator("DELETE", "pd", "/pd/api/v1/schedulers"), |now| evicting(now, 1, true));
        story.passes(600);
    }),
    broken("S17", "leaders are kept off a store that is not to restart", |story| {
        evicts(story);
        story.passes(61);
    }),
    kept("S17", "for no longer than a resync", |story| {
        evicts(story);
        story.passes(60);
    }),
    kept("S17", "somebody else keeps them off", |story| {
        story.store(1).evicting = true;
        story.does(by_operator("POST", "pd", "/pd/api/v1/schedulers"), |now| evicting(now, 2, true));
        story.does(by_operator("DELETE", "pd", "/pd/api/v1/schedulers/x"), |now| evicting(now, 2, false));
        story.does(by(USER, "POST", "pd", "/pd/api/v1/schedulers"), |now| evicting(now, 2, true));
        story.passes(600);
    }),
    kept("S17", "they are let back in time", |story| {
        evicts(story);
        story.passes(50);
        story.store(2).evicting = false;
        story.passes(600);
    }),
    kept("S17", "while PD does not answer", |story| {
        evicts(story);
        story.pd().answers = false;
        story.passes(600);
    }),
    kept("S17", "while the pod is not ready", |story| {
        evicts(story);
        story.becomes("pods", "c-tikv-2", |pod| ready(pod, false));
        story.passes(600);
    }),
    kept("S17", "while the store is not Up", |story| {
        evicts(story);
        story.store(2).state_name = "Disconnected";
        story.passes(600);
    }),
    kept("S17", "while the store does not run", |story| {
        evicts(story);
        story.store(2).running = false;
        story.passes(600);
    }),
    kept("S17", "while the pod is away", |story| {
        evicts(story);
        story.vanishes("pods", "c-tikv-2");
        story.passes(600);
    }),
    kept("S17", "while the pod has an old template", |story| {
        evicts(story);
        story.becomes("statefulsets", "c-tikv", |set| set["status"]["updateRevision"] = "r2".into());
        story.passes(600);
    }),
    kept("S17", "while the pod has no StatefulSet", |story| {
        evicts(story);
        story.vanishes("statefulsets", "c-tikv");
        story.passes(600);
    }),
    broken("S17", "while the pod has an old template and the cluster is paused", |story| {
        evicts(story);
        story.becomes("statefulsets", "c-tikv", |set| set["status"]["updateRevision"] = "r2".into());
        story.spec("paused", true.into());
        story.passes(61);
    }),
    kept("S17", "while the user wants it", |story| {
        evicts(story);
        story.becomes("pods", "c-tikv-2", |pod| {
            pod["metadata"]["annotations"] = json!({"tidb.pingcap.com/evict-leader": "none"});
        });
        story.passes(600);
    }),
    kept("S17", "while the pod is one too many", |story| {
        evicts(story);
        story.spec("tikv.replicas", 2.into());
        story.passes(600);
    }),
    broken("S17", "while another pod is one too many", |story| {
        evicts(story);
        story.spec("tikv.replicas", 3.into());
        story.passes(61);
    }),
    kept("S17", "while a chosen pod is to go", |story| {
        evicts(story);
        story.becomes("tidbclusters", "c", |cluster| {
            cluster["metadata"]["annotations"] = json!({"tikv.tidb.pingcap.com/delete-slots": "[2]"});
        });
        story.passes(600);
    }),
    kept("S17", "while the cluster goes", |story| {
        evicts(story);
        story.becomes("tidbclusters", "c", |c| c["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
        story.passes(600);
    }),
    kept("S17", "when the cluster is gone", |story| {
        evicts(story);
        story.vanishes("tidbclusters", "c");
        story.passes(600);
    }),
    broken("S17", "when the store is a tombstone", |story| {
        evicts(story);
        story.vanishes("pods", "c-tikv-2");
        story.store(2).state_name = "Tombstone";
        story.passes(61);
    }),
    kept("S17", "twice, each time for less than a resync", |story| {
        evicts(story);
        story.passes(40);
        story.store(2).evicting = false;
        story.passes(1);
        evicts(story);
        story.passes(40);
    }),
    kept("S17", "a reason comes and goes", |story| {
        evicts(story);
        story.passes(40);
        story.becomes("pods", "c-tikv-2", |pod| ready(pod, false));
        story.passes(1);
        story.becomes("pods", "c-tikv-2", |pod| ready(pod, true));
        story.passes(40);
    }),
];

/// The pod of a store with leaders goes, so many seconds after they began to leave.
fn leaving(story: &mut Story, begun: &str, seconds: u64) {
    story.store(1).leader_count = 2;
    let annotations = json!({"evictLeaderBeginTime": begun});
    story.becomes("pods", "c-tikv-1", |pod| pod["metadata"]["annotations"] = annotations);
    story.now.ms += seconds * 1_000;
    story.deletes_pod("c-tikv-1");
}

fn removal(store: u64) -> tidepool_sim::audit::Entry {
    by_operator("DELETE", "pd", &format!("/pd/api/v1/store/{store}"))
}

/// One pod of TiFlash with a store.
fn flash(story: &mut Story) {
    let address = "c-tiflash-0.c-tiflash-peer.n.svc:3930".to_owned();
    let store = StoreView { id: 9, address, ..story.store(1).clone() };
    story.pd().stores.push(store);
    put(&mut story.now, "statefulsets", set("tiflash", 1));
    put(&mut story.now, "pods", pod("tiflash", 0));
}

/// The operator has the leaders leave the third store.
fn evicts(story: &mut Story) {
    story.does(by_operator("POST", "pd", "/pd/api/v1/schedulers"), |now| evicting(now, 2, true));
}

fn evicting(now: &mut State, store: usize, so: bool) {
    now.pd.values_mut().for_each(|pd| pd.stores[store].evicting = so);
}
