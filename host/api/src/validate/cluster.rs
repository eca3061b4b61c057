//! Faults of the cluster as a whole: its name, its annotations, what it joins.

use std::collections::BTreeSet;

use crate::cluster::{ClusterRef, TidbCluster};
use crate::fault::{Fault, FaultKind, Faults};
use crate::kind::Component;
use crate::{labels, names, syntax};

/// Longest name of a StatefulSet: its pods carry it, a dash and a hash of ten characters in a label of at most 63.
const STATEFUL_SET_NAME_MAX: usize = 52;
/// Longest text of all annotations together, in bytes; the API server's limit.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
/// Components whose delete slots are looked at.
const SLOT_COMPONENTS: [Component; 6] =
    [Component::Pd, Component::Tidb, Component::Tikv, Component::Tiflash, Component::Tiproxy, Component::Ticdc];
/// Switches of the v2 start scripts.
pub const START_SCRIPT_FLAGS: [&str; 4] =
    ["WaitForDnsNameIpMatch", "PreferPDAddressesOverDiscovery", "BashShebang", "NoWaitDNS"];

pub(super) fn check(cluster: &TidbCluster, faults: &mut Faults) {
    name(cluster, faults);
    annotations(cluster, faults);
    delete_slots(cluster, faults);
    pd_to_join(cluster, faults);
    policies(cluster, faults);
    lists(cluster, faults);
    pd_services(cluster, faults);
}

fn name(cluster: &TidbCluster, faults: &mut Faults) {
    let name = cluster.name();
    if name.is_empty() {
        if cluster.metadata.generate_name.is_none() {
            faults.required("metadata.name", "required");
        }
        return;
    }
    let mut sets = cluster.components().map(|view| names::member_name(name, view.kind()).len());
    let too_long = sets.any(|length| length > STATEFUL_SET_NAME_MAX);
    if !syntax::is_service_label(name) || too_long {
        faults.invalid("metadata.name", "not a DNS label, or too long for the names made from it", name);
    }
}

fn annotations(cluster: &TidbCluster, faults: &mut Faults) {
    let Some(annotations) = &cluster.metadata.annotations else { return };
    for key in annotations.keys().filter(|key| !syntax::is_qualified_name(&key.to_lowercase())) {
        faults.invalid("metadata.annotations", "not a key of an annotation", key);
    }
    let bytes: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > ANNOTATIONS_BYTES_MAX {
        faults.invalid("metadata.annotations", format!("more than {ANNOTATIONS_BYTES_MAX} bytes"), bytes.to_string());
    }
}

fn delete_slots(cluster: &TidbCluster, faults: &mut Faults) {
    for component in SLOT_COMPONENTS {
        let key = labels::delete_slots(component);
        let Some(value) = cluster.annotation(&key) else { continue };
        if serde_json::from_str::<Vec<i32>>(value).is_err() {
            faults.invalid(format!("metadata.annotations.{key}"), "not a JSON list of integers", value);
        }
    }
}

fn pd_to_join(cluster: &TidbCluster, faults: &mut Faults) {
    let spec = &cluster.spec;
    if let Some(ClusterRef { name, .. }) = spec.cluster.as_ref()
        && name.is_empty()
    {
        faults.required("spec.cluster.name", "required");
    }
    if spec.pd.is_some() {
        return;
    }
    if let Some(joined) = cluster.joined() {
        if joined.name == cluster.name() && (joined.namespace.is_empty() || joined.namespace == cluster.namespace()) {
            faults.invalid("spec.cluster.name", "the cluster cannot join itself", &joined.name);
        }
        return;
    }
    let without =
        [Component::Tikv, Component::Tidb, Component::Tiflash, Component::Ticdc, Component::Pump, Component::Tiproxy];
    let without: Vec<_> =
        without.into_iter().filter(|c| cluster.component(*c).is_some()).map(Component::name).collect();
    if let Some(last) = without.last()
        && spec.pd_addresses.is_empty()
    {
        let (list, verb) = match without.len() {
            1 => ((*last).to_owned(), "has"),
            n => (format!("{} and {last}", without.get(..n - 1).unwrap_or_default().join(", ")), "have"),
        };
        let message =
            format!("required, because {list} {verb} no PD to join (spec.cluster and spec.pdAddresses are empty)");
        faults.required("spec.pd", message);
    }
}

fn policies(cluster: &TidbCluster, faults: &mut Faults) {
    let spec = &cluster.spec;
    one_of("spec.configUpdateStrategy", &spec.config_update_strategy, &["InPlace", "RollingUpdate"], faults);
    one_of("spec.imagePullPolicy", &spec.image_pull_policy, super::component::PULL_POLICIES, faults);
    let reclaim = spec.pv_reclaim_policy.as_deref().unwrap_or_default();
    one_of("spec.pvReclaimPolicy", reclaim, &["Retain", "Delete", "Recycle"], faults);
}

fn lists(cluster: &TidbCluster, faults: &mut Faults) {
    for (at, address) in cluster.spec.pd_addresses.iter().enumerate() {
        if !syntax::is_http_url(address) {
            faults.invalid(
                format!("spec.pdAddresses[{at}]"),
                "not a URL that begins with http:// or https://",
                address,
            );
        }
    }
    for (at, flag) in cluster.spec.start_script_v2_feature_flags.iter().enumerate() {
        if !START_SCRIPT_FLAGS.contains(&flag.as_str()) {
            let path = format!("spec.startScriptV2FeatureFlags[{at}]");
            faults.invalid(path, format!("none of {}", START_SCRIPT_FLAGS.join(", ")), flag);
        }
    }
}

fn pd_services(cluster: &TidbCluster, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for (at, service) in cluster.spec.pdms.iter().enumerate() {
        let path = format!("spec.pdms[{at}].name");
        if !matches!(service.name.as_str(), "tso" | "scheduling") {
            faults.add(Fault::new(path, FaultKind::NotSupported, "tso or scheduling").with_value(&service.name));
        } else if !seen.insert(&service.name) {
            faults.add(Fault::new(path, FaultKind::Duplicate, "listed twice").with_value(&service.name));
        }
    }
}

/// Notes a text that is neither empty nor one of the values.
pub(super) fn one_of(path: &str, text: &str, values: &[&str], faults: &mut Faults) {
    if !text.is_empty() && !values.contains(&text) {
        let message = match values {
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
            [] => String::new(),
        };
        faults.add(Fault::new(path, FaultKind::NotSupported, message).with_value(text));
    }
}
