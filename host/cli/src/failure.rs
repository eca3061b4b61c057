//! How the program ends badly: what failed, on what, what to do, and with which exit code.

use std::process::ExitCode;

/// Not reached: the command was understood and could not do what it was asked to.
pub const NOT_REACHED: u8 = 1;
/// Bad input or usage, as clap exits as well.
pub const BAD_INPUT: u8 = 2;

/// Input that a person must change. The text says all of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// What to do about an error, printed after it.
#[derive(Debug, thiserror::Error)]
#[error("{error:#}\n  {hint}")]
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

/// Prints the error once, with its whole chain, and says with which code to exit.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("tidepool: {error:#}");
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    if let Some(hinted) = error.downcast_ref::<Hinted>() {
        return hinted.code;
    }
    if error.downcast_ref::<BadInput>().is_some() { BAD_INPUT } else { NOT_REACHED }
}

/// `tidepool … | head` is not an error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
