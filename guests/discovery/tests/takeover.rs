//! The discovery service of a cluster that the existing operator left running.

use serde_json::{Value, json};
use tidepool_sdk::native::{
    deciding,
    model::{pretend::World, render},
};

#[test]
fn it_is_not_touched() {
    for state in ["basic", "full", "scaled"] {
        let path = format!("{}/../../tests/goldens/takeover/{state}/objects.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("it can be read");
        let objects: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        let cluster = objects.iter().find(|object| object["kind"] == "TidbCluster").expect("there is one");
        let mut world = World::new(cluster.clone());
        objects.iter().filter(|object| object["kind"] != "TidbCluster").for_each(|object| world.put(object.clone()));
        let policies = [deciding::<policy_discovery::Discovery>(&json!({}))];
        let round = render::round(&mut world, &policies).unwrap_or_else(|error| panic!("{state}: {error}"));
        assert_eq!(round.plans[0].1.actions, [], "{state}");
    }
}
