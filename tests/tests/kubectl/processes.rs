//! Operator and simulator in two processes, also when either is killed and started again.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tidepool_tests::program::{self, Running};

use crate::{Kubectl, READY_MAX, SOON, START_MAX};

/// An address of this machine that nobody listens on now.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

fn simulator(folder: &Path, address: &str) -> Running {
    let args = ["sim", "serve", "--listen", address, "--write-kubeconfig", "kubeconfig", "--data-dir", "state"];
    let simulator = Running::start(program::tidepool(folder, &args));
    simulator.wait_for("Kubernetes API at", SOON);
    simulator
}

/// The operator, and the address of its metrics.
fn operator(folder: &Path) -> (Running, String) {
    let args = ["run", "--kubeconfig", "kubeconfig", "--listen", "127.0.0.1:0"];
    let operator = Running::start(program::tidepool(folder, &args));
    let told = operator.wait_for("metrics and health at http://127.0.0.1:", START_MAX);
    let address = told.rsplit('/').next().unwrap_or_default().to_owned();
    (operator, address)
}

/// What an operator answers, headers and all.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn both_sides_survive_being_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(kubectl) = Kubectl::find(&folder.path().join("kubeconfig")) else { return };
    let address = free_address();
    let first = simulator(folder.path(), &address);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/minimal.yaml");
    kubectl.shows(&format!("apply -f {}", file.display()), &["created"]);
    // The operator dies as soon as it has begun.
    let (dying, _) = operator(folder.path());
    kubectl.until("get sts -o name", SOON, |out| out.contains("minimal-pd"));
    dying.kill();
    let (living, metrics) = operator(folder.path());
    kubectl.until("get sts -o name", READY_MAX, |out| out.contains("minimal-tikv"));
    assert!(get(&metrics, "/readyz").starts_with("HTTP/1.1 200 "), "{}", get(&metrics, "/readyz"));
    let waited = r#"tidepool_waiting{component="tidb",reason="StoresNotUp"}"#;
    // The StatefulSet is seen before its round ends.
    let end = Instant::now() + SOON;
    while !get(&metrics, "/metrics").contains(waited) {
        assert!(Instant::now() < end, "no {waited}: {}", get(&metrics, "/metrics"));
        thread::sleep(Duration::from_millis(50));
    }
    // So does the simulator: its state is in the folder.
    let identity = "get tc minimal -o 'jsonpath={.metadata.uid}'";
    let before = kubectl.ok(identity);
    first.kill();
    let second = simulator(folder.path(), &address);
    assert_eq!(kubectl.ok(identity), before);
    let seconds = READY_MAX.as_secs();
    kubectl.shows(&format!("wait --for=condition=Ready tc/minimal --timeout {seconds}s"), &["condition met"]);
    assert!(living.interrupt(SOON).success(), "SIGINT ends the operator well");
    assert!(second.interrupt(SOON).success(), "SIGINT ends the simulator well");
}
