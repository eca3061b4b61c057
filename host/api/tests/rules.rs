//! Defaults, merge rules, configuration and what follows from the status: the cases of the existing operator's own tests.

#![allow(missing_docs)]

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use serde_json::{Value, json};
use tidepool_api::config::{Config, Table, TablePath, parse, to_toml};
use tidepool_api::defaults::apply_defaults;
use tidepool_api::status::ClusterCondition;
use tidepool_api::validate::{validate, validate_update};
use tidepool_api::{Component, FaultKind, TidbCluster, conditions, k8s_openapi};

fn cluster(spec: Value) -> TidbCluster {
    with_status(spec, Value::Null)
}

fn with_status(spec: Value, status: Value) -> TidbCluster {
    let value = json!({"metadata": {"name": "tc", "namespace": "ns"}, "spec": spec, "status": status});
    serde_json::from_value(value).expect("reads")
}

fn defaulted(spec: Value) -> TidbCluster {
    let mut cluster = cluster(spec);
    apply_defaults(&mut cluster);
    let once = cluster.clone();
    apply_defaults(&mut cluster);
    assert_eq!(cluster, once, "defaults are stable");
    cluster
}

fn tidb_config(config: Value) -> Option<Table> {
    let cluster = defaulted(json!({"version": "v8.5.0", "tidb": {"replicas": 1, "config": config}}));
    cluster.spec.tidb?.config.map(|config| config.table().expect("TOML"))
}

#[test]
fn tidb_keeps_three_log_files_unless_it_is_told_otherwise() {
    assert_eq!(tidb_config(Value::Null), None);
    let backups =
        |config| tidb_config(config).and_then(|table| table.at("log.file.max-backups").and_then(|v| v.as_integer()));
    assert_eq!(backups(json!({})), Some(3));
    assert_eq!(backups(json!("")), Some(3));
    assert_eq!(backups(json!({"log": {"file": {"max-backups": 9}}})), Some(9));
    let table =
        tidb_config(json!({"oom-action": "log", "log": {"level": "warn", "file": {"max-size": 600, "filename": "f"}}}));
    let expected =
        parse("oom-action = 'log'\n[log]\nlevel = 'warn'\n[log.file]\nmax-size = 600\nfilename = 'f'\nmax-backups = 3");
    assert_eq!(table, expected.ok());
}

#[test]
fn components_with_a_version_get_their_usual_image() {
    let all = json!({"version": "v8.5.0", "pd": {"replicas": 1}, "tikv": {"replicas": 1}, "tidb": {"replicas": 1},
        "tiflash": {"replicas": 1}, "ticdc": {"replicas": 1}, "pump": {"replicas": 1, "version": ""},
        "tiproxy": {"replicas": 1, "version": "v1.3.0"}, "pdms": [{"name": "tso", "replicas": 1}]});
    let cluster = defaulted(all);
    let image = |kind| cluster.component(kind).map(|view| view.image());
    assert_eq!(image(Component::Pd).as_deref(), Some("pingcap/pd:v8.5.0"));
    assert_eq!(image(Component::Pump).as_deref(), Some("pingcap/tidb-binlog"));
    assert_eq!(image(Component::Tiproxy).as_deref(), Some("pingcap/tiproxy:v1.3.0"));
    assert_eq!(image(Component::Tso).as_deref(), Some("pingcap/pd:v8.5.0"), "falls back to PD's");
    assert_eq!(image(Component::Scheduling), None);
    let untouched = defaulted(
        json!({"pd": {"replicas": 1, "image": "pingcap/pd:v3.1.0"}, "ticdc": {"replicas": 1, "image": "x/ticdc"}}),
    );
    let version = |kind| untouched.component(kind).map(|view| view.image_version());
    assert_eq!(version(Component::Pd).as_deref(), Some("v3.1.0"));
    assert_eq!(version(Component::Ticdc).as_deref(), Some("latest"));
}

#[test]
fn other_defaults() {
    let cluster = defaulted(
        json!({"cluster": {"name": "other"}, "tikv": {"replicas": 1, "maxFailoverCount": 0}, "pd": {"replicas": 1}}),
    );
    let spec = &cluster.spec;
    assert_eq!(spec.image_pull_policy, "IfNotPresent");
    assert_eq!(spec.pv_reclaim_policy.as_deref(), Some("Retain"));
    assert_eq!(spec.enable_pv_reclaim, Some(false));
    assert_eq!(cluster.joined().map(|joined| joined.namespace.as_str()), Some("ns"));
    assert_eq!(
        spec.tikv.as_ref().map(|tikv| (tikv.max_failover_count, tikv.spare_vol_replace_replicas)),
        Some((Some(0), Some(1)))
    );
    assert_eq!(spec.pd.as_ref().and_then(|pd| pd.max_failover_count), Some(3));
}

#[test]
fn a_component_inherits_and_overrides() {
    let cluster = cluster(json!({
        "imagePullPolicy": "Never", "hostNetwork": true, "priorityClassName": "high", "schedulerName": "s",
        "nodeSelector": {"k1": "v1"}, "annotations": {"k1": "v1"}, "labels": {"a": "1"},
        "tolerations": [{"key": "k1"}], "suspendAction": {"suspendStatefulSet": true}, "configUpdateStrategy": "RollingUpdate",
        "pd": {"replicas": 1},
        "tikv": {"replicas": 1, "imagePullPolicy": "Always", "hostNetwork": false, "priorityClassName": "low", "schedulerName": "",
            "nodeSelector": {"k1": "v2", "k3": "v3"}, "annotations": {"k1": "v2", "k3": "v3"}, "tolerations": [{"key": "k2"}],
            "suspendAction": {}, "configUpdateStrategy": "", "dnsPolicy": "Default", "podManagementPolicy": "OrderedReady"},
        "pump": {"replicas": 1},
    }));
    let pd = cluster.component(Component::Pd).expect("PD");
    assert_eq!((pd.image_pull_policy(), pd.host_network(), pd.scheduler_name()), ("Never", true, "s"));
    assert_eq!(
        (pd.priority_class_name(), pd.dns_policy(), pd.suspend()),
        (Some("high"), "ClusterFirstWithHostNet", true)
    );
    assert_eq!(pd.pod_management_policy(), "Parallel");
    let tikv = cluster.component(Component::Tikv).expect("TiKV");
    assert_eq!((tikv.image_pull_policy(), tikv.host_network(), tikv.scheduler_name()), ("Always", false, ""));
    assert_eq!((tikv.priority_class_name(), tikv.dns_policy(), tikv.suspend()), (Some("low"), "Default", false));
    assert_eq!(json!(tikv.node_selector()), json!({"k1": "v2", "k3": "v3"}));
    assert_eq!(json!(tikv.annotations()), json!({"k1": "v2", "k3": "v3"}));
    assert_eq!(json!(tikv.labels()), json!({"a": "1"}));
    assert_eq!(tikv.tolerations().iter().map(|t| t.key.as_deref()).collect::<Vec<_>>(), [Some("k2")]);
    assert_eq!(tikv.config_update_strategy(), Ok(tidepool_api::view::ConfigUpdateStrategy::InPlace));
    assert_eq!(pd.config_update_strategy(), Ok(tidepool_api::view::ConfigUpdateStrategy::RollingUpdate));
    assert_eq!(tikv.pod_management_policy(), "OrderedReady");
    assert_eq!(cluster.component(Component::Pump).map(|pump| pump.pod_management_policy()), Some("OrderedReady"));
    assert_eq!(cluster.component(Component::Discovery).map(|discovery| discovery.host_network()), Some(true));
    assert!(cluster.component(Component::Tidb).is_none());
}

#[test]
fn the_helper_image_has_three_sources() {
    let tailer = json!({"replicas": 1, "slowLogTailer": {"image": "tailer", "imagePullPolicy": "IfNotPresent"}});
    let none = cluster(json!({"imagePullPolicy": "Never"}));
    assert_eq!((none.helper_image(), none.helper_image_pull_policy()), ("busybox:1.26.2", "Never"));
    let old = cluster(json!({"imagePullPolicy": "Never", "tidb": tailer}));
    assert_eq!((old.helper_image(), old.helper_image_pull_policy()), ("tailer", "IfNotPresent"));
    let new = cluster(json!({"helper": {"image": "helper", "imagePullPolicy": "Always"}, "tidb": tailer}));
    assert_eq!((new.helper_image(), new.helper_image_pull_policy()), ("helper", "Always"));
}

#[test]
fn pods_spread_by_the_cluster_name() {
    let mut cluster = cluster(json!({"topologySpreadConstraints": [{"topologyKey": "zone", "matchLabels": {
        "app.kubernetes.io/component": "x", "other": "y"}}], "pd": {"replicas": 1}}));
    cluster.metadata.labels = Some([("app.kubernetes.io/instance".to_owned(), "inst".to_owned())].into());
    let constraints = cluster.component(Component::Pd).expect("PD").topology_spread_constraints();
    assert_eq!(
        json!(constraints),
        json!([{"labelSelector": {"matchLabels": {"app.kubernetes.io/component": "x", "app.kubernetes.io/instance": "tc",
            "app.kubernetes.io/managed-by": "tidb-operator", "app.kubernetes.io/name": "tidb-cluster"}},
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}])
    );
}

fn members(healthy: &[bool]) -> Value {
    let entries = healthy.iter().enumerate().map(|(at, health)| {
        (format!("m{at}"), json!({"name": format!("m{at}"), "id": at.to_string(), "clientURL": "", "health": health}))
    });
    Value::Object(entries.collect())
}

fn pd_available(own: &[bool], peers: &[bool], ready: i32, phase: &str) -> bool {
    let status = json!({"pd": {"phase": phase, "members": members(own), "peerMembers": members(peers),
        "statefulSet": {"replicas": ready, "readyReplicas": ready}}});
    with_status(json!({"pd": {"replicas": 3}}), status).pd_available()
}

#[test]
fn pd_is_available_with_a_quorum() {
    assert!(cluster(json!({})).pd_available());
    assert!(!cluster(json!({"pd": {"replicas": 3}})).pd_available());
    assert!(!pd_available(&[true], &[], 3, ""));
    assert!(!pd_available(&[true, false], &[], 3, ""));
    assert!(!pd_available(&[true, true, true], &[], 1, ""));
    assert!(pd_available(&[true, true, true], &[], 3, ""));
    assert!(pd_available(&[true, false, false], &[true, true, true], 6, ""));
    assert!(!pd_available(&[true, false, false], &[true, true, false], 6, ""));
    assert!(!pd_available(&[true, true, true], &[], 3, "Suspend"));
}

fn stores(states: &[&str]) -> Value {
    let entries = states.iter().enumerate().map(|(at, state)| {
        (at.to_string(), json!({"id": at.to_string(), "podName": "", "ip": "", "leaderCount": 0, "state": state}))
    });
    Value::Object(entries.collect())
}

fn tikv(own: &[&str], peers: &[&str], ready: i32, phase: &str) -> TidbCluster {
    let status = json!({"tikv": {"phase": phase, "stores": stores(own), "peerStores": stores(peers),
        "statefulSet": {"replicas": 3, "readyReplicas": ready}}});
    with_status(json!({"tikv": {"replicas": 3}}), status)
}

#[test]
fn tikv_is_available_with_a_store_that_is_up() {
    assert!(!tikv(&[], &[], 1, "").tikv_available());
    assert!(!tikv(&["Down"], &[], 1, "").tikv_available());
    assert!(!tikv(&["Up"], &[], 0, "").tikv_available());
    assert!(tikv(&["Up"], &[], 1, "").tikv_available());
    assert!(!tikv(&["Up"], &[], 1, "Suspend").tikv_available());
    assert!(tikv(&["Down"], &["Up", "Up"], 0, "").tikv_available());
    assert!(!tikv(&["Down"], &["Down", "Down"], 0, "").tikv_available());
    assert!(!tikv(&[], &[], 3, "").all_tikv_stores_up());
    assert!(!tikv(&["Up", "Up", "Down"], &[], 3, "").all_tikv_stores_up());
    assert!(!tikv(&["Up"], &[], 3, "").all_tikv_stores_up());
    assert!(tikv(&["Up", "Up", "Up"], &[], 3, "").all_tikv_stores_up());
}

#[test]
fn pump_is_available_with_a_server_that_is_online() {
    let pump = |phase: &str, states: &[&str]| {
        let members: Vec<_> = states.iter().map(|state| json!({"nodeId": "n", "host": "h", "state": state})).collect();
        with_status(json!({"pump": {"replicas": 1}}), json!({"pump": {"phase": phase, "members": members}}))
            .pump_available()
    };
    assert!(pump("", &["online"]));
    assert!(!pump("", &[]));
    assert!(!pump("", &["offline"]));
    assert!(!pump("Suspend", &["online"]));
}

#[test]
fn failover_and_volume_replacement_add_replicas() {
    let cluster = with_status(
        json!({"pd": {"replicas": 3, "spareVolReplaceReplicas": 2}, "tikv": {"replicas": 3}, "tidb": {"replicas": 2}, "pump": {"replicas": 1}}),
        json!({"pd": {"volReplaceInProgress": true, "failureMembers": {"a": {"memberDeleted": true}, "b": {}}},
            "tikv": {"failureStores": {"1": {}, "2": {}}}, "tidb": {"failureMembers": {"x": {}}}}),
    );
    let desired = |kind| cluster.desired_replicas(kind);
    assert_eq!(
        [Component::Pd, Component::Tikv, Component::Tidb, Component::Pump, Component::Ticdc].map(desired),
        [6, 5, 3, 1, 0]
    );
    assert!(cluster.pd_auto_failing_over());
}

#[test]
fn suspended_means_asked_for_and_gone() {
    let spec =
        |on: bool| json!({"suspendAction": {"suspendStatefulSet": on}, "pd": {"replicas": 1}, "tidb": {"replicas": 1}});
    let status = json!({"pd": {"phase": "Suspend"}, "tidb": {"phase": "Suspend", "statefulSet": {"replicas": 1}}});
    let cluster = with_status(spec(true), status.clone());
    assert!(cluster.suspended(Component::Pd));
    assert!(!cluster.suspended(Component::Tidb), "its StatefulSet is still there");
    assert!(!cluster.suspended(Component::Discovery) && !cluster.suspended(Component::Tikv));
    assert!(!with_status(spec(false), status).suspended(Component::Pd));
}

#[test]
fn services_that_run_apart_are_ready_when_all_are_members_and_no_pod_is_being_replaced() {
    let reason = |mode: &str, phase: &str, members: &[&str]| {
        let spec = json!({"pd": {"replicas": 0, "mode": mode}, "pdms": [{"name": "tso", "replicas": 2}]});
        let status = json!({"pd": {}, "pdms": {"tso": {"name": "tso", "phase": phase, "members": members}}});
        conditions::ready(&with_status(spec, status)).reason
    };
    assert_eq!(reason("ms", "Normal", &["http://a:2379", "http://b:2379"]), "Ready");
    assert_eq!(reason("ms", "Upgrade", &["http://a:2379", "http://b:2379"]), "PDMSUnhealthy");
    assert_eq!(reason("ms", "Normal", &["http://a:2379"]), "PDMSUnhealthy");
    assert_eq!(reason("", "Scale", &[]), "Ready", "PD runs them itself");
}

#[test]
fn readiness_asks_the_components_in_order() {
    let mut cluster = with_status(
        json!({"pd": {"replicas": 1}, "tikv": {"replicas": 1}, "pump": {"replicas": 1}}),
        json!({"pd": {"members": members(&[true])}, "tikv": {"stores": stores(&["Down"])}}),
    );
    let reason = |cluster: &TidbCluster| conditions::ready(cluster).reason;
    assert_eq!(reason(&cluster), "TiKVStoreNotUp");
    let status = cluster.status.as_mut().expect("status");
    status.tikv.as_mut().expect("TiKV").stores.values_mut().for_each(|store| store.state = "Up".to_owned());
    assert_eq!(reason(&cluster), "Ready", "Pump does not decide");
    let status = cluster.status.as_mut().expect("status");
    let set = StatefulSetStatus {
        current_revision: Some("a".into()),
        update_revision: Some("b".into()),
        ..Default::default()
    };
    status.tiflash.get_or_insert_default().common.stateful_set = Some(set);
    assert_eq!(reason(&cluster), "StatefulSetNotUpToDate", "also of a component that is no longer wanted");
}

#[test]
fn a_condition_changes_only_with_status_or_reason() {
    let time = |text: &str| -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
        serde_json::from_value(json!(text)).expect("a time")
    };
    let (early, late) = (time("2026-01-01T00:00:00Z"), time("2026-01-02T00:00:00Z"));
    let condition = |status: &str, reason: &str, message: &str| ClusterCondition {
        condition_type: "Ready".into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        ..Default::default()
    };
    let mut all = Vec::new();
    conditions::set(&mut all, condition("True", "r", "m"), || early.clone());
    let first = all.clone();
    conditions::set(&mut all, condition("True", "r", "other"), || late.clone());
    assert_eq!(all, first);
    conditions::set(&mut all, condition("True", "s", "other"), || late.clone());
    assert_eq!((all[0].last_update_time.as_ref(), all[0].last_transition_time.as_ref()), (Some(&late), Some(&early)));
    conditions::set(&mut all, condition("False", "s", ""), || late.clone());
    assert_eq!((all.len(), all[0].last_transition_time.as_ref()), (1, Some(&late)));
}

#[test]
fn tables_by_path() {
    let mut table = Table::new();
    for round in 0..100 {
        assert!(table.set("a.b.c", round) && table.set("a.f", 1.0) && table.set("s", "x"));
    }
    assert_eq!(table.at("a.b.c").and_then(|v| v.as_integer()), Some(99));
    assert!(table.set_if_absent("a.new", 1) && table.set_if_absent("a.new", 2));
    assert_eq!(table.at("a.new").and_then(|v| v.as_integer()), Some(1));
    assert!(!table.set("s.below", 1), "a text is in the way");
    assert_eq!(table.at("s.below"), None);
    assert!(
        table.remove_at("a.b").is_some() && table.remove_at("a.b.c").is_none() && table.remove_at("none").is_none()
    );
    table.merge(parse("s = 'y'\n[a]\nf = 2.0\n[a.deep]\nx = 1").expect("TOML"));
    assert_eq!(to_toml(&table), "s = \"y\"\n\n[a]\n  f = 2.0\n  new = 1\n  [a.deep]\n    x = 1\n");
}

#[test]
fn objects_are_tables_too() {
    let config: Config =
        serde_json::from_value(json!({"i": 1, "f": 1.0, "l": ["a", 2], "n": null, "gcTTL": 7})).expect("reads");
    assert_eq!(config.table().map(|t| to_toml(&t)), Ok("f = 1.0\ngcTTL = 7\ni = 1\nl = [\"a\", 2]\n".to_owned()));
    assert_eq!(
        config.table_for(Component::Ticdc).map(|t| t.contains_key("gc-ttl") && !t.contains_key("gcTTL")),
        Ok(true)
    );
    assert!(serde_json::from_value::<Config>(json!(1)).is_err());
    let deep = (0..100).fold(json!(1), |inner, _| json!({"a": inner}));
    assert!(serde_json::from_value::<Config>(deep).expect("reads").table().is_err());
    let fault = parse("a = 1\n[storage\nx = 2").expect_err("no TOML").to_string();
    assert!(fault.starts_with("not TOML: line 2, column "), "{fault}");
}

#[test]
fn faults_that_no_recorded_cluster_has() {
    let fields = |spec: Value| validate(&cluster(spec)).into_iter().map(|fault| fault.field).collect::<Vec<_>>();
    let pd = json!({"replicas": 1, "requests": {"storage": "1Gi"}});
    let slots = |value: &str| {
        let mut cluster = cluster(json!({}));
        let keys = ["tikv", "tiflash", "ticdc"]
            .map(|name| (format!("{name}.tidb.pingcap.com/delete-slots"), value.to_owned()));
        cluster.metadata.annotations = Some(keys.into());
        validate(&cluster).len()
    };
    assert_eq!((slots("[1,2]"), slots(""), slots("1,2,3")), (0, 3, 3));
    assert_eq!(
        fields(json!({"pd": pd, "tiflash": {"replicas": 1, "storageClaims": []}})),
        ["spec.tiflash.storageClaims"]
    );
    for path in ["/data", "../data", "../foo/data"] {
        let tikv = json!({"replicas": 1, "requests": {"storage": "1Gi"}, "dataSubDir": path});
        assert_eq!(fields(json!({"pd": pd, "tikv": tikv})), ["spec.tikv.dataSubDir"]);
    }
    for good in ["data", "foo/data"] {
        let tikv =
            json!({"replicas": 1, "requests": {"storage": "1Gi"}, "dataSubDir": good, "evictLeaderTimeout": "5m30s"});
        assert_eq!(fields(json!({"pd": pd, "tikv": tikv})), [""; 0]);
    }
    assert_eq!(fields(json!({"cluster": {"name": "tc"}, "tidb": {"replicas": 1}})), ["spec.cluster.name"]);
    assert_eq!(
        fields(json!({"pd": pd, "pdms": [{"name": "tso"}, {"name": "tso"}, {"name": "x"}]})),
        ["spec.pdms[1].name", "spec.pdms[2].name"]
    );
    let patched = json!({"replicas": 1, "additionalContainers": [{"name": "tidb"}, {"name": "other"}]});
    assert_eq!(fields(json!({"pd": pd, "tidb": patched})), ["spec.tidb.additionalContainers[1].image"]);
    let long = validate(&{
        let mut cluster = cluster(json!({"pd": pd}));
        cluster.metadata.name = Some("a".repeat(50));
        cluster
    });
    assert_eq!(long.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::Invalid]);
}

#[test]
fn changes_that_are_refused() {
    let pd = |config: &str| json!({"version": "v8.5.0", "pd": {"replicas": 3, "config": config}});
    let fields = |old: Value, new: Value| {
        validate_update(&cluster(old), &cluster(new)).into_iter().map(|fault| fault.field).collect::<Vec<_>>()
    };
    let schedule = "[schedule]\nleader-schedule-limit = 4\n";
    assert_eq!(fields(pd(schedule), pd("[log]\nlevel = 'warn'\n[schedule]\nleader-schedule-limit = 4")), [""; 0]);
    assert_eq!(fields(pd(schedule), pd("")), ["spec.pd.config.schedule"]);
    assert_eq!(
        fields(pd(""), pd("[security]\ncert-allowed-cn = ['a', 'b']")),
        ["spec.pd.config.security.cert-allowed-cn"]
    );
    assert_eq!(fields(pd(""), json!({"pd": {"replicas": 3}})), ["spec.version", "spec.pd.config"]);
    let tidb = |name: Value| json!({"tidb": {"replicas": 1, "bootstrapSQLConfigMapName": name}});
    for (old, new, good) in [
        (json!(null), json!(null), true),
        (json!("a"), json!("a"), true),
        (json!("a"), json!(null), true),
        (json!(null), json!("a"), false),
        (json!("a"), json!("b"), false),
    ] {
        assert_eq!(fields(tidb(old), tidb(new)).is_empty(), good);
    }
}
