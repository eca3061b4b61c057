//! Where a node is: the labels by which PD places data, and their other names.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::live::Live;

/// Short names that PD's users write, and the node labels that say the same.
const ALIASES: [(&str, &[&str]); 3] = [
    ("region", &["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]),
    ("zone", &["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]),
    ("host", &["kubernetes.io/hostname"]),
];

/// Keys by which PD places data, from its configuration.
pub fn location_labels(config: &Value) -> Vec<String> {
    let given = &config["replication"]["location-labels"];
    let list = given.as_array().into_iter().flatten().filter_map(Value::as_str);
    let text = given.as_str().unwrap_or_default().split(',');
    list.chain(text).map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// What a node says for these keys; keys that it says nothing for are left out.
pub fn labels(node: &Live, keys: &[String]) -> BTreeMap<String, String> {
    keys.iter().filter_map(|key| Some((key.clone(), label(node, key)?.to_owned()))).collect()
}

fn label<'a>(node: &'a Live, key: &str) -> Option<&'a str> {
    let aliases = ALIASES.iter().find(|(short, _)| *short == key).map_or(&[] as &[&str], |(_, long)| long);
    node.label(key).or_else(|| aliases.iter().find_map(|alias| node.label(alias)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn short_names_find_the_labels_of_kubernetes() {
        let config = json!({"replication": {"location-labels": "zone, host,rack"}});
        let node = Live::from_value(json!({"metadata": {"labels": {
            "topology.kubernetes.io/zone": "a", "failure-domain.beta.kubernetes.io/zone": "b", "host": "own",
        }}}));
        let found = labels(&node, &location_labels(&config));
        assert_eq!(found, BTreeMap::from([("zone".into(), "a".into()), ("host".into(), "own".into())]));
    }
}
