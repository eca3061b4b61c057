//! PD microservices: their registry in PD, and what a TSO or scheduling process answers itself.

use serde_json::json;

use super::super::{
    Answer, Request, TimeMs,
    cluster::{Cluster, MsProcess},
    gojson,
    request::Reply,
    timing::MS_LEASE,
    wire,
};

/// PD looks for a primary for so long before it answers that there is none.
const PRIMARY_WAIT_MS: u64 = 2_500;

const SERVICES: [&str; 2] = ["tso", "scheduling"];

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
        .filter(|((of, _), it)| of == service && it.stopped_at.is_none_or(|at| cluster.now < at + MS_LEASE))
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
    match cluster.ms_primary(service) {
        Some((_, it)) => wire::json_v2(200, &it.address),
        None => wire::json_v2(200, &"").delayed(PRIMARY_WAIT_MS),
    }
}

impl Cluster {
    /// The primary: the running process that was chosen last, else the one that runs longest.
    fn ms_primary(&self, service: &str) -> Option<(&str, &MsProcess)> {
        let running = self.ms.iter().filter(|((of, _), it)| of == service && it.stopped_at.is_none());
        running
            .max_by_key(|(_, it)| (it.chosen, std::cmp::Reverse(it.started_at)))
            .map(|((_, name), it)| (name.as_str(), it))
    }

    pub fn ms_runs(&mut self, now: TimeMs, service: &str, name: &str, address: &str, version: &str) {
        self.advance(now);
        let process = MsProcess {
            address: address.into(),
            version: version.into(),
            started_at: now,
            stopped_at: None,
            chosen: 0,
        };
        self.ms.insert((service.into(), name.into()), process);
    }

    pub fn ms_stopped(&mut self, now: TimeMs, service: &str, name: &str) {
        self.advance(now);
        if let Some(it) = self.ms.get_mut(&(service.to_owned(), name.to_owned())) {
            it.stopped_at.get_or_insert(now);
        }
    }

    pub fn ms_handle(&mut self, now: TimeMs, service: &str, name: &str, request: &Request) -> Answer {
        self.advance(now);
        let key = (service.to_owned(), name.to_owned());
        if self.ms.get(&key).is_none_or(|it| it.stopped_at.is_some()) {
            return Answer::Refused;
        }
        let Some(rest) = request.path.strip_prefix(&format!("/{service}/api/v1/")) else {
            return wire::not_found().into();
        };
        match (request.method.as_str(), rest) {
            ("GET", "health") if self.ms_primary(service).is_some() => wire::json_v1(200, &"ok").into(),
            ("GET", "health") => wire::json_v1(500, &"no leader elected").into(),
            ("POST", "primary/transfer") => self.ms_transfer(service, request).into(),
            _ => wire::not_found().into(),
        }
    }

    fn ms_transfer(&mut self, service: &str, request: &Request) -> Reply {
        let wanted = gojson::parse_object(&request.body)
            .ok()
            .and_then(|body| body.get("new_primary").and_then(|name| name.as_str().map(str::to_owned)))
            .unwrap_or_default();
        let old = self.ms_primary(service).map(|(name, _)| name.to_owned());
        let order = self.ms.values().map(|it| it.chosen).max().unwrap_or(0) + 1;
        let target = self.ms.iter_mut().find(|((of, name), it)| {
            of == service
                && it.stopped_at.is_none()
                && if wanted.is_empty() { Some(name) != old.as_ref() } else { *name == wanted }
        });
        match target {
            Some((_, it)) => {
                it.chosen = order;
                wire::json_v1(200, &"success")
            }
            None => wire::json_v1(500, &format!("no valid secondary to transfer primary, new primary: {wanted}")),
        }
    }
}
