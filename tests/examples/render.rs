//! Renders a cluster from nothing with the policies of this repository run natively: `render CLUSTER.yaml > LIST.json`.

use std::io::Write;

use serde_json::{Value, json};

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("usage: render CLUSTER.yaml"))?;
    let cluster: Value = serde_saphyr::from_str(&std::fs::read_to_string(path)?)?;
    let objects = tidepool_tests::render::render(tidepool_tests::render::with_schema_defaults(cluster))?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&list)?)?;
    Ok(())
}
