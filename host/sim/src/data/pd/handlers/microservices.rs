//! PD microservices: their registry in PD, which process of each acts, and what the processes answer themselves.
//!
//! A process that is told to end takes back its entry and its office. What a killed one had stays until its lease
//! ends: PD goes on naming it.

use serde_json::json;

use super::super::{
    Answer, Request, TimeMs,
    cluster::{Cluster, Event, MsProcess},
    gojson,
    request::Reply,
    timing::{MS_ELECTED, MS_LEASE, draw},
    wire,
};

/// PD looks for a primary for so long before it answers that there is none.
const PRIMARY_WAIT_MS: u64 = 2_500;

const SERVICES: [&str; 2] = ["tso", "scheduling"];

/// From this version on a primary can be told to hand over.
const TRANSFERS_FROM: (u64, u64) = (8, 3);

fn check(cluster: &Cluster, process: &str, service: &str) -> Result<(), Reply> {
    if !cluster.processes.get(process).is_some_and(|it| it.args.api_mode) {
        return Err(wire::abort_v2(404, &"not support micro service"));
    }
    if !SERVICES.contains(&service) {
        return Err(wire::abort_v2(500, &format!("unknown service name {service}")));
    }
    Ok(())
}

/// `GET /pd/api/v2/ms/members/{service}`
pub(super) fn members(cluster: &Cluster, process: &str, service: &str) -> Reply {
    if let Err(reply) = check(cluster, process, service) {
        return reply;
    }
    let entries: Vec<_> = cluster
        .ms
        .iter()
        .filter(|((of, _), _)| of == service)
        .map(|((_, name), it)| {
            json!({
                "name": name, "service-addr": it.address, "version": it.version, "git-hash": super::members::GIT_HASH,
                "deploy-path": "/", "start-timestamp": it.started_at / 1_000,
            })
        })
        .collect();
    wire::json_v2(200, &(!entries.is_empty()).then_some(entries))
}

/// `GET /pd/api/v2/ms/primary/{service}`
pub(super) fn primary(cluster: &Cluster, process: &str, service: &str) -> Reply {
    if let Err(reply) = check(cluster, process, service) {
        return reply;
    }
    match cluster.ms_known_primary(service) {
        Some((_, it)) => wire::json_v2(200, &it.address),
        None => wire::json_v2(200, &"").delayed(PRIMARY_WAIT_MS),
    }
}

impl Cluster {
    /// The process that etcd names as primary, dead or alive.
    fn ms_known_primary(&self, service: &str) -> Option<(&str, &MsProcess)> {
        let (name, _) = self.ms_primaries.get(service)?.who.as_ref()?;
        Some((name, self.ms.get(&(service.to_owned(), name.clone()))?))
    }

    /// The primary, if it runs.
    fn ms_acting(&self, service: &str) -> Option<&str> {
        let (_, life) = self.ms_primaries.get(service)?.who.as_ref()?;
        let (name, it) = self.ms_known_primary(service)?;
        (it.stopped_at.is_none() && it.started_at == *life).then_some(name)
    }

    /// Whether clients get timestamps: from PD itself, or from a process of its own.
    pub fn gives_timestamps(&self) -> bool {
        let leader = self.lead.serving.and_then(|leader| self.process_of(leader));
        leader.is_some_and(|(_, it)| !it.args.api_mode || self.ms_acting("tso").is_some())
    }

    pub fn ms_runs(&mut self, now: TimeMs, service: &str, name: &str, address: &str, version: &str) {
        self.advance(now);
        let process = MsProcess { address: address.into(), version: version.into(), started_at: now, stopped_at: None };
        self.ms.insert((service.into(), name.into()), process);
        if self.ms_primaries.get(service).is_none_or(|primary| primary.who.is_none() && !primary.electing) {
            self.ms_elect(service, "");
        }
    }

    /// A process is gone: told to end, or killed.
    pub fn ms_stopped(&mut self, now: TimeMs, service: &str, name: &str, told: bool) {
        self.advance(now);
        let key = (service.to_owned(), name.to_owned());
        let Some(it) = self.ms.get_mut(&key).filter(|it| it.stopped_at.is_none()) else { return };
        it.stopped_at = Some(now);
        let life = it.started_at;
        if told {
            self.ms_lease_ends(service, name, life);
        } else {
            self.after(MS_LEASE, Event::MsLeaseEnds { service: key.0, name: key.1, life });
        }
    }

    pub fn ms_lease_ends(&mut self, service: &str, name: &str, life: TimeMs) {
        let key = (service.to_owned(), name.to_owned());
        if self.ms.get(&key).is_some_and(|it| it.started_at == life) {
            self.ms.remove(&key);
        }
        let primary = self.ms_primaries.entry(key.0).or_default();
        if primary.who.as_ref().is_some_and(|(who, of)| who == name && *of == life) {
            self.ms_elect(service, "");
        }
    }

    /// The office is free; somebody takes it after a while, `target` if it is named.
    fn ms_elect(&mut self, service: &str, target: &str) {
        let primary = self.ms_primaries.entry(service.to_owned()).or_default();
        primary.who = None;
        primary.electing = true;
        primary.epoch += 1;
        let epoch = primary.epoch;
        let delay = draw(&mut self.rng, MS_ELECTED);
        self.after(delay, Event::MsElected { service: service.into(), epoch, target: target.into() });
    }

    pub fn ms_elected(&mut self, service: &str, epoch: u64, target: &str) {
        let running = self.ms.iter().filter(|((of, _), it)| of == service && it.stopped_at.is_none());
        let next = running.min_by_key(|((_, name), it)| (name != target, it.started_at));
        let next = next.map(|((_, name), it)| (name.clone(), it.started_at));
        if let Some(primary) = self.ms_primaries.get_mut(service).filter(|primary| primary.epoch == epoch) {
            (primary.who, primary.electing) = (next, false);
        }
    }

    pub fn ms_handle(&mut self, now: TimeMs, service: &str, name: &str, request: &Request) -> Answer {
        self.advance(now);
        let key = (service.to_owned(), name.to_owned());
        let Some(it) = self.ms.get(&key).filter(|it| it.stopped_at.is_none()) else { return Answer::Refused };
        let transfers = can_transfer(&it.version);
        let Some(rest) = request.path.strip_prefix(&format!("/{service}/api/v1/")) else {
            return wire::not_found().into();
        };
        match (request.method.as_str(), rest) {
            ("GET", "health") if self.ms_known_primary(service).is_some() => wire::json_v1(200, &"ok").into(),
            ("GET", "health") => wire::json_v1(500, &"no leader elected").into(),
            ("POST", "primary/transfer") if transfers => self.ms_transfer(service, request).into(),
            _ => wire::not_found().into(),
        }
    }

    /// Whichever process is asked, it forwards to the primary.
    fn ms_transfer(&mut self, service: &str, request: &Request) -> Reply {
        if self.ms_known_primary(service).is_none() {
            return wire::abort_v2(503, &"[PD:server:ErrLeaderNil]leader is nil");
        }
        let Some(old) = self.ms_acting(service).map(str::to_owned) else {
            return wire::text(500, "[PD:apiutil:ErrRedirect]redirect failed");
        };
        let wanted = gojson::parse_object(&request.body)
            .ok()
            .and_then(|body| body.get("new_primary").and_then(|name| name.as_str().map(str::to_owned)))
            .unwrap_or_default();
        if wanted == old {
            return wire::json_v1(200, &"success");
        }
        let fits = |name: &str| if wanted.is_empty() { name != old } else { name == wanted };
        let mut running = self.ms.iter().filter(|((of, _), it)| of == service && it.stopped_at.is_none());
        match running.find(|((_, name), _)| fits(name)).map(|((_, name), _)| name.clone()) {
            Some(target) => {
                self.ms_elect(service, &target);
                wire::json_v1(200, &"success")
            }
            None => wire::json_v1(500, &format!("no valid secondary to transfer primary, new primary: {wanted}")),
        }
    }
}

fn can_transfer(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= TRANSFERS_FROM
}
