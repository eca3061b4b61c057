//! Builders of the Kubernetes objects that every component has. They depend on the cluster alone, so what they render is
//! the same in every pass and on every host.

pub mod claim;
pub mod config_map;
pub mod container;
pub mod env;
pub mod pd_server;
pub mod pod;
pub mod service;
pub mod set;
pub mod volume;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use tidepool_api::{Component, TidbCluster, labels::component_labels};

/// Metadata of an object of a component: name, namespace and the four labels. The host adds the owner.
pub fn meta(cluster: &TidbCluster, component: Component, name: impl Into<String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(cluster.namespace().to_owned()),
        labels: Some(component_labels(cluster, component)),
        ..ObjectMeta::default()
    }
}

/// Selector of the pods of a component.
pub fn selector(cluster: &TidbCluster, component: Component) -> LabelSelector {
    LabelSelector { match_labels: Some(component_labels(cluster, component)), match_expressions: None }
}

/// The list, or none if it is empty: an empty list and no list are the same to Kubernetes, but not the same bytes.
pub fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The map, or none if it is empty.
pub fn some_map(map: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then_some(map)
}

/// The text, or none if it is empty.
pub fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
