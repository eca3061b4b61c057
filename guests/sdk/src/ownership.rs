//! Objects that have a cluster's labels and do not belong to it: they are left alone (safety rule S18). Whose they are to
//! be is for a person to say, and the wait says how.

use serde_json::{Value, json};
use tidepool_api::{
    TidbCluster,
    cluster::{API_VERSION, KIND},
};
use tidepool_model::waiting::WaitingOn;

use crate::{
    live::Live,
    wait::{self, Reason},
};

/// What to wait for before `live` may be written; none if it belongs to the cluster.
pub fn foreign(cluster: &TidbCluster, live: &Live) -> Option<WaitingOn> {
    let uid = cluster.metadata.uid.as_deref()?;
    let owners: Vec<Value> = live.at("/metadata/ownerReferences").unwrap_or_default();
    if owners.iter().any(|owner| owner["kind"] == KIND && owner["uid"] == uid) {
        return None;
    }
    let (kind, name) = (live.text("/kind").to_lowercase(), live.name());
    let left = format!("{kind} {name} has the labels of this cluster and is left alone, because");
    let message = match owners.iter().find(|owner| owner["controller"] == true) {
        None => format!("{left} it has no owner. {}", adopt(cluster, uid, &kind, name)),
        Some(owner) if owner["kind"] == KIND && owner["name"] == cluster.name() => {
            format!("{left} its owner is an earlier {KIND} of this name. {}", adopt(cluster, uid, &kind, name))
        }
        Some(owner) => {
            let text = |key: &str| owner[key].as_str().unwrap_or_default();
            format!(
                "{left} it belongs to {} {}. Delete it, or give the cluster another name",
                text("kind"),
                text("name")
            )
        }
    };
    Some(wait::on(Reason::NotOwned, format!("{kind}/{name}"), message))
}

fn adopt(cluster: &TidbCluster, uid: &str, kind: &str, name: &str) -> String {
    let owner = json!({
        "apiVersion": API_VERSION, "kind": KIND, "name": cluster.name(), "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    });
    let patch = json!({"metadata": {"ownerReferences": [owner]}});
    format!(
        "To make it this cluster's: kubectl patch {kind} {name} -n {} --type merge -p '{patch}'",
        cluster.namespace()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(owners: &Value) -> Option<String> {
        let cluster = json!({
            "apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "c", "namespace": "n", "uid": "new"}, "spec": {},
        });
        let cluster: TidbCluster = serde_json::from_value(cluster).expect("a cluster");
        let set = json!({"kind": "StatefulSet", "metadata": {"name": "c-pd", "ownerReferences": owners}});
        foreign(&cluster, &Live::from_value(set)).map(|on| on.message)
    }

    #[test]
    fn only_what_has_no_other_owner_is_offered() {
        let owner =
            |kind: &str, name: &str, uid: &str| json!([{"kind": kind, "name": name, "uid": uid, "controller": true}]);
        assert_eq!(found(&owner(KIND, "c", "new")), None);
        for owners in [Value::Null, json!([]), owner(KIND, "c", "old")] {
            let message = found(&owners).expect("not its own");
            assert!(message.contains("kubectl patch statefulset c-pd -n n --type merge -p '{"), "{message}");
            assert!(message.contains(r#""uid":"new""#), "{message}");
        }
        let message = found(&owner("Helm", "x", "y")).expect("not its own");
        assert!(message.contains("it belongs to Helm x") && !message.contains("kubectl"), "{message}");
    }
}
