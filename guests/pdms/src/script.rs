//! The start script of a member: waits for its own name, then starts with the address of PD.

use tidepool_sdk::{
    api::{Component, names::ports::PD_CLIENT},
    build::pd_server::TLS_PATH,
    script::{self, NameCheck, PREAMBLE},
};

use crate::world::World;

/// The script.
pub fn start_script(world: &World<'_>) -> String {
    let cluster = world.cluster;
    let service = cluster.peer_service_name(world.component());
    let mut text = PREAMBLE.to_owned();
    text += script::POD_NAME;
    text += &format!("domain=$POD_NAME.{service}.{}.svc{}\n", cluster.namespace(), cluster.domain_suffix());
    // Of the switches of PD's own wait only this one is meant for its services as well.
    let own_address = script::flag(cluster, world.component(), "WaitForDnsNameIpMatch");
    let check = if own_address { NameCheck::OwnAddress } else { NameCheck::Dig };
    text += &script::wait_for_name(cluster, check);
    text += &pd_addresses(world);
    text += &arguments(world);
    text += "# shellcheck disable=SC2086\nexec /pd-server $arguments\n";
    text
}

/// Sets `pd_addresses`.
fn pd_addresses(world: &World<'_>) -> String {
    let cluster = world.cluster;
    if let Some(hosts) = script::preferred_pd_hosts(cluster, world.component()) {
        let all: Vec<String> = hosts.iter().map(|host| format!("{host}:{PD_CLIENT}")).collect();
        return format!("pd_addresses={}\n", all.join(","));
    }
    let own = format!("{}://{}:{PD_CLIENT}", cluster.scheme(), cluster.member_name(Component::Pd));
    if cluster.spec.across_k8s {
        let discovery = format!("{}.{}", cluster.member_name(Component::Discovery), cluster.namespace());
        let ask = script::ask_discovery(cluster, &discovery, &own, TLS_PATH);
        return ask + "pd_addresses=$(echo \"$pd_addresses\" | sed 's#http://##g')\n";
    }
    format!("pd_addresses={own}\n")
}

/// Sets `arguments`.
fn arguments(world: &World<'_>) -> String {
    let cluster = world.cluster;
    let (service, scheme) = (world.service.name(), cluster.scheme());
    // Members are named by their host names where pod names alone could clash.
    let long = cluster.spec.across_k8s || !cluster.spec.cluster_domain.is_empty();
    let name = match (world.names_members(), long) {
        (false, _) => "",
        (true, false) => "--name=$POD_NAME ",
        (true, true) => "--name=$domain ",
    };
    format!(
        r#"
arguments="services {service} {name}--listen-addr={scheme}://0.0.0.0:{PD_CLIENT} \
--advertise-listen-addr={scheme}://$domain:{PD_CLIENT} --backend-endpoints=$pd_addresses --config=/etc/pd/pd.toml"
"#
    )
}
