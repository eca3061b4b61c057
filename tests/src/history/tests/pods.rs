//! S1, S2, S3, S24: pods of PD and of TiDB.

use serde_json::json;
use tidepool_sim::data::pd::MemberView;

use super::{
    Case, Story, broken, kept,
    story::{anew, by, by_operator, nothing, pod, put, ready, remove, set},
};
use crate::{
    history::CONTROLLERS,
    world::{SECOND_OPERATOR, USER},
};

pub const CASES: &[Case] = &[
    kept("S1", "one member", |story| story.deletes_pod("c-pd-2")),
    broken("S1", "a second one while the first is away", |story| {
        story.deletes_pod("c-pd-2");
        story.vanishes("pods", "c-pd-2");
        story.deletes_pod("c-pd-3");
    }),
    broken("S1", "a second one while the first is on its way out", |story| {
        story.deletes_pod("c-pd-2");
        story.deletes_pod("c-pd-3");
    }),
    broken("S1", "a second one by a second operator", |story| {
        story.deletes_pod("c-pd-2");
        story.does(by(SECOND_OPERATOR, "delete", "pods", "c-pd-3"), nothing);
    }),
    kept("S1", "a second one when the first serves again", |story| {
        story.deletes_pod("c-pd-2");
        story.becomes("pods", "c-pd-2", anew);
        story.deletes_pod("c-pd-3");
    }),
    broken("S1", "a second one when the first is there and not ready", |story| {
        story.deletes_pod("c-pd-2");
        story.becomes("pods", "c-pd-2", anew);
        story.becomes("pods", "c-pd-2", |pod| ready(pod, false));
        story.deletes_pod("c-pd-3");
    }),
    broken("S1", "a second one when the first is ready and no healthy member", |story| {
        story.deletes_pod("c-pd-2");
        story.becomes("pods", "c-pd-2", anew);
        story.member(2).healthy = false;
        story.deletes_pod("c-pd-3");
    }),
    kept("S1", "one member while the pod that comes in the place of a lost one is away", |story| {
        story.pd().members.remove(2);
        story.deletes_pod("c-pd-2");
        story.deletes_pod("c-pd-3");
    }),
    kept("S1", "a second one where the first is wanted no more", |story| {
        story.deletes_pod("c-pd-4");
        story.vanishes("pods", "c-pd-4");
        story.pd().members.pop();
        story.becomes("statefulsets", "c-pd", |set| set["spec"]["replicas"] = 4.into());
        story.deletes_pod("c-pd-3");
    }),
    kept("S1", "a second one where the first's StatefulSet is gone", |story| {
        put(&mut story.now, "statefulsets", set("pd-b", 1));
        let mut other = pod("pd", 9);
        other["metadata"]["name"] = "c-pd-b-0".into();
        put(&mut story.now, "pods", other);
        story.deletes_pod("c-pd-b-0");
        story.vanishes("pods", "c-pd-b-0");
        story.vanishes("statefulsets", "c-pd-b");
        story.deletes_pod("c-pd-3");
    }),
    kept("S1", "the same one again, which is well but for its pod", |story| {
        story.deletes_pod("c-pd-2");
        story.becomes("pods", "c-pd-2", anew);
        story.becomes("pods", "c-pd-2", |pod| ready(pod, false));
        story.deletes_pod("c-pd-2");
    }),
    kept("S1", "one member while a store is away", |story| {
        story.deletes_pod("c-tikv-2");
        story.deletes_pod("c-pd-2");
    }),
    kept("S1", "one member of each of two PDs", |story| {
        let mut cluster = (*story.now.objects["tidbclusters"]["n/c"]).clone();
        (cluster["metadata"]["name"], cluster["metadata"]["uid"]) = ("d".into(), "v".into());
        put(&mut story.now, "tidbclusters", cluster);
        let mut other = pod("pd", 1);
        other["metadata"]["name"] = "d-pd-1".into();
        other["metadata"]["labels"]["app.kubernetes.io/instance"] = "d".into();
        other["metadata"]["ownerReferences"] = json!([{"kind": "TidbCluster", "uid": "v", "controller": true}]);
        put(&mut story.now, "pods", other);
        let mut pd = story.pd().clone();
        pd.members.iter_mut().for_each(|member| member.name = member.name.replace("c-", "d-"));
        pd.stores.clear();
        story.now.pd.insert(8, pd);
        story.now.pd_of.insert("n/d-pd-1".to_owned(), 8);
        story.deletes_pod("c-pd-1");
        story.deletes_pod("d-pd-1");
    }),
    broken("S1", "members of one PD in two clusters, one of which has joined the other", |story| {
        joins(story, "n");
        story.pd().members.push(MemberView { id: 9, name: "d-pd-9".into(), healthy: true, leader: false });
        story.deletes_pod("c-pd-2");
        story.deletes_pod("d-pd-9");
    }),
    broken(
        "S1",
        "members of one PD in two clusters, one of which has joined the other in its own namespace",
        |story| {
            joins(story, "");
            story.pd().members.push(MemberView { id: 9, name: "d-pd-9".into(), healthy: true, leader: false });
            story.deletes_pod("c-pd-2");
            story.deletes_pod("d-pd-9");
        },
    ),
    kept("S1", "one that is not healthy, while another is away", |story| {
        story.deletes_pod("c-pd-2");
        story.member(3).healthy = false;
        story.deletes_pod("c-pd-3");
    }),
    kept("S1", "one that is no member, while another is away", |story| {
        story.deletes_pod("c-pd-2");
        story.pd().members.retain(|member| member.name != "c-pd-3");
        story.deletes_pod("c-pd-3");
    }),
    kept("S1", "a member where enough others are healthy", |story| {
        story.member(1).healthy = false;
        story.deletes_pod("c-pd-2");
    }),
    broken("S1", "a member on which the quorum hangs", |story| {
        story.member(1).healthy = false;
        story.member(4).healthy = false;
        story.deletes_pod("c-pd-2");
    }),
    kept("S1", "one of two members", |story| {
        story.pd().members.truncate(2);
        story.deletes_pod("c-pd-1");
    }),
    broken("S1", "the only healthy one of two", |story| {
        story.pd().members.truncate(2);
        story.member(0).healthy = false;
        story.deletes_pod("c-pd-1");
    }),
    kept("S1", "a member that was removed and is on its way out is not missed", |story| {
        story.pd().members.pop();
        story.becomes("statefulsets", "c-pd", |set| set["spec"]["replicas"] = 4.into());
        story.set_deletes_pod("c-pd-4");
        story.deletes_pod("c-pd-3");
    }),
    kept("S2", "a pod that is no member any more", |story| {
        story.pd().members.pop();
        story.becomes("statefulsets", "c-pd", |set| set["spec"]["replicas"] = 4.into());
        story.set_deletes_pod("c-pd-4");
    }),
    broken("S2", "a pod that is a member still", |story| {
        story.becomes("statefulsets", "c-pd", |set| set["spec"]["replicas"] = 4.into());
        story.set_deletes_pod("c-pd-4");
    }),
    kept("S2", "the pod of the last member", |story| {
        story.pd().members.truncate(1);
        story.becomes("statefulsets", "c-pd", |set| set["spec"]["replicas"] = 0.into());
        story.set_deletes_pod("c-pd-0");
    }),
    broken("S2", "the whole StatefulSet", |story| {
        story.does(by_operator("delete", "statefulsets", "c-pd"), |now| remove(now, "statefulsets", "c-pd"));
    }),
    kept("S2", "the whole StatefulSet, by somebody else", |story| {
        story.does(by(USER, "delete", "statefulsets", "c-pd"), |now| remove(now, "statefulsets", "c-pd"));
    }),
    kept("S2", "the StatefulSet of another component", |story| {
        story.does(by_operator("delete", "statefulsets", "c-tidb"), |now| remove(now, "statefulsets", "c-tidb"));
    }),
    kept("S2", "the whole StatefulSet, to be suspended", |story| {
        story.spec("suspendAction", json!({"suspendStatefulSet": true}));
        story.does(by_operator("delete", "statefulsets", "c-pd"), |now| remove(now, "statefulsets", "c-pd"));
    }),
    broken("S3", "the leader", |story| story.deletes_pod("c-pd-0")),
    kept("S3", "the leader of one", |story| {
        story.pd().members.truncate(1);
        story.deletes_pod("c-pd-0");
    }),
    kept("S3", "the leader, by somebody else", |story| story.does(by(USER, "delete", "pods", "c-pd-0"), nothing)),
    kept("S3", "the leader, refused", |story| {
        let mut entry = by_operator("delete", "pods", "c-pd-0");
        entry.status = 409;
        story.does(entry, nothing);
    }),
    kept("S3", "the leader, which is on its way out already", |story| {
        story.becomes("pods", "c-pd-0", |pod| pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
        story.deletes_pod("c-pd-0");
    }),
    kept("S3", "the leader of a cluster that is to be suspended", |story| {
        story.spec("suspendAction", json!({"suspendStatefulSet": true}));
        story.deletes_pod("c-pd-0");
    }),
    kept("S3", "the leader of a PD that is to be suspended", |story| {
        story.spec("pd.suspendAction", json!({"suspendStatefulSet": true}));
        story.deletes_pod("c-pd-0");
    }),
    broken("S3", "the leader of a PD that is not to be suspended with the rest", |story| {
        story.spec("suspendAction", json!({"suspendStatefulSet": true}));
        story.spec("pd.suspendAction", json!({"suspendStatefulSet": false}));
        story.deletes_pod("c-pd-0");
    }),
    kept("S3", "the leader of a cluster that goes", |story| {
        story.becomes("tidbclusters", "c", |c| c["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
        story.deletes_pod("c-pd-0");
    }),
    kept("S3", "the leader of a cluster that is gone", |story| {
        story.vanishes("tidbclusters", "c");
        story.does(by(CONTROLLERS, "delete", "pods", "c-pd-0"), nothing);
    }),
    broken("S3", "the leader, through a StatefulSet that the operator wrote", |story| {
        story.patches(USER, "statefulsets", "c-pd", |set| set["spec"]["x"] = 1.into());
        story.patches(crate::world::OPERATOR, "statefulsets", "c-pd", |set| set["spec"]["x"] = 2.into());
        story.set_deletes_pod("c-pd-0");
    }),
    kept("S3", "the leader, through a StatefulSet that somebody else wrote", |story| {
        story.patches(USER, "statefulsets", "c-pd", |set| set["spec"]["x"] = 1.into());
        story.set_deletes_pod("c-pd-0");
    }),
    kept("S3", "the leader, through a StatefulSet of which the operator wrote the labels", |story| {
        story.patches(USER, "statefulsets", "c-pd", |set| set["spec"]["x"] = 1.into());
        story.patches(crate::world::OPERATOR, "statefulsets", "c-pd", |set| set["metadata"]["labels"]["x"] = 1.into());
        story.set_deletes_pod("c-pd-0");
    }),
    broken("S3", "the leader, through a StatefulSet scaled by the operator", |story| {
        story.patches(USER, "statefulsets", "c-pd", |set| set["spec"]["x"] = 1.into());
        story.patches(crate::world::OPERATOR, "statefulsets/scale", "c-pd", |set| set["spec"]["x"] = 2.into());
        story.set_deletes_pod("c-pd-0");
    }),
    kept("S3", "the leader, without a StatefulSet", |story| {
        story.vanishes("statefulsets", "c-pd");
        story.set_deletes_pod("c-pd-0");
    }),
    broken("S24", "the last server that serves", |story| {
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.deletes_pod("c-tidb-0");
    }),
    broken("S24", "the last server while the other is on its way out", |story| {
        story.deletes_pod("c-tidb-1");
        story.deletes_pod("c-tidb-0");
    }),
    kept("S24", "a server while another serves", |story| story.deletes_pod("c-tidb-0")),
    kept("S24", "a server that does not serve", |story| {
        story.becomes("pods", "c-tidb-0", |pod| ready(pod, false));
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.deletes_pod("c-tidb-0");
    }),
    kept("S24", "the only server", |story| {
        story.vanishes("pods", "c-tidb-1");
        story.deletes_pod("c-tidb-0");
    }),
    kept("S24", "a server of three while one serves", |story| {
        put(&mut story.now, "pods", pod("tidb", 2));
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.deletes_pod("c-tidb-0");
    }),
    broken("S24", "the last server, while one of another cluster serves", |story| {
        let mut other = pod("tidb", 7);
        other["metadata"]["labels"]["app.kubernetes.io/instance"] = "d".into();
        put(&mut story.now, "pods", other);
        story.becomes("pods", "c-tidb-1", |pod| ready(pod, false));
        story.deletes_pod("c-tidb-0");
    }),
];

/// A cluster `d` with a pod of PD that joins the PD of `c`.
fn joins(story: &mut Story, namespace: &str) {
    let metadata = json!({"name": "d", "namespace": "n", "uid": "v"});
    let spec = json!({"cluster": {"name": "c", "namespace": namespace}});
    put(&mut story.now, "tidbclusters", json!({"metadata": metadata, "spec": spec}));
    let mut other = pod("pd", 9);
    other["metadata"]["name"] = "d-pd-9".into();
    other["metadata"]["labels"]["app.kubernetes.io/instance"] = "d".into();
    other["metadata"]["ownerReferences"] = json!([{"kind": "TidbCluster", "uid": "v", "controller": true}]);
    put(&mut story.now, "pods", other);
}
