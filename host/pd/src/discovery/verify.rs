//! `/verify`: where components of a database that spans Kubernetes clusters find PD.

use tidepool_api::{Component, TidbCluster, names, names::ports};

use super::{Refusal, decode};

/// A component that asks for PD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The address as it was sent.
    pub input: String,
    /// `http` or `https`, if it came with one.
    pub scheme: Option<String>,
    /// The cluster whose PD it names.
    pub cluster: String,
    /// The port, PD's if it named none.
    pub port: String,
}

/// Decodes the last part of `/verify/{base64}`: `[scheme://]CLUSTER-pd[:port]`.
///
/// # Errors
/// When it is not base64 of such an address.
pub fn asked(encoded: &str) -> Result<Asked, Refusal> {
    let input = decode(encoded)?.trim_matches('\n').to_owned();
    let (scheme, authority) = match input.split_once("://") {
        Some((scheme, authority)) => (Some(scheme.to_owned()), authority),
        None => (None, input.as_str()),
    };
    let (name, port) = match authority.split_once(':') {
        Some((name, port)) => (name, port.to_owned()),
        None => (authority, ports::PD_CLIENT.to_string()),
    };
    let cluster = name.strip_suffix("-pd").unwrap_or(name).to_owned();
    if cluster.is_empty() {
        return Err(Refusal::Question("it is empty"));
    }
    Ok(Asked { scheme, cluster, port, input })
}

/// The addresses to use, joined by commas: the one that was asked with and those of the healthy members elsewhere, or
/// that of the cluster whose PD this one uses.
pub fn verified(asked: &Asked, cluster: &TidbCluster) -> String {
    if let (None, Some(joined)) = (&cluster.spec.pd, cluster.joined()) {
        let scheme = asked.scheme.as_ref().map(|scheme| format!("{scheme}://")).unwrap_or_default();
        let service = names::peer_service_name(&joined.name, Component::Pd);
        let namespace = if joined.namespace.is_empty() { cluster.namespace() } else { &joined.namespace };
        let domain =
            if joined.cluster_domain.is_empty() { String::new() } else { format!(".{}", joined.cluster_domain) };
        return format!("{scheme}{service}.{namespace}.svc{domain}:{}", asked.port);
    }
    let peers = cluster.status.iter().filter_map(|status| status.pd.as_ref()).flat_map(|pd| pd.peer_members.values());
    let addresses = peers.filter(|peer| peer.health).map(|peer| match asked.scheme {
        Some(_) => peer.client_url.clone(),
        None => format!("{}:{}", peer.name, asked.port),
    });
    std::iter::once(asked.input.clone()).chain(addresses).collect::<Vec<_>>().join(",")
}
