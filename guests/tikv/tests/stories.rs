//! What the policies of TiKV and TiDB do, action by action, on a pretended cluster. The host's own checker looks at every
//! plan.

use serde_json::{Value, json};
use tidepool_sdk::{
    StoreRow, StoreState, Unknown,
    native::{
        deciding,
        model::{plan::Action, pretend::World, render::Deciding, snapshot::Store},
        story::Story,
    },
};

fn cluster(stores: i32) -> Value {
    json!({
        "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
        "metadata": {"name": "c", "namespace": "n"},
        "spec": {
            "version": "v8.5.2",
            "pd": {"replicas": 1, "config": {}, "requests": {"storage": "1Gi"}},
            "tikv": {"replicas": stores, "config": {}, "requests": {"storage": "1Gi"}},
            "tidb": {"replicas": 2, "config": {}, "service": {"type": "ClusterIP"}},
        },
    })
}

fn at_rest(stores: i32) -> Story {
    new(cluster(stores)).at_rest()
}

fn new(cluster: Value) -> Story {
    let none = json!({});
    let policies = vec![
        deciding::<policy_pd::Pd>(&none),
        deciding::<policy_tikv::Tikv>(&none),
        deciding::<policy_tidb::Tidb>(&none),
    ];
    Story::new(World::new(cluster), policies, line)
}

/// Something happens to the store of a pod.
fn store(story: &mut Story, pod: &str, change: impl FnOnce(&mut StoreRow)) {
    let stores = story.world.pd.stores.as_mut().expect("PD answers");
    let own = stores.iter_mut().find(|store| store.row.address.starts_with(&format!("{pod}.")));
    change(&mut own.expect("the pod has a store").row);
}

fn evicting(story: &Story) -> usize {
    story.world.pd.stores.iter().flatten().filter(|store| store.row.evicting_leaders).count()
}

fn line(action: &Action) -> String {
    match action {
        Action::Replace { object, .. } if object["kind"] == "StatefulSet" => format!(
            "{} {}/{}",
            object["metadata"]["name"].as_str().unwrap_or_default(),
            object["spec"]["replicas"],
            object["spec"]["updateStrategy"]["rollingUpdate"]["partition"]
        ),
        action => format!("{} {}", action.verb(), action.subject()),
    }
}

#[test]
fn a_new_cluster_comes_up_and_then_nothing_is_written() {
    let mut story = at_rest(3);
    assert_eq!(story.status("tikv")["phase"], "Normal");
    assert_eq!(story.status("tikv")["stores"].as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(story.status("tikv")["stores"]["4"]["podName"], "c-tikv-0");
    assert_eq!(story.status("tikv")["bootStrapped"], true);
    assert_eq!(story.status("tikv")["image"], "pingcap/tikv:v8.5.2");
    assert_eq!(story.status("tidb")["members"]["c-tidb-1"]["health"], true);
    assert_eq!(story.waiting(), [""; 0]);
    assert_eq!(story.run(), [""; 0]);
}

#[test]
fn stores_are_added_one_at_a_time_or_as_many_as_the_user_says() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["tikv"]["replicas"] = 5.into());
    assert_eq!(story.run(), ["c-tikv 4/5", "c-tikv 5/5"]);
    story.edit(|spec| {
        spec["tikv"]["replicas"] = 7.into();
        spec["tikv"]["scalePolicy"] = json!({"scaleOutParallelism": 2});
    });
    assert_eq!(story.run(), ["c-tikv 7/7"]);
}

#[test]
fn a_store_is_emptied_and_buried_before_its_pod_goes() {
    let mut story = at_rest(4);
    store(&mut story, "c-tikv-3", |row| row.leader_count = 7);
    story.edit(|spec| spec["tikv"]["replicas"] = 3.into());
    assert_eq!(
        story.run(),
        [
            "merge-patch pod/c-tikv-3",
            "begin-evict-leader store/7",
            "delete-store store/7",
            "end-evict-leader store/7",
            "merge-patch persistentvolumeclaim/tikv-c-tikv-3",
            "c-tikv 3/3",
        ]
    );
}

#[test]
fn a_store_that_waits_for_its_turn_to_go_is_not_restarted_for_a_new_template() {
    let mut story = at_rest(5);
    story.edit(|spec| {
        spec["tikv"]["replicas"] = 3.into();
        spec["tikv"]["version"] = "v8.5.8".into();
    });
    let sizes: Vec<String> = story.run().into_iter().filter(|line| line.starts_with("c-tikv ")).collect();
    let rolled = ["c-tikv 3/3", "c-tikv 3/2", "c-tikv 3/1", "c-tikv 3/0", "c-tikv 3/3"];
    assert_eq!(sizes, [["c-tikv 4/4", "c-tikv 3/3"].as_slice(), &rolled].concat());
}

#[test]
fn a_store_stays_while_regions_need_it() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["tikv"]["replicas"] = 2.into());
    assert_eq!(story.run(), [""; 0]);
    assert_eq!(story.waiting(), ["StoresNotUp"]);
}

#[test]
fn a_scale_in_that_is_taken_back_gives_the_leaders_back() {
    let mut story = at_rest(4);
    store(&mut story, "c-tikv-3", |row| row.leader_count = 7);
    story.edit(|spec| spec["tikv"]["replicas"] = 3.into());
    assert_eq!(story.settled_round(), ["merge-patch pod/c-tikv-3", "begin-evict-leader store/7"]);
    story.edit(|spec| spec["tikv"]["replicas"] = 4.into());
    assert_eq!(story.run(), ["end-evict-leader store/7", "merge-patch pod/c-tikv-3"]);
}

#[test]
fn an_upgrade_moves_leaders_away_from_one_store_at_a_time() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["tikv"]["version"] = "v8.5.8".into());
    assert_eq!(
        story.run(),
        [
            "c-tikv 3/3",
            "merge-patch pod/c-tikv-2",
            "begin-evict-leader store/6",
            "c-tikv 3/2",
            "end-evict-leader store/6",
            "merge-patch pod/c-tikv-1",
            "begin-evict-leader store/5",
            "c-tikv 3/1",
            "end-evict-leader store/5",
            "merge-patch pod/c-tikv-0",
            "begin-evict-leader store/4",
            "c-tikv 3/0",
            "end-evict-leader store/4",
            "c-tikv 3/3",
        ]
    );
    assert_eq!(evicting(&story), 0);
    assert_eq!(story.status("tikv")["phase"], "Normal");
}

#[test]
fn leaders_that_do_not_leave_hold_the_upgrade_until_the_timeout() {
    let mut story = at_rest(3);
    story.edit(|spec| {
        spec["tikv"]["version"] = "v8.5.8".into();
        spec["tikv"]["evictLeaderTimeout"] = "10m".into();
    });
    story.settled_round();
    story.settled_round();
    store(&mut story, "c-tikv-2", |row| row.leader_count = 5);
    assert_eq!(story.run(), [""; 0]);
    assert_eq!(story.waiting(), ["LeaderEviction"]);
    story.world.now_ms += 11 * 60 * 1000;
    assert_eq!(story.settled_round(), ["c-tikv 3/2"]);
}

#[test]
fn no_store_restarts_while_another_is_away() {
    let mut story = at_rest(3);
    store(&mut story, "c-tikv-0", |row| row.state = StoreState::Disconnected);
    story.edit(|spec| spec["tikv"]["version"] = "v8.5.8".into());
    assert_eq!(story.run(), ["c-tikv 3/3"]);
    assert!(story.waiting().contains(&"StoresNotUp".to_owned()));
    store(&mut story, "c-tikv-0", |row| row.state = StoreState::Up);
    assert_eq!(story.settled_round(), ["merge-patch pod/c-tikv-2", "begin-evict-leader store/6"]);
}

#[test]
fn an_upgrade_that_is_taken_back_restarts_nothing_and_gives_the_leaders_back() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["tikv"]["version"] = "v8.5.8".into());
    story.settled_round();
    assert_eq!(story.settled_round(), ["merge-patch pod/c-tikv-2", "begin-evict-leader store/6"]);
    story.edit(|spec| spec["tikv"]["version"] = "v8.5.2".into());
    assert_eq!(story.run(), ["c-tikv 3/3", "end-evict-leader store/6", "merge-patch pod/c-tikv-2"]);
}

#[test]
fn a_pause_gives_the_leaders_back() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["tikv"]["version"] = "v8.5.8".into());
    story.settled_round();
    story.settled_round();
    story.edit(|spec| spec["paused"] = true.into());
    assert_eq!(story.run(), ["end-evict-leader store/6", "merge-patch pod/c-tikv-2"]);
}

#[test]
fn nothing_follows_from_a_pd_that_does_not_say() {
    let mut story = at_rest(4);
    story.edit(|spec| spec["tikv"]["replicas"] = 3.into());
    story.world.settle();
    story.world.pd.stores = Err(Unknown::Failed("timeout".into()));
    assert_eq!(story.round(), [""; 0]);
    assert_ne!(story.status("tikv")["synced"], true);
    assert_eq!(story.status("tikv")["stores"].as_object().map(serde_json::Map::len), Some(4));
}

#[test]
fn servers_get_a_new_version_one_at_a_time() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["tidb"]["version"] = "v8.5.8".into());
    assert_eq!(story.run(), ["c-tidb 2/2", "c-tidb 2/1", "c-tidb 2/0", "c-tidb 2/2"]);
    assert_eq!(story.status("tidb")["phase"], "Normal");
}

#[test]
fn tidb_follows_tikv_in_an_upgrade_of_everything() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["version"] = "v8.5.8".into());
    let done = story.run();
    let position = |text: &str| done.iter().position(|line| line == text);
    assert!(position("c-tikv 3/0").is_some() && position("c-tikv 3/0") < position("c-tidb 2/1"), "{done:#?}");
    assert_eq!(evicting(&story), 0);
}

#[test]
fn servers_come_and_go() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["tidb"]["replicas"] = 4.into());
    assert_eq!(story.run(), ["c-tidb 3/4", "c-tidb 4/4"]);
    story.edit(|spec| spec["tidb"]["replicas"] = 1.into());
    assert_eq!(story.run(), ["c-tidb 3/3", "c-tidb 2/2", "c-tidb 1/1"]);
}

#[test]
fn volumes_grow_pod_by_pod_and_nothing_else_is_written() {
    let mut story = at_rest(3);
    story.edit(|spec| spec["tikv"]["requests"]["storage"] = "2Gi".into());
    let claims =
        ["c-tikv-0", "c-tikv-1", "c-tikv-2"].map(|pod| format!("merge-patch persistentvolumeclaim/tikv-{pod}"));
    assert_eq!(story.run(), claims);
    assert_eq!(story.waiting(), [""; 0]);
    assert_eq!(story.status("tikv")["volumes"]["tikv"]["currentCapacity"], "2Gi");
    story.edit(|spec| spec["tikv"]["requests"]["storage"] = "1Gi".into());
    assert_eq!(story.run(), [""; 0]);
    assert_eq!(story.waiting(), ["CannotApply"; 3], "a volume does not shrink");
}

#[test]
fn volumes_of_servers_grow_as_well() {
    let volumes = |size: &str| json!([{"name": "log", "storageSize": size, "mountPath": "/var/log/tidb"}]);
    let mut cluster = cluster(1);
    cluster["spec"]["tidb"]["storageVolumes"] = volumes("1Gi");
    let mut story = new(cluster).at_rest();
    story.edit(|spec| spec["tidb"]["storageVolumes"] = volumes("3Gi"));
    let claims = ["c-tidb-0", "c-tidb-1"].map(|pod| format!("merge-patch persistentvolumeclaim/tidb-log-{pod}"));
    assert_eq!(story.run(), claims);
    assert_eq!(story.status("tidb")["volumes"]["tidb-log"]["currentCapacity"], "3Gi");
}

#[test]
fn a_set_that_lost_its_owner_is_left_alone_until_somebody_gives_it_one() {
    let mut story = at_rest(3);
    let set = story.world.get_mut("StatefulSet", "c-tikv").expect("the set");
    let owners = std::mem::take(&mut set["metadata"]["ownerReferences"]);
    story.edit(|spec| spec["tikv"]["replicas"] = 4.into());
    assert_eq!(story.run(), [""; 0]);
    let waiting: Vec<_> = story.plans().into_iter().flat_map(|plan| plan.waiting).collect();
    let on = waiting.iter().find(|on| on.reason == "NotOwned").expect("it is said");
    assert_eq!(on.subject, "statefulset/c-tikv");
    assert!(on.message.contains("kubectl patch statefulset c-tikv -n n"), "{}", on.message);
    story.world.get_mut("StatefulSet", "c-tikv").expect("the set")["metadata"]["ownerReferences"] = owners;
    assert_eq!(story.run(), ["c-tikv 4/4"]);
}

/// A cluster that the existing operator left running, with the stores that its status tells of.
fn taken_over(state: &str) -> Story {
    let path = format!("{}/../../tests/goldens/takeover/{state}/objects.json", env!("CARGO_MANIFEST_DIR"));
    let objects: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(path).expect("it can be read")).expect("JSON");
    let none = json!({});
    let policies: Vec<Deciding<'static>> =
        vec![deciding::<policy_tikv::Tikv>(&none), deciding::<policy_tidb::Tidb>(&none)];
    let mut story = Story::taken_over(&objects, policies, line);
    let status = story.world.cluster["status"].clone();
    let stores = ["tikv", "tiflash"].into_iter().flat_map(|component| {
        let stores = status[component]["stores"].as_object().into_iter().flatten();
        stores.map(move |(id, store)| store_of(id, store, component == "tiflash"))
    });
    story.world.pd.stores = Ok(stores.collect());
    story
}

fn store_of(id: &str, store: &Value, tiflash: bool) -> Store {
    let host = store["ip"].as_str().unwrap_or_default();
    let row = StoreRow {
        id: id.parse().expect("a number"),
        address: format!("{host}:{}", if tiflash { 3930 } else { 20160 }),
        state: StoreState::Up,
        tiflash,
        leader_count: store["leaderCount"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
        ..StoreRow::default()
    };
    Store { row, json: serde_json::value::to_raw_value(&json!({"store": {}})).expect("JSON") }
}

#[test]
fn a_cluster_that_is_taken_over_is_not_touched() {
    for state in ["basic", "full", "scaled"] {
        let mut story = taken_over(state);
        assert_eq!(story.round(), [""; 0], "{state}");
    }
}
