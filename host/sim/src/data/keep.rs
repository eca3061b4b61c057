//! The data plane's state in a file, so that databases outlive the simulator's process.

use std::{
    io::{Error, ErrorKind},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::world::World;
use crate::clock::Seed;

/// Name of the file in the data folder.
const FILE: &str = "data-plane.json";

/// Writes the state where the next start finds it.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    written: String,
    /// The last attempt failed; said once, not each time.
    failing: bool,
}

impl Keeper {
    /// A keeper for the folder `dir`, which is created if it is missing, and what it holds.
    ///
    /// # Errors
    /// When the folder cannot be used or its content is not a state.
    pub fn open(dir: &Path, seed: Seed) -> std::io::Result<(Self, World)> {
        std::fs::create_dir_all(dir)?;
        let keeper = Self { path: dir.join(FILE), written: String::new(), failing: false };
        let text = match std::fs::read_to_string(&keeper.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((keeper, World::new(seed))),
            Err(error) => return Err(error),
        };
        let kept: Value = serde_json::from_str(&text).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        let world = World::restore(seed, kept).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        Ok((keeper, world))
    }

    /// Writes `world` if it has changed: beside the old file first, so that a crash leaves one of them whole.
    pub fn save(&mut self, world: &World) {
        let text = match world.keep() {
            Ok(kept) => kept.to_string(),
            Err(error) => {
                tracing::warn!(%error, "failed to write the state of the data plane down");
                return;
            }
        };
        if text == self.written {
            return;
        }
        let beside = self.path.with_extension("new");
        let saved = std::fs::write(&beside, &text).and_then(|()| std::fs::rename(&beside, &self.path));
        let failed = std::mem::replace(&mut self.failing, saved.is_err());
        match saved {
            Ok(()) => self.written = text,
            Err(error) if !failed => {
                let path = self.path.display();
                tracing::error!(%error, "failed to write {path}; what happens from now on may not survive a restart");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pd::{Start, StartArgs};

    #[test]
    fn a_pd_and_its_disk_survive() {
        let dir = std::env::temp_dir().join(format!("tidepool-keep-{}", std::process::id()));
        let (mut keeper, mut world) = Keeper::open(&dir, Seed(1)).unwrap();
        let pod = ("ns".to_owned(), "a-pd-0".to_owned());
        let args = StartArgs {
            name: "a-pd-0".to_owned(),
            data_dir: "volume/1".to_owned(),
            advertise_client_url: "http://a-pd-0:2379".to_owned(),
            advertise_peer_url: "http://a-pd-0:2380".to_owned(),
            ..StartArgs::default()
        };
        assert_eq!(world.start_pd(1_000, &pod, args), Start::Runs);
        let cluster = world.fleet.cluster_id("ns/a-pd-0");
        world.store_disks.insert("volume/2".to_owned(), (cluster.unwrap(), 4));
        keeper.save(&world);
        let (_, mut restored) = Keeper::open(&dir, Seed(1)).unwrap();
        assert_eq!(restored.fleet.cluster_id("ns/a-pd-0"), cluster);
        assert!(restored.has_pd_data("volume/1"));
        assert_eq!(restored.store_disks, world.store_disks);
        assert_eq!(restored.fleet.leader(60_000, cluster.unwrap()), Some("a-pd-0".to_owned()));
        std::fs::write(dir.join(FILE), "{").unwrap();
        assert!(Keeper::open(&dir, Seed(1)).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
