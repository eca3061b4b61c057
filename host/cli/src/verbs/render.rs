//! `tidepool render`: every object that the policies would create for a cluster from nothing.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tidepool_operator::{Settings, render};

use crate::{
    args::PolicyDirArgs,
    documents,
    failure::{BAD_INPUT, BadInput},
    input, output, policies,
};

/// Arguments of `tidepool render`.
#[derive(Args)]
pub struct RenderArgs {
    /// TidbClusters (YAML, `-` for standard input); other objects in the file are left alone
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Namespace of clusters that name none
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// As what
    #[arg(short = 'o', long = "output", value_enum, default_value = "yaml")]
    format: RenderFormat,
    #[command(flatten)]
    policies: PolicyDirArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RenderFormat {
    /// One List as JSON; faults of the input as `{"errors": [{"field", "type", "message"}]}`
    Json,
    /// One List as YAML
    Yaml,
}

/// Prints the List.
pub fn run(args: RenderArgs) -> anyhow::Result<ExitCode> {
    let documents = match input::judged(&args.files)? {
        Ok(documents) => documents,
        Err(faults) if args.format == RenderFormat::Json => {
            let error = |f: &tidepool_api::input::InputFault| json!({"field": f.fault.field, "type": f.fault.kind.name(), "message": f.fault.message});
            output::json(&json!({"errors": faults.0.iter().map(error).collect::<Vec<_>>()}))?;
            return Ok(ExitCode::from(BAD_INPUT));
        }
        Err(faults) => return Err(BadInput(faults.to_string()).into()),
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
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    match args.format {
        RenderFormat::Json => output::json(&list)?,
        RenderFormat::Yaml => output::text(serde_saphyr::to_string(&list)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
