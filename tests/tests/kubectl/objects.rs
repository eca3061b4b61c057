//! What kubectl does with objects of any kind: written, compared, changed, removed.

use crate::{Kubectl, SOON};

fn map(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: mine}}\ndata: {{a: '{value}'}}\n")
}

/// The server about itself.
pub fn server(kubectl: &Kubectl) {
    kubectl.shows("get --raw /readyz", &["ok"]);
    kubectl.shows("version", &["Server Version"]);
    kubectl.shows("api-resources", &["tidbclusters", "tc", "pingcap.com/v1alpha1", "statefulsets"]);
    kubectl.shows("explain tc.spec.pd", &["FIELDS", "replicas", "<integer>", "-required-"]);
    kubectl.shows("explain pod.spec.containers", &["FIELDS", "image", "<string>"]);
    kubectl.shows("auth can-i create pods", &["yes"]);
    kubectl.refuses("get nothing", &["the server doesn't have a resource type \"nothing\""]);
    kubectl.refuses("get pod nothing", &["Error from server (NotFound): pods \"nothing\" not found"]);
}

/// `apply` from the client's side and the server's, with one taking over from the other.
pub fn applied(kubectl: &Kubectl) {
    kubectl.takes("apply -f -", &map("1"), "configmap/mine created");
    kubectl.takes("apply -f -", &map("1"), "configmap/mine unchanged");
    let diff = kubectl.with_input("diff -f -", &map("2"));
    assert_eq!(diff.code, Some(1), "a difference: {}", diff.err);
    assert!(diff.out.contains("-  a: \"1\"") && diff.out.contains("+  a: \"2\""), "{}", diff.out);
    kubectl.takes("apply -f -", &map("2"), "configmap/mine configured");
    kubectl.takes("apply --server-side -f -", &map("2"), "configmap/mine serverside-applied");
    kubectl.takes("apply --server-side -f -", &map("3"), "configmap/mine serverside-applied");
    let conflict = ["conflict with \"kubectl\": .data.a", "--force-conflicts"];
    kubectl.refuses_input("apply --server-side --field-manager other -f -", &map("4"), &conflict);
    kubectl.takes(
        "apply --server-side --field-manager other --force-conflicts -f -",
        &map("4"),
        "configmap/mine serverside-applied",
    );
    kubectl.shows("get cm mine -o 'jsonpath={.data.a}'", &["4"]);
    kubectl.takes("replace -f -", &map("5"), "configmap/mine replaced");
    kubectl.takes("diff -f -", &map("5"), "");
}

/// Small changes of one object.
pub fn changed(kubectl: &Kubectl) {
    kubectl.shows("create cm other --from-literal=a=1", &["configmap/other created"]);
    kubectl.refuses("create cm other --from-literal=a=1", &["configmaps \"other\" already exists"]);
    kubectl.shows("label cm other colour=blue", &["labeled"]);
    kubectl.refuses("label cm other colour=red", &["--overwrite is false"]);
    kubectl.shows("annotate cm other note=hello", &["annotated"]);
    kubectl.shows("patch cm other --type merge -p '{\"data\":{\"b\":\"1\"}}'", &["patched"]);
    kubectl.shows("patch cm other --type merge -p '{\"data\":{\"b\":\"1\"}}'", &["patched (no change)"]);
    kubectl.shows("patch cm other --type json -p '[{\"op\":\"remove\",\"path\":\"/data/b\"}]'", &["patched"]);
    kubectl.shows("patch cm other --type strategic -p '{\"data\":{\"c\":\"1\"}}'", &["patched"]);
    kubectl.shows("get cm other -o json", &["\"c\": \"1\"", "\"colour\": \"blue\"", "\"note\": \"hello\""]);
    let change =
        || kubectl.shows("patch cm other --type merge -p '{\"data\":{\"d\":\"1\",\"e\":\"1\"}}'", &["patched"]);
    // NAME, DATA, AGE: it has four entries after the change.
    kubectl.follows("get cm other -w --no-headers", SOON, change, "other   4");
    kubectl.shows("delete cm mine other --wait", &["\"mine\" deleted", "\"other\" deleted"]);
    kubectl.refuses("get cm mine", &["NotFound"]);
}

const WEB: &str = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web}\nspec:\n  serviceName: web\n  replicas: 1\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
    spec: {containers: [{name: c, image: nginx}]}\n";

/// A StatefulSet that no operator looks after.
pub fn workload(kubectl: &Kubectl) {
    kubectl.takes("apply -f -", WEB, "statefulset.apps/web created");
    kubectl.shows("rollout status sts/web --timeout 60s", &["complete"]);
    kubectl.shows("scale sts web --replicas 2", &["scaled"]);
    kubectl.shows("wait pod/web-1 --for=create --timeout 60s", &["condition met"]);
    kubectl.shows("wait pod/web-1 --for=condition=Ready --timeout 60s", &["condition met"]);
    kubectl.shows("get sts web", &["2/2"]);
    kubectl.shows("patch sts web --subresource scale --type merge -p '{\"spec\":{\"replicas\":1}}'", &["patched"]);
    kubectl.ok("wait pod/web-1 --for=delete --timeout 60s");
    kubectl.shows("delete sts web --cascade=orphan", &["deleted"]);
    kubectl.shows("get pod web-0 -o 'jsonpath={.metadata.ownerReferences}{.status.phase}'", &["Running"]);
    kubectl.takes("apply -f -", WEB, "statefulset.apps/web created");
    kubectl.until("get pod web-0 -o 'jsonpath={.metadata.ownerReferences[0].name}'", SOON, |owner| owner == "web");
    kubectl.shows("delete sts web --cascade=foreground --timeout 60s", &["deleted"]);
    assert_eq!(kubectl.ok("get pod -l app=web -o name"), "", "foreground: the pods went first");
    kubectl.takes("apply -f -", WEB, "statefulset.apps/web created");
    kubectl.shows("wait pod/web-0 --for=create --timeout 60s", &["condition met"]);
    kubectl.shows("delete sts web --cascade=background --wait=false", &["deleted"]);
    kubectl.ok("wait pod/web-0 --for=delete --timeout 60s");
}
