//! A TidbCluster's objects as an operator would write them, by hand and small.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, Pod, Service},
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tidepool_sim::{
    clock::Seed,
    simulation::{Options, Simulation},
};

/// Namespace of all objects.
pub const NAMESPACE: &str = "default";

/// A simulation in virtual time with the small CRD below.
pub async fn simulation(seed: u64) -> Simulation {
    let options = Options { crds: vec![crd()], ..Options::in_virtual_time(Seed(seed)) };
    Simulation::start(options).await.unwrap()
}

/// TidbCluster without a schema.
pub fn crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "tidbclusters.pingcap.com"},
        "spec": {
            "group": "pingcap.com", "scope": "Namespaced",
            "names": {"kind": "TidbCluster", "plural": "tidbclusters", "singular": "tidbcluster", "listKind": "TidbClusterList"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    })
}

/// Creates one object.
pub async fn create<K>(api: &Api<K>, object: Value)
where
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// Creates a cluster `name` with so many PD, TiKV and TiDB pods.
pub async fn create_cluster(client: &Client, name: &str, pd: usize, tikv: usize, tidb: usize) {
    let kind = GroupVersionKind::gvk("pingcap.com", "v1alpha1", "TidbCluster");
    let resource = ApiResource::from_gvk_with_plural(&kind, "tidbclusters");
    let clusters: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
    create(
        &clusters,
        json!({
            "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster", "metadata": {"name": name},
            "spec": {"pd": {"replicas": pd}},
        }),
    )
    .await;
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    create(&services, service(name, "discovery", "discovery", false, 10261)).await;
    for (component, port) in [("pd", 2379), ("tikv", 20160), ("tidb", 10080)] {
        create(&services, service(name, &format!("{component}-peer"), component, true, port)).await;
    }
    create(&services, service(name, "pd", "pd", false, 2379)).await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    create(&deployments, discovery(name)).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), NAMESPACE);
    for (component, replicas) in [("pd", pd), ("tikv", tikv), ("tidb", tidb)] {
        create(&maps, config(name, component, "")).await;
        create(&sets, set(name, component, replicas)).await;
    }
}

/// The ConfigMap of a component with this configuration file.
pub fn config(cluster: &str, component: &str, text: &str) -> Value {
    json!({"metadata": {"name": format!("{cluster}-{component}")}, "data": {"config-file": text}})
}

fn labels(cluster: &str, component: &str) -> Value {
    json!({
        "app.kubernetes.io/component": component, "app.kubernetes.io/instance": cluster,
        "app.kubernetes.io/name": "tidb-cluster",
    })
}

fn service(cluster: &str, suffix: &str, component: &str, headless: bool, port: u16) -> Value {
    let mut spec = json!({"selector": labels(cluster, component), "ports": [{"port": port}]});
    if headless {
        spec["clusterIP"] = json!("None");
        spec["publishNotReadyAddresses"] = json!(true);
    }
    json!({"metadata": {"name": format!("{cluster}-{suffix}")}, "spec": spec})
}

fn discovery(cluster: &str) -> Value {
    let labels = labels(cluster, "discovery");
    json!({
        "metadata": {"name": format!("{cluster}-discovery")},
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "discovery", "image": "example.com/discovery:1"}]},
        }},
    })
}

/// The StatefulSet of a component.
pub fn set(cluster: &str, component: &str, replicas: usize) -> Value {
    let labels = labels(cluster, component);
    let mut container = json!({
        "name": component, "image": format!("pingcap/{component}:v8.5.0"),
        "volumeMounts": [{"name": "config", "mountPath": format!("/etc/{component}")}],
    });
    let mut claims = json!([]);
    if component == "tidb" {
        container["readinessProbe"] = json!({"tcpSocket": {"port": 4000}, "initialDelaySeconds": 10});
    } else {
        let mounts = container["volumeMounts"].as_array_mut().unwrap();
        mounts.push(json!({"name": component, "mountPath": format!("/var/lib/{component}")}));
        claims = json!([{"metadata": {"name": component}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}},
        }}]);
    }
    let items = json!([{"key": "config-file", "path": format!("{component}.toml")}]);
    json!({
        "metadata": {"name": format!("{cluster}-{component}")},
        "spec": {
            "replicas": replicas, "serviceName": format!("{cluster}-{component}-peer"),
            "podManagementPolicy": "Parallel", "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "containers": [container],
                "volumes": [{"name": "config", "configMap": {"name": format!("{cluster}-{component}"), "items": items}}],
            }},
            "volumeClaimTemplates": claims,
        },
    })
}

/// Waits until `holds`, at most so many simulated seconds; gives the last pods it saw if it never does.
pub async fn eventually(client: &Client, seconds: u64, holds: impl Fn(&[Pod]) -> bool) -> Vec<Pod> {
    let mut seen = Vec::new();
    for _ in 0..seconds {
        seen = pods(client).await;
        if holds(&seen) {
            return seen;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("not within {seconds} s: {:#?}", seen.iter().map(summary).collect::<Vec<_>>());
}

/// All pods of the namespace.
pub async fn pods(client: &Client) -> Vec<Pod> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    api.list(&ListParams::default()).await.unwrap().items
}

/// Whether the pod's Ready condition holds.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Name, phase, readiness and restarts, for messages.
pub fn summary(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let restarts: i32 = status.container_statuses.iter().flatten().map(|container| container.restart_count).sum();
    let name = pod.metadata.name.clone().unwrap_or_default();
    format!("{name} {} ready={} restarts={restarts}", status.phase.unwrap_or_default(), is_ready(pod))
}

/// The pod of this name.
pub fn pod<'p>(pods: &'p [Pod], name: &str) -> &'p Pod {
    pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(name)).unwrap()
}

/// Why the first container of a pod waits, empty if it does not.
pub fn waiting_reason(pod: &Pod) -> String {
    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first());
    let waiting = status.and_then(|status| status.state.as_ref()?.waiting.as_ref());
    waiting.and_then(|waiting| waiting.reason.clone()).unwrap_or_default()
}

/// How often the first container was started again.
pub fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.and_then(|statuses| statuses.first()).map_or(0, |status| status.restart_count)
}
