//! What is printed where: results on standard output, all else on standard error, colours only on a terminal.

use std::io::{IsTerminal, Write};

use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use serde_json::json;

use crate::args::{Log, ObjectFormat};

/// Sends the log to standard error.
pub fn start_log(level: Log) {
    let level = match level {
        Log::Off => return,
        Log::Error => "error",
        Log::Warn => "warn",
        Log::Info => "info",
        Log::Debug => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse_lossy(format!("error,kube_client=off,tidepool={level},tidepool_operator={level},tidepool_policy={level},tidepool_sim={level},tidepool_pd={level}"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Prints a result as JSON.
///
/// # Errors
/// When standard output is gone.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    text(serde_json::to_string_pretty(value)?)
}

/// Prints objects as one List.
///
/// # Errors
/// When standard output is gone.
pub fn objects(items: &impl Serialize, format: ObjectFormat) -> anyhow::Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    match format {
        ObjectFormat::Json => json(&list),
        ObjectFormat::Yaml => text(serde_saphyr::to_string(&list)?),
    }
}

/// Prints text for people.
///
/// # Errors
/// When standard output is gone.
pub fn text(text: impl AsRef<str>) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", text.as_ref().trim_end())?;
    Ok(())
}

/// Prints a table.
///
/// # Errors
/// When standard output is gone.
pub fn rows(table: &Table) -> anyhow::Result<()> {
    text(table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n"))
}

/// A table without lines, as the tools of this field print them.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().map(|word| word.to_uppercase()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// A count of bytes for people.
pub fn bytes(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    if kib < 1024.0 { format!("{kib:.0} KiB") } else { format!("{:.2} MiB", kib / 1024.0) }
}
