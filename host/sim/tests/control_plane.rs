//! The control plane through `kube`'s own client, in this process.

use std::{collections::BTreeMap, io::Write as _, path::Path, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::json;
use tidepool_sim::{
    audit::AuditLog,
    clock::{Clock, Seed, VIRTUAL_EPOCH_MS},
    control::{ControlPlane, Options},
};

fn options(seed: u64) -> Options {
    Options::new(Clock::starting_at(VIRTUAL_EPOCH_MS), Seed(seed))
}

fn client(options: Options) -> Client {
    ControlPlane::new(options).unwrap().client("test")
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    let data = BTreeMap::from([("k".to_owned(), value.to_owned())]);
    let mut out = ConfigMap { data: Some(data), ..ConfigMap::default() };
    out.metadata.name = Some(name.to_owned());
    out
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("no answer: {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_version_is_refused_and_changes_nothing() {
    let api: Api<ConfigMap> = Api::default_namespaced(client(options(1)));
    let first = api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let mut second = first.clone();
    second.data = config_map("a", "2").data;
    api.replace("a", &PostParams::default(), &second).await.unwrap();
    let mut stale = first.clone();
    stale.data = config_map("a", "3").data;
    let error = api.replace("a", &PostParams::default(), &stale).await.unwrap_err();
    assert_eq!(code(&error), 409);
    let patch = json!({"metadata": {"resourceVersion": first.metadata.resource_version}, "data": {"k": "3"}});
    let error = api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap_err();
    assert_eq!(code(&error), 409);
    assert_eq!(api.get("a").await.unwrap().data, second.data);
}

#[tokio::test(start_paused = true)]
async fn a_watch_sees_each_change_once_and_an_empty_change_never() {
    let api: Api<ConfigMap> = Api::default_namespaced(client(options(1)));
    let start = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    for value in ["1", "2"] {
        let patch = json!({"data": {"k": value}});
        api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let events = api.watch(&WatchParams::default().timeout(1), &start).await.unwrap();
    let seen: Vec<String> = events
        .map_ok(|event| match event {
            WatchEvent::Added(o) => format!("added {}", o.data.unwrap()["k"]),
            WatchEvent::Modified(o) => format!("modified {}", o.data.unwrap()["k"]),
            WatchEvent::Deleted(o) => format!("deleted {}", o.data.unwrap()["k"]),
            other => format!("{other:?}"),
        })
        .try_collect()
        .await
        .unwrap();
    assert_eq!(seen, ["added 1", "modified 2", "deleted 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_begins_with_what_is_there() {
    let api: Api<ConfigMap> = Api::default_namespaced(client(options(1)));
    api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let mut seen = std::pin::pin!(watcher(api.clone(), watcher::Config::default().streaming_lists()).applied_objects());
    assert_eq!(seen.next().await.unwrap().unwrap().metadata.name.unwrap(), "a");
    api.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
    assert_eq!(seen.next().await.unwrap().unwrap().metadata.name.unwrap(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_version_is_expired() {
    let short = Options { history_age: Duration::from_secs(1), ..options(1) };
    let api: Api<ConfigMap> = Api::default_namespaced(client(short));
    let created = api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    for value in ["2", "3", "4"] {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let patch = json!({"data": {"k": value}});
        api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
    let version = created.metadata.resource_version.unwrap();
    let events = api.watch(&WatchParams::default().timeout(1), &version).await.unwrap();
    let seen: Vec<WatchEvent<ConfigMap>> = events.try_collect().await.unwrap();
    assert!(matches!(seen.as_slice(), [WatchEvent::Error(status)] if status.code == 410), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_apply_takes_no_field_of_another_manager() {
    let api: Api<ConfigMap> = Api::default_namespaced(client(options(1)));
    let apply = |data: serde_json::Value| {
        Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}))
    };
    api.patch("a", &PatchParams::apply("one"), &apply(json!({"x": "1", "y": "1"}))).await.unwrap();
    let error = api.patch("a", &PatchParams::apply("two"), &apply(json!({"x": "2"}))).await.unwrap_err();
    assert_eq!(code(&error), 409);
    api.patch("a", &PatchParams::apply("two").force(), &apply(json!({"x": "2"}))).await.unwrap();
    let left = api.patch("a", &PatchParams::apply("one"), &apply(json!({}))).await.unwrap();
    assert_eq!(left.data.unwrap(), BTreeMap::from([("x".to_owned(), "2".to_owned())]));
}

async fn fill(folder: &Path) -> Vec<ConfigMap> {
    let api: Api<ConfigMap> = Api::default_namespaced(client(Options { data_dir: Some(folder.into()), ..options(1) }));
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
    }
    api.delete("b", &DeleteParams::default()).await.unwrap();
    api.list(&ListParams::default()).await.unwrap().items
}

/// A runtime of its own: with it goes all that a simulator has running, as with its process.
fn on_its_own<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_restart_keeps_every_object_and_drops_a_torn_line() {
    let folder = std::env::temp_dir().join(format!("tidepool-control-{}", std::process::id()));
    let before = on_its_own(fill(&folder));
    let mut file = std::fs::OpenOptions::new().append(true).open(folder.join("objects.jsonl")).unwrap();
    file.write_all(b"{\"group\":\"\",\"plural\":\"configmaps\",\"key\":\"default/a\",\"revis").unwrap();
    drop(file);
    on_its_own(async {
        let options = Options { data_dir: Some(folder.clone()), ..options(1) };
        let api: Api<ConfigMap> = Api::default_namespaced(client(options));
        assert_eq!(api.list(&ListParams::default()).await.unwrap().items, before);
        let new = api.create(&PostParams::default(), &config_map("d", "1")).await.unwrap();
        let number = |o: &ConfigMap| o.metadata.resource_version.clone().unwrap().parse::<u64>().unwrap();
        assert!(before.iter().all(|o| number(o) < number(&new) && o.metadata.uid != new.metadata.uid));
    });
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| async move {
        let api: Api<ConfigMap> = Api::default_namespaced(client(options(seed)));
        let mut object = config_map("x", "1");
        object.metadata.name = None;
        object.metadata.generate_name = Some("gen-".into());
        api.create(&PostParams::default(), &object).await.unwrap();
        serde_json::to_string(&api.list(&ListParams::default()).await.unwrap()).unwrap()
    };
    assert_eq!(run(7).await, run(7).await);
    assert_ne!(run(7).await, run(8).await);
}

#[tokio::test(start_paused = true)]
async fn the_audit_log_names_every_write_and_no_secret() {
    let audit = AuditLog::default();
    let client = client(Options { audit: audit.clone(), ..options(1) });
    let api: Api<Secret> = Api::default_namespaced(client);
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "s"}, "stringData": {"p": "hunter2"}})).unwrap();
    api.create(&PostParams::default(), &secret).await.unwrap();
    let patch = Patch::Merge(json!({"stringData": {"p": "hunter3"}}));
    api.patch("s", &PatchParams::default(), &patch).await.unwrap();
    let _ = api.get("s").await.unwrap();
    let entries = audit.entries();
    let verbs: Vec<&str> = entries.iter().map(|e| e.verb.as_str()).collect();
    assert_eq!(verbs, ["create", "patch"]);
    assert!(!serde_json::to_string(&entries).unwrap().contains("hunter"));
}
