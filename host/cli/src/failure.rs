//! How the program ends badly: what failed, on what, what to do, and with which exit code.

use std::process::ExitCode;

/// Not reached: the command was understood and could not do what it was asked to.
pub const NOT_REACHED: u8 = 1;
/// Bad input or usage, as clap exits as well.
pub const BAD_INPUT: u8 = 2;

/// What to do when an address cannot be listened on.
pub const LISTEN_HINT: &str =
    "another program has the port, or the address is not this machine's; choose another with --listen";

/// Input that a person must change. The text says all of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// What to do about an error, printed after it.
#[derive(Debug, thiserror::Error)]
#[error("{}\n  {hint}", chain(error))]
struct Hinted {
    error: anyhow::Error,
    hint: String,
    code: u8,
}

/// Adds what to do.
pub trait Hint<T> {
    /// `hint` is a sentence that starts with a verb.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Hint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            let code = code(&error);
            Hinted { error, hint: hint.into(), code }.into()
        })
    }
}

/// Prints the error once, as clap prints those of usage, with its whole chain, and says with which code to exit.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", chain(error));
    ExitCode::from(code(error))
}

/// The error with its causes. Some errors tell their cause themselves; it is not said twice.
pub fn chain(error: &anyhow::Error) -> String {
    error.chain().map(words).fold(String::new(), |told, cause| match told {
        told if told.is_empty() => cause,
        told if told.contains(&cause) => told,
        told => format!("{told}: {cause}"),
    })
}

/// What an API server says is meant for people; what the client makes of it is not.
fn words(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => without_number(&cause.to_string()),
    }
}

/// Numbers of the system's errors say nothing that their words do not: `File exists (os error 17)`.
fn without_number(text: &str) -> String {
    const NUMBER: &str = " (os error ";
    let mut parts = text.split(NUMBER);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |told, part| match part.split_once(')') {
        Some((number, rest)) if number.chars().all(|c| c.is_ascii_digit()) => told + rest,
        _ => told + NUMBER + part,
    })
}

fn code(error: &anyhow::Error) -> u8 {
    if let Some(hinted) = error.downcast_ref::<Hinted>() {
        return hinted.code;
    }
    let bad = error.chain().any(|cause| cause.is::<BadInput>());
    if bad { BAD_INPUT } else { NOT_REACHED }
}

/// `tidepool … | head` is not an error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to ask: {0}")]
    struct Wordy(#[source] std::io::Error);

    #[test]
    fn a_cause_that_an_error_tells_itself_is_told_once() {
        let cause = std::io::Error::other("nobody listens");
        let error = Err::<(), _>(Wordy(cause)).context("failed to plan").hint("start it").unwrap_err();
        assert_eq!(error.to_string(), "failed to plan: failed to ask: nobody listens\n  start it");
    }

    #[test]
    fn numbers_of_errors_are_left_out() {
        assert_eq!(without_number("a: File exists (os error 17)\n  b"), "a: File exists\n  b");
        assert_eq!(without_number("two (os error 1), (os error 2) (os error x)"), "two, (os error x)");
    }
}
