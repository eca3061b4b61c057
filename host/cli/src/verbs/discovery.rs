//! `tidepool discovery`: the discovery service of one cluster.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use tidepool_operator::{DiscoveryServer, DiscoverySettings};
use tidepool_sim::clock::Clock;

use crate::{
    runtime,
    target::{self, TargetArgs},
};

/// The name that the Deployment calls, by history.
const PROGRAM: &str = "tidb-discovery";
/// What asks for this verb.
const VERB: &str = "discovery";

/// Arguments of `tidepool discovery`.
#[derive(Args)]
pub struct DiscoveryArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The TidbCluster
    #[arg(long, value_name = "NAME", env = "TC_NAME")]
    cluster: String,
    /// Its namespace
    #[arg(short, long, env = "MY_POD_NAMESPACE")]
    namespace: String,
    /// Where to listen
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    address: IpAddr,
    /// Port for questions: GET /new/BASE64 and GET /verify/BASE64
    #[arg(long, default_value_t = 10261)]
    port: u16,
    /// Port for PD's dashboard: GET /dashboard
    #[arg(long, default_value_t = 10262)]
    proxy_port: u16,
    /// PD speaks TLS
    #[arg(long, env = "TC_TLS_ENABLED")]
    pd_tls: bool,
    /// Speak TLS, and only with clients that show a certificate
    #[arg(long, env = "DISCOVERY_MTLS_ENABLED")]
    mtls: bool,
    /// Folder of the certificate to speak TLS with: ca.crt, tls.crt, tls.key
    #[arg(long, value_name = "DIR", default_value = "/var/lib/discovery-tls")]
    tls_dir: PathBuf,
}

/// Serves until it is interrupted.
pub fn run(args: DiscoveryArgs) -> anyhow::Result<ExitCode> {
    runtime::real()?.block_on(async {
        let (target, _) = target::open(&args.target, "tidepool-discovery").await?;
        let clock = Clock::system();
        let settings = DiscoverySettings {
            client: target.client,
            http: target.http,
            namespace: args.namespace,
            cluster: args.cluster,
            tls: args.mtls.then_some(args.tls_dir),
            pd_tls: args.pd_tls,
            now_ms: Arc::new(move || clock.now_ms()),
        };
        let at = |port| SocketAddr::new(args.address, port);
        let server = DiscoveryServer::bind(settings, at(args.port), at(args.proxy_port)).await?;
        let (questions, dashboard) = server.addresses().context("failed to listen")?;
        eprintln!("questions at {questions}, the dashboard at {dashboard}");
        server.run(runtime::interrupted()).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Called under its Deployment's name, the program is this verb, with flags of one dash or two.
pub fn as_verb(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    let name = args.first().and_then(|first| Path::new(first).file_name().map(ToOwned::to_owned));
    if name.is_some_and(|name| name == PROGRAM) {
        for flag in args.iter_mut().skip(1) {
            let text = flag.to_string_lossy().into_owned();
            if text.starts_with('-') && !text.starts_with("--") && text.len() > 2 {
                *flag = format!("-{text}").into();
            }
        }
        args.insert(1, VERB.into());
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_name_is_the_verb() {
        let words = |args: &[&str]| as_verb(args.iter().map(OsString::from));
        assert_eq!(
            words(&["/usr/local/bin/tidb-discovery", "-port=1"]),
            ["/usr/local/bin/tidb-discovery", "discovery", "--port=1"]
        );
        assert_eq!(words(&["tidepool", "-h"]), ["tidepool", "-h"]);
    }
}
