//! Finds the policies and loads them.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use tidepool_policy::{Cache, Registry, Runtime};

use crate::{
    args::{CacheArgs, PolicyDirArgs},
    failure::{BadInput, Hint},
};

/// What to do where policies are missing.
const HINT: &str = "name a folder of policies with --policy-dir, or build them with `make guests`";

/// The folder of policies that `args` means.
///
/// # Errors
/// When none is given and none is found.
pub fn directory(args: &PolicyDirArgs) -> anyhow::Result<PathBuf> {
    if let Some(directory) = &args.policy_dir {
        return Ok(directory.clone());
    }
    let program = std::env::current_exe().context("failed to find this program's own folder")?;
    let beside = program.ancestors().skip(1).take(2).map(|folder| folder.join("policies"));
    match beside.into_iter().find(|folder| folder.is_dir()) {
        Some(folder) => Ok(folder),
        None => Err(anyhow::anyhow!("no folder of policies beside {}", program.display())).hint(HINT),
    }
}

/// A registry with all policies of the folder; one that is refused fails the start.
///
/// # Errors
/// When the folder cannot be read, holds no policy, or a policy is refused.
pub fn load(args: &PolicyDirArgs) -> anyhow::Result<Arc<Registry>> {
    let directory = directory(args)?;
    let runtime = Runtime::new().map_err(|error| anyhow::anyhow!("failed to start the sandbox: {error:#}"))?;
    let registry = Registry::new(runtime, cache(&args.cache));
    let loaded = registry
        .load_directory(&directory)
        .map_err(|error| BadInput(format!("failed to read the policies in {}: {error}", directory.display())))
        .hint(HINT)?;
    let refused: Vec<String> = loaded.iter().filter_map(|file| file.as_ref().err()).map(ToString::to_string).collect();
    if !refused.is_empty() {
        let files = if refused.len() == 1 { "a policy is" } else { "policies are" };
        return Err(BadInput(format!("{files} refused:\n  {}", refused.join("\n  "))).into());
    }
    if registry.components().is_empty() {
        return Err(BadInput(format!("no policies (*.wasm) in {}", directory.display()))).hint(HINT);
    }
    Ok(Arc::new(registry))
}

/// Where compiled policies are kept. Without a place for them every start compiles.
pub fn cache(args: &CacheArgs) -> Cache {
    let Some(directory) = args.cache_dir.clone().or_else(default_cache) else { return Cache::none() };
    Cache::in_directory(&directory).unwrap_or_else(|error| {
        tracing::warn!(directory = %directory.display(), %error, "no cache for compiled policies");
        Cache::none()
    })
}

fn default_cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(base.join("tidepool").join("compiled"))
}
