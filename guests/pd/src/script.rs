//! The start script of a PD member: waits for its own name, then joins the cluster it belongs to.
//!
//! A member that has data starts with it. One without asks discovery, which answers `--initial-cluster` to exactly one
//! member of a new cluster and `--join` to all others: no member can start a second cluster (safety rule S4).

use tidepool_sdk::{
    api::{
        Component, TidbCluster,
        names::ports::{DISCOVERY, PD_CLIENT, PD_PEER},
    },
    build::pd_server::TLS_PATH,
    script::{self, NameCheck, PREAMBLE},
};

use crate::desired::DATA_PATH;

/// Waits at most this many seconds for an answer of discovery.
const DISCOVERY_TIMEOUT_SECONDS: u32 = 3;

/// The script.
pub fn start_script(cluster: &TidbCluster) -> String {
    let second = cluster.start_script_v2(Component::Pd);
    let mut text = PREAMBLE.to_owned();
    if script::flag(cluster, Component::Pd, "BashShebang") {
        text = text.replacen("#!/bin/sh", "#!/bin/bash", 1);
    }
    text += script::POD_NAME;
    text += &format!("domain=$POD_NAME.{}\n", peer_domain(cluster));
    text += &script::wait_for_name(cluster, name_check(cluster, second));
    text += &arguments(cluster);
    text += &join(cluster, second);
    text += "\n# Members that start together would all be in each other's way.\n";
    text += "sleep $((${RANDOM:-0} % 10))\n";
    text += "# shellcheck disable=SC2086\nexec /pd-server $arguments\n";
    text
}

/// What follows a pod's name in the host name of its member.
pub fn peer_domain(cluster: &TidbCluster) -> String {
    let service = cluster.peer_service_name(Component::Pd);
    format!("{service}.{}.svc{}", cluster.namespace(), cluster.domain_suffix())
}

fn name_check(cluster: &TidbCluster, second: bool) -> NameCheck {
    let flag = |name| script::flag(cluster, Component::Pd, name);
    let pd = cluster.spec.pd.as_ref();
    if !second {
        let dig = pd.is_some_and(|pd| pd.start_up_script_version == "v1");
        return if dig { NameCheck::Dig } else { NameCheck::Nslookup };
    }
    if flag("NoWaitDNS") {
        NameCheck::None
    } else if flag("WaitForDnsNameIpMatch") || cluster.pd_services_apart() {
        NameCheck::OwnAddress
    } else {
        NameCheck::Dig
    }
}

/// Sets `arguments` to those that every start has.
fn arguments(cluster: &TidbCluster) -> String {
    let scheme = cluster.scheme();
    let services = if cluster.pd_services_apart() { "services api " } else { "" };
    let name = if long_names(cluster) { "$domain" } else { "$POD_NAME" };
    let data = data_dir(cluster);
    format!(
        r#"
data_dir={data}
arguments="{services}--data-dir=$data_dir --name={name} \
--peer-urls={scheme}://0.0.0.0:{PD_PEER} --advertise-peer-urls={scheme}://$domain:{PD_PEER} \
--client-urls={scheme}://0.0.0.0:{PD_CLIENT} --advertise-client-urls={scheme}://$domain:{PD_CLIENT} \
--config=/etc/pd/pd.toml"
"#
    )
}

/// Members are named by their host names where pod names alone could clash.
pub fn long_names(cluster: &TidbCluster) -> bool {
    cluster.spec.across_k8s || !cluster.spec.cluster_domain.is_empty()
}

fn data_dir(cluster: &TidbCluster) -> String {
    let sub = cluster.spec.pd.as_ref().map_or("", |pd| pd.data_sub_dir.trim_matches('/'));
    if sub.is_empty() { DATA_PATH.to_owned() } else { format!("{DATA_PATH}/{sub}") }
}

/// Adds to `arguments` how the member finds its cluster.
fn join(cluster: &TidbCluster, second: bool) -> String {
    if let Some(hosts) = script::preferred_pd_hosts(cluster, Component::Pd) {
        let scheme = cluster.scheme();
        let urls: Vec<String> = hosts.iter().map(|host| format!("{scheme}://{host}:{PD_PEER}")).collect();
        return format!("arguments=\"$arguments --join={}\"\n", urls.join(","));
    }
    let fetch = fetch(cluster, second);
    format!(
        r#"
if [ -f "$data_dir/join" ]; then
    # The file holds name=url pairs; the urls are wanted.
    members=$(tr ',' '\n' <"$data_dir/join" | while IFS== read -r name url || [ -n "$name" ]; do printf '%s,' "$url"; done)
    arguments="$arguments --join=${{members%,}}"
elif [ ! -d "$data_dir/member/wal" ]; then
    encoded=$(echo "$domain:{PD_PEER}" | base64 | tr -d '\n')
    until answer=$({fetch}); do
        echo "waiting for discovery to say whom to join" >&2
        sleep $((${{RANDOM:-2}} % 5))
    done
    arguments="$arguments $answer"
fi
"#
    )
}

fn fetch(cluster: &TidbCluster, second: bool) -> String {
    let service = cluster.member_name(Component::Discovery);
    let namespace = cluster.namespace();
    let host = if second { format!("{service}.{namespace}") } else { format!("{service}.{namespace}.svc") };
    let seconds = DISCOVERY_TIMEOUT_SECONDS;
    if cluster.discovery_mtls_enabled() {
        return format!(
            "curl -sS --fail --max-time {seconds} --cacert {TLS_PATH}/ca.crt --cert {TLS_PATH}/tls.crt \
             --key {TLS_PATH}/tls.key \"https://{host}:{DISCOVERY}/new/$encoded\""
        );
    }
    format!("wget -qO- -T {seconds} \"http://{host}:{DISCOVERY}/new/$encoded\"")
}
