//! Renders clusters from nothing with the policies of this repository run natively.
//!
//! `render CLUSTER.yaml` prints a List; `render --goldens FOLDER` writes `FOLDER/<case>.json` for every case of the
//! goldens, with the settings that those were recorded with. A cluster that is refused gives its errors instead.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tidepool_api::input;
use tidepool_model::render::Deciding;
use tidepool_tests::render;

/// Image of discovery in the goldens.
const DISCOVERY_IMAGE: &str = "pingcap/tidb-operator:v1.6.6";

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--goldens", folder] => goldens(Path::new(folder)),
        [file] => {
            let list = rendered(Path::new(file), &render::policies())?;
            writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&list)?)?;
            Ok(())
        }
        _ => anyhow::bail!("usage: render CLUSTER.yaml | render --goldens FOLDER"),
    }
}

fn goldens(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let mut policies = render::policies();
    for policy in policies.iter_mut().filter(|policy| policy.descriptor.component == "discovery") {
        policy.settings = serde_json::value::to_raw_value(&json!({"image": DISCOVERY_IMAGE}))?;
    }
    for case in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens"))? {
        let file: PathBuf = case?.path().join("cluster.yaml");
        let Some(name) = file.parent().and_then(Path::file_name).filter(|_| file.exists()) else { continue };
        let out = folder.join(name).with_extension("json");
        fs::write(out, serde_json::to_string_pretty(&rendered(&file, &policies)?)?)?;
    }
    Ok(())
}

fn rendered(file: &Path, policies: &[Deciding<'_>]) -> anyhow::Result<Value> {
    let text = fs::read_to_string(file)?;
    let documents = match input::read([(file.to_string_lossy().as_ref(), text.as_str())]) {
        Ok(documents) => documents,
        Err(faults) => return Ok(errors(&faults)),
    };
    let cluster = documents.into_iter().map(|document| document.value).find(|value| value["kind"] == "TidbCluster");
    let cluster = cluster.ok_or_else(|| anyhow::anyhow!("{}: no TidbCluster", file.display()))?;
    match render::render_with(render::with_schema_defaults(cluster), policies) {
        Ok(objects) => Ok(json!({"apiVersion": "v1", "kind": "List", "items": objects})),
        Err(error) => Ok(json!({"failed": error.to_string()})),
    }
}

fn errors(faults: &input::InputError) -> Value {
    let error = |fault: &input::InputFault| {
        let fault = &fault.fault;
        json!({"field": fault.field, "type": fault.kind.name(), "message": fault.to_string()})
    };
    json!({"errors": faults.0.iter().map(error).collect::<Vec<_>>()})
}
