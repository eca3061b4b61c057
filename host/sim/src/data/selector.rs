//! Label selectors and node selectors, evaluated the way the scheduler does.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

type Labels = BTreeMap<String, String>;

/// Whether `labels` satisfy `selector`; an absent selector selects nothing, an empty one everything.
pub fn selects(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    let Some(selector) = selector else { return false };
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            holds(&requirement.operator, labels.get(&requirement.key), requirement.values.as_deref().unwrap_or(&[]))
        })
}

/// Whether a node with `labels` and `name` is in `selector`: any of its terms.
pub fn node_selected(selector: &NodeSelector, name: &str, labels: &Labels) -> bool {
    selector.node_selector_terms.iter().any(|term| term_selected(term, name, labels))
}

/// One term: all its requirements; a term without any selects nothing.
pub fn term_selected(term: &NodeSelectorTerm, name: &str, labels: &Labels) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or(&[]);
    let fields = term.match_fields.as_deref().unwrap_or(&[]);
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let own_name = name.to_owned();
    expressions.iter().all(|r| requirement_holds(r, labels.get(&r.key)))
        && fields.iter().all(|r| requirement_holds(r, (r.key == "metadata.name").then_some(&own_name)))
}

fn requirement_holds(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    holds(&requirement.operator, value, requirement.values.as_deref().unwrap_or(&[]))
}

fn holds(operator: &str, value: Option<&String>, values: &[String]) -> bool {
    let number = |text: &String| text.parse::<i64>().ok();
    match operator {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value.and_then(number) > values.first().and_then(number),
        "Lt" => value.is_some() && value.and_then(number) < values.first().and_then(number),
        _ => false,
    }
}

/// Whether some toleration accepts `taint`.
pub fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| {
        let effect = toleration.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == taint.effect);
        let key = toleration.key.as_deref().unwrap_or("");
        let exists = toleration.operator.as_deref() == Some("Exists");
        let value = exists || toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or("");
        effect && value && ((key.is_empty() && exists) || key == taint.key)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn selectors_combine_labels_and_expressions() {
        let selector: LabelSelector = from_value(json!({
            "matchLabels": {"app": "pd"},
            "matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["z1"]}]
        }))
        .unwrap();
        assert!(selects(Some(&selector), &labels(&[("app", "pd")])));
        assert!(!selects(Some(&selector), &labels(&[("app", "pd"), ("zone", "z1")])));
        assert!(!selects(None, &labels(&[])));
        assert!(selects(Some(&LabelSelector::default()), &labels(&[])));
    }

    #[test]
    fn a_toleration_covers_its_effect_and_value() {
        let taint: Taint =
            from_value(json!({"key": "dedicated", "value": "database", "effect": "NoSchedule"})).unwrap();
        let one = |value| vec![from_value::<Toleration>(value).unwrap()];
        assert!(tolerated(&taint, &one(json!({"key": "dedicated", "operator": "Equal", "value": "database"}))));
        assert!(tolerated(&taint, &one(json!({"operator": "Exists"}))));
        assert!(!tolerated(&taint, &one(json!({"key": "dedicated", "value": "other"}))));
        assert!(!tolerated(&taint, &one(json!({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}))));
    }
}
