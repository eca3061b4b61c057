//! S16, S18, S19, S27, grants: what a plan may touch at all.

use super::*;

fn patch(target: ObjectRef, patch: Value, expect: Precondition) -> Plan {
    plan([Action::MergePatch { target, patch, expect }])
}

fn seen(version: &str) -> Precondition {
    Precondition { uid: None, resource_version: Some(version.into()) }
}

/// A ConfigMap of the cluster, `x`.
fn map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "uid": "x", "labels": labels("pd"),
        "ownerReferences": [{"kind": "TidbCluster", "uid": "u", "controller": true}]}})
}

fn label(world: &World, kind: &str, name: &str) -> Plan {
    let object = world.get(kind, name);
    let target = ObjectRef::of(&object);
    patch(target, json!({"metadata": {"labels": {"a": "b"}}}), uid(object["metadata"]["uid"].as_str().unwrap()))
}

#[test]
fn s18_what_is_written_stays_in_the_namespace_and_has_a_name() {
    let mut world = World::new(3, 3);
    let elsewhere = replace(world.get("StatefulSet", "c-tikv"), |set| {
        set["metadata"]["namespace"] = "kube-system".into();
        set["spec"]["replicas"] = 4.into();
    });
    assert_eq!(world.broken(&plan([elsewhere])), ["S18"]);
    let create = |change: fn(&mut Value)| {
        let mut object = map();
        change(&mut object);
        plan([Action::Create { object }])
    };
    assert_eq!(world.broken(&create(|_| ())), [""; 0]);
    assert_eq!(world.broken(&create(|object| object["metadata"]["name"] = "".into())), ["shape"]);
    let helm = |object: &mut Value| object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "helm".into();
    assert_eq!(world.broken(&create(helm)), ["S18"]);
    let mut of_helm = map();
    helm(&mut of_helm);
    world.objects.push(of_helm);
    assert_eq!(world.broken(&label(&world, "ConfigMap", "x")), ["S18"]);
}

#[test]
fn s18_a_patch_leaves_an_object_what_it_is() {
    let mut world = World::new(3, 3);
    world.objects.push(map());
    assert_eq!(world.broken(&label(&world, "ConfigMap", "x")), [""; 0]);
    for field in ["name", "namespace", "uid", "ownerReferences", "finalizers"] {
        let change = json!({"metadata": {field: "other", "labels": {"a": "b"}}});
        assert_eq!(world.broken(&patch(reference("ConfigMap", "x"), change, uid("x"))), ["S18"], "{field}");
    }
}

#[test]
fn s18_what_is_not_there_or_not_known_is_not_touched() {
    let mut world = World::new(3, 3);
    let absent = || patch(reference("ConfigMap", "x"), json!({"data": {"a": "b"}}), uid("x"));
    assert_eq!(world.broken(&absent()), ["S18"]);
    world.unknown.push("ConfigMap");
    assert_eq!(world.broken(&absent()), ["S33"]);
    let of_pod = label(&world, "Pod", "c-pd-1");
    world.unknown = vec!["StatefulSet"];
    assert_eq!(world.broken(&of_pod), ["S33"], "whose it is hangs on its owner");
}

#[test]
fn s18_owners_are_followed_to_the_cluster_and_no_further() {
    let mut world = World::new(3, 3);
    let link = |kind: &str, name: &str, owner: (&str, &str)| {
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "uid": name, "labels": labels("discovery"),
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "n"},
                {"apiVersion": "apps/v1", "kind": owner.0, "name": owner.1, "uid": owner.1, "controller": true}]}})
    };
    let mut discovery = link("Pod", "p", ("ReplicaSet", "r"));
    discovery["apiVersion"] = "v1".into();
    world.objects.extend([
        discovery,
        link("ReplicaSet", "r", ("Deployment", "d")),
        link("Deployment", "d", ("TidbCluster", "u")),
    ]);
    assert_eq!(world.broken(&label(&world, "Pod", "p")), [""; 0]);
    let relink = |world: &mut World, kind: &str, name: &str, owner: (&str, &str)| {
        world.lose(kind, name);
        world.objects.push(link(kind, name, owner));
    };
    relink(&mut world, "Deployment", "d", ("Other", "o"));
    world.objects.push(link("Other", "o", ("TidbCluster", "u")));
    assert_eq!(world.broken(&label(&world, "Pod", "p")), ["S18"], "no chain is that long");
    relink(&mut world, "Deployment", "d", ("TidbCluster", "another"));
    assert_eq!(world.broken(&label(&world, "Pod", "p")), ["S18"], "another cluster's");
    relink(&mut world, "Deployment", "d", ("TidbCluster", "u"));
    world.change("ReplicaSet", "r", |set| set["metadata"]["uid"] = "of-another-life".into());
    assert_eq!(world.broken(&label(&world, "Pod", "p")), ["S18"], "a namesake of its owner");
    world.lose("ReplicaSet", "r");
    assert_eq!(world.broken(&label(&world, "Pod", "p")), ["S18"], "its owner is gone");
    world.change("Pod", "p", |pod| pod["metadata"]["ownerReferences"] = json!([]));
    assert_eq!(world.broken(&label(&world, "Pod", "p")), ["S18"], "nobody's");
    let kind_only = json!([{"kind": "Node", "name": "u", "uid": "u"}]);
    world.change("Pod", "p", |pod| pod["metadata"]["ownerReferences"] = kind_only);
    assert_eq!(world.broken(&label(&world, "Pod", "p")), ["S18"], "no TidbCluster, whatever its uid");
}

#[test]
fn s18_a_volume_is_the_clusters_through_its_claim() {
    let mut world = World::new(3, 3);
    let volume = |namespace: &str, name: &str, uid: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v", "uid": "v"},
            "spec": {"claimRef": {"namespace": namespace, "name": name, "uid": uid}}})
    };
    for (volume, broken) in [
        (volume("n", "tikv-c-tikv-0", "claim-0"), &[] as &[&str]),
        (volume("m", "tikv-c-tikv-0", "claim-0"), &["S18"]),
        (volume("n", "tikv-c-tikv-0", "claim-1"), &["S18"]),
        (volume("n", "tikv-c-tikv-9", "claim-0"), &["S18"]),
    ] {
        world.lose("PersistentVolume", "v");
        world.objects.push(volume);
        assert_eq!(world.broken(&label(&world, "PersistentVolume", "v")), broken);
    }
    world.change("PersistentVolumeClaim", "tikv-c-tikv-1", |claim| claim["metadata"]["labels"] = json!({}));
    let of_nobody = label(&world, "PersistentVolumeClaim", "tikv-c-tikv-1");
    assert_eq!(world.broken(&of_nobody), ["S18"], "a claim is the cluster's through its labels");
    assert_eq!(world.broken(&label(&world, "PersistentVolumeClaim", "tikv-c-tikv-2")), [""; 0]);
}

#[test]
fn s19_a_version_is_a_precondition_but_for_what_is_deleted() {
    let mut world = World::new(3, 3);
    world.objects.push(map());
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let with = |expect: Precondition| patch(reference("ConfigMap", "x"), labels.clone(), expect);
    assert_eq!(world.broken(&with(seen("1"))), [""; 0]);
    assert_eq!(world.broken(&with(Precondition::default())), ["S19"]);
    assert_eq!(world.broken(&with(uid("of-another-life"))), ["S19"]);
    let delete = |expect: Precondition| plan([Action::Delete { target: reference("ConfigMap", "x"), expect }]);
    assert_eq!(world.broken(&delete(uid("x"))), [""; 0]);
    assert_eq!(world.broken(&delete(seen("1"))), ["S19"]);
}

#[test]
fn s16_what_the_server_keeps_of_an_object_is_no_difference() {
    let mut world = World::new(3, 3);
    let mut kept = map();
    for field in ["managedFields", "resourceVersion", "creationTimestamp", "selfLink"] {
        kept["metadata"][field] = json!("kept");
    }
    kept["metadata"]["generation"] = 8.into();
    (kept["data"], kept["status"]) = (json!({"a": "b"}), json!({"x": "y"}));
    world.objects.push(kept);
    let write = |change: fn(&mut Value)| {
        let mut object = map();
        object["data"] = json!({"a": "b"});
        object["metadata"]["uid"] = Value::Null;
        change(&mut object);
        plan([Action::Replace { object, expect: uid("x") }])
    };
    assert_eq!(world.broken(&write(|_| ())), ["S16"]);
    assert_eq!(world.broken(&write(|object| object["metadata"]["generation"] = 9.into())), ["S16"]);
    assert_eq!(world.broken(&write(|object| object["status"] = json!({"x": "z"}))), ["S16"]);
    assert_eq!(world.broken(&write(|object| object["data"]["a"] = "c".into())), [""; 0]);
    assert_eq!(world.broken(&write(|object| object["metadata"]["annotations"] = json!({"a": "b"}))), [""; 0]);
}

#[test]
fn s15_an_object_that_one_plan_alone_writes_is_compared_with_none() {
    let create = |name: &str, image: &str| Action::Create {
        object: json!({"kind": "StatefulSet", "metadata": {"name": name}, "spec": {"template": {"image": image}}}),
    };
    let both = plan([create("a", "x"), create("b", "x")]);
    assert_eq!(stable_templates(&both, &plan([create("a", "x")])), Ok(()));
    let second = plan([replace(
        json!({"kind": "StatefulSet", "metadata": {"name": "b", "uid": "u"},
        "spec": {"template": {"image": "y"}}}),
        |_| (),
    )]);
    assert_eq!(stable_templates(&both, &second).unwrap_err().len(), 1, "b differs");
}
