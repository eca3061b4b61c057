//! The state on disk: a file of JSON lines, one a change, shortened now and then.
//!
//! A line that was cut off by a crash is the last one; it and what follows is dropped when the file is read. The
//! shortened file is written beside the old one and renamed over it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The file is shortened when it has grown by this much; at a few kilobytes an object that is rare.
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

const FILE: &str = "objects.jsonl";

const LOCK: &str = "lock";

/// A change as it is read.
#[derive(Deserialize)]
pub(super) struct Record {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) key: String,
    pub(super) revision: u64,
    pub(super) object: Option<Value>,
}

/// A change as it is written.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) group: &'a str,
    pub(super) plural: &'a str,
    pub(super) key: &'a str,
    pub(super) revision: u64,
    pub(super) object: Option<&'a Value>,
}

pub(super) struct Log {
    /// Locked as long as this lives: two simulators in one folder would undo each other's changes.
    _lock: File,
    path: PathBuf,
    file: File,
    grown: u64,
    /// A write has failed; said once, not with every change.
    failed: bool,
}

impl Log {
    /// Opens the file in `folder`, which is made if it is missing, and reads what is in it.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Vec<Record>)> {
        fs::create_dir_all(folder)?;
        let lock = lock(folder)?;
        let path = folder.join(FILE);
        let records = match File::open(&path) {
            Ok(file) => read(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok((Self { _lock: lock, path, file, grown: 0, failed: false }, records))
    }

    /// Adds a change. Losing the disk must not stop the control plane, so a failure is only reported.
    pub(super) fn append(&mut self, line: &Line<'_>) {
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        self.grown += u64::try_from(text.len()).unwrap_or(0);
        if let Err(error) = self.file.write_all(&text)
            && !std::mem::replace(&mut self.failed, true)
        {
            tracing::error!(%error, "failed to write the state; changes from now on will not survive a restart");
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.grown > GROWTH_BYTES_MAX
    }

    /// Replaces the file by one line an object; `revision` is kept by a line of its own.
    pub(super) fn rewrite<'a>(&mut self, revision: u64, lines: impl Iterator<Item = Line<'a>>) -> io::Result<()> {
        let temporary = self.path.with_extension("new");
        let mut out = BufWriter::new(File::create(&temporary)?);
        let mark = Line { group: "", plural: "", key: "", revision, object: None };
        for line in lines.chain([mark]) {
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.grown = 0;
        Ok(())
    }
}

fn lock(folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(io::ErrorKind::ResourceBusy, "another simulator uses it")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read(file: File) -> io::Result<Vec<Record>> {
    let mut out = Vec::new();
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        match serde_json::from_slice(&line) {
            Ok(record) if line.ends_with(b"\n") => out.push(record),
            _ => break,
        }
        line.clear();
    }
    Ok(out)
}
