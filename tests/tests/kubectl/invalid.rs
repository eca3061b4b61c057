//! What is wrong with a TidbCluster is said by the API server where the schema tells it, and else on the cluster.

use std::fs;

use crate::{Kubectl, SOON};

fn example(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/invalid").join(name);
    fs::read_to_string(path).expect("an example")
}

/// What the schema tells.
pub fn by_the_schema(kubectl: &Kubectl) {
    let unknown = kubectl.run("patch tc basic --type merge -p '{\"spec\":{\"tikv\":{\"replica\":4}}}'");
    assert!(unknown.err.contains("Warning: unknown field \"spec.tikv.replica\""), "{}{}", unknown.out, unknown.err);
    let four = "patch tc basic --type merge -p '{\"spec\":{\"tikv\":{\"replicas\":\"four\"}}}'";
    kubectl.refuses(four, &["The TidbCluster \"basic\" is invalid", "spec.tikv.replicas"]);
    let refused = [
        ("negative-replicas.yaml", "spec.tidb.replicas"),
        ("bad-quantity.yaml", "spec.tikv.requests.storage"),
        ("unknown-field.yaml", "unknown field \"spec.tikv.replica\""),
        ("wrong-type.yaml", "spec.pd.replicas"),
    ];
    for (file, field) in refused {
        kubectl.refuses_input("apply -f -", &example(file), &[field]);
    }
    kubectl.refuses("get tc bad", &["NotFound"]);
}

/// What only the operator tells: an event and a condition with the field, and nothing is written for the cluster. No PD
/// is needed for that.
pub fn by_the_operator(kubectl: &Kubectl) {
    let told = [
        ("bad-toml.yaml", "spec.tikv.config: not TOML: line 1, column 9"),
        ("missing-pd.yaml", "spec.pd: required"),
        ("bad-strategy.yaml", "spec.configUpdateStrategy"),
    ];
    for (file, fault) in told {
        kubectl.takes("apply -f -", &example(file), "tidbcluster.pingcap.com/bad created");
        let condition = "get tc bad -o 'jsonpath={.status.conditions[?(@.type==\"Reconciled\")]}'";
        kubectl.until(condition, SOON, |out| out.contains("\"reason\":\"InvalidSpec\"") && out.contains(fault));
        kubectl.until("events --for tc/bad", SOON, |out| out.contains("FailedValidation") && out.contains(fault));
        kubectl.shows("get tc bad -o 'jsonpath={.status.waiting[0].message}'", &[fault]);
        let made = kubectl.ok("get sts,deploy,svc,cm -l app.kubernetes.io/instance=bad -o name");
        assert_eq!(made, "", "{file}: nothing is half-applied");
        kubectl.shows("delete tc bad", &["deleted"]);
    }
}
