//! S30: in which mode members are called.

use serde_json::Value;

use super::{
    Case, Story, broken, kept,
    story::{pod, put, ready},
};

const SERVICE: &str = "c-pd.n:2379";
const MEMBER: &str = "c-pd-1.c-pd-peer.n.svc:2379";

pub const CASES: &[Case] = &[
    kept("S30", "a Service of members in the clear, in the clear", |story| calls(story, SERVICE, false)),
    broken("S30", "a Service of members in the clear, over TLS", |story| calls(story, SERVICE, true)),
    broken("S30", "a member in the clear, over TLS", |story| calls(story, MEMBER, true)),
    kept("S30", "a Service of members with TLS, over TLS", |story| {
        story.now.modes.values_mut().for_each(|tls| *tls = true);
        calls(story, SERVICE, true);
    }),
    broken("S30", "a Service of members with TLS, in the clear", |story| {
        story.now.modes.values_mut().for_each(|tls| *tls = true);
        calls(story, "c-pd.n.svc.cluster.local:2379", false);
    }),
    broken("S30", "a Service that leads to members of both modes", |story| {
        *story.now.modes.get_mut("n/c-pd-1").expect("a member") = true;
        calls(story, SERVICE, false);
    }),
    kept("S30", "each member of both modes in its own", |story| {
        *story.now.modes.get_mut("n/c-pd-1").expect("a member") = true;
        calls(story, MEMBER, true);
        calls(story, "c-pd-2.c-pd-peer.n:2379", false);
    }),
    kept("S30", "a Service of members of both modes, of which those of one are not ready", |story| {
        *story.now.modes.get_mut("n/c-pd-1").expect("a member") = true;
        story.becomes("pods", "c-pd-1", |pod| ready(pod, false));
        calls(story, SERVICE, false);
    }),
    kept("S30", "a Service beside pods of another component, cluster and namespace with TLS", |story| {
        for (name, key, value) in [("x", "instance", "d"), ("y", "component", "tikv")] {
            let mut other = pod("pd", 1);
            other["metadata"]["name"] = name.into();
            other["metadata"]["labels"][format!("app.kubernetes.io/{key}")] = value.into();
            put(&mut story.now, "pods", other);
        }
        let mut other = pod("pd", 1);
        (other["metadata"]["name"], other["metadata"]["namespace"]) = ("z".into(), "m".into());
        put(&mut story.now, "pods", other);
        story.now.modes.extend(["n/x", "n/y", "m/z"].map(|pod| (pod.to_owned(), true)));
        calls(story, SERVICE, false);
    }),
    kept("S30", "a Service of another cluster in its namespace", |story| {
        let mut service = (*story.now.objects["services"]["n/c-pd"]).clone();
        (service["metadata"]["name"], service["metadata"]["namespace"]) = ("c-pd".into(), "m".into());
        put(&mut story.now, "services", service);
        calls(story, "c-pd.m:2379", true);
    }),
    kept("S30", "a Service that is not there", |story| calls(story, "d-pd.n:2379", true)),
    kept("S30", "a Service without a selector", |story| {
        story.becomes("services", "c-pd", |service| service["spec"]["selector"] = Value::Null);
        calls(story, SERVICE, true);
    }),
    kept("S30", "a member that has just changed its mode", |story| {
        story.passes(60);
        *story.now.modes.get_mut("n/c-pd-1").expect("a member") = true;
        story.passes(10);
        story.calls(MEMBER, false);
    }),
    broken("S30", "a member that has changed its mode a while ago", |story| {
        story.passes(60);
        *story.now.modes.get_mut("n/c-pd-1").expect("a member") = true;
        story.passes(11);
        story.calls(MEMBER, false);
    }),
];

fn calls(story: &mut Story, authority: &str, tls: bool) {
    story.passes(60);
    story.calls(authority, tls);
}
