//! Files that people wrote, read and judged before anything is done with them.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;
use tidepool_api::input::{self, Document, InputError, InputFault};

use crate::{
    failure::{BAD_INPUT, BadInput},
    output,
};

/// Largest file that is read. A TidbCluster has some KiB.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads `files`; `-` is standard input.
///
/// # Errors
/// [`BadInput`] with every fault of every document, or why a file cannot be read.
pub fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Document>> {
    judged(files)?.map_err(|faults| refused(&faults).into())
}

/// As [`read`], for those who may want JSON: then the faults go to standard output, and the answer is how to exit.
///
/// # Errors
/// As [`read`].
pub fn read_for(files: &[PathBuf], json: bool) -> anyhow::Result<Result<Vec<Document>, ExitCode>> {
    match judged(files)? {
        Ok(documents) => Ok(Ok(documents)),
        Err(faults) if json => {
            let error = |f: &InputFault| {
                let (origin, fault) = (&f.origin, &f.fault);
                json!({
                    "file": origin.file, "document": origin.document, "field": fault.field, "type": fault.kind.name(),
                    "message": fault.message,
                })
            };
            output::json(&json!({"errors": faults.0.iter().map(error).collect::<Vec<_>>()}))?;
            Ok(Err(ExitCode::from(BAD_INPUT)))
        }
        Err(faults) => Err(refused(&faults).into()),
    }
}

fn judged(files: &[PathBuf]) -> anyhow::Result<Result<Vec<Document>, InputError>> {
    let mut texts = Vec::with_capacity(files.len());
    for file in files {
        texts.push((name(file), text(file)?));
    }
    Ok(input::read(texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))))
}

/// Judges texts, given with the names of their files.
///
/// # Errors
/// [`BadInput`] with every fault of every document.
pub fn parse<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> anyhow::Result<Vec<Document>> {
    input::read(texts).map_err(|faults| refused(&faults).into())
}

fn refused(faults: &InputError) -> BadInput {
    let lines: Vec<String> = faults.0.iter().map(|fault| format!("  {fault}")).collect();
    BadInput(format!("the input is refused, and nothing is written\n{}", lines.join("\n")))
}

/// A file that was named and cannot be read.
pub fn unreadable(file: &Path, error: &std::io::Error) -> BadInput {
    BadInput(format!("failed to read {}: {error}", name(file)))
}

fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".into() } else { file.display().to_string() }
}

fn text(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    let bytes = read.map_err(|error| unreadable(file, &error))?;
    if bytes as u64 > FILE_BYTES_MAX {
        return Err(BadInput(format!("{} is larger than {FILE_BYTES_MAX} bytes", name(file))).into());
    }
    Ok(text)
}
