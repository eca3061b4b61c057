//! The existing operator's test rows for discovery by their numbers (D1 … D18, V-a … V-e), and what is stricter here.

use serde_json::{Value, json};

use super::*;

/// A TidbCluster `default/demo` of 3 members at version 1, changed by `patch`.
fn cluster(patch: &Value) -> TidbCluster {
    let mut value = json!({
        "metadata": {"name": "demo", "namespace": "default", "resourceVersion": "1"},
        "spec": {"pd": {"replicas": 3}},
    });
    merge(&mut value, patch);
    serde_json::from_value(value).expect("a cluster")
}

fn merge(into: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| merge(&mut into[key], value)),
        other => *into = other.clone(),
    }
}

fn url(pod: usize) -> String {
    format!("demo-pd-{pod}.demo-pd-peer.default.svc:2380")
}

fn named(ordinals: &[usize]) -> Vec<Member> {
    let member =
        |ordinal: &usize| Member { name: format!("demo-pd-{ordinal}"), peer_url: format!("http://{}", url(*ordinal)) };
    ordinals.iter().map(member).collect()
}

fn joins(ordinals: &[usize]) -> String {
    let urls: Vec<String> =
        ordinals.iter().map(|pod| format!("http://{}", url(*pod).replace("2380", "2379"))).collect();
    format!("--join={}", urls.join(","))
}

/// The service, with what it remembers of `demo` given.
struct Service(Discovery);

impl Service {
    fn knowing(version: &str, pods: &[usize]) -> Self {
        let pods = pods.iter().map(|pod| format!("demo-pd-{pod}")).collect();
        let asked = BTreeMap::from([(("default".to_owned(), "demo".to_owned()), (version.to_owned(), pods))]);
        Self(Discovery { asked, ..Discovery::default() })
    }

    fn ask(&mut self, address: &str, cluster: &TidbCluster, members: Option<Vec<Member>>) -> Result<String, Refusal> {
        let members = members.ok_or_else(|| "refused".to_owned());
        self.0.answer(&asker(&STANDARD.encode(address))?, cluster, members, 0)
    }

    fn pods(&self) -> Vec<&str> {
        self.0.asked.values().flat_map(|(_, pods)| pods).map(String::as_str).collect()
    }
}

/// One row of the table: who asks what, with which memory; the answer, and the memory after it.
fn row(
    id: &str,
    (version, known): (&str, &[usize]),
    (address, patch, members): (&str, Value, Option<Vec<Member>>),
    expected: Option<&str>,
    after: &[&str],
) {
    let mut service = Service::knowing(version, known);
    let answer = service.ask(address, &cluster(&patch), members);
    assert_eq!(answer.as_deref().ok(), expected, "{id}: {answer:?}");
    assert_eq!(service.pods(), after, "{id}");
}

#[test]
fn questions_that_are_none_are_refused_and_leave_nothing() {
    for (id, address) in
        [("D1", ""), ("D2", "demo-pd-0.demo-pd-peer.default:2380"), ("", "x.demo-pd-peer.default.svc:2380")]
    {
        let mut service = Service(Discovery::default());
        assert!(matches!(service.ask(address, &cluster(&json!({})), None), Err(Refusal::Question(_))), "{id}");
        assert!(service.pods().is_empty(), "{id}");
    }
    for encoded in ["???", &"A".repeat(QUESTION_CHARS_MAX + 4), &STANDARD.encode("a-pd-0.a-pd-peer.ns.svc:2380; rm")] {
        assert!(matches!(asker(encoded), Err(Refusal::Question(_))), "{encoded}");
    }
}

#[test]
fn who_asks_is_counted() {
    let none = || json!({});
    row("D5", ("1", &[]), (&url(0), none(), None), None, &["demo-pd-0"]);
    row("D6", ("2", &[0, 1]), (&url(0), none(), None), None, &["demo-pd-0"]);
    row("D7", ("1", &[]), (&url(0), none(), None), None, &["demo-pd-0"]);
    row("D8", ("1", &[0]), (&url(1), none(), None), None, &["demo-pd-0", "demo-pd-1"]);
    let founds = "--initial-cluster=demo-pd-2=http://demo-pd-2.demo-pd-peer.default.svc:2380";
    row("D9", ("1", &[0, 1]), (&url(2), none(), None), Some(founds), &["demo-pd-0", "demo-pd-1"]);
    row("D10", ("1", &[0, 1]), (&url(0), none(), None), None, &["demo-pd-0", "demo-pd-1"]);
}

#[test]
fn where_pd_answers_everybody_joins() {
    let none = || json!({});
    row("D11", ("1", &[0, 1]), (&url(0), none(), Some(named(&[2]))), Some(&joins(&[2])), &["demo-pd-1"]);
    row("D12", ("1", &[1]), (&url(1), none(), Some(named(&[0, 2]))), Some(&joins(&[0, 2])), &[]);
    let five = json!({"spec": {"pd": {"replicas": 5}}});
    row("D13", ("1", &[]), (&url(3), five, Some(named(&[0, 1, 2]))), Some(&joins(&[0, 1, 2])), &[]);
    let full = "demo-pd-2.demo-pd-peer.default.svc.cluster.local";
    let member = Member { name: full.to_owned(), peer_url: format!("http://{full}:2380") };
    let address = "demo-pd-0.demo-pd-peer.default.svc.cluster.local:2380";
    let expected = format!("--join=http://{full}:2379");
    row("D14", ("1", &[0, 1]), (address, none(), Some(vec![member])), Some(&expected), &["demo-pd-1"]);
    let mut members = named(&[0, 1, 2]);
    members.push(Member { name: "peer".to_owned(), peer_url: "http://peer.c2:2380".to_owned() });
    let expected = format!("{},http://peer.c2:2379", joins(&[0, 1, 2]));
    row("D18", ("1", &[]), (&url(3), json!({"spec": {"pd": {"replicas": 4}}}), Some(members)), Some(&expected), &[]);
}

#[test]
fn addresses_of_another_pd_are_joined_instead_of_founding() {
    let given = json!({"spec": {"pdAddresses": ["http://a:2379", "http://b:2379", "http://c:2379"]}});
    let expected = "--join=http://a:2379,http://b:2379,http://c:2379";
    row("D16", ("1", &[0, 1]), (&url(2), given.clone(), None), Some(expected), &["demo-pd-0", "demo-pd-1"]);
    let external =
        ["a", "b", "c"].map(|name| Member { name: name.to_owned(), peer_url: format!("http://{name}:2380") });
    let members = external.into_iter().chain(named(&[1, 2])).collect();
    let expected = format!("--join=http://a:2379,http://b:2379,http://c:2379,{}", &joins(&[1, 2])["--join=".len()..]);
    row("D17", ("1", &[0]), (&url(0), given, Some(members)), Some(&expected), &[]);
}

#[test]
fn clusters_are_apart() {
    // D15, with members that have started: those that have not are waited for here.
    let mut service = Service::knowing("1", &[0]);
    let other = ("default".to_owned(), "other".to_owned());
    service.0.asked.insert(other.clone(), ("7".to_owned(), BTreeSet::from(["other-pd-0".to_owned()])));
    let five = cluster(&json!({"spec": {"pd": {"replicas": 5}}}));
    assert_eq!(service.ask(&url(4), &five, Some(named(&[0, 1, 2, 3]))), Ok(joins(&[0, 1, 2, 3])));
    assert_eq!(service.0.asked[&other].1.len(), 1);
}

#[test]
fn a_cluster_that_exists_is_not_founded_again() {
    let known = json!({"status": {"clusterID": "7", "pd": {}}});
    let mut service = Service::knowing("1", &[0, 1]);
    let answer = service.ask(&url(2), &cluster(&known), None);
    assert!(matches!(answer, Err(Refusal::Exists { .. })), "{answer:?}");
    // And where a PD answers nobody founds, however many have asked.
    assert_eq!(service.ask(&url(2), &cluster(&json!({})), Some(named(&[0]))), Ok(joins(&[0])));
}

#[test]
fn failure_members_count_once_they_are_removed() {
    let with = |deleted: bool| {
        let failed = json!({"demo-pd-1": {"podName": "demo-pd-1", "memberDeleted": deleted}});
        cluster(&json!({"spec": {"pd": {"replicas": 1}}, "status": {"pd": {"failureMembers": failed}}}))
    };
    assert!(Service(Discovery::default()).ask(&url(0), &with(false), None).is_ok());
    assert!(Service(Discovery::default()).ask(&url(0), &with(true), None).is_err());
}

#[test]
fn joiners_take_turns() {
    let mut service = Discovery::default();
    let mut ask = |pod: usize, members: Vec<Member>, now| {
        service.answer(&asker(&STANDARD.encode(url(pod))).expect("an asker"), &cluster(&json!({})), Ok(members), now)
    };
    assert_eq!(ask(0, named(&[2]), 0), Ok(joins(&[2])));
    let mut unstarted = named(&[2]);
    unstarted.push(Member { name: String::new(), peer_url: format!("http://{}", url(0)) });
    assert_eq!(ask(1, unstarted, 0), Err(Refusal::NotStarted));
    assert_eq!(ask(1, named(&[2]), 0), Err(Refusal::Turn("demo-pd-0".to_owned())));
    assert!(ask(1, named(&[0, 2]), 10_000).is_err(), "etcd is not used to it yet");
    assert_eq!(ask(1, named(&[0, 2]), 10_000 + SETTLE_MS), Ok(joins(&[0, 2])));
    assert!(
        ask(0, named(&[2]), 10_000 + SETTLE_MS + JOIN_MAX_MS).is_ok(),
        "one that does not appear is not waited for"
    );
}

#[test]
fn names_that_are_made_up_do_not_fill_the_memory() {
    let mut service = Discovery::default();
    for ordinal in 0..PODS_MAX * 2 {
        let asker = asker(&STANDARD.encode(url(ordinal))).expect("an asker");
        let _ =
            service.answer(&asker, &cluster(&json!({"spec": {"pd": {"replicas": 100_000}}})), Err(String::new()), 0);
    }
    assert!(service.asked.values().all(|(_, pods)| pods.len() <= PODS_MAX));
}

#[test]
fn pd_is_looked_for_where_names_say() {
    let peer = |url: &str| json!({"name": "p", "id": "1", "clientURL": url, "health": true});
    let peers = json!({
        "a": peer("https://main-pd-0.main-pd-peer.there.svc.c2.local:2379"),
        "b": peer("http://169.254.169.254:2379"),
        "c": peer("http://x-pd-0.x-pd-peer.ns.svc@evil:2379"),
        "d": peer("http://main-pd-0.main-pd-peer.there.svc:80"),
    });
    let cluster = cluster(&json!({
        "spec": {"cluster": {"name": "main", "namespace": "there"}, "acrossK8s": true, "tlsCluster": {"enabled": true}},
        "status": {"pd": {"peerMembers": peers}},
    }));
    let found = candidates(&cluster).into_iter().map(|found| format!("{}://{}", found.scheme, found.authority));
    let expected = [
        "https://demo-pd.default:2379",
        "https://main-pd-peer.there:2379",
        "https://main-pd-0.main-pd-peer.there.svc.c2.local:2379",
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

fn verify(input: &str, patch: &Value) -> String {
    verified(&asked(&STANDARD.encode(format!("{input}\n"))).expect("a question"), &cluster(patch))
}

#[test]
fn healthy_members_elsewhere_are_added() {
    let peer = |scheme: &str, health: bool| {
        let host = "pd-0.pd.pingcap.cluster2.com";
        let member = json!({"name": host, "id": "1", "clientURL": format!("{scheme}://{host}:2379"), "health": health});
        json!({"status": {"pd": {"peerMembers": {"pd-0": member}}}})
    };
    let name = "pd-0.pd.pingcap.cluster2.com:2379";
    for scheme in ["http", "https"] {
        assert_eq!(verify("demo-pd:2379", &peer(scheme, true)), format!("demo-pd:2379,{name}"), "V-a");
        assert_eq!(verify("demo-pd:2379", &peer(scheme, false)), "demo-pd:2379", "V-b");
        let input = format!("{scheme}://demo-pd:2379");
        assert_eq!(verify(&input, &peer(scheme, true)), format!("{input},{scheme}://{name}"), "V-c");
        assert_eq!(verify(&input, &peer(scheme, false)), input, "V-d");
    }
}

#[test]
fn a_cluster_without_pd_is_sent_to_the_one_that_it_joins() {
    let joins =
        json!({"spec": {"pd": null, "cluster": {"name": "main", "namespace": "there", "clusterDomain": "c2.local"}}});
    assert_eq!(verify("http://demo-pd:2379", &joins), "http://main-pd-peer.there.svc.c2.local:2379");
    assert_eq!(verify("demo-pd", &joins), "main-pd-peer.there.svc.c2.local:2379");
}
