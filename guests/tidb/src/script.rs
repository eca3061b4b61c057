//! The start script of a TiDB server.

use tidepool_sdk::{
    api::{Component, TidbCluster, names::ports::PD_CLIENT, tidb::TidbSpec},
    script::{self, PREAMBLE},
};

use crate::desired::TLS_PATH;

/// The script.
pub fn start_script(cluster: &TidbCluster, spec: &TidbSpec) -> String {
    let mut text = PREAMBLE.to_owned();
    text += script::POD_NAME;
    text += &pd_addresses(cluster);
    text += &arguments(cluster);
    text += &extra_arguments(cluster, spec);
    text += "echo \"/tidb-server $arguments\"\n# shellcheck disable=SC2086\nexec /tidb-server $arguments\n";
    text
}

/// Whether servers write a binlog: as the user says, else if there is a Pump to write it to.
pub fn binlog_enabled(cluster: &TidbCluster, spec: &TidbSpec) -> bool {
    spec.binlog_enabled.unwrap_or(cluster.spec.pump.is_some())
}

/// Sets `pd_addresses`, always without scheme.
fn pd_addresses(cluster: &TidbCluster) -> String {
    if let Some(hosts) = script::preferred_pd_hosts(cluster, Component::Tidb) {
        let all: Vec<String> = hosts.iter().map(|host| format!("{host}:{PD_CLIENT}")).collect();
        return format!("pd_addresses={}\n", all.join(","));
    }
    let own = format!("{}:{PD_CLIENT}", cluster.member_name(Component::Pd));
    if cluster.spec.across_k8s {
        let discovery = format!("{}.{}", cluster.member_name(Component::Discovery), cluster.namespace());
        let ask = script::ask_discovery(cluster, &discovery, &own, TLS_PATH);
        return ask + "pd_addresses=$(echo \"$pd_addresses\" | sed 's#https\\{0,1\\}://##g')\n";
    }
    let joined = cluster.joined().filter(|_| cluster.spec.pd.is_none());
    let joined = joined.map(|joined| format!("{}:{PD_CLIENT}", script::joined_pd_host(cluster, joined)));
    format!("pd_addresses={}\n", joined.unwrap_or(own))
}

/// Sets `arguments` to those that every start has.
fn arguments(cluster: &TidbCluster) -> String {
    let service = cluster.peer_service_name(Component::Tidb);
    let domain = format!("{service}.{}.svc{}", cluster.namespace(), cluster.domain_suffix());
    format!(
        r#"
arguments="--store=tikv --advertise-address=$POD_NAME.{domain} --host=0.0.0.0 \
--path=$pd_addresses --config=/etc/tidb/tidb.toml"
"#
    )
}

/// Adds to `arguments` what the user asks for.
fn extra_arguments(cluster: &TidbCluster, spec: &TidbSpec) -> String {
    let second = cluster.start_script_v2(Component::Tidb);
    let mut text = String::new();
    if second && binlog_enabled(cluster, spec) {
        text += "arguments=\"$arguments --enable-binlog=true\"\n";
    } else if !second {
        text += "if [ \"${BINLOG_ENABLED:-}\" = true ]; then\n    arguments=\"$arguments --enable-binlog=true\"\nfi\n";
    }
    text +=
        "if [ -n \"${SLOW_LOG_FILE:-}\" ]; then\n    arguments=\"$arguments --log-slow-query=$SLOW_LOG_FILE\"\nfi\n";
    if !spec.plugins.is_empty() {
        let plugins = spec.plugins.join(",");
        text += &format!("arguments=\"$arguments --plugin-dir=/plugins --plugin-load={plugins}\"\n");
    }
    if !spec.arguments.is_empty() {
        text += &format!("arguments=\"$arguments {}\"\n", spec.arguments.join(" "));
    }
    text
}
