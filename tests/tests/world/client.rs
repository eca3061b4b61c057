//! `kube`'s own client against the control plane: what operators in Rust do must work as on a real server.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource,
    api::{
        DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy, WatchEvent,
        WatchParams,
    },
    runtime::{
        Controller,
        controller::Action,
        finalizer::{Event, finalizer},
        watcher,
    },
};
use serde_json::json;
use tidepool_sim::{
    clock::{Clock, Seed},
    control::{ControlPlane, Options},
};

/// Longest wait for something that happens at once.
const SOON: Duration = Duration::from_secs(20);

fn client() -> Client {
    let control = ControlPlane::new(Options::new(Clock::system(), Seed(1))).expect("a control plane");
    control.client("kube-client-test")
}

fn config_map(name: &str, data: &[(&str, &str)]) -> ConfigMap {
    let data: BTreeMap<String, String> = data.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut config_map = ConfigMap { data: Some(data), ..ConfigMap::default() };
    config_map.metadata.name = Some(name.to_owned());
    config_map
}

fn code(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("not an answer of the server: {other:?}"),
    }
}

#[tokio::test]
async fn objects_are_created_read_changed_and_deleted() {
    let maps: Api<ConfigMap> = Api::namespaced(client(), "default");
    let created = maps.create(&PostParams::default(), &config_map("one", &[("a", "1")])).await.unwrap();
    assert!(created.metadata.uid.is_some() && created.metadata.creation_timestamp.is_some());
    let again = maps.create(&PostParams::default(), &config_map("one", &[])).await.unwrap_err();
    assert_eq!(code(again), 409);
    assert_eq!(maps.get("one").await.unwrap(), created);
    assert!(maps.get_opt("two").await.unwrap().is_none());
    let mut changed = created.clone();
    changed.data.get_or_insert_default().insert("b".into(), "2".into());
    let replaced = maps.replace("one", &PostParams::default(), &changed).await.unwrap();
    assert_ne!(replaced.metadata.resource_version, created.metadata.resource_version);
    let stale = maps.replace("one", &PostParams::default(), &changed).await.unwrap_err();
    assert_eq!(code(stale), 409, "a stale resourceVersion is a conflict");
    maps.delete("one", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("one").await.unwrap().is_none());
}

#[tokio::test]
async fn a_precondition_that_does_not_hold_refuses_a_delete() {
    let maps: Api<ConfigMap> = Api::namespaced(client(), "default");
    let created = maps.create(&PostParams::default(), &config_map("one", &[])).await.unwrap();
    let expect = |uid: Option<String>, version: Option<String>| {
        DeleteParams::default().preconditions(Preconditions { uid, resource_version: version })
    };
    let other = maps.delete("one", &expect(Some("another".into()), None)).await.unwrap_err();
    assert_eq!(code(other), 409);
    let old = maps.delete("one", &expect(None, Some("1".into()))).await.unwrap_err();
    assert_eq!(code(old), 409);
    maps.delete("one", &expect(created.metadata.uid, created.metadata.resource_version)).await.unwrap();
}

#[tokio::test]
async fn patches_of_every_kind_do_what_they_say() {
    let maps: Api<ConfigMap> = Api::namespaced(client(), "default");
    maps.create(&PostParams::default(), &config_map("one", &[("a", "1"), ("b", "2")])).await.unwrap();
    let params = PatchParams::default();
    let data = |map: ConfigMap| map.data.unwrap_or_default().into_iter().collect::<Vec<_>>();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let merged = maps.patch("one", &params, &Patch::Merge(json!({"data": {"a": null, "c": "3"}}))).await.unwrap();
    assert_eq!(data(merged), [pair("b", "2"), pair("c", "3")]);
    let patch: json_patch::Patch = serde_json::from_value(
        json!([{"op": "test", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/b"}]),
    )
    .unwrap();
    let patched = maps.patch("one", &params, &Patch::Json::<()>(patch.clone())).await.unwrap();
    assert_eq!(data(patched), [pair("c", "3")]);
    let failed = maps.patch("one", &params, &Patch::Json::<()>(patch)).await.unwrap_err();
    assert_eq!(code(failed), 422, "a test that fails");
    let strategic = maps.patch("one", &params, &Patch::Strategic(json!({"data": {"d": "4"}}))).await.unwrap();
    assert_eq!(data(strategic), [pair("c", "3"), pair("d", "4")]);
}

#[tokio::test]
async fn server_side_apply_knows_owners_and_conflicts() {
    let maps: Api<ConfigMap> = Api::namespaced(client(), "default");
    let desired = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": value}});
    maps.patch("one", &PatchParams::apply("first"), &Patch::Apply(desired("1"))).await.unwrap();
    let conflict = maps.patch("one", &PatchParams::apply("second"), &Patch::Apply(desired("2"))).await.unwrap_err();
    assert_eq!(code(conflict), 409);
    let forced = maps.patch("one", &PatchParams::apply("second").force(), &Patch::Apply(desired("2"))).await.unwrap();
    assert_eq!(forced.data.unwrap_or_default()["a"], "2");
    let nothing = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}});
    let given_up = maps.patch("one", &PatchParams::apply("second"), &Patch::Apply(nothing)).await.unwrap();
    assert_eq!(given_up.data.unwrap_or_default().get("a"), None, "a field that nobody owns any more goes");
}

#[tokio::test]
async fn lists_are_selected_and_paged() {
    let maps: Api<ConfigMap> = Api::namespaced(client(), "default");
    for number in 0..7 {
        let mut map = config_map(&format!("m{number}"), &[]);
        map.meta_mut().labels = Some([("odd".to_owned(), (number % 2).to_string())].into());
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    let odd = maps.list(&ListParams::default().labels("odd=1")).await.unwrap();
    assert_eq!(odd.items.len(), 3);
    let one = maps.list(&ListParams::default().fields("metadata.name=m4")).await.unwrap();
    assert_eq!(one.items.len(), 1);
    let mut params = ListParams::default().labels("odd").limit(3);
    let mut names = Vec::new();
    loop {
        let page = maps.list(&params).await.unwrap();
        assert!(page.items.len() <= 3);
        names.extend(page.items.into_iter().filter_map(|map| map.metadata.name));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
}

#[tokio::test]
async fn a_watch_tells_every_change_once_and_in_order() {
    let maps: Api<ConfigMap> = Api::namespaced(client(), "default");
    let start = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    maps.create(&PostParams::default(), &config_map("one", &[])).await.unwrap();
    maps.patch("one", &PatchParams::default(), &Patch::Merge(json!({"data": {"a": "1"}}))).await.unwrap();
    maps.patch("one", &PatchParams::default(), &Patch::Merge(json!({"data": {"a": "1"}}))).await.unwrap();
    maps.delete("one", &DeleteParams::default()).await.unwrap();
    let stream = maps.watch(&WatchParams::default().timeout(1), &start).await.unwrap();
    let events: Vec<WatchEvent<ConfigMap>> = stream.try_collect().await.unwrap();
    let told: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            WatchEvent::Added(_) => Some("added"),
            WatchEvent::Modified(_) => Some("modified"),
            WatchEvent::Deleted(_) => Some("deleted"),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["added", "modified", "deleted"], "a patch that changes nothing is no event");
}

#[tokio::test]
async fn the_watcher_lists_first_and_then_follows() {
    let maps: Api<ConfigMap> = Api::namespaced(client(), "default");
    maps.create(&PostParams::default(), &config_map("before", &[])).await.unwrap();
    let mut events = pin!(watcher(maps.clone(), watcher::Config::default()));
    let mut seen = Vec::new();
    tokio::time::timeout(SOON, async {
        while let Some(event) = events.next().await {
            match event.unwrap() {
                watcher::Event::InitApply(map) => seen.push(format!("init {}", map.metadata.name.unwrap())),
                watcher::Event::InitDone => {
                    maps.create(&PostParams::default(), &config_map("after", &[])).await.unwrap();
                }
                watcher::Event::Apply(map) => {
                    seen.push(format!("apply {}", map.metadata.name.unwrap()));
                    break;
                }
                _ => {}
            }
        }
    })
    .await
    .expect("it is told soon");
    assert!(seen.contains(&"init before".to_owned()) && seen.contains(&"apply after".to_owned()), "{seen:?}");
}

#[derive(Debug, thiserror::Error)]
#[error("failed to reconcile")]
struct Failed;

/// Copies each ConfigMap labelled so into one that it owns.
async fn copy(map: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, Failed> {
    let maps: Api<ConfigMap> = Api::namespaced((*client).clone(), "default");
    let done = finalizer(&maps, "tidepool.dev/test", map, |event| async {
        if let Event::Apply(map) = event {
            let owner = map.controller_owner_ref(&()).ok_or(Failed)?;
            let name = format!("{}-copy", map.metadata.name.as_deref().unwrap_or_default());
            let copy = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "ownerReferences": [owner]}, "data": map.data});
            let params = PatchParams::apply("copier").force();
            maps.patch(&name, &params, &Patch::Apply(copy)).await.map_err(|_| Failed)?;
        }
        Ok::<_, Failed>(Action::await_change())
    });
    done.await.map_err(|_| Failed)
}

#[tokio::test]
async fn a_controller_with_finalizer_and_owned_objects_works() {
    let control = ControlPlane::new(Options::new(Clock::system(), Seed(1))).expect("a control plane");
    let _controllers = control.start_controllers();
    let client = control.client("kube-client-test");
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let wanted = watcher::Config::default().labels("copy=yes");
    let controller = Controller::new(maps.clone(), wanted)
        .owns(maps.clone(), watcher::Config::default())
        .run(copy, |_, _, _| Action::requeue(Duration::from_secs(1)), Arc::new(client.clone()))
        .for_each(|_| async {});
    let running = tokio::spawn(controller);
    let mut original = config_map("original", &[("a", "1")]);
    original.meta_mut().labels = Some([("copy".to_owned(), "yes".to_owned())].into());
    maps.create(&PostParams::default(), &original).await.unwrap();
    let has = |value: Option<&'static str>| {
        let maps = maps.clone();
        async move {
            let copy = maps.get_opt("original-copy").await.unwrap();
            copy.map(|copy| copy.data.unwrap_or_default()["a"].clone()).as_deref() == value
        }
    };
    eventually(|| has(Some("1"))).await;
    maps.patch("original", &PatchParams::default(), &Patch::Merge(json!({"data": {"a": "2"}}))).await.unwrap();
    eventually(|| has(Some("2"))).await;
    maps.delete("original-copy", &DeleteParams::default()).await.unwrap();
    eventually(|| has(Some("2"))).await;
    let background =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    maps.delete("original", &background).await.unwrap();
    eventually(|| has(None)).await;
    running.abort();
}

#[tokio::test]
async fn a_custom_resource_is_served_with_its_schema_and_status() {
    let client = client();
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd: CustomResourceDefinition = serde_json::from_value(tidepool_api::crd::tidb_cluster()).unwrap();
    let name = crd.metadata.name.clone().unwrap();
    crds.patch(&name, &PatchParams::apply("test"), &Patch::Apply(&crd)).await.unwrap();
    let served = kube::runtime::wait::await_condition(crds, &name, kube::runtime::conditions::is_crd_established());
    tokio::time::timeout(SOON, served).await.expect("soon").unwrap();
    let kind = kube::core::GroupVersionKind::gvk("pingcap.com", "v1alpha1", "TidbCluster");
    let (resource, _) = kube::discovery::pinned_kind(&client, &kind).await.unwrap();
    let clusters: Api<kube::api::DynamicObject> = Api::namespaced_with(client, "default", &resource);
    let object = |replicas: serde_json::Value| {
        let spec = json!({"version": "v8.5.0", "pd": {"replicas": replicas, "requests": {"storage": "1Gi"}}});
        serde_json::from_value(json!({"apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
            "metadata": {"name": "one"}, "spec": spec}))
        .unwrap()
    };
    let refused = clusters.create(&PostParams::default(), &object(json!("three"))).await.unwrap_err();
    assert_eq!(code(refused), 422);
    let created = clusters.create(&PostParams::default(), &object(json!(3))).await.unwrap();
    assert_eq!(created.metadata.generation, Some(1));
    let status = Patch::Merge(json!({"status": {"clusterID": "7"}, "spec": {"version": "v0"}}));
    let patched = clusters.patch_status("one", &PatchParams::default(), &status).await.unwrap();
    assert_eq!(patched.data["status"]["clusterID"], "7");
    assert_eq!(patched.data["spec"]["version"], "v8.5.0", "the status subresource leaves the spec alone");
    assert_eq!(patched.metadata.generation, Some(1));
}

#[tokio::test]
async fn a_namespace_takes_its_objects_along() {
    let control = ControlPlane::new(Options::new(Clock::system(), Seed(1))).expect("a control plane");
    let _controllers = control.start_controllers();
    let client = control.client("kube-client-test");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "short"}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "short");
    maps.create(&PostParams::default(), &config_map("one", &[])).await.unwrap();
    namespaces.delete("short", &DeleteParams::default()).await.unwrap();
    eventually(|| async { namespaces.get_opt("short").await.unwrap().is_none() }).await;
    assert!(maps.get_opt("one").await.unwrap().is_none());
}

/// Waits until `true_now` is, and fails after a while.
async fn eventually<F: Future<Output = bool>>(true_now: impl Fn() -> F) {
    let wait = async {
        while !true_now().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("it comes true soon");
}
