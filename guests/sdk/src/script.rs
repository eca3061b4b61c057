//! Pieces of the start scripts that several components share. Each is whole lines of shell and ends with a newline.
//!
//! The scripts are kept in ConfigMaps, and their text decides whether pods restart: a change here is a change of every
//! policy that uses the piece.

use tidepool_api::{
    Component, TidbCluster,
    cluster::ClusterRef,
    names::{self, ports},
};

/// Seconds a pod waits for its own name when the spec gives nothing.
pub const START_TIMEOUT_SECONDS_DEFAULT: i64 = 30;

/// What every script of ours says. Another text was made by another operator.
pub const MARK: &str = "# Start script by tidepool";

/// Head of every script: strict variables, the pod's annotations, debug mode.
///
/// The annotations are read in a shell of their own: whatever a value holds, it cannot end the script.
pub const PREAMBLE: &str = r#"#!/bin/sh
# Start script by tidepool
set -uo pipefail

annotations_file=/etc/podinfo/annotations
if [ ! -f "$annotations_file" ]; then
    echo "$annotations_file does not exist: this pod was not made from its StatefulSet"
    exit 1
fi
runmode=$(set +u; . "$annotations_file" >/dev/null 2>&1; printf %s "${runmode:-}")
if [ "$runmode" = debug ]; then
    echo "debug mode: the server is not started"
    tail -f /dev/null
fi
"#;

/// Sets `POD_NAME`: a pod without that variable has its name as host name.
pub const POD_NAME: &str = "POD_NAME=${POD_NAME:-$HOSTNAME}\n";

/// Waits until `host` resolves to one of the pod's own addresses, at most the cluster's start timeout.
pub fn wait_for_own_address(cluster: &TidbCluster, host: &str) -> String {
    let given = cluster.spec.pd.as_ref().map_or(0, |pd| pd.start_timeout);
    let timeout = if given > 0 { given } else { START_TIMEOUT_SECONDS_DEFAULT };
    format!(
        r#"
own_name={host}
waited=0
until
    resolved=" $(getent ahosts "$own_name" | while read -r address rest; do printf '%s ' "$address"; done)"
    found=no
    for address in $(hostname -I); do
        case "$resolved" in *" $address "*) found=yes ;; esac
    done
    [ "$found" = yes ]
do
    if [ "$waited" -ge {timeout} ]; then
        echo "$own_name did not resolve to an address of this pod within {timeout} s"
        exit 1
    fi
    sleep 1
    waited=$((waited + 1))
done
"#
    )
}

/// How a member of PD, or of a service of it, finds out that its own name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameCheck {
    /// `nslookup` finds it.
    Nslookup,
    /// `dig` finds an address.
    Dig,
    /// `dig` finds the pod's own address.
    OwnAddress,
    /// Not at all.
    None,
}

/// Waits until the name in `domain` is known, at most PD's start timeout.
pub fn wait_for_name(cluster: &TidbCluster, check: NameCheck) -> String {
    let pd = cluster.spec.pd.as_ref();
    let given = pd.map_or(0, |pd| pd.start_timeout);
    let timeout = if given > 0 { given } else { START_TIMEOUT_SECONDS_DEFAULT };
    let initial = pd.map_or(0, |pd| pd.init_wait_time);
    let (prelude, condition) = match check {
        NameCheck::None => return String::new(),
        NameCheck::Nslookup => (String::new(), "nslookup \"$domain\" >/dev/null 2>&1"),
        NameCheck::Dig => (DIG.to_owned(), "[ -n \"$(addresses)\" ]"),
        NameCheck::OwnAddress if initial > 0 => (format!("{DIG}{OWN}sleep {initial}\n"), "resolves_to_itself"),
        NameCheck::OwnAddress => (format!("{DIG}{OWN}"), "resolves_to_itself"),
    };
    format!(
        r#"
{prelude}waited=0
until {condition}; do
    if [ "$waited" -ge {timeout} ]; then
        echo "$domain was not found within {timeout} s" >&2
        exit 1
    fi
    sleep 1
    waited=$((waited + 1))
done
"#
    )
}

const DIG: &str = r#"addresses() {
    dig "$domain" A "$domain" AAAA +search +short 2>/dev/null
}
"#;

/// Any of the pod's addresses will do: one of them may be of the other family.
const OWN: &str = r#"resolves_to_itself() {
    found=$(addresses)
    for own in $(hostname -I); do
        for address in $found; do
            [ "$address" = "$own" ] && return 0
        done
    done
    return 1
}
"#;

/// Sets `pd_addresses` to what discovery makes of `pd`, asking until it answers. `host` is discovery's host name; a
/// client certificate is taken from `tls_dir` if discovery asks for one.
pub fn ask_discovery(cluster: &TidbCluster, host: &str, pd: &str, tls_dir: &str) -> String {
    let port = ports::DISCOVERY;
    let fetch = if cluster.discovery_mtls_enabled() {
        format!(
            "curl -sS --fail --max-time 3 --cacert {tls_dir}/ca.crt --cert {tls_dir}/tls.crt --key {tls_dir}/tls.key \
             \"https://{host}:{port}/verify/$encoded\""
        )
    } else {
        format!("wget -qO- -T 3 \"http://{host}:{port}/verify/$encoded\"")
    };
    format!(
        r#"
encoded=$(printf %s "{pd}" | base64 | tr -d '\n ')
until pd_addresses=$({fetch}) && [ -n "$pd_addresses" ]; do
    echo "waiting for discovery to name the members of PD"
    sleep $((${{RANDOM:-2}} % 5))
done
"#
    )
}

/// Whether a switch of the second version's scripts is on.
pub fn flag(cluster: &TidbCluster, component: Component, name: &str) -> bool {
    cluster.start_script_v2(component) && cluster.spec.start_script_v2_feature_flags.iter().any(|f| f == name)
}

/// PD's hosts from `spec.pdAddresses`, if the cluster prefers them to discovery.
pub fn preferred_pd_hosts(cluster: &TidbCluster, component: Component) -> Option<Vec<&str>> {
    let given = &cluster.spec.pd_addresses;
    let wanted = flag(cluster, component, "PreferPDAddressesOverDiscovery") && !given.is_empty();
    wanted.then(|| given.iter().map(|address| host_of(address)).collect())
}

/// Host of the PD that the cluster joins. Without the namespace it is found in the cluster's own.
pub fn joined_pd_host(cluster: &TidbCluster, joined: &ClusterRef) -> String {
    let service = names::member_name(&joined.name, Component::Pd);
    match joined.namespace.as_str() {
        "" => service,
        own if own == cluster.namespace() => service,
        other => format!("{service}.{other}"),
    }
}

/// The host in `scheme://host:port/…`, `host:port` or `host`; an IPv6 address keeps its brackets.
fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.find(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn the_host_is_found_in_every_form_of_an_address() {
        for (address, host) in [
            ("http://pd-a.example.com:2379", "pd-a.example.com"),
            ("https://10.1.2.3", "10.1.2.3"),
            ("pd-a:2379", "pd-a"),
            ("pd-a", "pd-a"),
            ("http://[fd00::1]:2379/", "[fd00::1]"),
        ] {
            assert_eq!(host_of(address), host);
        }
    }
}
