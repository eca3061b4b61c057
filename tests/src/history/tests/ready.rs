//! S29: what the status says.

use serde_json::{Value, json};

use super::{
    Case, Story, broken, kept,
    story::{by_operator, edit, labels, owned_by_cluster, pod, put, ready},
};
use crate::world::{OPERATOR, USER};

/// Every component that the rule knows has a story, in [`CASES`].
pub const CASES: &[Case] = &[
    kept("S29", "Ready is written while all is well", |story| {
        story.passes(60);
        says(story, true);
    }),
    broken("S29", "Ready is written while a pod of PD is not ready", |story| {
        story.becomes("pods", "c-pd-1", |pod| ready(pod, false));
        story.passes(11);
        says(story, true);
    }),
    broken("S29", "Ready is written while a member is not healthy", |story| {
        story.member(1).healthy = false;
        story.passes(11);
        says(story, true);
    }),
    broken("S29", "Ready is written while a store is not Up", |story| {
        story.store(1).state_name = "Disconnected";
        story.passes(11);
        says(story, true);
    }),
    broken("S29", "Ready is written while a server is not ready", |story| {
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(11);
        says(story, true);
    }),
    broken("S29", "Ready is written without TiFlash", |story| lacks(story, "tiflash")),
    broken("S29", "Ready is written without TiCDC", |story| lacks(story, "ticdc")),
    broken("S29", "Ready is written without TiProxy", |story| lacks(story, "tiproxy")),
    broken("S29", "Ready is written without Pump", |story| lacks(story, "pump")),
    kept("S29", "Ready is written with TiFlash", |story| {
        put(&mut story.now, "pods", pod("tiflash", 0));
        lacks(story, "tiflash");
    }),
    broken("S29", "Ready is written while a pod of that component in another cluster is ready", |story| {
        let mut other = pod("tiflash", 0);
        other["metadata"]["labels"]["app.kubernetes.io/instance"] = "d".into();
        put(&mut story.now, "pods", other);
        lacks(story, "tiflash");
    }),
    kept("S29", "Ready is written in the round in which a server stops", |story| {
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(10);
        says(story, true);
    }),
    kept("S29", "not Ready is written while a server is not ready", |story| {
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(11);
        says(story, false);
    }),
    kept("S29", "somebody else writes Ready, and it does not last", |story| {
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(11);
        story.patches(USER, "tidbclusters/status", "c", |cluster| status(cluster, true));
        story.becomes("tidbclusters", "c", |cluster| status(cluster, false));
        story.passes(60);
    }),
    kept("S29", "another cluster is Ready", |story| {
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(11);
        put(
            &mut story.now,
            "tidbclusters",
            json!({"metadata": {"name": "d", "namespace": "n", "uid": "d"}, "spec": {}}),
        );
        let entry = by_operator("patch", "tidbclusters/status", "d");
        story.does(entry, |now| edit(now, "tidbclusters", "d", |cluster| status(cluster, true)));
    }),
    broken("S29", "Ready is written among other conditions", |story| {
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(11);
        let conditions = json!([{"type": "Reconciled", "status": "False"}, {"type": "Ready", "status": "True"}]);
        let entry = by_operator("patch", "tidbclusters/status", "c");
        story.does(entry, |now| {
            edit(now, "tidbclusters", "c", |cluster| cluster["status"] = json!({"conditions": conditions}));
        });
    }),
    kept("S29", "a server is back before Ready is written", |story| {
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(11);
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, true));
        says(story, true);
    }),
    kept("S29", "something else is written while a server is not ready", |story| {
        story.becomes("tidbclusters", "c", |cluster| status(cluster, true));
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(11);
        story.becomes("tidbclusters", "c", |cluster| status(cluster, true));
        put(
            &mut story.now,
            "services",
            json!({"metadata": {"name": "c", "namespace": "n", "labels": labels("tidb"),
            "ownerReferences": owned_by_cluster()}}),
        );
        story.patches(OPERATOR, "services", "c", |service| service["spec"] = json!({"x": "y"}));
    }),
    kept("S29", "a write that is refused", |story| {
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(11);
        story.becomes("tidbclusters", "c", |cluster| status(cluster, true));
        let mut entry = by_operator("patch", "tidbclusters/status", "c");
        entry.status = 409;
        story.does(entry, |_| {});
    }),
    kept("S29", "Ready is left standing for a resync", |story| {
        story.becomes("tidbclusters", "c", |cluster| status(cluster, true));
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(60);
    }),
    broken("S29", "Ready is left standing for longer", |story| {
        story.becomes("tidbclusters", "c", |cluster| status(cluster, true));
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(61);
    }),
    kept("S29", "a server is back in between", |story| {
        story.becomes("tidbclusters", "c", |cluster| status(cluster, true));
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(40);
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, true));
        story.passes(1);
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.passes(40);
    }),
];

fn status(cluster: &mut Value, ready: bool) {
    let status = if ready { "True" } else { "False" };
    cluster["status"] = json!({"conditions": [{"type": "Ready", "status": status}]});
}

/// The operator says whether the cluster is Ready.
fn says(story: &mut Story, ready: bool) {
    let entry = by_operator("patch", "tidbclusters/status", "c");
    story.does(entry, |now| edit(now, "tidbclusters", "c", |cluster| status(cluster, ready)));
}

/// The spec wants one pod of a component, and Ready is written.
fn lacks(story: &mut Story, component: &str) {
    story.spec(component, json!({"replicas": 1}));
    story.passes(11);
    says(story, true);
}
