//! `tidepool crd`: the CustomResourceDefinitions, ready for `kubectl apply`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tidepool_api::crd;

use crate::{
    args::{Format, OutputArgs},
    output,
};

/// Arguments of `tidepool crd`.
#[derive(Args)]
pub struct CrdArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints them: YAML documents, or a List as JSON.
pub fn run(args: CrdArgs) -> anyhow::Result<ExitCode> {
    let crds = [crd::tidb_cluster(), crd::policy_module()];
    if args.output.format == Format::Json {
        output::json(&json!({"apiVersion": "v1", "kind": "List", "items": crds}))?;
        return Ok(ExitCode::SUCCESS);
    }
    let documents: Vec<String> = crds.iter().map(serde_saphyr::to_string).collect::<Result<_, _>>()?;
    output::text(documents.join("---\n"))?;
    Ok(ExitCode::SUCCESS)
}
