//! The certificates that a cluster with TLS needs: in which Secrets, for which names.
//!
//! Names and keys of the Secrets are those of the existing operator, so the Secrets of a cluster that is taken over serve
//! as they are.

use crate::{cluster::TidbCluster, kind::Component};

/// Key of the authority's certificate in a Secret.
pub const CA: &str = "ca.crt";
/// Key of the certificate.
pub const CERTIFICATE: &str = "tls.crt";
/// Key of the private key.
pub const PRIVATE_KEY: &str = "tls.key";

/// Common name of the components and of their clients: what `security.cert-allowed-cn` usually allows.
const COMMON_NAME: &str = "TiDB";
/// Addresses under which a server is reached from within its own pod.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

/// Who may show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// A server, and a client of the other servers.
    Peer,
    /// A server.
    Server,
    /// A client.
    Client,
}

/// One certificate with its key, in a Secret of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Name of the Secret.
    pub secret: String,
    /// Common name of the subject.
    pub common_name: &'static str,
    /// DNS names and IP addresses, as text.
    pub names: Vec<String>,
    /// Who shows it.
    pub usage: Usage,
}

impl TidbCluster {
    /// The certificates that the cluster needs, in the order of the components; none without TLS.
    pub fn certificates(&self) -> Vec<Certificate> {
        let mut all = Vec::new();
        if self.tls_enabled() {
            all.extend(Component::ALL.into_iter().filter_map(|component| self.component_certificate(component)));
            all.push(client(self.cluster_client_tls_secret(), COMMON_NAME));
        }
        if self.tidb_client_tls_enabled() {
            all.push(self.sql_server_certificate());
            all.extend(self.sql_client_secrets().into_iter().map(|secret| client(secret, "TiDB Client")));
        }
        all
    }

    /// PD's services that run apart use PD's certificate, and discovery has one only if it takes part.
    fn component_certificate(&self, component: Component) -> Option<Certificate> {
        let wanted = match component {
            Component::Tso | Component::Scheduling => false,
            Component::Discovery => self.discovery_mtls_enabled(),
            _ => self.component(component).is_some(),
        };
        let services = match component {
            Component::Pd if !self.spec.pdms.is_empty() => vec![component, Component::Tso, Component::Scheduling],
            _ => vec![component],
        };
        wanted.then(|| Certificate {
            secret: self.cluster_tls_secret(component),
            common_name: COMMON_NAME,
            names: self.server_names(&services),
            usage: Usage::Peer,
        })
    }

    /// TiProxy shows TiDB's certificate to SQL clients.
    fn sql_server_certificate(&self) -> Certificate {
        let mut services = vec![Component::Tidb];
        services.extend(self.spec.tiproxy.is_some().then_some(Component::Tiproxy));
        Certificate {
            secret: self.tidb_server_tls_secret(),
            common_name: "TiDB Server",
            names: self.server_names(&services),
            usage: Usage::Server,
        }
    }

    fn sql_client_secrets(&self) -> Vec<String> {
        let pd = self.spec.pd.as_ref().and_then(|pd| pd.tls_client_secret_name.clone());
        let tiproxy = self.spec.tiproxy.as_ref().and_then(|tiproxy| tiproxy.tls_client_secret_name.clone());
        let mut all = vec![self.tidb_client_tls_secret()];
        all.extend(pd.into_iter().chain(tiproxy).filter(|name| !name.is_empty()));
        all.sort();
        all.dedup();
        all
    }

    /// Every name under which the servers of these components are reached: by Service, and by pod below its headless one.
    fn server_names(&self, components: &[Component]) -> Vec<String> {
        let mut all = Vec::new();
        for component in components {
            let (service, peer) = (self.member_name(*component), self.peer_service_name(*component));
            all.extend(self.qualified(&service));
            if *component == Component::Discovery {
                continue;
            }
            if peer != service {
                all.extend(self.qualified(&peer));
            }
            all.extend(self.qualified(&format!("*.{peer}")));
        }
        all.extend(LOOPBACK.map(str::to_owned));
        all
    }

    fn qualified(&self, name: &str) -> Vec<String> {
        let (namespace, domain) = (self.namespace(), self.domain_suffix());
        let mut all = vec![name.to_owned(), format!("{name}.{namespace}"), format!("{name}.{namespace}.svc")];
        if !domain.is_empty() {
            all.push(format!("{name}.{namespace}.svc{domain}"));
        }
        all
    }
}

fn client(secret: String, common_name: &'static str) -> Certificate {
    Certificate { secret, common_name, names: Vec::new(), usage: Usage::Client }
}

/// Names of the volumes whose being mounted from a Secret means that a component's HTTP API speaks TLS: how a running pod
/// tells its mode, whatever its TidbCluster says by now.
pub fn tls_volumes(component: Component) -> &'static [&'static str] {
    match component {
        Component::Discovery => &["discovery-tls"],
        Component::Pd | Component::Tso | Component::Scheduling => &["pd-tls"],
        Component::Tikv => &["tikv-tls"],
        Component::Tidb => &["tidb-tls"],
        Component::Tiflash => &["tiflash-tls"],
        Component::Ticdc => &["ticdc-tls"],
        Component::Pump => &["pump-tls"],
        // Towards SQL clients it shows TiDB's certificate, and then its HTTP API does as well.
        Component::Tiproxy => &["tiproxy-tls", "tidb-server-tls"],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cluster(spec: Value) -> TidbCluster {
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "ns"}, "spec": spec})).expect("a cluster")
    }

    fn secrets(spec: Value) -> Vec<String> {
        cluster(spec).certificates().into_iter().map(|certificate| certificate.secret).collect()
    }

    #[test]
    fn without_tls_nothing_is_needed() {
        assert_eq!(secrets(json!({"pd": {}, "tikv": {}, "tidb": {}})), Vec::<String>::new());
    }

    #[test]
    fn each_component_that_is_there_has_a_secret_and_so_has_the_client() {
        let spec = json!({"tlsCluster": {"enabled": true}, "pd": {}, "tikv": {}, "ticdc": {}});
        let expected =
            ["a-pd-cluster-secret", "a-tikv-cluster-secret", "a-ticdc-cluster-secret", "a-cluster-client-secret"];
        assert_eq!(secrets(spec), expected);
    }

    #[test]
    fn discovery_takes_part_when_told_to() {
        let spec = json!({"tlsCluster": {"enabled": true, "enableDiscoveryMTLS": true}, "pd": {}});
        let all = cluster(spec).certificates();
        assert_eq!(all[0].secret, "a-discovery-cluster-secret");
        assert_eq!(all[0].names, ["a-discovery", "a-discovery.ns", "a-discovery.ns.svc", "127.0.0.1", "::1"]);
    }

    #[test]
    fn sql_clients_have_the_secrets_that_are_named() {
        let spec = json!({"pd": {"tlsClientSecretName": "own"}, "tidb": {"tlsClient": {"enabled": true}}});
        assert_eq!(secrets(spec), ["a-tidb-server-secret", "a-tidb-client-secret", "own"]);
    }

    #[test]
    fn a_server_is_known_by_service_and_by_pod() {
        let spec = json!({"tlsCluster": {"enabled": true}, "clusterDomain": "c.local", "pd": {}, "pump": {}});
        let all = cluster(spec).certificates();
        let names = |secret: &str| all.iter().find(|c| c.secret == secret).map(|c| c.names.clone()).unwrap_or_default();
        for name in ["a-pd.ns", "a-pd-peer.ns.svc", "*.a-pd-peer.ns.svc", "*.a-pd-peer.ns.svc.c.local", "::1"] {
            assert!(names("a-pd-cluster-secret").iter().any(|known| known == name), "{name}");
        }
        assert!(names("a-pump-cluster-secret").iter().any(|known| known == "*.a-pump.ns.svc"));
    }
}
