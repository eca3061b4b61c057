//! Semantic validation of a TidbCluster: what the schema cannot say. Every fault is told, each with its JSON path.

mod cluster;
mod component;
mod config;
mod stores;
mod update;
mod volumes;

use crate::cluster::TidbCluster;
use crate::fault::{Fault, Faults};
use crate::kind::Component;
use crate::view::View;

pub use update::validate_update;

/// All faults of a cluster; none means that it can be acted on. Defaults need not be applied before.
pub fn validate(cluster: &TidbCluster) -> Vec<Fault> {
    let mut faults = Faults::default();
    cluster::check(cluster, &mut faults);
    for view in cluster.components() {
        let path = component_path(cluster, view.kind());
        component::check(&view, &path, &mut faults);
        volumes::check(&view, &path, &mut faults);
        config::check(&view, &path, &mut faults);
    }
    stores::check(cluster, &mut faults);
    faults.into_vec()
}

/// JSON path of a component: `spec.tikv`, `spec.pdms[1]`.
pub fn component_path(cluster: &TidbCluster, kind: Component) -> String {
    match kind {
        Component::Tso | Component::Scheduling => {
            let at = cluster.spec.pdms.iter().position(|service| service.name == kind.name()).unwrap_or_default();
            format!("spec.pdms[{at}]")
        }
        _ => format!("spec.{kind}"),
    }
}

/// Components whose data lies in a volume that the request for storage sizes.
fn has_data_volume(view: &View<'_>) -> bool {
    crate::names::data_volume(view.kind()).is_some()
}
