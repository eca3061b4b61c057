//! `tidepool render`: every object that the policies would create for a cluster from nothing.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use tidepool_operator::{Settings, render};

use crate::{
    args::{ObjectFormat, PolicyDirArgs},
    documents, input, output, policies,
};

const EXAMPLES: &str = "\
Examples:
  tidepool render -f my.yaml -n tidb               as `kubectl apply -f -` takes it
  tidepool render -f my.yaml -o json | jq -r '.items[] | .kind + \"/\" + .metadata.name'";

/// Arguments of `tidepool render`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RenderArgs {
    /// TidbClusters (YAML, `-` for standard input); other objects in the file are left alone
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Namespace of clusters that name none
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// As what; as JSON, faults of the input too: `{"errors": [{"field", "type", "message"}]}`
    #[arg(short = 'o', long = "output", value_enum, default_value = "yaml", value_name = "FORMAT")]
    format: ObjectFormat,
    #[command(flatten)]
    policies: PolicyDirArgs,
}

/// Prints the List.
pub fn run(args: RenderArgs) -> anyhow::Result<ExitCode> {
    let documents = match input::read_for(&args.files, args.format == ObjectFormat::Json)? {
        Ok(documents) => documents,
        Err(code) => return Ok(code),
    };
    documents::some_cluster(&documents)?;
    let registry = policies::load(&args.policies)?;
    let mut items: Vec<Value> = Vec::new();
    for mut cluster in documents::cluster_objects(&documents) {
        if cluster["metadata"]["namespace"].is_null() {
            cluster["metadata"]["namespace"] = args.namespace.clone().into();
        }
        let name = cluster["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let objects = render(&*registry, &Settings::default(), cluster);
        items.extend(objects.with_context(|| format!("failed to render TidbCluster {name}"))?);
    }
    output::objects(&items, args.format)?;
    Ok(ExitCode::SUCCESS)
}
