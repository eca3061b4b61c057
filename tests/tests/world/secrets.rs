//! S28: what is in a Secret turns up in no log. What is written, recorded and measured is looked at in every scenario.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use tidepool_tests::{certs::leaked, scenario, world::in_virtual_time};
use tracing_subscriber::fmt::MakeWriter;

const SCRIPT: &str = "apply examples/tls.yaml\ncerts tls\nadvance 240\ncerts tls new-ca\nadvance 30\n\
                      certs tls stranger\nadvance 30\ncerts tls none\nadvance 30\n";

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn no_log_holds_what_is_in_a_secret() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(log.clone()).with_ansi(false);
    let played = tracing::subscriber::with_default(subscriber.finish(), || {
        in_virtual_time(scenario::play(SCRIPT, 2, "")).expect("played")
    });
    assert_eq!(played.broken, [""; 0]);
    let text = String::from_utf8_lossy(&log.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    assert!(text.contains("tls-pd-0"), "the log is that of this run: {} bytes", text.len());
    let line = text.lines().find(|line| leaked(line).is_some());
    assert_eq!(line, None);
}
