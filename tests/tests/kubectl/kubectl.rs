//! Calls of kubectl.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tidepool_tests::program::Ended;

/// kubectl with one kubeconfig.
pub struct Kubectl {
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// kubectl for this kubeconfig; none if it is missing and may be.
    pub fn find(kubeconfig: &Path) -> Option<Self> {
        let found = Command::new(program()).args(["version", "--client"]).stdout(Stdio::null()).status();
        if found.is_ok_and(|status| status.success()) {
            return Some(Self { kubeconfig: kubeconfig.to_owned() });
        }
        let skip = std::env::var("TIDEPOOL_SKIP_KUBECTL").is_ok_and(|value| value == "1");
        assert!(skip, "kubectl 1.32 or newer is needed on the PATH; TIDEPOOL_SKIP_KUBECTL=1 skips what needs it");
        None
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(program());
        command.args(words(line)).env("KUBECONFIG", &self.kubeconfig).env("HOME", self.kubeconfig.with_file_name(""));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command line; words in single quotes are one.
    pub fn run(&self, line: &str) -> Ended {
        self.with_input(line, "")
    }

    /// Runs a command line that reads `input`.
    pub fn with_input(&self, line: &str, input: &str) -> Ended {
        let mut child = self.command(line).spawn().expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may end without reading.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("kubectl ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Runs a command that must succeed, and answers with what it prints.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        let ended = self.run(line);
        assert_eq!(ended.code, Some(0), "kubectl {line}\n{}{}", ended.out, ended.err);
        ended.out
    }

    /// Runs a command that must succeed and print each of `expected`.
    #[track_caller]
    pub fn shows(&self, line: &str, expected: &[&str]) {
        let out = self.ok(line);
        for text in expected {
            assert!(out.contains(text), "kubectl {line}: no {text:?} in\n{out}");
        }
    }

    /// Runs a command that must fail and say each of `expected`.
    #[track_caller]
    pub fn refuses(&self, line: &str, expected: &[&str]) {
        self.refuses_input(line, "", expected);
    }

    /// Runs a command on `input` that must fail and say each of `expected`.
    #[track_caller]
    pub fn refuses_input(&self, line: &str, input: &str, expected: &[&str]) {
        let ended = self.with_input(line, input);
        assert_eq!(ended.code, Some(1), "kubectl {line}\n{}{}", ended.out, ended.err);
        for text in expected {
            assert!(ended.err.contains(text), "kubectl {line}: no {text:?} in\n{}", ended.err);
        }
    }

    /// Runs a command on `input` that must succeed without a warning and print `expected`.
    #[track_caller]
    pub fn takes(&self, line: &str, input: &str, expected: &str) {
        let ended = self.with_input(line, input);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "kubectl {line}\n{}", ended.out);
        assert!(ended.out.contains(expected), "kubectl {line}: no {expected:?} in\n{}", ended.out);
    }

    /// Repeats a command until it succeeds and `wanted` holds of what it prints.
    #[track_caller]
    pub fn until(&self, line: &str, within: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + within;
        loop {
            let ended = self.run(line);
            if ended.code == Some(0) && wanted(&ended.out) {
                return ended.out;
            }
            assert!(Instant::now() < end, "kubectl {line}: still not after {within:?}:\n{}{}", ended.out, ended.err);
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs a command that does not end by itself, does `change` once it has printed something, and waits until it prints
    /// a line with `expected`.
    #[track_caller]
    pub fn follows(&self, line: &str, within: Duration, change: impl FnOnce(), expected: &str) {
        let mut child = self.command(line).spawn().expect("kubectl starts");
        let out = child.stdout.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // Nobody listens any more once the line was seen.
                let _ = sender.send(line);
            }
        });
        let first = lines.recv_timeout(within);
        change();
        let end = Instant::now() + within;
        let seen = std::iter::from_fn(|| lines.recv_timeout(end.saturating_duration_since(Instant::now())).ok());
        let found = seen.into_iter().any(|line| line.contains(expected));
        let _ = child.kill();
        let _ = child.wait();
        assert!(first.is_ok(), "kubectl {line}: nothing");
        assert!(found, "kubectl {line}: no {expected:?} within {within:?}");
    }
}

fn program() -> String {
    std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".into())
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
