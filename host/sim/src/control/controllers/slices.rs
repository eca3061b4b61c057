//! EndpointSlices: which pods are behind a service, in pieces.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    Manager,
    api::ApiFailure,
    cache::Key,
    endpoints::{Backend, HEADLESS_LABEL, is_ending, serves},
    owned::{controller_reference, is_terminating},
    statefulset::is_ready,
};
use crate::control::path::{at, entry, list, object, set, text};

const SLICES: &str = "endpointslices.discovery.k8s.io";
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const MANAGER_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Addresses of one slice.
const ENDPOINTS_PER_SLICE_MAX: usize = 100;

impl Manager {
    /// Brings the slices of a service to what its pods are; slices that fit stay, others are filled anew.
    pub(super) async fn write_slices(&mut self, service: &Value, backends: &[Backend]) -> Result<(), ApiFailure> {
        let ours = |slice: &Arc<Value>| {
            let of = entry(slice, "metadata.labels", SERVICE_LABEL) == Some(text(service, "metadata.name"));
            of && entry(slice, "metadata.labels", MANAGER_LABEL) == Some(MANAGER) && !is_terminating(slice)
        };
        let namespace = text(service, "metadata.namespace");
        let mut known: Vec<_> = self.cache.in_namespace(SLICES, namespace).into_iter().filter(ours).collect();
        let mut wanted = slices(service, backends);
        let same = |slice: &Value, wanted: &Value| {
            let lists = ["endpoints", "ports"].iter().all(|path| list(slice, path) == list(wanted, path));
            lists && at(slice, "metadata.labels") == at(wanted, "metadata.labels")
        };
        wanted.retain(|wanted| match known.iter().position(|slice| same(slice, wanted)) {
            Some(place) => {
                known.remove(place);
                false
            }
            None => true,
        });
        for slice in wanted {
            if known.is_empty() {
                match self.create(SLICES, &slice).await {
                    Err(failure) if !is_ending(&failure) => return Err(failure),
                    _ => continue,
                }
            }
            let mut next = (*known.remove(0)).clone();
            for path in ["endpoints", "ports", "metadata.labels"] {
                set(&mut next, path, at(&slice, path).clone());
            }
            self.update(&Key::of(SLICES, &next), "", &next).await?;
        }
        for slice in known {
            self.delete(&Key::of(SLICES, &slice), text(&slice, "metadata.uid"), "Background").await?;
        }
        Ok(())
    }
}

/// The slices that a service should have, at least an empty one.
fn slices(service: &Value, backends: &[Backend]) -> Vec<Value> {
    let mut groups: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for backend in backends {
        let ports = Value::from(backend.ports.clone());
        groups.entry(ports.to_string()).or_insert_with(|| (ports, Vec::new())).1.push(endpoint(service, backend));
    }
    if groups.is_empty() {
        return vec![slice(service, &json!([]), &[])];
    }
    let pieces = groups
        .values()
        .flat_map(|(ports, endpoints)| endpoints.chunks(ENDPOINTS_PER_SLICE_MAX).map(move |piece| (ports, piece)));
    pieces.map(|(ports, piece)| slice(service, ports, piece)).collect()
}

fn slice(service: &Value, ports: &Value, endpoints: &[Value]) -> Value {
    let name = text(service, "metadata.name");
    let mut labels = at(service, "metadata.labels").clone();
    let fields = object(&mut labels, "");
    fields.insert(SERVICE_LABEL.to_owned(), name.into());
    fields.insert(MANAGER_LABEL.to_owned(), MANAGER.into());
    if text(service, "spec.clusterIP") == "None" {
        fields.insert(HEADLESS_LABEL.to_owned(), "".into());
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{name}-"), "namespace": text(service, "metadata.namespace"), "labels": labels,
            "ownerReferences": [controller_reference(service)],
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    })
}

fn endpoint(service: &Value, backend: &Backend) -> Value {
    let (pod, terminating) = (&backend.pod, is_terminating(&backend.pod));
    let serving = serves(service, pod);
    let ready = serving && !terminating || at(service, "spec.publishNotReadyAddresses") == &Value::Bool(true);
    let mut endpoint = json!({
        "addresses": [backend.address()],
        "conditions": {"ready": ready, "serving": serving || is_ready(pod), "terminating": terminating},
        "targetRef": backend.target(),
    });
    if !text(pod, "spec.nodeName").is_empty() {
        set(&mut endpoint, "nodeName", text(pod, "spec.nodeName"));
    }
    if let Some(hostname) = backend.hostname(service) {
        set(&mut endpoint, "hostname", hostname);
    }
    endpoint
}
