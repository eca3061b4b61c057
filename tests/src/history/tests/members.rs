//! S2, S3, S4, S21: what is asked of PD, and how many pods failover adds.

use serde_json::json;
use tidepool_sim::audit::Entry;

use super::{
    Case, Story, broken, kept,
    story::{by, by_operator, edit, nothing, put, ready, set},
};
use crate::world::{OPERATOR, USER};

pub const CASES: &[Case] = &[
    kept("S2", "a member is removed and a quorum stays", |story| {
        story.member(1).healthy = false;
        story.does(removal("id/2"), nothing);
    }),
    broken("S2", "a member is removed and no quorum stays", |story| {
        story.member(1).healthy = false;
        story.member(3).healthy = false;
        story.does(removal("id/2"), nothing);
    }),
    broken("S2", "the same by its name", |story| {
        story.member(1).healthy = false;
        story.member(3).healthy = false;
        story.does(removal("name/c-pd-2"), nothing);
    }),
    kept("S2", "the one that is down is removed", |story| {
        story.member(1).healthy = false;
        story.member(3).healthy = false;
        story.does(removal("id/1"), nothing);
    }),
    kept("S2", "a quorum of those that stay, which was none before", |story| {
        story.pd().members.truncate(4);
        story.member(1).healthy = false;
        story.does(removal("id/2"), nothing);
    }),
    kept("S2", "somebody else removes one", |story| {
        story.member(1).healthy = false;
        story.member(3).healthy = false;
        story.does(Entry { user_agent: USER.to_owned(), ..removal("id/2") }, nothing);
    }),
    kept("S2", "it is refused", |story| {
        story.member(1).healthy = false;
        story.member(3).healthy = false;
        story.does(Entry { status: 500, ..removal("id/2") }, nothing);
    }),
    broken("S3", "the leader is removed", |story| story.does(removal("id/0"), nothing)),
    kept("S3", "another member than the leader is removed", |story| story.does(removal("id/1"), nothing)),
    broken("S2", "the last member is removed, and nobody is left to lead", |story| {
        story.pd().members.truncate(1);
        story.does(removal("id/0"), nothing);
    }),
    kept("S4", "all pods belong to one PD", |story| story.passes(60)),
    broken("S4", "a pod founds another PD", |story| {
        story.passes(60);
        story.now.pd_of.insert("n/c-pd-2".to_owned(), 8);
        story.passes(1);
    }),
    broken("S4", "a request makes a pod found another PD", |story| {
        story.passes(60);
        story.does(by(USER, "delete", "pods", "c-pd-2"), |now| {
            now.pd_of.insert("n/c-pd-2".to_owned(), 8);
        });
    }),
    broken("S4", "all pods belong to another PD than before", |story| {
        story.passes(60);
        story.now.pd_of.values_mut().for_each(|id| *id = 8);
        story.passes(1);
    }),
    kept("S4", "the cluster is made anew, and PD with it", |story| {
        story.passes(60);
        story.now.pd_of.values_mut().for_each(|id| *id = 8);
        story.becomes("tidbclusters", "c", |cluster| cluster["metadata"]["uid"] = "v".into());
        story.passes(1);
    }),
    kept("S4", "the pods of another cluster belong to another PD", |story| {
        story.passes(60);
        story.becomes("pods", "c-pd-2", |pod| pod["metadata"]["labels"]["app.kubernetes.io/instance"] = "d".into());
        story.now.pd_of.insert("n/c-pd-2".to_owned(), 8);
        story.passes(1);
    }),
    kept("S4", "the status names it", |story| {
        story.becomes("tidbclusters", "c", |cluster| cluster["status"] = json!({"clusterID": "7"}));
        story.passes(1);
    }),
    broken("S4", "the status names another one", |story| {
        story.becomes("tidbclusters", "c", |cluster| cluster["status"] = json!({"clusterID": "9"}));
        story.passes(1);
    }),
    kept("S21", "as many pods as the spec says", |story| {
        story.becomes("statefulsets", "c-pd", |set| set["spec"]["replicas"] = 4.into());
        grows(story, 5);
    }),
    broken("S21", "one more, and none has failed", |story| grows(story, 6)),
    kept("S21", "as many as before, and more than the spec says", |story| {
        story.becomes("statefulsets", "c-pd", |set| set["spec"]["replicas"] = 6.into());
        story.patches(OPERATOR, "statefulsets", "c-pd", |set| set["metadata"]["labels"]["x"] = "y".into());
    }),
    kept("S21", "more than before, and no more than the spec says, where the spec allows none for failures", |story| {
        story.becomes("statefulsets", "c-pd", |set| set["spec"]["replicas"] = 3.into());
        story.spec("pd.maxFailoverCount", (-1).into());
        grows(story, 5);
    }),
    broken("S21", "one more, by an update", |story| {
        let entry = by_operator("update", "statefulsets", "c-pd");
        story.does(entry, |now| edit(now, "statefulsets", "c-pd", |set| set["spec"]["replicas"] = 6.into()));
    }),
    broken("S21", "one more for a pod that no node was ever found for", |story| {
        story.becomes("pods", "c-pd-3", |pod| ready(pod, false));
        story.becomes("pods", "c-pd-3", |pod| pod["spec"]["nodeName"] = serde_json::Value::Null);
        grows(story, 6);
    }),
    kept("S21", "fewer, and still more than the spec says", |story| {
        story.becomes("statefulsets", "c-pd", |set| set["spec"]["replicas"] = 7.into());
        grows(story, 6);
    }),
    kept("S21", "one more for a pod that fails", |story| {
        story.becomes("pods", "c-pd-3", |pod| ready(pod, false));
        grows(story, 6);
    }),
    broken("S21", "one more for a pod that waits for a node", |story| {
        story.becomes("pods", "c-pd-3", |pod| ready(pod, false));
        story.becomes("pods", "c-pd-3", |pod| pod["spec"]["nodeName"] = "".into());
        grows(story, 6);
    }),
    broken("S21", "one more for a pod of another component that fails", |story| {
        story.becomes("pods", "c-tikv-3", |pod| ready(pod, false));
        grows(story, 6);
    }),
    kept("S21", "one more for a member that the status says failed", |story| {
        story.becomes("tidbclusters", "c", |c| c["status"] = json!({"pd": {"failureMembers": {"c-pd-1": {}}}}));
        grows(story, 6);
    }),
    broken("S21", "two more for one", |story| {
        story.becomes("tidbclusters", "c", |c| c["status"] = json!({"pd": {"failureMembers": {"c-pd-1": {}}}}));
        grows(story, 7);
    }),
    kept("S21", "one more for a store that the status says failed", |story| {
        story.becomes("tidbclusters", "c", |c| c["status"] = json!({"tikv": {"failureStores": {"2": {}}}}));
        story.patches(OPERATOR, "statefulsets", "c-tikv", |set| set["spec"]["replicas"] = 5.into());
    }),
    broken("S21", "more than the spec allows", |story| {
        story.becomes("pods", "c-pd-3", |pod| ready(pod, false));
        story.spec("pd.maxFailoverCount", 0.into());
        grows(story, 6);
    }),
    kept("S21", "three where the spec does not say", |story| {
        (1..5).for_each(|n| story.becomes("pods", &format!("c-pd-{n}"), |pod| ready(pod, false)));
        grows(story, 8);
    }),
    broken("S21", "four where the spec does not say", |story| {
        (1..5).for_each(|n| story.becomes("pods", &format!("c-pd-{n}"), |pod| ready(pod, false)));
        grows(story, 9);
    }),
    kept("S21", "one more for a member that failed and was removed", |story| {
        story.member(3).healthy = false;
        story.does(removal("id/3"), nothing);
        grows(story, 6);
    }),
    broken("S21", "one more for a member that was removed when it was well", |story| {
        story.does(removal("id/3"), nothing);
        grows(story, 6);
    }),
    broken("S21", "one more for a member of another PD that was removed", |story| {
        let mut pd = story.pd().clone();
        pd.members.iter_mut().for_each(|member| {
            member.name = member.name.replace("c-", "d-");
            member.id += 100;
        });
        pd.members[3].healthy = false;
        story.now.pd.insert(8, pd);
        story.does(removal("id/103"), nothing);
        grows(story, 6);
    }),
    broken("S21", "one more for a member that was replaced long ago", |story| {
        story.member(3).healthy = false;
        story.does(removal("id/3"), nothing);
        grows(story, 6);
        grows(story, 5);
        grows(story, 6);
    }),
    kept("S21", "a service of PD, which has no failover", |story| {
        put(&mut story.now, "statefulsets", set("tso", 2));
        story.patches(OPERATOR, "statefulsets", "c-tso", |set| set["spec"]["replicas"] = 9.into());
    }),
    kept("S21", "somebody else adds one", |story| {
        story.patches(USER, "statefulsets", "c-pd", |set| set["spec"]["replicas"] = 6.into());
    }),
];

fn removal(member: &str) -> Entry {
    by_operator("DELETE", "pd", &format!("/pd/api/v1/members/{member}"))
}

/// The operator writes PD's number of pods.
fn grows(story: &mut Story, pods: u32) {
    story.patches(OPERATOR, "statefulsets", "c-pd", |set| set["spec"]["replicas"] = pods.into());
}
