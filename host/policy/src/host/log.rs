//! `tidepool:policy/log`.

use crate::{
    bindings::tidepool::policy::log::{Host, Level},
    policy::LogLevel,
    state::CallState,
};

impl Host for CallState {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        CallState::log(self, level, message);
        Ok(())
    }
}
