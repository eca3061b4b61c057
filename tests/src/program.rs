//! The program `tidepool`, run as its users run it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::policies;

/// The built program, of the same profile as this one.
///
/// # Panics
/// When it is not built.
pub fn path() -> PathBuf {
    // Tests, examples and benchmarks are each in a folder beside the programs.
    let own = std::env::current_exe().expect("a program");
    let path = own.ancestors().nth(2).expect("a target folder").join("tidepool");
    assert!(path.exists(), "{} is not there; run `cargo build --workspace --bins` first", path.display());
    path
}

/// A call of the program in `folder`, with the built policies, and with nothing of the user's environment that it reads.
pub fn tidepool(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(args).current_dir(folder).stdin(Stdio::null());
    for variable in ["KUBECONFIG", "TIDEPOOL_LOG", "POD_NAMESPACE", "POD_NAME"] {
        command.env_remove(variable);
    }
    command
        .env("HOME", folder)
        .env("TIDEPOOL_POLICIES", policies::copy())
        .env("TIDEPOOL_CACHE", policies::folder().with_file_name("policy-cache"));
    command
}

/// How a call ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a call to its end.
///
/// # Panics
/// When the program cannot be started.
pub fn run(mut command: Command) -> Ended {
    let output = command.output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The program under way. Its standard error is read on a thread; it is killed when this is dropped.
pub struct Running {
    child: Child,
    told: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Running {
    /// Starts a call.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let err = child.stderr.take().expect("standard error is a pipe");
        let told: Arc<(Mutex<Vec<String>>, Condvar)> = Arc::default();
        let shared = told.clone();
        thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                shared.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                shared.1.notify_all();
            }
        });
        Self { child, told }
    }

    /// Waits for a line on standard error that holds `text`, and answers with it.
    ///
    /// # Panics
    /// When none comes in time; the message holds all lines that came.
    pub fn wait_for(&self, text: &str, within: Duration) -> String {
        let (lines, news) = (&self.told.0, &self.told.1);
        let end = Instant::now() + within;
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {text:?} within {within:?}; standard error:\n{}", lines.join("\n"));
            lines = news.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What it has said on standard error so far.
    pub fn said(&self) -> String {
        self.told.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGINT and waits for the end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn interrupt(mut self, within: Duration) -> ExitStatus {
        let sent = Command::new("kill").args(["-INT", &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGINT was sent");
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < end, "still there {within:?} after SIGINT; standard error:\n{}", self.said());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it at once (SIGKILL).
    pub fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
