//! `tidepool crd`: the CustomResourceDefinitions, ready for `kubectl apply`.

use std::process::ExitCode;

use clap::Args;
use tidepool_api::crd;

use crate::{args::ObjectFormat, output};

const EXAMPLES: &str = "\
Examples:
  tidepool crd | kubectl apply --server-side -f -   what a cluster needs before `tidepool run`";

/// Arguments of `tidepool crd`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CrdArgs {
    /// As what; YAML is one document for each
    #[arg(short = 'o', long = "output", value_enum, default_value = "yaml", value_name = "FORMAT")]
    format: ObjectFormat,
}

/// Prints them: YAML documents, or a List as JSON.
pub fn run(args: CrdArgs) -> anyhow::Result<ExitCode> {
    let crds = [crd::tidb_cluster(), crd::policy_module()];
    match args.format {
        ObjectFormat::Json => output::objects(&crds, args.format)?,
        ObjectFormat::Yaml => {
            let documents: Vec<String> = crds.iter().map(serde_saphyr::to_string).collect::<Result<_, _>>()?;
            output::text(documents.join("---\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
