//! Owners and what they own: references, selectors, adoption.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Manager, api::ApiFailure, cache::Key};
use crate::control::path::{at, flag, list, strings, text};

/// The reference by which `owner` controls something.
pub fn controller_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": text(owner, "apiVersion"),
        "kind": text(owner, "kind"),
        "name": text(owner, "metadata.name"),
        "uid": text(owner, "metadata.uid"),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The reference to the object's controller.
pub fn controller(object: &Value) -> Option<&Value> {
    list(object, "metadata.ownerReferences").iter().find(|owner| flag(owner, "controller"))
}

/// Whether the object is being deleted.
pub fn is_terminating(object: &Value) -> bool {
    !at(object, "metadata.deletionTimestamp").is_null()
}

/// Whether a `LabelSelector` chooses an object with these labels; an empty one chooses nothing.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = strings(selector, "matchLabels");
    let expressions = list(selector, "matchExpressions");
    if wanted.is_empty() && expressions.is_empty() {
        return false;
    }
    let has = |key: &str, value: &str| labels.get(key).and_then(Value::as_str) == Some(value);
    wanted.iter().all(|(key, value)| has(key, value)) && expressions.iter().all(|e| requirement(e, labels))
}

fn requirement(expression: &Value, labels: &Value) -> bool {
    let label = labels.get(text(expression, "key"));
    let listed = label.is_some_and(|label| list(expression, "values").contains(label));
    match text(expression, "operator") {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => label.is_some(),
        _ => label.is_none(),
    }
}

/// Whether a plain selector (of a Service) chooses an object with these labels; an empty one chooses nothing.
pub fn selects_plain(selector: &Value, labels: &Value) -> bool {
    let wanted = entries(selector);
    !wanted.is_empty()
        && wanted.iter().all(|(key, value)| labels.get(key).and_then(Value::as_str) == Some(value.as_str()))
}

fn entries(selector: &Value) -> Vec<(String, String)> {
    let fields = selector.as_object().into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The pod of a workload's template, without name.
pub fn pod_from_template(owner: &Value, template: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = at(template, "metadata").get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    metadata.insert("namespace".into(), text(owner, "metadata.namespace").into());
    metadata.insert("generateName".into(), format!("{}-", text(owner, "metadata.name")).into());
    metadata.insert("ownerReferences".into(), json!([controller_reference(owner)]));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": at(template, "spec")})
}

impl Manager {
    /// The objects of a resource that `owner` controls, after it adopted those without a controller that its selector
    /// chooses and `fits` takes.
    pub(super) async fn claim(
        &mut self,
        id: &str,
        owner: &Value,
        fits: fn(&Value, &Value) -> bool,
    ) -> Result<Vec<Arc<Value>>, ApiFailure> {
        let uid = text(owner, "metadata.uid");
        let mut claimed = Vec::new();
        for object in self.cache.in_namespace(id, text(owner, "metadata.namespace")) {
            match controller(&object) {
                Some(reference) if text(reference, "uid") == uid => claimed.push(object),
                Some(_) => {}
                None => {
                    let chosen =
                        selects(at(owner, "spec.selector"), at(&object, "metadata.labels")) && fits(owner, &object);
                    if chosen && !is_terminating(owner) && !is_terminating(&object) {
                        claimed.extend(self.adopt(id, owner, &object).await?);
                    }
                }
            }
        }
        Ok(claimed)
    }

    async fn adopt(&mut self, id: &str, owner: &Value, object: &Value) -> Result<Option<Arc<Value>>, ApiFailure> {
        let key = Key::of(id, object);
        let mut references = list(object, "metadata.ownerReferences").to_vec();
        references.push(controller_reference(owner));
        let patch = json!({"metadata": {"uid": text(object, "metadata.uid"), "resourceVersion": text(object, "metadata.resourceVersion"),
            "ownerReferences": references}});
        match self.patch(&key, "", &patch).await {
            Ok(_) => Ok(self.cache.get(&key)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_chooses_by_labels_and_expressions() {
        let labels = json!({"a": "1", "b": "2"});
        assert!(selects(&json!({"matchLabels": {"a": "1"}}), &labels));
        assert!(!selects(&json!({"matchLabels": {"a": "2"}}), &labels));
        assert!(!selects(&json!({}), &labels));
        let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
        assert!(selects(&expression("In", json!(["1"])), &labels));
        assert!(!selects(&expression("NotIn", json!(["1"])), &labels));
        assert!(!selects(&expression("DoesNotExist", json!([])), &labels));
        assert!(selects_plain(&json!({"a": "1"}), &labels));
        assert!(!selects_plain(&Value::Null, &labels));
    }
}
