//! From the object that is wanted and the one that exists to the action: create, replace, or nothing. Only what differs
//! is written, and what others put on an object stays on it.

use k8s_openapi::{
    Resource,
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::Service,
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tidepool_api::labels::{
    LAST_APPLIED_CONFIG, LAST_APPLIED_POD_TEMPLATE, OWNER_GENERATION, STATEFUL_SET_DELETE_SLOTS,
};

use crate::{
    Failure, Plan,
    live::{Live, LiveSet},
    same::same,
};

/// Fields of a Service's spec that the API server fills in and that stay as they are.
const ALLOCATED: [&str; 2] = ["clusterIP", "clusterIPs"];

/// The fields that say what an object is.
const TYPE: [&str; 2] = ["apiVersion", "kind"];

/// Creates the object, or replaces these top-level `fields` of it and adds its labels and annotations.
///
/// # Errors
/// When the object does not serialise.
pub fn object<T: Resource + Serialize>(
    plan: &mut Plan,
    live: Option<&Live>,
    desired: &T,
    fields: &[&str],
) -> Result<(), Failure> {
    let desired = serde_json::to_value(desired)?;
    let Some(live) = live else { return plan.create(&desired) };
    let mut changed = live.value().clone();
    let mut differs = add_metadata(&mut changed, &desired);
    for field in fields {
        // An object of one field keeps the maps that are the user's own, such as `data`.
        if !same(&json!({ *field: desired[*field] }), &json!({ *field: live.value()[*field] })) {
            changed[*field] = desired[*field].clone();
            differs = true;
        }
    }
    if differs { plan.replace(&changed, live.unchanged()) } else { Ok(()) }
}

/// Creates or updates a Service. What the API server allocated stays: the address, the node ports.
///
/// # Errors
/// When the Service does not serialise.
pub fn service(plan: &mut Plan, live: Option<&Live>, desired: &Service) -> Result<(), Failure> {
    let mut desired = serde_json::to_value(desired)?;
    let last = live.and_then(Live::last_applied);
    if let Some(last) = last.as_ref().filter(|last| has_node_ports(last) && has_node_ports(&desired["spec"])) {
        // Another operator takes over what was allocated as if it had been asked for. It is no reason to write.
        keep_ports(&last["ports"], &mut desired["spec"]["ports"]);
        let alike = ["type", "externalTrafficPolicy"].iter().all(|field| last[field] == desired["spec"][field]);
        if let (true, Some(number)) = (alike, last.get("healthCheckNodePort")) {
            desired["spec"]["healthCheckNodePort"] = number.clone();
        }
    }
    let applied = desired["spec"].clone();
    annotate(&mut desired, LAST_APPLIED_CONFIG, applied.to_string());
    let Some(live) = live else { return plan.create(&desired) };
    if last.as_ref().is_some_and(|last| same(last, &applied)) {
        // The annotation says the same in other words; it stays as it is.
        set_text(&mut desired["metadata"]["annotations"], LAST_APPLIED_CONFIG, live.annotation(LAST_APPLIED_CONFIG));
        let mut changed = live.value().clone();
        return if add_metadata(&mut changed, &desired) { plan.replace(&changed, live.unchanged()) } else { Ok(()) };
    }
    let mut changed = live.value().clone();
    add_metadata(&mut changed, &desired);
    changed["spec"] = service_spec(&live.value()["spec"], last.as_ref(), applied);
    plan.replace(&changed, live.unchanged())
}

/// The existing spec with what is wanted; fields that were applied before and are no longer wanted go.
fn service_spec(live: &Value, last: Option<&Value>, desired: Value) -> Value {
    let mut spec = live.as_object().cloned().unwrap_or_default();
    for field in last.and_then(Value::as_object).into_iter().flat_map(Map::keys) {
        if !ALLOCATED.contains(&field.as_str()) {
            spec.remove(field);
        }
    }
    let keep_node_ports = has_node_ports(live) && has_node_ports(&desired);
    for (field, mut value) in desired.as_object().cloned().unwrap_or_default() {
        if field == "ports" && keep_node_ports {
            keep_ports(&live["ports"], &mut value);
        }
        spec.insert(field, value);
    }
    if !has_node_ports(&desired) {
        for field in ["externalTrafficPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts"] {
            if desired.get(field).is_none() {
                spec.remove(field);
            }
        }
    }
    Value::Object(spec)
}

/// Whether a Service with this spec is reached through ports of the nodes.
fn has_node_ports(spec: &Value) -> bool {
    matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer"))
}

/// Node ports that clients know stay as long as the port has the same name.
fn keep_ports(live: &Value, desired: &mut Value) {
    for port in desired.as_array_mut().into_iter().flatten() {
        let before = live.as_array().into_iter().flatten().find(|old| old["name"] == port["name"]);
        if let (Some(number), true) = (before.and_then(|old| old.get("nodePort")), port.get("nodePort").is_none()) {
            port["nodePort"] = number.clone();
        }
    }
}

/// Creates a StatefulSet.
///
/// # Errors
/// When it does not serialise.
pub fn create_stateful_set(plan: &mut Plan, desired: &StatefulSet) -> Result<(), Failure> {
    let mut desired = serde_json::to_value(desired)?;
    // A template has no type of its own; the field's type says what it is.
    for claim in desired["spec"]["volumeClaimTemplates"].as_array_mut().into_iter().flatten() {
        claim.as_object_mut().into_iter().for_each(|claim| claim.retain(|field, _| !TYPE.contains(&field.as_str())));
    }
    let applied = desired["spec"].to_string();
    annotate(&mut desired, LAST_APPLIED_CONFIG, applied);
    plan.create(&desired)
}

/// Updates a StatefulSet if it differs in replicas, update strategy, pod template, labels, or the annotations that it is
/// to have. Claim templates, service name, selector and pod management policy never change. True if it is written.
///
/// # Errors
/// When it does not serialise.
pub fn stateful_set(plan: &mut Plan, live: &LiveSet, desired: &StatefulSet, generation: i64) -> Result<bool, Failure> {
    update(plan, live, &serde_json::to_value(desired)?, generation)
}

/// Updates a StatefulSet in its number of pods alone; the rest stays as it was last applied. True if it is written.
///
/// # Errors
/// When it does not serialise.
pub fn replicas(plan: &mut Plan, live: &LiveSet, replicas: i32, generation: i64) -> Result<bool, Failure> {
    let applied = live.0.last_applied().filter(Value::is_object);
    let mut spec = applied.unwrap_or_else(|| live.0.value()["spec"].clone());
    spec["replicas"] = replicas.into();
    let mut desired = json!({ "spec": spec });
    if let Some(slots) = live.0.annotation(STATEFUL_SET_DELETE_SLOTS) {
        annotate(&mut desired, STATEFUL_SET_DELETE_SLOTS, slots);
    }
    update(plan, live, &desired, generation)
}

fn update(plan: &mut Plan, live: &LiveSet, desired: &Value, generation: i64) -> Result<bool, Failure> {
    let mut changed = live.0.value().clone();
    let mut differs = add_metadata(&mut changed, desired);
    if desired["metadata"]["annotations"].get(STATEFUL_SET_DELETE_SLOTS).is_none()
        && let Some(annotations) = changed["metadata"]["annotations"].as_object_mut()
    {
        differs |= annotations.remove(STATEFUL_SET_DELETE_SLOTS).is_some();
    }
    let last = live.0.last_applied().unwrap_or_default();
    let mut applied = live.0.value()["spec"].clone();
    for field in ["replicas", "updateStrategy", "template"] {
        let (wanted, there) = (&desired["spec"][field], &live.0.value()["spec"][field]);
        // The template there is filled with defaults, so what was last applied is compared, and what no default touches. Of
        // the other fields only what is there counts, whoever wrote it.
        let field_differs = match field {
            "template" => !same(wanted, &last[field]) || edited(there, &last[field]),
            _ => !same(wanted, there),
        };
        if field_differs {
            changed["spec"][field] = wanted.clone();
        }
        applied[field] = wanted.clone();
        differs |= field_differs;
    }
    if differs {
        annotate(&mut changed, OWNER_GENERATION, generation.to_string());
        annotate(&mut changed, LAST_APPLIED_CONFIG, applied.to_string());
        plan.replace(&changed, live.0.unchanged())?;
    }
    Ok(differs)
}

/// Whether the pod spec that is wanted differs from the one that was last applied, or somebody changed that by hand: whether
/// a new template would restart pods for what is in them. Labels and annotations of the template do not count.
pub fn pod_spec_differs(live: &LiveSet, desired: &StatefulSet) -> bool {
    let wanted = desired.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    match live.0.last_applied() {
        Some(last) => {
            !same(&wanted, &last["template"]["spec"]) || edited(&live.0.value()["spec"]["template"], &last["template"])
        }
        None => true,
    }
}

/// Whether somebody changed a template by hand after it was applied, as far as that can be told beside the defaults that
/// the API server fills in: which volumes it has, and which containers with which images.
fn edited(there: &Value, applied: &Value) -> bool {
    let told = |template: &Value| {
        let list = |field: &str| template["spec"][field].as_array().cloned().unwrap_or_default();
        let volumes: Vec<Value> = list("volumes").iter().map(|volume| volume["name"].clone()).collect();
        let containers = list("initContainers").into_iter().chain(list("containers"));
        (volumes, containers.map(|one| (one["name"].clone(), one["image"].clone())).collect::<Vec<_>>())
    };
    told(there) != told(applied)
}

/// A volume that a container of the new template mounts although neither the template nor the existing claim templates
/// have it: Kubernetes would create no pod from it.
pub fn unknown_mount(live: &LiveSet, desired: &StatefulSet) -> Option<String> {
    let spec = desired.spec.as_ref()?.template.spec.as_ref()?;
    let claims = live.0.value().pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let known = |name: &str| {
        spec.volumes.iter().flatten().any(|volume| volume.name == name)
            || claims.into_iter().flatten().any(|claim| claim["metadata"]["name"] == name)
    };
    let mounts = spec.containers.iter().flat_map(|container| container.volume_mounts.iter().flatten());
    mounts.map(|mount| &mount.name).find(|name| !known(name)).cloned()
}

/// Creates or updates a Deployment if its pod template differs.
///
/// # Errors
/// When it does not serialise.
pub fn deployment(plan: &mut Plan, live: Option<&Live>, desired: &Deployment) -> Result<(), Failure> {
    let mut desired = serde_json::to_value(desired)?;
    let pod_spec = desired["spec"]["template"]["spec"].clone();
    let text = pod_spec.to_string();
    annotate(&mut desired, LAST_APPLIED_POD_TEMPLATE, text.clone());
    annotate(&mut desired, LAST_APPLIED_CONFIG, text);
    let Some(live) = live else { return plan.create(&desired) };
    let last = |key| live.annotation(key).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let pods_same = last(LAST_APPLIED_POD_TEMPLATE).is_some_and(|last| same(&last, &pod_spec));
    if pods_same {
        for key in [LAST_APPLIED_POD_TEMPLATE, LAST_APPLIED_CONFIG] {
            set_text(&mut desired["metadata"]["annotations"], key, live.annotation(key));
        }
    }
    let mut changed = live.value().clone();
    let mut differs = add_metadata(&mut changed, &desired);
    let template = &desired["spec"]["template"];
    if !pods_same || !same(&template["metadata"], &live.value()["spec"]["template"]["metadata"]) {
        changed["spec"]["template"] = template.clone();
        differs = true;
    }
    for field in ["replicas", "strategy"] {
        if !same(&desired["spec"][field], &live.value()["spec"][field]) {
            changed["spec"][field] = desired["spec"][field].clone();
            differs = true;
        }
    }
    if differs { plan.replace(&changed, live.unchanged()) } else { Ok(()) }
}

/// Puts an annotation on an object.
pub fn annotate(object: &mut Value, key: &str, text: impl Into<String>) {
    let annotations = &mut object["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = Value::Object(Map::new());
    }
    annotations[key] = Value::String(text.into());
}

/// Adds labels and annotations that are wanted to those that are there; true if that changes anything.
fn add_metadata(changed: &mut Value, desired: &Value) -> bool {
    let mut differs = false;
    for map in ["labels", "annotations"] {
        for (key, value) in desired["metadata"][map].as_object().into_iter().flatten() {
            if changed["metadata"][map].get(key) != Some(value) {
                if !changed["metadata"][map].is_object() {
                    changed["metadata"][map] = Value::Object(Map::new());
                }
                changed["metadata"][map][key] = value.clone();
                differs = true;
            }
        }
    }
    differs
}

fn set_text(map: &mut Value, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        map[key] = Value::String(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::{apps::v1::StatefulSetSpec, core::v1::ServiceSpec},
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    };
    use tidepool_model::Action;

    use super::*;
    use crate::build::{service::port, set::rolling};

    fn plan() -> Plan {
        Plan::from_sink(tidepool_model::Plan::default())
    }

    fn only_action(plan: Plan) -> Action {
        let mut actions = plan.into_sink().actions;
        assert_eq!(actions.len(), 1, "{actions:?}");
        actions.remove(0)
    }

    fn created(plan: Plan) -> Value {
        match only_action(plan) {
            Action::Create { object } => object,
            other => panic!("not a create: {other:?}"),
        }
    }

    fn node_port_service(name: &str) -> Service {
        Service {
            metadata: ObjectMeta { name: Some("basic-pd".into()), ..ObjectMeta::default() },
            spec: Some(ServiceSpec {
                type_: Some("NodePort".into()),
                ports: Some(vec![port(name, 2379)]),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    #[test]
    fn a_service_that_is_as_wanted_is_left_alone() {
        let mut first = plan();
        service(&mut first, None, &node_port_service("client")).expect("plan");
        let mut object = created(first);
        object["spec"]["clusterIP"] = "10.0.0.9".into();
        object["metadata"]["annotations"]["mine"] = "yes".into();
        let mut second = plan();
        service(&mut second, Some(&Live::from_value(object)), &node_port_service("client")).expect("plan");
        assert_eq!(second.into_sink().actions, []);
    }

    #[test]
    fn a_changed_service_keeps_address_and_node_ports() {
        let mut first = plan();
        service(&mut first, None, &node_port_service("client")).expect("plan");
        let mut object = created(first);
        object["spec"]["clusterIP"] = "10.0.0.9".into();
        object["spec"]["ports"][0]["nodePort"] = 31000.into();
        let mut wanted = node_port_service("client");
        wanted.spec.get_or_insert_default().load_balancer_ip = Some("192.0.2.1".into());
        let mut second = plan();
        service(&mut second, Some(&Live::from_value(object)), &wanted).expect("plan");
        let Action::Replace { object, .. } = only_action(second) else { panic!("no replace") };
        assert_eq!(object["spec"]["clusterIP"], "10.0.0.9");
        assert_eq!(object["spec"]["ports"][0]["nodePort"], 31000);
        assert_eq!(object["spec"]["loadBalancerIP"], "192.0.2.1");
    }

    fn set(replicas: i32, partition: i32) -> StatefulSet {
        StatefulSet {
            metadata: ObjectMeta { name: Some("basic-pd".into()), ..ObjectMeta::default() },
            spec: Some(StatefulSetSpec {
                replicas: Some(replicas),
                update_strategy: Some(rolling(partition)),
                ..StatefulSetSpec::default()
            }),
            status: None,
        }
    }

    fn applied(set: &StatefulSet) -> LiveSet {
        let mut plan = plan();
        create_stateful_set(&mut plan, set).expect("plan");
        LiveSet(Live::from_value(created(plan)))
    }

    #[test]
    fn a_set_that_is_as_wanted_is_not_written() {
        let mut plan = plan();
        assert!(!stateful_set(&mut plan, &applied(&set(3, 3)), &set(3, 3), 7).expect("plan"));
        assert_eq!(plan.into_sink().actions, []);
    }

    #[test]
    fn a_lower_partition_is_written_with_what_was_applied() {
        let mut plan = plan();
        assert!(stateful_set(&mut plan, &applied(&set(3, 3)), &set(3, 2), 7).expect("plan"));
        let Action::Replace { object, .. } = only_action(plan) else { panic!("no replace") };
        assert_eq!(object["metadata"]["annotations"][OWNER_GENERATION], "7");
        let live = LiveSet(Live::from_value(object));
        assert_eq!(live.partition(), Some(2));
        assert!(!pod_spec_differs(&live, &set(3, 2)));
    }

    #[test]
    fn a_set_scaled_by_hand_is_put_right() {
        let mut live = applied(&set(3, 3)).0.value().clone();
        live["spec"]["replicas"] = 5.into();
        let mut plan = plan();
        assert!(stateful_set(&mut plan, &LiveSet(Live::from_value(live)), &set(3, 3), 7).expect("plan"));
    }

    #[test]
    fn a_broken_note_of_what_was_applied_does_not_keep_pods() {
        let mut live = json!({"metadata": {"name": "c"}, "spec": {"replicas": 3}});
        annotate(&mut live, LAST_APPLIED_CONFIG, "\"not a spec\"");
        let mut plan = plan();
        assert!(replicas(&mut plan, &LiveSet(Live::from_value(live)), 2, 1).expect("plan"));
    }

    #[test]
    fn what_somebody_edited_in_a_template_is_told_from_defaults() {
        let template =
            |volumes: Value, containers: Value| json!({"spec": {"volumes": volumes, "containers": containers}});
        let applied = template(json!([{"name": "v"}]), json!([{"name": "c", "image": "a"}]));
        let rows = [
            (
                template(json!([{"name": "v", "emptyDir": {}}]), json!([{"name": "c", "image": "a", "tty": false}])),
                false,
            ),
            (template(json!([{"name": "v"}]), json!([{"name": "c", "image": "b"}])), true),
            (template(json!([{"name": "v"}, {"name": "w"}]), json!([{"name": "c", "image": "a"}])), true),
            (template(json!([]), json!([{"name": "c", "image": "a"}])), true),
        ];
        for (there, expected) in rows {
            assert_eq!(edited(&there, &applied), expected, "{there}");
        }
    }
}
