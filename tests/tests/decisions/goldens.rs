//! Every cluster of the goldens is rendered from nothing, natively and in the sandbox, with equal results.

use std::{fs, path::Path};

use serde_json::Value;
use tidepool_api::crd;
use tidepool_tests::render;

#[test]
fn the_sandbox_renders_every_golden_cluster_as_native_code_does() {
    let (native, sandboxed) = (render::policies(), render::sandboxed());
    let mut complaints = Vec::new();
    let mut cases = 0;
    for (name, cluster) in clusters() {
        cases += 1;
        let result = |policies| render::render_with(cluster.clone(), policies).map_err(|error| error.to_string());
        let (by_native, in_sandbox) = (result(&native), result(&sandboxed));
        if by_native != in_sandbox {
            complaints.push(format!("{name}: native {by_native:?}, sandbox {in_sandbox:?}"));
        }
    }
    assert!(cases > 40, "only {cases} clusters: are the goldens complete?");
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn rendering_twice_gives_the_same_bytes() {
    let policies = render::policies();
    for (name, cluster) in clusters() {
        let text =
            || render::render_with(cluster.clone(), &policies).map(|objects| Value::from(objects).to_string()).ok();
        assert_eq!(text(), text(), "{name}");
    }
}

fn clusters() -> Vec<(String, Value)> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens");
    let mut folders: Vec<_> =
        fs::read_dir(goldens).expect("the goldens").map(|e| e.expect("an entry").path()).collect();
    folders.sort();
    let cluster = |folder: &std::path::PathBuf| {
        let text = fs::read_to_string(folder.join("cluster.yaml")).ok()?;
        let name = folder.file_name()?.to_str()?.to_owned();
        Some((name, crd::with_defaults(serde_saphyr::from_str(&text).ok()?)))
    };
    folders.iter().filter_map(cluster).collect()
}
