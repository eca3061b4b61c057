//! What a person does in a second terminal while the demo runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tidepool_tests::{
    policies,
    program::{self, Running},
};

use crate::{Kubectl, READY_MAX, SOON, START_MAX, invalid, objects};

const RESOURCES: &str = "tc,sts,pod,svc,cm,pvc,pv,node,event,lease";

/// One demo serves all of it: it takes most of a minute of real time until it is Ready. What needs no database is tried
/// meanwhile.
#[test]
fn kubectl_works_on_the_demo_as_on_a_real_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    let Some(kubectl) = Kubectl::find(&kubeconfig) else { return };
    let policy_folder = copy_of_policies(folder.path());
    let args = "demo --time real --listen 127.0.0.1:0 --write-kubeconfig kubeconfig --policy-dir policies";
    let demo = Running::start(program::tidepool(folder.path(), &args.split(' ').collect::<Vec<_>>()));
    kubectl.until("get tc basic -o name", START_MAX, |out| out.contains("basic"));
    objects::server(&kubectl);
    objects::applied(&kubectl);
    objects::changed(&kubectl);
    objects::workload(&kubectl);
    invalid::by_the_schema(&kubectl);
    invalid::by_the_operator(&kubectl);
    demo.wait_for("Ready:", READY_MAX);
    demo.wait_for("export KUBECONFIG=", SOON);
    reads(&kubectl);
    let started = change(&kubectl);
    descriptions(&kubectl);
    swaps(&kubectl, &demo, &policy_folder);
    started.arrives(&kubectl);
    removal(&kubectl);
    let status = demo.interrupt(SOON);
    assert!(status.success(), "SIGINT ends the demo well: {status:?}");
}

fn copy_of_policies(folder: &Path) -> PathBuf {
    let copy = folder.join("policies");
    fs::create_dir(&copy).expect("a folder");
    for name in policies::names() {
        fs::write(copy.join(format!("{name}.wasm")), policies::bytes(&name)).expect("written");
    }
    copy
}

fn reads(kubectl: &Kubectl) {
    for kind in RESOURCES.split(',') {
        let out = kubectl.ok(&format!("get {kind} -A"));
        assert!(out.lines().count() > 1, "get {kind} -A:\n{out}");
    }
    kubectl.shows(&format!("get {RESOURCES} -A"), &["basic-pd-0", "basic-tikv-2", "basic-tidb-1", "basic-pd-peer"]);
    kubectl
        .shows("get tc", &["NAME    READY   PD ", "DESIRE", "basic   True    pingcap/pd:v8.5.0   10Gi      3       3"]);
    kubectl.shows("get tc -o wide", &["TiDB cluster is fully up and running"]);
    kubectl.shows("get pod -o wide", &["NODE", "IP", "basic-tidb-0", "2/2     Running   0"]);
    kubectl.shows("get sts", &["basic-pd     3/3", "basic-tidb   2/2", "basic-tikv   3/3"]);
    kubectl.shows("get pvc", &["Bound", "pd-basic-pd-0", "tikv-basic-tikv-0"]);
    kubectl.shows("get tc basic -o yaml", &["kind: TidbCluster", "status:", "conditions:"]);
    kubectl.shows("get sts basic-pd -o json", &["\"kind\": \"StatefulSet\""]);
    let tikv = kubectl.ok("get pod -l app.kubernetes.io/component=tikv -o name");
    assert_eq!(tikv, "pod/basic-tikv-0\npod/basic-tikv-1\npod/basic-tikv-2\n");
    let one = kubectl.ok("get pod --field-selector metadata.name=basic-pd-1 -o name");
    assert_eq!(one, "pod/basic-pd-1\n");
    assert_eq!(kubectl.ok("get pod --chunk-size 2 -o name"), kubectl.ok("get pod -o name"));
    kubectl.shows("wait --for=condition=Ready tc/basic --timeout 60s", &["condition met"]);
    kubectl.shows("rollout status sts/basic-pd --timeout 60s", &["complete"]);
    kubectl.shows("events --for tc/basic", &["PodsNotReady", "TidbCluster/basic"]);
}

fn descriptions(kubectl: &Kubectl) {
    kubectl.shows("describe tc basic", &["Name:         basic", "Conditions:", "Policies:", "Events:", "tidepool"]);
    kubectl.shows("describe sts basic-tikv", &["Replicas:", "Pods Status:", "SuccessfulCreate"]);
    kubectl.shows("describe pod basic-pd-0", &["Node:", "Containers:", "Ready:          True", "Scheduled"]);
}

/// A policy is replaced while the cluster runs; a broken one is refused.
fn swaps(kubectl: &Kubectl, demo: &Running, folder: &Path) {
    let mut other = policies::bytes("tidb");
    // A custom section changes the digest and nothing else.
    other.extend_from_slice(&[0, 3, 1, b'x', b'y']);
    replace(folder, "tidb.wasm", &other);
    let told = demo.wait_for("tidb is now decided by sha256:", SOON);
    // "… is now decided by <digest>, no more by <digest>".
    let digest = told.rsplit(" by ").nth(1).and_then(|text| text.split(',').next()).unwrap_or_default().to_owned();
    assert!(digest.starts_with("sha256:"), "{told}");
    kubectl.until("get tc basic -o json", SOON, |out| out.contains(&digest));
    kubectl.until("events --for tc/basic", SOON, |out| out.contains("PolicyChanged") && out.contains(&digest));
    replace(folder, "tidb.wasm", b"broken");
    demo.wait_for("refused, the old policy goes on", SOON);
    kubectl.until("events --for tc/basic", SOON, |out| out.contains("PolicyRefused") && out.contains("tidb.wasm"));
    kubectl.shows("get tc basic -o json", &[&digest]);
}

/// As a careful person does: a whole file at once.
fn replace(folder: &Path, name: &str, bytes: &[u8]) {
    let part = folder.join(".part");
    fs::write(&part, bytes).expect("written");
    fs::rename(part, folder.join(name)).expect("renamed");
}

/// A change that is under way.
struct Started;

/// One more store, and another configuration of TiDB.
fn change(kubectl: &Kubectl) -> Started {
    let patch = r#"{"spec":{"tikv":{"replicas":4},"tidb":{"config":"[log]\nlevel = \"warn\"\n"}}}"#;
    kubectl.shows(&format!("patch tc basic --type merge -p '{patch}'"), &["patched"]);
    Started
}

impl Started {
    fn arrives(self, kubectl: &Kubectl) {
        kubectl.until("get tc basic -o json", READY_MAX, |out| {
            let cluster: Value = serde_json::from_str(out).expect("JSON");
            let stores = cluster["status"]["tikv"]["stores"].as_object().into_iter().flatten();
            stores.filter(|(_, store)| store["podName"] == "basic-tikv-3" && store["state"] == "Up").count() == 1
        });
        let maps: Value =
            serde_json::from_str(
                &kubectl.until("get cm -l app.kubernetes.io/component=tidb -o json", SOON, |out| out.contains("warn")),
            )
            .expect("JSON");
        let mut maps = maps["items"].as_array().into_iter().flatten();
        let map = maps.find(|map| map["data"].to_string().contains("warn")).expect("a ConfigMap with it");
        let name = format!("\"name\": {}", map["metadata"]["name"]);
        for pod in ["basic-tidb-0", "basic-tidb-1"] {
            kubectl.until(&format!("get pod {pod} -o json"), READY_MAX, |out| out.contains(&name));
        }
        kubectl.until("get tc", READY_MAX, |out| out.contains("basic   True") && out.contains("4       4"));
    }
}

fn removal(kubectl: &Kubectl) {
    kubectl.shows("delete pod basic-tidb-0", &["deleted"]);
    kubectl.shows("wait pod/basic-tidb-0 --for=create --timeout 60s", &["condition met"]);
    kubectl.shows("delete tc basic --cascade=foreground --timeout 120s", &["deleted"]);
    kubectl.until("get pod,sts,svc,deploy -l app.kubernetes.io/instance=basic -o name", SOON, str::is_empty);
    kubectl.shows("get pvc -o name", &["pd-basic-pd-0", "tikv-basic-tikv-3"]);
}
