//! Drives a simulated PD for `tests/tools/pd_conformance.py`: one JSON line in, one JSON line out.
//!
//! Members are real HTTP servers, time is virtual: it moves by the order `advance`, by the delay of an answer, and
//! with the machine while a request hangs, because the client's limit is in real time.
//!
//! `pd-driver [--tls-dir DIR] [--seed N]`; with TLS the certificates for the replayer are written to DIR.

use std::{
    collections::BTreeMap,
    io::BufRead,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};
use tidepool_pd::tls::{self, Pem};
use tidepool_sim::{
    authority::Authority,
    clock::{Seed, VIRTUAL_EPOCH_MS},
    data::pd::{
        Answer, Fleet, Phase, Request, Start, StartArgs, Stop, StoreRefusal, StoreSpec,
        server::{ServeError, TlsSource, read, response, serve},
    },
};
use tokio::task::JoinHandle;

const VERSION: &str = "8.5.7";
/// A step of waiting inside an order.
const STEP_MS: u64 = 20;
/// An order that takes longer than this has failed.
const ORDER_MS_MAX: u64 = 120_000;
/// A joiner that ended is started again after so long, as a Pod would be.
const RESTART_MS: u64 = 1_000;
/// What the recorded drivers took for their own work.
const BOOTSTRAP_MS: u64 = 1_000;
const STORE_MS: u64 = 500;
const SETTLE_MS: u64 = 6_000;

struct World {
    fleet: Fleet,
    now: u64,
}

/// The clock and the fleet are shared with the servers.
#[derive(Clone)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut Fleet, &mut u64) -> T) -> T {
        let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let World { fleet, now } = &mut *world;
        work(fleet, now)
    }

    /// One look at what the process does; time moves by what the answer takes.
    fn ask(&self, process: &str, request: &mut Request) -> Answer {
        self.with(|fleet, now| {
            let answer = fleet.handle(*now, process, request);
            match &answer {
                Answer::Reply(reply) => *now += reply.after_ms,
                Answer::Retry { after_ms } => {
                    *now += after_ms;
                    request.waited_ms += after_ms;
                }
                Answer::Hang | Answer::Refused => {}
            }
            answer
        })
    }

    async fn answer<B>(
        self,
        process: String,
        request: http::Request<B>,
    ) -> Result<http::Response<Full<Bytes>>, ServeError>
    where
        B: hyper::body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut request = read(request).await?;
        loop {
            match self.ask(&process, &mut request) {
                Answer::Reply(reply) => return Ok(response(&reply)),
                Answer::Refused => return Err(ServeError::Refused),
                Answer::Retry { .. } => {}
                Answer::Hang => loop {
                    tokio::time::sleep(Duration::from_millis(STEP_MS)).await;
                    self.with(|_, now| *now += STEP_MS);
                },
            }
        }
    }
}

struct Driver {
    shared: Shared,
    runtime: tokio::runtime::Runtime,
    members: BTreeMap<String, Server>,
    stores: BTreeMap<String, (u64, StoreSpec)>,
    config: Value,
    tls: Option<TlsSource>,
    tls_dir: Option<PathBuf>,
}

struct Server {
    port: u16,
    task: Option<JoinHandle<()>>,
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (mut tls_dir, mut seed) = (None, 1);
    while let Some(arg) = args.next() {
        let value = args.next().context("an option without a value")?;
        match arg.as_str() {
            "--tls-dir" => tls_dir = Some(PathBuf::from(value)),
            "--seed" => seed = value.parse().context("failed to read the seed")?,
            _ => bail!("unknown option {arg}"),
        }
    }
    let world = World { fleet: Fleet::new(Seed(seed)), now: VIRTUAL_EPOCH_MS };
    let mut driver = Driver {
        shared: Shared(Arc::new(Mutex::new(world))),
        runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
        members: BTreeMap::new(),
        stores: BTreeMap::new(),
        config: Value::Null,
        tls: None,
        tls_dir,
    };
    for line in std::io::stdin().lock().lines() {
        let order: Value = serde_json::from_str(&line?)?;
        let mut answer =
            driver.carry_out(&order["do"]).unwrap_or_else(|error| json!({"ok": false, "error": format!("{error:#}")}));
        if answer.get("ok").is_none() {
            answer["ok"] = json!(true);
        }
        println!("{answer}");
    }
    Ok(())
}

impl Driver {
    fn carry_out(&mut self, order: &Value) -> Result<Value> {
        let text = |key: &str| order[key].as_str().unwrap_or_default().to_owned();
        let (member, store) = (text("member"), text("store"));
        match order["op"].as_str().unwrap_or_default() {
            "start-cluster" => self.start_cluster(order),
            "advance" => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                self.advance((order["seconds"].as_f64().unwrap_or(0.0) * 1_000.0).round() as u64);
                Ok(json!({}))
            }
            "start-member" => self.start_member(&member, order["join"] == true, order["wait"] != false),
            "stop-member" => self.stop_member(&member, if order["how"] == "term" { Stop::Term } else { Stop::Kill }),
            "pause-member" => {
                self.shared.with(|fleet, now| fleet.pause(*now, &member));
                Ok(json!({}))
            }
            "resume-member" => {
                self.shared.with(|fleet, now| fleet.resume(*now, &member));
                Ok(json!({}))
            }
            "wipe-member" => {
                self.shared.with(|fleet, _| fleet.wipe(&member));
                Ok(json!({}))
            }
            "lead" => self.lead(&member),
            "member-running" => {
                let phase = self.shared.with(|fleet, now| fleet.phase(*now, &member));
                Ok(json!({"running": phase != Phase::Gone}))
            }
            "bootstrap" => self.register(&store, order, Registration::Bootstrap),
            "put-store" => self.register(&store, order, Registration::New),
            "reput-store" => self.register(&store, order, Registration::Again),
            "add-regions" => self.add_regions(order),
            "stop-store" => self.store_order(&store, false),
            "start-store" => self.store_order(&store, true),
            other => bail!("unknown op {other}"),
        }
    }

    fn advance(&self, ms: u64) {
        self.shared.with(|fleet, now| {
            *now += ms;
            fleet.phase(*now, "");
        });
    }

    /// Lets time pass until `done`.
    fn wait(&self, what: &str, mut done: impl FnMut(&Shared) -> bool) -> Result<()> {
        for _ in 0..ORDER_MS_MAX / STEP_MS {
            if done(&self.shared) {
                return Ok(());
            }
            self.advance(STEP_MS);
        }
        bail!("{what} did not happen in {ORDER_MS_MAX} ms")
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    fn url(&self, member: &str, port: u16) -> String {
        format!("{}://{member}.basic-pd-peer.golden.svc:{port}", self.scheme())
    }

    fn args(&self, member: &str, join: String) -> StartArgs {
        StartArgs {
            name: member.into(),
            data_dir: member.into(),
            advertise_client_url: self.url(member, 2379),
            advertise_peer_url: self.url(member, 2380),
            initial_cluster: format!("{member}={}", self.url(member, 2380)),
            join,
            version: format!("v{VERSION}"),
            config: self.config.clone(),
            api_mode: false,
        }
    }

    fn start_cluster(&mut self, order: &Value) -> Result<Value> {
        self.config = order["config"].clone();
        if order["tls"] == true {
            let dir = self.tls_dir.clone().context("this scenario needs --tls-dir")?;
            self.tls = Some(make_certificates(&dir)?);
        }
        let names: Vec<String> = order["members"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let first = names.first().context("no members")?.clone();
        for name in &names {
            let join = if *name == first { String::new() } else { self.url(&first, 2379) };
            self.start_until_it_runs(name, &join)?;
        }
        self.lead(&first)?;
        self.advance(SETTLE_MS);
        let bases: BTreeMap<&String, String> = names
            .iter()
            .filter_map(|name| {
                Some((name, format!("{}://{}:{}", self.scheme(), address(), self.members.get(name)?.port)))
            })
            .collect();
        Ok(json!({"bases": bases}))
    }

    /// Starts a member, again if it ends, and waits until it serves.
    fn start_until_it_runs(&mut self, member: &str, join: &str) -> Result<()> {
        let begin = self.shared.with(|_, now| *now);
        loop {
            let args = self.args(member, join.into());
            match self.shared.with(|fleet, now| fleet.start(*now, member, args)) {
                Start::Runs => break,
                Start::Exits { after_ms, .. } => self.advance(after_ms + RESTART_MS),
            }
            if self.shared.with(|_, now| *now) - begin > ORDER_MS_MAX {
                bail!("{member} could not join");
            }
        }
        self.listen(member)?;
        self.wait_until_it_serves(member)
    }

    fn wait_until_it_serves(&self, member: &str) -> Result<()> {
        self.wait(&format!("{member} serves"), |shared| {
            let mut request = Request::new("GET", "/pd/api/v1/leader", "");
            request.waited_ms = u64::MAX;
            // The time of a failed attempt passes in the loop instead.
            shared.with(|fleet, now| {
                matches!(fleet.handle(*now, member, &request), Answer::Reply(reply) if reply.status == 200)
            })
        })
    }

    fn start_member(&mut self, member: &str, join: bool, wait: bool) -> Result<Value> {
        if join {
            let others: Vec<String> =
                self.members.keys().filter(|other| *other != member).map(|other| self.url(other, 2379)).collect();
            self.start_until_it_runs(member, &others.join(","))?;
            return Ok(json!({}));
        }
        let args = self.args(member, String::new());
        self.shared.with(|fleet, now| fleet.start(*now, member, args));
        self.listen(member)?;
        if wait {
            self.wait_until_it_serves(member)?;
        }
        Ok(json!({}))
    }

    fn stop_member(&mut self, member: &str, how: Stop) -> Result<Value> {
        let gone = self.shared.with(|fleet, now| fleet.stop(*now, member, how).saturating_sub(*now));
        self.advance(gone);
        if let Some(task) = self.members.get_mut(member).and_then(|server| server.task.take()) {
            task.abort();
            let _ = self.runtime.block_on(task);
        }
        Ok(json!({}))
    }

    /// Opens the member's port, the same one as before.
    fn listen(&mut self, member: &str) -> Result<()> {
        let port = self.members.get(member).map_or(0, |server| server.port);
        if self.members.get(member).is_some_and(|server| server.task.is_some()) {
            return Ok(());
        }
        let listener = self.runtime.block_on(tokio::net::TcpListener::bind((address(), port)))?;
        let port = listener.local_addr()?.port();
        let (shared, process) = (self.shared.clone(), member.to_owned());
        let answer = move |request| shared.clone().answer(process.clone(), request);
        let task = self.runtime.spawn(serve(listener, self.tls.clone(), answer));
        self.members.insert(member.into(), Server { port, task: Some(task) });
        Ok(())
    }

    fn leader(shared: &Shared, any: &str) -> Option<String> {
        shared.with(|fleet, now| {
            let cluster = fleet.cluster_id(any)?;
            fleet.leader(*now, cluster)
        })
    }

    fn lead(&mut self, member: &str) -> Result<Value> {
        self.wait("a leader", |shared| Self::leader(shared, member).is_some())?;
        let mut tries = 0;
        while Self::leader(&self.shared, member).as_deref() != Some(member) {
            let mut request = Request::new("POST", &format!("/pd/api/v1/leader/transfer/{member}"), "");
            while let Answer::Retry { .. } = self.shared.ask(member, &mut request) {}
            self.advance(RESTART_MS);
            tries += 1;
            if tries > 30 {
                bail!("the leadership does not move to {member}");
            }
        }
        Ok(json!({}))
    }

    fn register(&mut self, name: &str, order: &Value, how: Registration) -> Result<Value> {
        let old = self.stores.get(name).map(|(id, _)| *id);
        let same = order["same_address_as"].as_str().and_then(|other| self.stores.get(other));
        let address = match (same, order["address"].as_str()) {
            (Some((_, spec)), _) => spec.address.clone(),
            (None, Some(address)) => address.into(),
            (None, None) => {
                format!("basic-{name}.basic-{}-peer.golden.svc:20160", name.split('-').next().unwrap_or(name))
            }
        };
        let labels = order["labels"].as_object().into_iter().flatten();
        let spec = StoreSpec {
            id: if matches!(how, Registration::Again) { old } else { None },
            address,
            version: order["version"].as_str().unwrap_or(VERSION).into(),
            labels: labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().into())).collect(),
            ..StoreSpec::default()
        };
        let process = self.members.keys().next().context("no member")?.clone();
        let registered: Result<u64, StoreRefusal> = self.shared.with(|fleet, now| match how {
            Registration::Bootstrap => fleet.bootstrap(*now, &process, spec.clone()),
            _ => fleet.register_store(*now, &process, spec.clone()),
        });
        let id = match registered {
            Ok(id) => id,
            Err(refusal) => return Ok(json!({"error": refusal.to_string()})),
        };
        self.stores.insert(name.into(), (id, spec));
        self.store_runs(id, true)?;
        self.advance(if matches!(how, Registration::Bootstrap) { BOOTSTRAP_MS } else { STORE_MS });
        Ok(json!({"bind": {format!("store-id:{name}"): id}}))
    }

    fn cluster(&self) -> Result<u64> {
        let process = self.members.keys().next().context("no member")?;
        self.shared.with(|fleet, _| fleet.cluster_id(process)).context("no cluster")
    }

    fn store_runs(&self, id: u64, runs: bool) -> Result<()> {
        let cluster = self.cluster()?;
        self.shared.with(|fleet, now| {
            if runs {
                fleet.store_runs(*now, cluster, id);
            } else {
                fleet.store_stopped(*now, cluster, id);
            }
        });
        Ok(())
    }

    fn store_order(&mut self, name: &str, runs: bool) -> Result<Value> {
        let id = self.stores.get(name).context("unknown store")?.0;
        self.store_runs(id, runs)?;
        if runs {
            self.advance(STORE_MS);
        }
        Ok(json!({}))
    }

    fn add_regions(&mut self, order: &Value) -> Result<Value> {
        let cluster = self.cluster()?;
        let names = order["stores"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let stores: Vec<u64> = names.filter_map(|name| self.stores.get(name).map(|(id, _)| *id)).collect();
        let count = usize::try_from(order["count"].as_u64().unwrap_or(0))?;
        self.shared.with(|fleet, now| fleet.add_regions(*now, cluster, count, &stores));
        self.advance(BOOTSTRAP_MS);
        Ok(json!({}))
    }
}

#[derive(Clone, Copy)]
enum Registration {
    Bootstrap,
    New,
    Again,
}

/// The authority, a server, a client, and a client of another authority.
fn make_certificates(dir: &Path) -> Result<TlsSource> {
    std::fs::create_dir_all(dir)?;
    let (ca, other) = (Authority::new("golden")?, Authority::new("other")?);
    let server = ca.issue("pd", &["localhost", &address().to_string()])?;
    std::fs::write(dir.join("ca.crt"), ca.certificate())?;
    std::fs::write(dir.join("other-ca.crt"), other.certificate())?;
    for (name, identity) in
        [("client", ca.issue("client", &["client"])?), ("other", other.issue("client", &["client"])?)]
    {
        std::fs::write(dir.join(format!("{name}.crt")), identity.certificate)?;
        std::fs::write(dir.join(format!("{name}.key")), identity.key)?;
    }
    let ca = ca.certificate();
    let pem = Pem { ca: ca.as_bytes(), certificate: server.certificate.as_bytes(), key: server.key.as_bytes() };
    let config = tls::server(&pem, Arc::new(|| VIRTUAL_EPOCH_MS))?;
    Ok(Arc::new(move || Arc::clone(&config)))
}

/// An address of this process alone: a stopped member's port must be free when it starts again, and several drivers run
/// beside each other.
fn address() -> std::net::Ipv4Addr {
    let byte = |shift: u32| u8::try_from((std::process::id() >> shift) & 0x7f).unwrap_or_default();
    std::net::Ipv4Addr::new(127, 1 + byte(14).min(126), byte(7), 1 + byte(0))
}
