//! From a request to the member that answers it: local answers, forwarding to the leader, and how that fails.

use super::{
    TimeMs,
    cluster::Cluster,
    handlers,
    process::{Phase, Process},
    request::{Answer, Reply, Request},
    timing::REDIRECT_WAITS,
    wire,
};

/// Paths of API v1 that every member answers itself.
const LOCAL_PREFIXES: [&str; 6] = ["/admin/log", "/status", "/health", "/ping", "/version", "/debug/pprof"];

const API_V1: &str = "/pd/api/v1";
const API_V2: &str = "/pd/api/v2";

/// Forwarded by another member: its name.
const REDIRECTOR: &str = "pd-redirector";
/// Asks a follower to answer itself.
const ALLOW_FOLLOWER: &str = "pd-allow-follower-handle";

/// A request that has arrived at the member which handles it.
pub(super) struct Call<'a> {
    pub request: &'a Request,
    /// The handling process.
    pub process: String,
    pub member: u64,
    /// The handling member leads.
    pub leads: bool,
    /// The path below the API's prefix, split and unescaped.
    pub segments: Vec<String>,
}

impl Cluster {
    /// What a process of this cluster does with a request.
    pub fn handle(&mut self, now: TimeMs, process: &str, request: &Request) -> Answer {
        self.advance(now);
        let answer = self.receive(process, request);
        let Some(it) = self.processes.get(process) else { return answer };
        match answer {
            Answer::Reply(_) if it.faults.drop_answers => Answer::Hang,
            Answer::Reply(reply) => reply.delayed(it.faults.slow_ms).into(),
            other => other,
        }
    }

    fn receive(&mut self, process: &str, request: &Request) -> Answer {
        let Some(it) = self.processes.get(process) else { return Answer::Refused };
        if !it.running() || self.now < it.listen_at {
            return Answer::Refused;
        }
        if it.paused {
            return Answer::Hang;
        }
        match it.phase {
            Phase::Gone => return Answer::Refused,
            Phase::Booting | Phase::WaitsForEtcd => return Answer::Hang,
            Phase::Starting | Phase::Closing => return not_started(request).into(),
            Phase::Serving => {}
        }
        if let Some(status) = it.faults.fail_status {
            return wire::text(status, "[PD:common:ErrInjected]injected failure").into();
        }
        if let Some(clean) = clean_path(&request.path) {
            return wire::moved(&clean).into();
        }
        if let Some(path) = request.path.strip_prefix(API_V2).filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            return self.receive_v2(process, path, request);
        }
        if matches!(request.path.as_str(), "/pd/health" | "/pd/ping") {
            return self.call(process, request.path.trim_start_matches("/pd"), request);
        }
        if request.path == "/autoscaling" {
            return handlers::autoscaling(self).into();
        }
        match request.path.strip_prefix(API_V1) {
            Some(path) if path.starts_with('/') => self.receive_v1(process, path, request),
            _ => wire::not_found().into(),
        }
    }

    fn receive_v1(&mut self, process: &str, path: &str, request: &Request) -> Answer {
        let local = LOCAL_PREFIXES.iter().any(|prefix| path.starts_with(prefix))
            || (path == "/config" && request.method == "GET");
        if local || self.handles_itself(process, request) {
            return self.call(process, path, request);
        }
        if request.header(REDIRECTOR).is_some() {
            return wire::text(500, "[PD:apiutil:ErrRedirectToNotLeader]redirect to not leader").into();
        }
        match self.leader_for(process) {
            Some(leader) => self.forward(process, leader, request),
            None => match wait_left(request.waited_ms) {
                Some(after_ms) => Answer::Retry { after_ms },
                None => wire::text(503, "[PD:apiutil:ErrRedirectNoLeader]redirect finds no leader").into(),
            },
        }
    }

    fn receive_v2(&mut self, process: &str, path: &str, request: &Request) -> Answer {
        if path == "/ready" {
            return handlers::ready(self, process, request).into();
        }
        if self.handles_itself(process, request) {
            return handlers::v2(self, process, path, request).into();
        }
        if request.header(REDIRECTOR).is_some() {
            return wire::abort_v2(500, &"[PD:apiutil:ErrRedirectToNotLeader]redirect to not leader").into();
        }
        match self.leader_for(process) {
            Some(leader) => self.forward(process, leader, request),
            None => wire::abort_v2(503, &"[PD:server:ErrLeaderNil]leader is nil").into(),
        }
    }

    fn handles_itself(&self, process: &str, request: &Request) -> bool {
        request.header(ALLOW_FOLLOWER).is_some() || self.processes.get(process).is_some_and(|it| self.leads(it))
    }

    fn leader_for(&self, process: &str) -> Option<u64> {
        self.known_leader(self.processes.get(process)?)
    }

    fn forward(&mut self, process: &str, leader: u64, request: &Request) -> Answer {
        let name = self.processes.get(process).map(|it| it.args.name.clone()).unwrap_or_default();
        let target = self.process_of(leader).map(|(key, _)| key.clone());
        let mut forwarded = request.clone();
        forwarded.headers.push((REDIRECTOR.into(), name));
        match target.map(|target| self.handle(self.now, &target, &forwarded)) {
            None | Some(Answer::Refused) => wire::text(500, "[PD:apiutil:ErrRedirect]redirect failed").into(),
            Some(answer) => answer,
        }
    }

    fn call(&mut self, process: &str, path: &str, request: &Request) -> Answer {
        let Some(it) = self.processes.get(process) else { return Answer::Refused };
        let believes_wrongly = self.leads(it) && self.lead.serving != Some(it.member);
        let call = Call {
            request,
            process: process.into(),
            member: it.member,
            leads: self.leads(it),
            segments: path.trim_start_matches('/').split('/').map(super::request::unescape).collect(),
        };
        if believes_wrongly && request.method != "GET" {
            let text = "[PD:etcd:ErrEtcdTxnConflict]etcd transaction failed, conflicted and rolled back";
            return wire::json_v1(500, &text).into();
        }
        handlers::v1(self, &call).into()
    }

    /// A follower's own view of the cluster's process.
    pub fn process(&self, call: &Call) -> Option<&Process> {
        self.processes.get(&call.process)
    }
}

fn not_started(request: &Request) -> Reply {
    let text = "[PD:server:ErrServerNotStarted]server not started";
    if request.path.starts_with(API_V2) { wire::abort_v2(500, &text) } else { wire::text(500, text) }
}

/// How long a member without a leader waits before it looks again.
fn wait_left(waited_ms: u64) -> Option<u64> {
    let mut passed = 0;
    for wait in REDIRECT_WAITS {
        if waited_ms <= passed {
            return Some(wait);
        }
        passed += wait;
    }
    None
}

/// The clean form of a path that is not clean.
fn clean_path(path: &str) -> Option<String> {
    if path == "/pd" {
        return Some("/pd/".into());
    }
    if !path.contains("//") && !path.contains("/./") && !path.contains("/../") {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    Some(format!("/{}{slash}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_without_a_leader_waits_three_seconds_in_all() {
        let mut waited = 0;
        while let Some(wait) = wait_left(waited) {
            waited += wait;
        }
        assert_eq!(waited, 3_000);
    }

    #[test]
    fn unclean_paths_are_cleaned() {
        assert_eq!(clean_path("/pd/api/v1//members").as_deref(), Some("/pd/api/v1/members"));
        assert_eq!(clean_path("/pd/api/v1/members"), None);
    }
}
