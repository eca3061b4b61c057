//! Clusters that the existing operator left running: taking them over changes no pod, no selector, no owner and no
//! claim, and after the first passes nothing is written any more.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tidepool_tests::{
    history::state::{State, key},
    world::{OPERATOR, Setup, World, in_virtual_time},
};

/// The simulated programs are all up again after this time, and the passes that follow are over.
const FIRST: Duration = Duration::from_secs(120);

/// At rest for so long.
const REST: Duration = Duration::from_secs(600);

#[test]
fn taking_over_touches_nothing_and_then_rests() {
    for name in ["basic", "scaled"] {
        let text =
            std::fs::read_to_string(format!("{}/goldens/takeover/{name}/objects.json", env!("CARGO_MANIFEST_DIR")));
        let objects: Vec<Value> = serde_json::from_str(&text.expect("the golden")).expect("JSON");
        let cluster = objects.iter().find(|object| object["kind"] == "TidbCluster").expect("a TidbCluster");
        let namespace = cluster["metadata"]["namespace"].as_str().expect("a namespace").to_owned();
        in_virtual_time(async {
            let world = World::start_with(Setup { objects, namespace, ..Setup::new(1) }).await.expect("a world");
            let before = fixed(&world.history.now());
            world.pass(FIRST).await;
            assert_eq!(fixed(&world.history.now()), before, "{name}: something changed");
            let first = world.audit(0).len();
            world.pass(REST).await;
            let entries = world.audit(first);
            let written = entries.iter().filter(|entry| entry.user_agent == OPERATOR);
            let written: Vec<String> = written.map(|e| format!("{} {} {}", e.verb, e.resource, e.name)).collect();
            assert_eq!(written, [""; 0], "{name}: written at rest");
            world.stop().await;
        });
    }
}

/// What must stay: templates, selectors, owners, claims, and that each pod is the one it was.
fn fixed(state: &State) -> BTreeMap<String, Value> {
    let mut fixed = BTreeMap::new();
    for resource in ["statefulsets", "deployments", "services"] {
        for object in state.all(resource) {
            let spec = &object["spec"];
            let parts =
                json!([spec["template"], spec["selector"], spec["replicas"], object["metadata"]["ownerReferences"]]);
            fixed.insert(format!("{resource} {}", key(object)), parts);
        }
    }
    for pod in state.all("pods") {
        fixed.insert(format!("pods {}", key(pod)), pod["metadata"]["uid"].clone());
    }
    for claim in state.all("persistentvolumeclaims") {
        let metadata = &claim["metadata"];
        let parts = json!([metadata["uid"], metadata["annotations"], metadata["ownerReferences"], claim["spec"]]);
        fixed.insert(format!("persistentvolumeclaims {}", key(claim)), parts);
    }
    fixed
}
