//! Names and ports made from a cluster's name.

use crate::cluster::TidbCluster;
use crate::kind::Component;

/// Ports of the components.
pub mod ports {
    /// SQL.
    pub const TIDB: i32 = 4000;
    /// TiDB's status.
    pub const TIDB_STATUS: i32 = 10080;
    /// PD's clients.
    pub const PD_CLIENT: i32 = 2379;
    /// PD's members among themselves.
    pub const PD_PEER: i32 = 2380;
    /// TiKV.
    pub const TIKV: i32 = 20160;
    /// TiKV's status.
    pub const TIKV_STATUS: i32 = 20180;
    /// TiFlash, native protocol.
    pub const TIFLASH_TCP: i32 = 9000;
    /// TiFlash, HTTP.
    pub const TIFLASH_HTTP: i32 = 8123;
    /// TiFlash, flash service.
    pub const TIFLASH_FLASH: i32 = 3930;
    /// TiFlash's proxy.
    pub const TIFLASH_PROXY: i32 = 20170;
    /// TiFlash's metrics.
    pub const TIFLASH_METRICS: i32 = 8234;
    /// TiFlash's proxy: status.
    pub const TIFLASH_PROXY_STATUS: i32 = 20292;
    /// TiFlash, between servers.
    pub const TIFLASH_INTERNAL: i32 = 9009;
    /// Pump.
    pub const PUMP: i32 = 8250;
    /// Drainer.
    pub const DRAINER: i32 = 8249;
    /// TiCDC.
    pub const TICDC: i32 = 8301;
    /// TiProxy, SQL.
    pub const TIPROXY: i32 = 6000;
    /// TiProxy's HTTP API.
    pub const TIPROXY_API: i32 = 3080;
    /// TiProxy, between proxies.
    pub const TIPROXY_PEER: i32 = 3081;
    /// Discovery.
    pub const DISCOVERY: i32 = 10261;
    /// Discovery's proxy of PD.
    pub const DISCOVERY_PROXY: i32 = 10262;
}

impl TidbCluster {
    /// Name, empty if there is none.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Namespace, empty if there is none.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The value of the instance label: the cluster's own label of that key if set, else its name.
    pub fn instance_name(&self) -> &str {
        let own = self.metadata.labels.as_ref().and_then(|labels| labels.get(crate::labels::INSTANCE));
        own.filter(|value| !value.is_empty()).map_or(self.name(), String::as_str)
    }

    /// Value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Name of a component's StatefulSet, client Service and first ConfigMap: `CLUSTER-COMPONENT`.
    pub fn member_name(&self, component: Component) -> String {
        member_name(self.name(), component)
    }

    /// Name of the headless Service.
    pub fn peer_service_name(&self, component: Component) -> String {
        peer_service_name(self.name(), component)
    }

    /// Name of the pod with an ordinal.
    pub fn pod_name(&self, component: Component, ordinal: i32) -> String {
        pod_name(self.name(), component, ordinal)
    }

    /// Secret with the certificate of a component's servers.
    pub fn cluster_tls_secret(&self, component: Component) -> String {
        format!("{}-{component}-cluster-secret", self.name())
    }

    /// Secret with the certificate of clients inside the cluster.
    pub fn cluster_client_tls_secret(&self) -> String {
        client_tls_secret(self.name())
    }

    /// Secret with TiDB's certificate for SQL clients.
    pub fn tidb_server_tls_secret(&self) -> String {
        format!("{}-tidb-server-secret", self.name())
    }

    /// Secret with the certificate of SQL clients inside the cluster, unless a component names another.
    pub fn tidb_client_tls_secret(&self) -> String {
        format!("{}-tidb-client-secret", self.name())
    }

    /// `.DOMAIN` or nothing: what follows `.svc` in host names of members.
    pub fn domain_suffix(&self) -> String {
        match self.spec.cluster_domain.as_str() {
            "" => String::new(),
            domain => format!(".{domain}"),
        }
    }
}

/// `CLUSTER-COMPONENT`.
pub fn member_name(cluster: &str, component: Component) -> String {
    format!("{cluster}-{component}")
}

/// Secret with the certificate of clients inside a cluster.
pub fn client_tls_secret(cluster: &str) -> String {
    format!("{cluster}-cluster-client-secret")
}

/// Name of the headless Service; Pump's has no `-peer`, by history.
pub fn peer_service_name(cluster: &str, component: Component) -> String {
    match component {
        Component::Pump => member_name(cluster, component),
        _ => format!("{cluster}-{component}-peer"),
    }
}

/// `CLUSTER-COMPONENT-ORDINAL`.
pub fn pod_name(cluster: &str, component: Component, ordinal: i32) -> String {
    format!("{cluster}-{component}-{ordinal}")
}

/// The ordinal at the end of a pod's name.
pub fn ordinal(pod: &str) -> Option<i32> {
    let digits = pod.rsplit_once('-')?.1;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Name of the template of a component's data volume; `None` if it has no such volume.
pub fn data_volume(component: Component) -> Option<&'static str> {
    match component {
        Component::Pd => Some("pd"),
        Component::Tikv => Some("tikv"),
        Component::Pump => Some("data"),
        _ => None,
    }
}

/// Name of the template of a TiFlash data volume.
pub fn tiflash_data_volume(index: usize) -> String {
    format!("data{index}")
}

/// Name of the template of a further volume.
pub fn storage_volume(component: Component, volume: &str) -> String {
    match volume {
        "" => component.name().to_owned(),
        _ => format!("{component}-{volume}"),
    }
}

/// Name of a claim.
pub fn claim_name(template: &str, pod: &str) -> String {
    format!("{template}-{pod}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_the_digits_after_the_last_dash() {
        assert_eq!(ordinal("basic-tikv-12"), Some(12));
        assert_eq!(ordinal("basic-tikv-"), None);
        assert_eq!(ordinal("basic-tikv--1"), Some(1));
        assert_eq!(ordinal("12"), None);
        assert_eq!(ordinal("a-+1"), None);
    }

    #[test]
    fn an_empty_number_is_no_ordinal() {
        assert_eq!(ordinal("x-99999999999999"), None);
    }
}
