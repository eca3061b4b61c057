//! Why an action was not carried out.

/// Why an action was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the plan was made from is not so any more.
    #[error("failed to {verb} {subject}: it has changed since it was read")]
    Stale {
        /// What was to be done.
        verb: &'static str,
        /// To what.
        subject: String,
        /// The API server's answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server says no, and will say so again.
    #[error("failed to {verb} {subject}: {reason}")]
    Refused {
        /// What was to be done.
        verb: &'static str,
        /// To what.
        subject: String,
        /// The API server's words.
        reason: String,
    },
    /// The API server did not answer, or not well; it may have done it all the same.
    #[error("failed to {verb} {subject}")]
    Unavailable {
        /// What was to be done.
        verb: &'static str,
        /// To what.
        subject: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("failed to {verb} {subject}: no answer within {seconds} s")]
    Timeout {
        /// What was to be done.
        verb: &'static str,
        /// To what.
        subject: String,
        /// The limit.
        seconds: u64,
    },
    /// PD said no, or nothing.
    #[error(transparent)]
    Pd(#[from] tidepool_pd::Error),
    /// A component said no.
    #[error("failed to call {path} of pod {pod}: status {status}: {answer}")]
    Component {
        /// Pod.
        pod: String,
        /// Path of the call.
        path: String,
        /// HTTP status.
        status: u16,
        /// Body.
        answer: String,
    },
    /// The action names something that there is not.
    #[error("failed to form the request: {0}")]
    Invalid(String),
}

impl Error {
    /// The label of metrics, and what decides when to try again.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Stale { .. } => "stale",
            Self::Refused { .. } => "refused",
            Self::Unavailable { .. } => "unavailable",
            Self::Timeout { .. } => "timeout",
            Self::Pd(_) => "pd",
            Self::Component { .. } => "component",
            Self::Invalid(_) => "invalid",
        }
    }

    /// The message with those of its sources, for a place that shows one line.
    pub fn chain(&self) -> String {
        match self {
            Self::Pd(error) => error.chain(),
            Self::Stale { source, .. } | Self::Unavailable { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }

    /// Sorts an error of the API server.
    pub(super) fn of(verb: &'static str, subject: String, error: kube::Error) -> Self {
        let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
        match code {
            // Gone is as stale as changed: the plan was to change what it had read.
            404 | 409 | 410 => Self::Stale { verb, subject, source: Box::new(error) },
            400..=428 | 430..=499 => {
                let reason =
                    if let kube::Error::Api(status) = &error { status.message.clone() } else { error.to_string() };
                Self::Refused { verb, subject, reason }
            }
            _ => Self::Unavailable { verb, subject, source: Box::new(error) },
        }
    }
}
