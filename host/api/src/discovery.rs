//! `spec.discovery`: the discovery service of the cluster.

use crate::component::{ComponentSpec, Resources};
use crate::shared::Probe;

object! {
    /// The discovery pod. Its image is an operator setting.
    pub struct DiscoverySpec + (component: ComponentSpec, resources: Resources) {
        /// Liveness probe; TCP whatever its type.
        "livenessProbe" => liveness_probe: Option<Probe>,
    }
}
