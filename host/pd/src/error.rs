//! Why PD, or a component, gave no usable answer.

use crate::http::BoxError;

/// Longest part of a body that an error repeats.
const BODY_IN_ERROR_CHARS_MAX: usize = 300;

/// Why a request failed. `request` is its method and path.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time.
    #[error("failed to {request}: no answer within {seconds} s")]
    Timeout {
        /// Method and path.
        request: String,
        /// The limit.
        seconds: u64,
    },
    /// The connection failed, or the answer broke off.
    #[error("failed to {request}")]
    Transport {
        /// Method and path.
        request: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// An answer that means no.
    #[error("failed to {request}: status {status}: {body}")]
    Status {
        /// Method and path.
        request: String,
        /// HTTP status.
        status: u16,
        /// The first part of the body.
        body: String,
    },
    /// An answer that could not be read.
    #[error("failed to read the answer to {request}")]
    Decode {
        /// Method and path.
        request: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A request that cannot be sent as it is.
    #[error("failed to form the request {request}")]
    Request {
        /// Method and path.
        request: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// There is no certificate to show.
    #[error("failed to {request}")]
    Identity {
        /// What was to be asked.
        request: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// PD answered, and the change cannot be taken as done, or may not be tried now.
    #[error("failed to {request}: {reason}")]
    NotConfirmed {
        /// What was to be done.
        request: String,
        /// Why it is not done.
        reason: String,
    },
}

impl Error {
    /// The label of metrics: `timeout`, `transport`, `refused`, `decode`, `request`, `identity` or `not-confirmed`.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Transport { .. } => "transport",
            Self::Status { .. } => "refused",
            Self::Decode { .. } => "decode",
            Self::Request { .. } => "request",
            Self::Identity { .. } => "identity",
            Self::NotConfirmed { .. } => "not-confirmed",
        }
    }

    /// The message with those of its sources, for a place that shows one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    }

    pub(crate) fn status(request: String, status: u16, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let body = body.trim().chars().take(BODY_IN_ERROR_CHARS_MAX).collect();
        Self::Status { request, status, body }
    }
}
