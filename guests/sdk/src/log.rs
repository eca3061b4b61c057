//! Lines for the host's log. Natively they go nowhere.

/// A line that helps to follow a decision.
pub fn debug(message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::tidepool::policy::log::write(crate::bindings::tidepool::policy::log::Level::Debug, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = message;
}

/// A line about something unusual.
pub fn warn(message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::tidepool::policy::log::write(crate::bindings::tidepool::policy::log::Level::Warn, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = message;
}
