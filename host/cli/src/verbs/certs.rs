//! `tidepool certs`: the Secrets with certificates that clusters with TLS need.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use tidepool_api::TidbCluster;
use tidepool_sim::authority::{self, Authority, AuthorityError, Validity};

use crate::{
    args::ObjectFormat,
    documents,
    failure::{BadInput, Hint},
    input, output,
};

/// Name of a new authority.
const AUTHORITY: &str = "TiDB CA";

const HELP: &str = "\
A TidbCluster with spec.tlsCluster.enabled needs one Secret for each component (CLUSTER-pd-cluster-secret, …) and one for
clients (CLUSTER-cluster-client-secret); with spec.tidb.tlsClient.enabled two more for SQL. Each has the keys ca.crt, tls.crt
and tls.key. The operator and the pods only read them; anything that writes them serves, cert-manager for example.

  tidepool certs -f my.yaml -n tidb | kubectl apply -f -

This makes a new authority, signs everything with it and forgets its key. To add or renew certificates later, keep it:

  tidepool certs -f my.yaml -n tidb --with-ca | kubectl apply -f -
  kubectl get secret my-ca-secret -n tidb -o jsonpath='{.data.tls\\.crt}' | base64 -d > ca.crt
  kubectl get secret my-ca-secret -n tidb -o jsonpath='{.data.tls\\.key}' | base64 -d > ca.key
  tidepool certs -f my.yaml -n tidb --ca-cert ca.crt --ca-key ca.key | kubectl apply -f -

To change the authority itself, first put both into ca.crt of every Secret. The first certificate of --ca-cert signs, and the
whole file becomes ca.crt. Private keys go to standard output and nowhere else.";

/// Arguments of `tidepool certs`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct CertsArgs {
    /// TidbClusters (YAML, `-` for standard input); other objects in the file are left alone
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Namespace of clusters that name none
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// As what
    #[arg(short = 'o', long = "output", value_enum, default_value = "yaml", value_name = "FORMAT")]
    format: ObjectFormat,
    /// The authority's certificate (PEM); a new authority without
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca_cert: Option<PathBuf>,
    /// The authority's private key (PEM, PKCS #8)
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_key: Option<PathBuf>,
    /// Print the authority too, with its key, as the Secret CLUSTER-ca-secret
    #[arg(long)]
    with_ca: bool,
    /// How many days certificates are good for
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// How many days a new authority is good for
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..))]
    ca_days: u32,
}

/// Prints the List.
pub fn run(args: CertsArgs) -> anyhow::Result<ExitCode> {
    let documents = input::read(&args.files)?;
    documents::some_cluster(&documents)?;
    let authority = authority(&args)?;
    let mut items: Vec<Value> = Vec::new();
    for value in documents::cluster_objects(&documents) {
        let mut cluster: TidbCluster = serde_json::from_value(value).context("failed to read the TidbCluster")?;
        cluster.metadata.namespace.get_or_insert_with(|| args.namespace.clone());
        let name = format!("{}/{}", cluster.namespace(), cluster.name());
        let secrets = authority::secrets(&authority, &cluster)
            .with_context(|| format!("failed to make the certificates of {name}"))?;
        tell(&name, &cluster, secrets.len());
        if args.with_ca && !secrets.is_empty() {
            let ca = format!("{}-ca-secret", cluster.name());
            items.push(authority::secret(&cluster, &ca, &authority.certificate(), &authority.identity()));
        }
        items.extend(secrets);
    }
    if !items.is_empty() && args.ca_cert.is_none() && !args.with_ca {
        eprintln!("signed by a new authority, whose key is not kept; --with-ca prints it too");
    }
    output::objects(&items, args.format)?;
    Ok(ExitCode::SUCCESS)
}

fn authority(args: &CertsArgs) -> anyhow::Result<Authority> {
    let issued = Validity::days_from_now(args.days);
    let (Some(certificate), Some(key)) = (&args.ca_cert, &args.ca_key) else {
        return Ok(Authority::valid(AUTHORITY, Validity::days_from_now(args.ca_days), issued)?);
    };
    let made = Authority::of_pem(&text(certificate)?, &text(key)?, issued);
    made.map_err(|error| {
        let (file, hint) = match &error {
            AuthorityError::Key(_) => (key, "; `openssl pkcs8 -topk8 -nocrypt` makes one of any other key"),
            _ => (certificate, ""),
        };
        BadInput(format!("{}: {error}{hint}", file.display())).into()
    })
}

fn text(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| BadInput(format!("failed to read {}: {error}", file.display())))
        .hint("name the files of an authority, or none for a new one")
}

fn tell(name: &str, cluster: &TidbCluster, count: usize) {
    if count == 0 {
        eprintln!(
            "TidbCluster {name} wants no TLS (spec.tlsCluster.enabled, spec.tidb.tlsClient.enabled): nothing is needed"
        );
        return;
    }
    eprintln!("TidbCluster {name}: {count} Secrets");
    if let Some(joined) = cluster.joined() {
        eprintln!(
            "  it joins {}: sign with the same authority as that one's, with --ca-cert and --ca-key",
            joined.name
        );
    }
    for secret in cluster.spec.ticdc.iter().flat_map(|ticdc| &ticdc.tls_client_secret_names) {
        eprintln!("  {secret} is for TiCDC's sinks and comes from those who run them; it is not made here");
    }
}
