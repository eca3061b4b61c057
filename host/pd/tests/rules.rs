//! The success rules of each change, against a PD that answers from a script.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::json;
use tidepool_pd::{Error, Http, HttpPd, Pd};

/// What is expected in order, with the answers to give.
type Script = &'static [Exchange];

/// A request, and the status and body that it gets.
type Exchange = (&'static str, u16, &'static str);

const NOT_BOOTSTRAPPED: &str =
    "\"[PD:cluster:ErrNotBootstrapped]TiKV cluster not bootstrapped, please start TiKV first\"\n";
const SCHEDULERS: &str = r#"["balance-region-scheduler", "evict-leader-scheduler"]"#;
const HEALTH: &str = r#"[{"name": "a", "member_id": 7, "client_urls": ["http://a:2379"], "health": true},
                        {"name": "", "member_id": 8, "client_urls": null, "health": false}]"#;
const MEMBERS: &str = r#"{"members": [{"name": "a", "member_id": 7}, {"name": "b", "member_id": 8}]}"#;

const TSO_MEMBERS: &str = r#"[{"name": "a-tso-0", "service-addr": "http://a-tso-0:2379"}]"#;
const TSO_PRIMARY: &str = "\"http://a-tso-0:2379\"";
const RUNS_THEM_ITSELF: &str = "\"not support micro service\"";

struct Played {
    pd: HttpPd,
    rest: Arc<Mutex<VecDeque<Exchange>>>,
}

fn play(script: Script) -> Played {
    let rest = Arc::new(Mutex::new(script.iter().copied().collect::<VecDeque<_>>()));
    let answers = rest.clone();
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (expected, status, body) = answers.lock().expect("not poisoned").pop_front().expect("one more request");
        let path = request.uri().path_and_query().expect("a path").as_str();
        assert_eq!(format!("{} {}", request.method(), path.trim_start_matches("/pd/api/v1/")), expected);
        let response = Response::builder().status(status).body(Full::new(Bytes::from(body))).expect("a response");
        async move { Ok::<_, Infallible>(response) }
    });
    Played { pd: HttpPd::new(Http::over(service), "http://basic-pd.tidb:2379"), rest }
}

impl Drop for Played {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.rest.lock().expect("not poisoned").is_empty(), "requests that were not made");
        }
    }
}

#[tokio::test]
async fn members_without_a_leader_are_members_still() {
    let played = play(&[("GET health", 200, HEALTH), ("GET leader", 503, "no leader\n")]);
    let members = played.pd.members().await.expect("members");
    assert_eq!(members.iter().filter(|member| member.leader).count(), 0);
    assert_eq!(members[0].client_url, "http://a:2379");
    assert_eq!(members[1].client_url, "");
}

#[tokio::test]
async fn a_failed_read_is_an_error_and_never_an_empty_list() {
    let played = play(&[("GET health", 500, "\"[PD:etcd]\"")]);
    let error = played.pd.members().await.expect_err("no members");
    assert_eq!(error.category(), "refused");
    let played = play(&[("GET stores?state=0&state=1&state=2", 503, "redirect finds no leader\n")]);
    assert!(matches!(played.pd.stores().await, Err(Error::Status { status: 503, .. })));
}

#[tokio::test]
async fn services_apart_are_listed_with_who_acts() {
    let played = play(&[
        ("GET /pd/api/v2/ms/members/tso", 200, TSO_MEMBERS),
        ("GET /pd/api/v2/ms/primary/tso", 200, TSO_PRIMARY),
        ("GET /pd/api/v2/ms/members/tso", 200, TSO_MEMBERS),
        ("GET /pd/api/v2/ms/primary/tso", 404, RUNS_THEM_ITSELF),
    ]);
    let service = played.pd.service("tso").await.expect("members");
    assert_eq!((service.members.get(), service.primary.expect("a primary").get()), (TSO_MEMBERS, TSO_PRIMARY));
    played.pd.service("tso").await.expect("members").primary.expect_err("nobody's address");
}

/// PD would look for a primary for seconds.
#[tokio::test]
async fn where_nobody_runs_a_service_nobody_is_asked_who_acts() {
    let played = play(&[
        ("GET /pd/api/v2/ms/members/tso", 404, RUNS_THEM_ITSELF),
        ("GET /pd/api/v2/ms/members/tso", 200, "null"),
        ("GET /pd/api/v2/ms/members/tso", 200, "[]"),
    ]);
    for said in [RUNS_THEM_ITSELF, "null", "[]"] {
        let service = played.pd.service("tso").await.expect("an answer");
        assert_eq!((service.members.get(), service.primary.expect("known").get()), (said, "\"\""));
    }
}

#[tokio::test]
async fn a_pd_that_cannot_say_who_runs_its_services_is_an_error() {
    let played = play(&[
        ("GET /pd/api/v2/ms/members/tso", 404, "404 page not found\n"),
        ("GET /pd/api/v2/ms/members/tso", 503, "\"[PD:server:ErrLeaderNil]leader is nil\""),
    ]);
    for _ in 0..2 {
        played.pd.service("tso").await.expect_err("too old to know, and without a leader");
    }
}

#[tokio::test]
async fn a_read_is_tried_with_the_next_member_where_nobody_listened() {
    let played = play(&[("GET health", 502, ""), ("GET health", 200, HEALTH), ("GET leader", 503, "no leader\n")]);
    assert_eq!(played.pd.members().await.expect("members").len(), 2);
    let played = play(&[("GET cluster", 502, ""), ("GET cluster", 502, ""), ("GET cluster", 502, "")]);
    assert!(played.pd.cluster().await.is_err());
}

#[tokio::test]
async fn before_the_first_store_there_are_none() {
    let played = play(&[("GET stores?state=0&state=1&state=2", 500, NOT_BOOTSTRAPPED)]);
    assert!(played.pd.stores().await.expect("known to be empty").is_empty());
    let played = play(&[("GET stores", 500, NOT_BOOTSTRAPPED)]);
    played.pd.delete_store(1).await.expect("nothing to delete");
}

#[tokio::test]
async fn a_member_that_is_not_listed_is_removed_without_a_call() {
    let played = play(&[("GET members", 200, MEMBERS)]);
    played.pd.delete_member(9).await.expect("not there");
}

#[tokio::test]
async fn a_leader_that_removed_itself_is_removed_whatever_it_answered() {
    let played = play(&[
        ("GET members", 200, MEMBERS),
        ("DELETE members/id/7", 500, "\"server stopped\""),
        ("GET members", 200, r#"{"members": [{"name": "b", "member_id": 8}]}"#),
    ]);
    played.pd.delete_member(7).await.expect("removed");
    let played = play(&[
        ("GET members", 200, MEMBERS),
        ("DELETE members/id/7", 500, "\"unhealthy cluster\""),
        ("GET members", 200, MEMBERS),
    ]);
    assert!(played.pd.delete_member(7).await.is_err());
}

#[tokio::test]
async fn a_leader_transfer_to_an_unknown_member_fails_and_404_counts() {
    let played = play(&[("POST leader/transfer/a%2Fb", 500, "\"no valid pd to transfer etcd leader\"")]);
    assert!(played.pd.transfer_leader("a/b").await.is_err());
    let played = play(&[("POST leader/transfer/a", 404, "")]);
    played.pd.transfer_leader("a").await.expect("404 counts");
}

#[tokio::test]
async fn a_store_is_deleted_when_it_is_listed() {
    let played = play(&[
        ("GET stores", 200, r#"{"stores": [{"store": {"id": 4}}]}"#),
        ("DELETE store/4", 400, "\"[PD:core:ErrStoresNotEnough]\""),
    ]);
    assert!(played.pd.delete_store(4).await.is_err());
    let played = play(&[("GET stores", 200, r#"{"stores": [{"store": {"id": 4}}]}"#)]);
    played.pd.delete_store(5).await.expect("buried or never there");
}

#[tokio::test]
async fn eviction_waits_until_pd_has_loaded_its_schedulers() {
    let played = play(&[("GET schedulers", 200, "[]")]);
    let error = played.pd.begin_evict_leader(4).await.expect_err("would overwrite the stored ones");
    assert_eq!(error.category(), "not-confirmed");
    let played = play(&[("DELETE schedulers/evict-leader-scheduler-4", 404, "null"), ("GET schedulers", 200, "[]")]);
    assert!(played.pd.end_evict_leader(4).await.is_err(), "a 404 proves nothing while nothing is loaded");
}

#[tokio::test]
async fn the_end_of_an_eviction_is_what_the_list_says() {
    let played = play(&[
        ("DELETE schedulers/evict-leader-scheduler-4", 200, "null"),
        ("GET schedulers", 200, SCHEDULERS),
        ("GET scheduler-config/evict-leader-scheduler/list", 200, r#"{"store-id-ranges": {"1": []}}"#),
    ]);
    played.pd.end_evict_leader(4).await.expect("not listed");
    let played = play(&[
        ("DELETE schedulers/evict-leader-scheduler-4", 500, "PANIC"),
        ("GET schedulers", 200, SCHEDULERS),
        ("GET scheduler-config/evict-leader-scheduler/list", 200, r#"{"store-id-ranges": {"4": []}}"#),
    ]);
    assert!(played.pd.end_evict_leader(4).await.is_err());
}

#[tokio::test]
async fn labels_and_settings_take_only_200() {
    let played = play(&[("POST store/4/label", 500, "\"invalid store id\""), ("POST config/replicate", 200, "\"\"")]);
    assert!(played.pd.set_store_labels(4, &json!({"zone": "z1"})).await.is_err());
    played.pd.set_replication(&json!({"max-replicas": 5})).await.expect("set");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_stands_still_is_stepped_over_and_a_silent_pd_costs_two_timeouts() {
    let asked = Arc::new(Mutex::new(0));
    let pd = |silent: fn(usize) -> bool| {
        let asked = asked.clone();
        let service = tower::service_fn(move |_: Request<Full<Bytes>>| {
            let nth = {
                let mut asked = asked.lock().expect("not poisoned");
                *asked += 1;
                *asked
            };
            async move {
                if silent(nth) {
                    std::future::pending::<()>().await;
                }
                let response = Response::builder().status(200).body(Full::new(Bytes::from("{}"))).expect("a response");
                Ok::<_, Infallible>(response)
            }
        });
        HttpPd::new(Http::over(service), "http://basic-pd.tidb:2379")
    };
    let start = tokio::time::Instant::now();
    pd(|nth| nth == 1).cluster().await.expect("the next one answers");
    assert_eq!(start.elapsed().as_secs(), 5);
    *asked.lock().expect("not poisoned") = 0;
    let start = tokio::time::Instant::now();
    assert_eq!(pd(|_| true).members().await.expect_err("silent").category(), "timeout");
    assert_eq!((start.elapsed().as_secs(), *asked.lock().expect("not poisoned")), (10, 2));
}
