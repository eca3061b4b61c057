//! What the objects are made of: StatefulSet (B), ConfigMap (Y), Services (H, V).

use serde_json::{Value, json};

use crate::cases::{Cases, Policies, at, merge, new};

const POD: &str = "spec/template/spec";

/// Values at paths.
type Values = Vec<(&'static str, Value)>;

pub fn run(cases: &mut Cases) {
    hosts(cases);
    failures(cases);
    containers(cases);
    kernel(cases);
    volumes(cases);
    config_maps(cases);
    services(cases);
}

/// The object of this kind and name that the first round creates for cluster `foo` in `ns`; null if it creates none.
fn object(policies: Policies, change: &Value, kind: &str, name: &str) -> Value {
    let mut cluster = json!({
        "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
        "metadata": {"name": "foo", "namespace": "ns"}, "spec": {"pd": {}},
    });
    merge(&mut cluster, change);
    let mut story = new(policies, cluster);
    story.round();
    story.world.get(kind, name).cloned().unwrap_or_default()
}

fn set(policies: Policies, change: &Value) -> Value {
    object(policies, change, "StatefulSet", "foo-pd")
}

/// Rows of the StatefulSet: a change of the cluster, and values at paths in the pod's spec.
fn pods(cases: &mut Cases, rows: Vec<(&'static str, Value, Values)>) {
    for (id, change, expected) in rows {
        cases.row(id, |policies| {
            let set = set(policies, &change);
            for (path, value) in expected {
                assert_eq!(at(&set, &format!("{POD}/{path}")), value, "{path}");
            }
        });
    }
}

fn hosts(cases: &mut Cases) {
    let own = || vec![("hostNetwork", Value::Null), ("dnsPolicy", json!("ClusterFirst"))];
    let host = vec![("hostNetwork", json!(true)), ("dnsPolicy", json!("ClusterFirstWithHostNet"))];
    let rows = vec![
        ("B1", json!({}), own()),
        ("B2", json!({"spec": {"pd": {"hostNetwork": true}}}), host),
        ("B3", json!({"spec": {"tidb": {"hostNetwork": true}}}), own()),
        ("B4", json!({"spec": {"tikv": {"hostNetwork": true}}}), own()),
    ];
    pods(cases, rows);
}

fn failures(cases: &mut Cases) {
    for (id, deleted, replicas) in [("B10", false, 3), ("B11", true, 4)] {
        cases.row(id, |policies| {
            let failed = json!({"foo-pd-0": {"podName": "foo-pd-0", "memberDeleted": deleted}});
            let change = json!({"spec": {"pd": {"replicas": 3}}, "status": {"pd": {"failureMembers": failed}}});
            assert_eq!(set(policies, &change)["spec"]["replicas"], replicas);
        });
    }
}

fn containers(cases: &mut Cases) {
    let resources = json!({"cpu": "1", "ephemeral-storage": "10Gi", "memory": "2Gi"});
    let mut requests = resources.clone();
    requests["storage"] = "100Gi".into();
    cases.row("B5", |policies| {
        let set = set(policies, &json!({"spec": {"pd": {"limits": resources, "requests": requests}}}));
        assert_eq!(at(&set, "spec/volumeClaimTemplates/0/spec/resources"), json!({"requests": {"storage": "100Gi"}}));
        let given = json!({"limits": resources, "requests": resources});
        assert_eq!(at(&set, &format!("{POD}/containers/0/resources")), given);
    });
    let secret = json!({"name": "DASHBOARD_SESSION_SECRET", "valueFrom": {"secretKeyRef": {"name": "d", "key": "k"}}});
    let env = json!([secret, {"name": "TZ", "value": "ignored"}]);
    let names = ["NAMESPACE", "PEER_SERVICE_NAME", "SERVICE_NAME", "SET_NAME", "TZ", "DASHBOARD_SESSION_SECRET"];
    let rows = vec![
        (
            "B6",
            json!({"spec": {"pd": {"env": env}}}),
            vec![
                ("containers/0/env/*/name", json!(names)),
                ("containers/0/env/1/value", json!("foo-pd-peer")),
                ("containers/0/env/2/value", json!("foo-pd")),
                ("containers/0/env/3/value", json!("foo-pd")),
                ("containers/0/env/4/value", json!("")),
                ("containers/0/env/5", secret),
            ],
        ),
        (
            "B12",
            json!({"spec": {"pd": {"additionalContainers": [{"name": "side", "image": "x"}]}}}),
            vec![("containers/-1", json!({"name": "side", "image": "x"}))],
        ),
        (
            "B13",
            json!({"spec": {"pd": {"additionalVolumes": [{"name": "test", "emptyDir": {}}]}}}),
            vec![("volumes/-1", json!({"name": "test", "emptyDir": {}}))],
        ),
        (
            "B22",
            json!({"spec": {"pd": {"readinessProbe": {"type": "tcp"}}}}),
            vec![("containers/0/readinessProbe", json!({"initialDelaySeconds": 10, "tcpSocket": {"port": 2379}}))],
        ),
    ];
    pods(cases, rows);
}

/// Kernel parameters, set by an init container where the user asks for that.
fn kernel(cases: &mut Cases) {
    let sysctls = json!([
        {"name": "net.core.somaxconn", "value": "32768"}, {"name": "net.ipv4.tcp_syncookies", "value": "0"},
        {"name": "net.ipv4.tcp_keepalive_time", "value": "300"}, {"name": "net.ipv4.tcp_keepalive_intvl", "value": "75"},
    ]);
    let command = "sysctl -w net.core.somaxconn=32768 net.ipv4.tcp_syncookies=0 net.ipv4.tcp_keepalive_time=300 \
                   net.ipv4.tcp_keepalive_intvl=75";
    let init = |resources: &Value| {
        json!([{
            "name": "init", "image": "busybox:1.26.2", "command": ["sh", "-c", command], "resources": resources,
            "securityContext": {"privileged": true},
        }])
    };
    let asked = |given: &str| json!({"tidb.pingcap.com/sysctl-init": given});
    let pd = |pd: Value| json!({"spec": {"pd": pd}});
    let (full, bare) = (json!({"runAsNonRoot": true, "sysctls": sysctls}), json!({"runAsNonRoot": true}));
    let resources = json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1", "memory": "1Gi"}});
    let with_resources = json!({
        "annotations": asked("true"), "podSecurityContext": full,
        "limits": {"cpu": "1"}, "requests": {"cpu": "1", "memory": "1Gi", "storage": "100Gi"},
    });
    let both = |init: Value, context: Value| vec![("initContainers", init), ("securityContext", context)];
    let none = || Value::Null;
    let rows = vec![
        ("B14", pd(json!({"podSecurityContext": full})), both(none(), full.clone())),
        ("B15", pd(json!({"annotations": asked("true"), "podSecurityContext": bare})), both(none(), bare.clone())),
        ("B16", pd(json!({"annotations": asked("true")})), both(none(), none())),
        (
            "B17",
            pd(json!({"annotations": asked("true"), "podSecurityContext": full})),
            both(init(&json!({})), bare.clone()),
        ),
        ("B18", pd(with_resources), both(init(&resources), bare.clone())),
        ("B19", pd(json!({"annotations": asked("false"), "podSecurityContext": full})), both(none(), full.clone())),
        ("B20", json!({}), both(none(), none())),
    ];
    pods(cases, rows);
}

/// PD of a version, and a TiDB whose clients use TLS.
fn with_client_tls(version: &str, tls: Value) -> Value {
    json!({"spec": {
        "pd": {"baseImage": "pingcap/pd", "version": version, "config": {}}, "tidb": {"tlsClient": tls},
    }})
}

fn volumes(cases: &mut Cases) {
    for (id, version, there) in [("B7", "v3.1.0", false), ("B8", "v4.0.0-rc.1", true), ("B9", "nightly", true)] {
        cases.row(id, |policies| {
            let set = set(policies, &with_client_tls(version, json!({"enabled": true})));
            for path in ["volumes/*/name", "containers/0/volumeMounts/*/name"] {
                let names = at(&set, &format!("{POD}/{path}"));
                let has = names.as_array().is_some_and(|names| names.contains(&json!("tidb-client-tls")));
                assert_eq!(has, there, "{path}");
            }
        });
    }
    cases.row("B21", |policies| {
        let log = json!({"name": "log", "storageSize": "2Gi", "mountPath": "/var/log"});
        let change = json!({"spec": {"pd": {"volumeAttributesClassName": "gold", "storageVolumes": [log]}}});
        let set = set(policies, &change);
        let template = |path: &str| at(&set, &format!("spec/volumeClaimTemplates/{path}"));
        assert_eq!(template("*/metadata/name"), json!(["pd", "pd-log"]));
        assert_eq!(template("*/spec/accessModes/0"), json!(["ReadWriteOnce", "ReadWriteOnce"]));
        assert_eq!(template("*/spec/volumeAttributesClassName"), json!(["gold", "gold"]));
        assert_eq!(template("*/spec/resources/requests/storage"), json!([null, "2Gi"]));
        let mount = at(&set, &format!("{POD}/containers/0/volumeMounts/-1"));
        assert_eq!(mount, json!({"mountPath": "/var/log", "name": "pd-log"}));
    });
}

fn config_maps(cases: &mut Cases) {
    let config_map = |policies, change: &Value| object(policies, change, "ConfigMap", "foo-pd");
    cases.row("Y1", |policies| assert_eq!(config_map(policies, &json!({})), Value::Null));
    cases.row("Y2", |policies| {
        let config = json!({
            "schedule": {"max-store-down-time": "5m", "disable-remove-down-replica": true},
            "replication": {"max-replicas": 5, "location-labels": ["node", "rack"]},
        });
        let change = json!({"spec": {"configUpdateStrategy": "InPlace", "pd": {"config": config}}});
        let object = config_map(policies, &change);
        assert_eq!(object["metadata"]["labels"], labels());
        assert_eq!(at(&object, "metadata/ownerReferences/0/name"), "foo");
        let text = "[replication]\n  location-labels = [\"node\", \"rack\"]\n  max-replicas = 5\n\n[schedule]\n  \
                    disable-remove-down-replica = true\n  max-store-down-time = \"5m\"\n";
        assert_eq!(at(&object, "data/config-file"), text);
    });
    let path = "/var/lib/tidb-client-tls";
    let pair = format!("  tidb-cert-path = \"{path}/tls.crt\"\n  tidb-key-path = \"{path}/tls.key\"\n");
    let all = format!("[dashboard]\n  tidb-cacert-path = \"{path}/ca.crt\"\n{pair}");
    let on = json!({"enabled": true});
    for (id, version, tls, expected) in [
        ("Y3", "v3.1.0", &on, String::new()),
        ("Y4", "v4.0.0-rc.1", &on, all.clone()),
        ("Y5", "nightly", &on, all),
        ("Y6", "nightly", &json!({"enabled": true, "skipInternalClientCA": true}), format!("[dashboard]\n{pair}")),
    ] {
        cases.row(id, |policies| {
            let object = config_map(policies, &with_client_tls(version, tls.clone()));
            assert_eq!(at(&object, "data/config-file"), expected);
        });
    }
}

fn labels() -> Value {
    json!({
        "app.kubernetes.io/name": "tidb-cluster", "app.kubernetes.io/managed-by": "tidb-operator",
        "app.kubernetes.io/instance": "foo", "app.kubernetes.io/component": "pd",
    })
}

fn services(cases: &mut Cases) {
    cases.row("H1", |policies| {
        let object = object(policies, &json!({}), "Service", "foo-pd-peer");
        let mut used = labels();
        used["app.kubernetes.io/used-by"] = "peer".into();
        assert_eq!(object["metadata"]["labels"], used);
        assert_eq!(at(&object, "metadata/ownerReferences/*/name"), json!(["foo"]));
        let port = |number: u16| {
            json!({"name": format!("tcp-peer-{number}"), "port": number, "targetPort": number, "protocol": "TCP"})
        };
        let spec = json!({
            "clusterIP": "None", "ports": [port(2380), port(2379)], "selector": labels(),
            "publishNotReadyAddresses": true,
        });
        assert_eq!(object["spec"], spec);
    });
    let listed = |kind: &str| json!([{"name": "pd", "type": kind}]);
    let own = |service: Value| json!({"service": service});
    let spec = |kind: &str, more: Value, name: &str| {
        let ports = json!([{"name": name, "port": 2379, "targetPort": 2379, "protocol": "TCP"}]);
        let mut spec = json!({"type": kind, "ports": ports, "selector": labels()});
        merge(&mut spec, &more);
        spec
    };
    let address = json!({"clusterIP": "172.20.10.1"});
    let balanced = json!({"loadBalancerIP": "172.20.10.1"});
    let own_type = json!({"type": "ClusterIP", "clusterIP": "172.20.10.1"});
    let own_port = json!({"type": "ClusterIP", "clusterIP": "172.20.10.1", "portName": "http-pd"});
    for (id, kind, pd, expected) in [
        ("V1", "ClusterIP", json!({}), spec("ClusterIP", json!({}), "client")),
        ("V2", "ClusterIP", own(address.clone()), spec("ClusterIP", address.clone(), "client")),
        ("V3", "LoadBalancer", own(balanced.clone()), spec("LoadBalancer", balanced, "client")),
        ("V4", "LoadBalancer", own(own_type), spec("ClusterIP", address.clone(), "client")),
        ("V5", "LoadBalancer", own(own_port), spec("ClusterIP", address, "http-pd")),
    ] {
        cases.row(id, |policies| {
            let object = object(policies, &json!({"spec": {"services": listed(kind), "pd": pd}}), "Service", "foo-pd");
            assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/used-by"], "end-user");
            assert_eq!(object["spec"], expected);
        });
    }
}
