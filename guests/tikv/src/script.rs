//! The start script of a TiKV store.

use tidepool_sdk::{
    api::{
        Component, TidbCluster,
        names::ports::{PD_CLIENT, TIKV, TIKV_STATUS},
    },
    script::{self, PREAMBLE},
};

use crate::desired::{DATA_PATH, TLS_PATH};

/// The script.
pub fn start_script(cluster: &TidbCluster) -> String {
    let host = format!("$POD_NAME.{}", peer_domain(cluster));
    let mut text = PREAMBLE.to_owned();
    text += script::POD_NAME;
    if script::flag(cluster, Component::Tikv, "WaitForDnsNameIpMatch") {
        text += &script::wait_for_own_address(cluster, &host);
    }
    text += &pd_addresses(cluster);
    text += &arguments(cluster, &host);
    text += "if [ -n \"${STORE_LABELS:-}\" ]; then\n    arguments=\"$arguments --labels $STORE_LABELS\"\nfi\n";
    text += "echo \"/tikv-server $arguments\"\n# shellcheck disable=SC2086\nexec /tikv-server $arguments\n";
    text
}

/// What follows a pod's name in the host name of its store.
pub fn peer_domain(cluster: &TidbCluster) -> String {
    let service = cluster.peer_service_name(Component::Tikv);
    format!("{service}.{}.svc{}", cluster.namespace(), cluster.domain_suffix())
}

/// Sets `pd_addresses`.
fn pd_addresses(cluster: &TidbCluster) -> String {
    if let Some(hosts) = script::preferred_pd_hosts(cluster, Component::Tikv) {
        let all: Vec<String> = hosts.iter().map(|host| format!("{host}:{PD_CLIENT}")).collect();
        return format!("pd_addresses={}\n", all.join(","));
    }
    let second = cluster.start_script_v2(Component::Tikv);
    let pd = |host: &str| match second {
        true => format!("{host}:{PD_CLIENT}"),
        false => format!("{}://{host}:{PD_CLIENT}", cluster.scheme()),
    };
    let own = pd(&cluster.member_name(Component::Pd));
    if cluster.spec.across_k8s {
        let discovery = format!("{}.{}", cluster.member_name(Component::Discovery), cluster.namespace());
        let strip = if second { "pd_addresses=$(echo \"$pd_addresses\" | sed 's#http://##g')\n" } else { "" };
        return script::ask_discovery(cluster, &discovery, &own, TLS_PATH) + strip;
    }
    let joined = cluster.joined().filter(|_| cluster.spec.pd.is_none());
    format!("pd_addresses={}\n", joined.map_or(own, |joined| pd(&script::joined_pd_host(cluster, joined))))
}

/// Sets `arguments` to those that every start has.
fn arguments(cluster: &TidbCluster, host: &str) -> String {
    let any = if cluster.spec.prefer_ipv6 { "[::]" } else { "0.0.0.0" };
    let status = match cluster.spec.enable_dynamic_configuration {
        Some(true) => format!(" --advertise-status-addr={host}:{TIKV_STATUS}"),
        _ => String::new(),
    };
    let data = data_dir(cluster);
    format!(
        r#"
arguments="--pd=$pd_addresses --advertise-addr={host}:{TIKV}{status} \
--addr={any}:{TIKV} --status-addr={any}:{TIKV_STATUS} --data-dir={data} \
--capacity=${{CAPACITY}} --config=/etc/tikv/tikv.toml"
"#
    )
}

fn data_dir(cluster: &TidbCluster) -> String {
    let sub = cluster.spec.tikv.as_ref().map_or("", |tikv| tikv.data_sub_dir.trim_matches('/'));
    if sub.is_empty() { DATA_PATH.to_owned() } else { format!("{DATA_PATH}/{sub}") }
}
