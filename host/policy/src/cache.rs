//! Compiled policies, kept between runs of the host.
//!
//! Loading compiled code runs it, so the directory belongs to the host alone: that is what protects it. Against damage
//! there is a checksum beside each file; a digest would take longer than all the rest of a swap. A file that does not fit
//! is ignored and written anew; the cache only ever saves time.

use std::{
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component};

/// A directory of compiled policies, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    directory: Option<PathBuf>,
}

impl Cache {
    /// No cache: every load compiles.
    pub fn none() -> Self {
        Self::default()
    }

    /// A cache in `directory`, which is created with access for this user alone.
    ///
    /// # Errors
    /// When it cannot be created, or others can write to it.
    pub fn in_directory(directory: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(directory)?;
        own(directory)?;
        Ok(Self { directory: Some(directory.to_owned()) })
    }

    pub(crate) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(engine, digest)?;
        let sum = fs::read_to_string(sum_of(&path)).ok()?;
        if sum != checksum(&fs::read(&path).ok()?) {
            tracing::warn!(policy = digest, "a compiled policy in the cache is damaged; compiling it again");
            return None;
        }
        load(engine, &path)
    }

    pub(crate) fn put(&self, engine: &Engine, digest: &str, component: &Component) {
        let Some(path) = self.path(engine, digest) else { return };
        let written = component.serialize().map_err(|error| error.to_string()).and_then(|compiled| {
            write_whole(&path, &compiled)
                .and_then(|()| write_whole(&sum_of(&path), checksum(&compiled).as_bytes()))
                .map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            tracing::warn!(policy = digest, %error, "failed to keep a compiled policy; the next start compiles it again");
        }
    }

    /// The name holds all that the compiled code depends on: component, wasmtime's version and its configuration; and the
    /// version of the host that verified it.
    fn path(&self, engine: &Engine, digest: &str) -> Option<PathBuf> {
        let mut hasher = Digester(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        (env!("CARGO_PKG_VERSION"), digest).hash(&mut hasher);
        let name = hasher.0.finalize().iter().fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
        Some(self.directory.as_ref()?.join(format!("{name}.cwasm")))
    }
}

/// Feeds whatever hashes itself into SHA-256.
struct Digester(Sha256);

impl Hasher for Digester {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// The file with the checksum of the one at `path`.
fn sum_of(path: &Path) -> PathBuf {
    path.with_extension("sum")
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:08x} {}", crc32fast::hash(bytes), bytes.len())
}

/// A reader sees the old file or the new one, never a part.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_added_extension(format!("{}.part", std::process::id()));
    fs::write(&part, bytes)?;
    fs::rename(&part, path)
}

#[allow(unsafe_code)]
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    // SAFETY: the file came out of `Component::serialize` of this host: only it can write to the directory, and the
    // checksum was right. It is mapped, and never written again: a newer one takes its name.
    match unsafe { Component::deserialize_file(engine, path) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(%error, "a compiled policy in the cache does not load; compiling it again");
            None
        }
    }
}

#[cfg(unix)]
fn own(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    let mode = fs::metadata(directory)?.mode();
    if mode & 0o022 != 0 {
        return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, "others can write to the policy cache"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn own(_: &Path) -> std::io::Result<()> {
    Ok(())
}
