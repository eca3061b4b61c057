//! The controllers on the embedded control plane, in virtual time: what a real cluster's controllers do, step by step.

use std::time::Duration;

use serde_json::{Value, json};
use tidepool_sim::{
    clock::{Clock, Seed, VIRTUAL_EPOCH_MS},
    control::{ControlPlane, Options},
};
use tokio::task::JoinSet;

/// A control plane with its controllers and nothing below it: the tests play the kubelet.
struct Cluster {
    plane: ControlPlane,
    client: kube::Client,
    _controllers: JoinSet<()>,
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const REPLICASETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

impl Cluster {
    fn start() -> Self {
        let options = Options::new(Clock::starting_at(VIRTUAL_EPOCH_MS), Seed(1));
        let plane = ControlPlane::new(options).unwrap();
        let controllers = plane.start_controllers();
        Self { client: plane.client("test"), plane, _controllers: controllers }
    }

    async fn send(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Result<Value, u16> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request =
            http::Request::builder().method(method).uri(path).header("content-type", content_type).body(body).unwrap();
        self.client.request(request).await.map_err(|error| match error {
            kube::Error::Api(status) => status.code,
            other => panic!("{method} {path}: {other}"),
        })
    }

    async fn get(&self, path: &str) -> Result<Value, u16> {
        self.send("GET", path, "application/json", &Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, "application/json", &body).await.unwrap()
    }

    async fn patch(&self, path: &str, body: Value) -> Value {
        self.send("PATCH", path, "application/strategic-merge-patch+json", &body).await.unwrap()
    }

    async fn delete(&self, path: &str, policy: &str) {
        self.send("DELETE", path, "application/json", &json!({"propagationPolicy": policy})).await.unwrap();
    }

    /// Lets the controllers do all they have to do now.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    /// Makes a pod run and be ready, as a kubelet would.
    async fn ready(&self, pod: &str) {
        let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        self.patch(&format!("{PODS}/{pod}/status"), status).await;
        self.settle().await;
    }

    /// One field of every object of a collection, in order of name.
    async fn each(&self, path: &str, field: &str) -> Vec<Value> {
        let list = self.get(path).await.unwrap();
        let pointer = format!("/{}", field.replace('.', "/"));
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item.pointer(&pointer).cloned().unwrap_or_default())
            .collect()
    }

    async fn names(&self, path: &str) -> Vec<Value> {
        self.each(path, "metadata.name").await
    }

    async fn images(&self) -> Vec<Value> {
        self.each(PODS, "spec.containers.0.image").await
    }

    async fn set_image(&self, image: &str) {
        let containers = json!([{"name": "main", "image": image}]);
        self.patch(&format!("{SETS}/web"), json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
        self.settle().await;
    }

    async fn status(&self, path: &str) -> Value {
        self.get(path).await.unwrap()["status"].clone()
    }
}

fn stateful_set(policy: &str, extra: Value) -> Value {
    let mut set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": {
        "serviceName": "web", "replicas": 3, "podManagementPolicy": policy, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "i:1"}]}}}});
    set["spec"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    set
}

fn deployment(replicas: u64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "i:1"}]}}}})
}

#[tokio::test(start_paused = true)]
async fn an_ordered_set_makes_each_pod_after_the_one_before_is_ready() {
    let cluster = Cluster::start();
    let claim = json!({"metadata": {"name": "d", "labels": {"z": "1"}}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    cluster.post(SETS, stateful_set("OrderedReady", json!({"volumeClaimTemplates": [claim]}))).await;
    cluster.settle().await;
    assert_eq!(cluster.names(PODS).await, ["web-0"]);
    cluster.ready("web-0").await;
    assert_eq!(cluster.names(PODS).await, ["web-0", "web-1"]);
    cluster.ready("web-1").await;
    cluster.ready("web-2").await;
    let status = cluster.status(&format!("{SETS}/web")).await;
    assert_eq!([&status["readyReplicas"], &status["currentReplicas"], &status["availableReplicas"]], [3, 3, 3]);

    let claim = cluster.get(&format!("{CLAIMS}/d-web-0")).await.unwrap();
    assert_eq!(claim["metadata"]["labels"], json!({"app": "web", "z": "1"}));
    cluster.patch(&format!("{SETS}/web"), json!({"spec": {"replicas": 1}})).await;
    cluster.settle().await;
    assert_eq!(cluster.names(PODS).await, ["web-0"]);
    assert_eq!(cluster.names(CLAIMS).await, ["d-web-0", "d-web-1", "d-web-2"], "claims outlive their pods");
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_goes_from_the_last_pod_to_the_first_and_a_rollback_renumbers() {
    let cluster = Cluster::start();
    cluster.post(SETS, stateful_set("Parallel", json!({}))).await;
    cluster.settle().await;
    assert_eq!(cluster.names(PODS).await, ["web-0", "web-1", "web-2"]);
    for pod in ["web-0", "web-1", "web-2"] {
        cluster.ready(pod).await;
    }
    cluster.set_image("i:2").await;
    assert_eq!(cluster.images().await, ["i:1", "i:1", "i:2"], "one at a time");
    let status = cluster.status(&format!("{SETS}/web")).await;
    assert_eq!([&status["currentReplicas"], &status["updatedReplicas"]], [2, 1]);
    for pod in ["web-2", "web-1", "web-0"] {
        cluster.ready(pod).await;
    }
    let status = cluster.status(&format!("{SETS}/web")).await;
    assert_eq!(status["currentRevision"], status["updateRevision"]);
    cluster.set_image("i:1").await;
    let mut revisions: Vec<_> = cluster.each(REVISIONS, "revision").await.iter().filter_map(Value::as_i64).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [2, 3], "the first revision came to the front");
}

#[tokio::test(start_paused = true)]
async fn below_the_partition_a_lost_pod_returns_in_the_old_revision() {
    let cluster = Cluster::start();
    let strategy = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
    cluster.post(SETS, stateful_set("Parallel", strategy)).await;
    cluster.settle().await;
    for pod in ["web-0", "web-1", "web-2"] {
        cluster.ready(pod).await;
    }
    cluster.set_image("i:2").await;
    cluster.ready("web-2").await;
    cluster.delete(&format!("{PODS}/web-0"), "Background").await;
    cluster.settle().await;
    assert_eq!(cluster.images().await, ["i:1", "i:1", "i:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_never_gets_ready_blocks_an_ordered_rollout_until_somebody_deletes_it() {
    let cluster = Cluster::start();
    cluster.post(SETS, stateful_set("OrderedReady", json!({"replicas": 2}))).await;
    cluster.settle().await;
    cluster.ready("web-0").await;
    cluster.ready("web-1").await;
    cluster.set_image("bad").await;
    cluster.set_image("i:1").await;
    assert_eq!(cluster.images().await, ["i:1", "bad"]);
    cluster.delete(&format!("{PODS}/web-1"), "Background").await;
    cluster.settle().await;
    assert_eq!(cluster.images().await, ["i:1", "i:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_set_adopts_the_pods_that_an_orphaning_deletion_left() {
    let cluster = Cluster::start();
    cluster.post(SETS, stateful_set("Parallel", json!({}))).await;
    cluster.settle().await;
    let before = cluster.each(PODS, "metadata.uid").await;
    cluster.delete(&format!("{SETS}/web"), "Orphan").await;
    cluster.settle().await;
    assert_eq!(cluster.get(&format!("{SETS}/web")).await, Err(404));
    assert_eq!(cluster.each(PODS, "metadata.ownerReferences").await, vec![Value::Null; 3]);
    let set = cluster.post(SETS, stateful_set("Parallel", json!({}))).await;
    cluster.settle().await;
    assert_eq!(cluster.each(PODS, "metadata.uid").await, before, "no pod was made again");
    assert_eq!(cluster.each(PODS, "metadata.ownerReferences.0.uid").await, vec![set["metadata"]["uid"].clone(); 3]);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_keeps_its_old_set_until_the_new_pods_are_ready() {
    let cluster = Cluster::start();
    cluster.post(DEPLOYMENTS, deployment(2)).await;
    cluster.settle().await;
    for pod in cluster.names(PODS).await {
        cluster.ready(pod.as_str().unwrap()).await;
    }
    let containers = json!([{"name": "main", "image": "i:2"}]);
    cluster
        .patch(&format!("{DEPLOYMENTS}/web"), json!({"spec": {"template": {"spec": {"containers": containers}}}}))
        .await;
    cluster.settle().await;
    let mut images = cluster.images().await;
    images.sort_by_key(Value::to_string);
    assert_eq!(images, ["i:1", "i:1", "i:2"]);
    for _ in 0..2 {
        for pod in cluster.get(PODS).await.unwrap()["items"].as_array().unwrap() {
            if pod["spec"]["containers"][0]["image"] == "i:2" {
                cluster.ready(pod["metadata"]["name"].as_str().unwrap()).await;
            }
        }
    }
    assert_eq!(cluster.images().await, ["i:2", "i:2"]);
    let made = cluster.get(&format!("{DEPLOYMENTS}/web")).await.unwrap();
    assert_eq!(made["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    cluster.delete(&format!("{DEPLOYMENTS}/web"), "Background").await;
    cluster.settle().await;
    assert!(cluster.names(REPLICASETS).await.is_empty() && cluster.names(PODS).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_foreground_deletion_waits_for_dependents_that_block() {
    let cluster = Cluster::start();
    let owner = cluster.post(CONFIG_MAPS, json!({"metadata": {"name": "owner"}})).await;
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true}]);
    let child = json!({"metadata": {"name": "child", "finalizers": ["example.com/x"], "ownerReferences": reference}});
    cluster.post(CONFIG_MAPS, child).await;
    cluster.settle().await;
    cluster.delete(&format!("{CONFIG_MAPS}/owner"), "Foreground").await;
    cluster.settle().await;
    assert!(cluster.get(&format!("{CONFIG_MAPS}/child")).await.unwrap()["metadata"]["deletionTimestamp"].is_string());
    assert!(cluster.get(&format!("{CONFIG_MAPS}/owner")).await.is_ok());
    cluster
        .send(
            "PATCH",
            &format!("{CONFIG_MAPS}/child"),
            "application/merge-patch+json",
            &json!({"metadata": {"finalizers": null}}),
        )
        .await
        .unwrap();
    cluster.settle().await;
    assert_eq!(cluster.get(&format!("{CONFIG_MAPS}/owner")).await, Err(404));
}

#[tokio::test(start_paused = true)]
async fn what_names_an_owner_that_never_was_goes() {
    let cluster = Cluster::start();
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "11111111-2222-3333-4444-555555555555"}]);
    cluster.post(CONFIG_MAPS, json!({"metadata": {"name": "ghost", "ownerReferences": reference}})).await;
    cluster.settle().await;
    assert_eq!(cluster.get(&format!("{CONFIG_MAPS}/ghost")).await, Err(404));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_when_its_last_object_goes() {
    let cluster = Cluster::start();
    cluster.post("/api/v1/namespaces", json!({"metadata": {"name": "extra"}})).await;
    cluster.settle().await;
    assert!(cluster.get("/api/v1/namespaces/extra/serviceaccounts/default").await.is_ok());
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    cluster.post("/api/v1/namespaces/extra/configmaps", held).await;
    cluster.delete("/api/v1/namespaces/extra", "Background").await;
    cluster.settle().await;
    let status = cluster.status("/api/v1/namespaces/extra").await;
    assert_eq!(status["conditions"][3]["reason"], "SomeResourcesRemain");
    let free = json!({"metadata": {"finalizers": null}});
    cluster
        .send("PATCH", "/api/v1/namespaces/extra/configmaps/held", "application/merge-patch+json", &free)
        .await
        .unwrap();
    cluster.settle().await;
    assert_eq!(cluster.get("/api/v1/namespaces/extra").await, Err(404));
}

#[tokio::test(start_paused = true)]
async fn endpoints_follow_the_pods_of_a_service() {
    let cluster = Cluster::start();
    let service = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "m"}]}});
    cluster.post("/api/v1/namespaces/default/services", service).await;
    let pod = json!({"metadata": {"name": "p", "labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"name": "m", "containerPort": 7}]}]}});
    cluster.post(PODS, pod).await;
    cluster
        .patch(&format!("{PODS}/p/status"), json!({"status": {"podIP": "10.9.8.7", "podIPs": [{"ip": "10.9.8.7"}]}}))
        .await;
    cluster.ready("p").await;
    let endpoints = cluster.get("/api/v1/namespaces/default/endpoints/web").await.unwrap();
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "10.9.8.7");
    assert_eq!(endpoints["subsets"][0]["ports"][0]["port"], 7);
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    assert_eq!(cluster.each(slices, "endpoints.0.conditions.ready").await, [true]);
    cluster.delete(&format!("{PODS}/p"), "Background").await;
    cluster.settle().await;
    assert!(cluster.get("/api/v1/namespaces/default/endpoints/web").await.unwrap()["subsets"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_at_rest_writes_nothing() {
    let cluster = Cluster::start();
    cluster.post(SETS, stateful_set("Parallel", json!({}))).await;
    cluster.post(DEPLOYMENTS, deployment(2)).await;
    cluster.settle().await;
    for pod in cluster.names(PODS).await {
        cluster.ready(pod.as_str().unwrap()).await;
    }
    let version = cluster.get(PODS).await.unwrap()["metadata"]["resourceVersion"].clone();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert_eq!(cluster.get(PODS).await.unwrap()["metadata"]["resourceVersion"], version);
    drop(cluster.plane);
}
