//! `/members`, `/leader`, `/health`.

use serde::Serialize;

use super::super::{
    cluster::Cluster,
    etcd::Member,
    gojson,
    leadership::Moved,
    request::Reply,
    route::Call,
    timing::{ETCD_TIMEOUT, HEALTH_PING},
    wire,
};

/// The commit that v8.5.7 was built from; only its shape matters.
pub(super) const GIT_HASH: &str = "6dce4a68e30000000000000000000000000000ff";

#[derive(Serialize)]
struct MemberJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    member_id: u64,
    peer_urls: [&'a str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    client_urls: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "is_zero")]
    leader_priority: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    deploy_path: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    git_hash: Option<&'static str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A member with what it wrote about itself when it started.
fn full(member: &Member) -> MemberJson<'_> {
    let started = member.started();
    MemberJson {
        leader_priority: member.leader_priority,
        deploy_path: started.then_some("/"),
        binary_version: started.then_some(member.version.as_str()),
        git_hash: started.then_some(GIT_HASH),
        ..brief(member)
    }
}

/// A member as the leader key describes it.
fn brief(member: &Member) -> MemberJson<'_> {
    MemberJson {
        name: &member.name,
        member_id: member.id,
        peer_urls: [&member.peer_url],
        client_urls: member.started().then_some([member.client_url.as_str()]),
        leader_priority: 0,
        deploy_path: None,
        binary_version: None,
        git_hash: None,
    }
}

#[derive(Serialize)]
struct Header {
    cluster_id: u64,
}

#[derive(Serialize)]
struct MembersJson<'a> {
    header: Header,
    members: Vec<MemberJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<MemberJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etcd_leader: Option<MemberJson<'a>>,
}

/// `GET /members`
pub(super) fn list(cluster: &Cluster, call: &Call) -> Reply {
    if !cluster.has_quorum() && !call.leads {
        return etcd_timeout("ErrEtcdKVGet");
    }
    let known = |id: Option<u64>| id.and_then(|id| cluster.member(id)).map(full);
    let body = MembersJson {
        header: Header { cluster_id: cluster.id },
        members: cluster.members.iter().map(full).collect(),
        leader: known(cluster.process(call).and_then(|it| cluster.known_leader(it))),
        etcd_leader: known(cluster.lead.serving),
    };
    wire::json_v1(200, &body)
}

fn etcd_timeout(class: &str) -> Reply {
    wire::json_v1(500, &format!("[PD:etcd:{class}]context deadline exceeded: context deadline exceeded"))
        .delayed(ETCD_TIMEOUT)
}

fn not_found(name: &str) -> Reply {
    wire::json_v1(404, &format!("not found, pd: {name}"))
}

/// `DELETE /members/name/{name}`
pub(super) fn delete_by_name(cluster: &mut Cluster, call: &Call, name: &str) -> Reply {
    if !cluster.has_quorum() {
        return etcd_timeout("ErrEtcdTxnInternal");
    }
    match cluster.members.iter().find(|member| member.name == name).map(|member| member.id) {
        Some(id) => delete(cluster, call, id, name),
        None => not_found(name),
    }
}

/// `DELETE /members/id/{id}`
pub(super) fn delete_by_id(cluster: &mut Cluster, call: &Call, id: &str) -> Reply {
    match id.parse::<u64>() {
        Err(_) => wire::json_v1(400, &wire::parse_error("ParseUint", id)),
        Ok(_) if !cluster.has_quorum() => etcd_timeout("ErrEtcdTxnInternal"),
        Ok(number) => delete(cluster, call, number, id),
    }
}

fn delete(cluster: &mut Cluster, call: &Call, id: u64, shown: &str) -> Reply {
    // The priority goes first and stays gone when the removal is refused.
    if let Some(member) = cluster.members.iter_mut().find(|member| member.id == id) {
        member.leader_priority = 0;
    }
    match cluster.remove_member(id, call.member) {
        Err(refusal) => wire::json_v1(500, &format!("[PD:etcd:ErrEtcdMemberRemove]{refusal}: {refusal}")),
        // A leader that removes itself sometimes stops before it knows that it succeeded.
        Ok(true) if cluster.one_in(2) => {
            let stopped = "etcdserver: server stopped";
            wire::json_v1(500, &format!("[PD:etcd:ErrEtcdMemberRemove]{stopped}: {stopped}"))
        }
        Ok(_) => wire::json_v1(200, &format!("removed, pd: {shown}")),
    }
}

/// `POST /members/name/{name}`
pub(super) fn set_priority(cluster: &mut Cluster, call: &Call, name: &str) -> Reply {
    let Some(at) = cluster.members.iter().position(|member| member.name == name) else { return not_found(name) };
    let body = match gojson::parse_object(&call.request.body) {
        Ok(body) => body,
        Err(error) => return wire::json_error(&error),
    };
    for (key, value) in body {
        if key != "leader-priority" {
            continue;
        }
        #[expect(clippy::cast_possible_truncation, reason = "PD truncates too")]
        let Some(priority) = value.as_f64().map(|number| number as i64) else {
            return wire::json_v1(400, &"bad format leader priority");
        };
        cluster.members[at].leader_priority = priority;
        cluster.schedule_priority_check();
    }
    wire::json_v1(200, &"success")
}

/// `GET /leader`
pub(super) fn leader(cluster: &Cluster, call: &Call) -> Reply {
    let process = cluster.process(call);
    let id = process.and_then(|it| cluster.known_leader(it));
    let known = id.and_then(|id| cluster.member(id).cloned().or_else(|| cluster.removed_member(id)));
    wire::json_v1(200, &known.as_ref().map(brief))
}

/// `POST /leader/transfer/{name}`
pub(super) fn transfer(cluster: &mut Cluster, name: &str) -> Reply {
    let moved = cluster.transfer(name);
    moved_reply(&moved, "The transfer command is submitted.")
}

/// `POST /leader/resign`
pub(super) fn resign(cluster: &mut Cluster, call: &Call) -> Reply {
    let moved = cluster.resign(call.member);
    moved_reply(&moved, "The resign command is submitted.")
}

fn moved_reply(moved: &Moved, submitted: &str) -> Reply {
    match moved {
        Moved::Submitted(after_ms) => wire::json_v1(200, &submitted).delayed(*after_ms),
        Moved::NoTarget => wire::json_v1(500, &"no valid pd to transfer etcd leader"),
        Moved::TimesOut(after_ms) => {
            let text = "etcdserver: request timed out, leader transfer took too long";
            wire::json_v1(500, &format!("[PD:etcd:ErrEtcdMoveLeader]{text}: {text}")).delayed(*after_ms)
        }
    }
}

#[derive(Serialize)]
struct HealthJson<'a> {
    name: &'a str,
    member_id: u64,
    client_urls: Option<[&'a str; 1]>,
    health: bool,
}

/// `GET /health`: the member that is asked pings each member it knows, one after another.
pub(super) fn health(cluster: &mut Cluster, call: &Call) -> Reply {
    let members = match cluster.process(call).and_then(|it| it.removed.as_ref()) {
        Some(removal) => removal.members.clone(),
        None => cluster.members.clone(),
    };
    let silent = members.iter().filter(|member| is_silent(cluster, member)).count();
    if silent >= 2 && cluster.one_in(3) {
        let text = "rpc error: code = DeadlineExceeded desc = context deadline exceeded";
        return wire::json_v1(500, &format!("[PD:etcd:ErrEtcdMemberList]{text}: {text}")).delayed(ETCD_TIMEOUT);
    }
    let body: Vec<HealthJson> = members
        .iter()
        .map(|member| HealthJson {
            name: &member.name,
            member_id: member.id,
            client_urls: member.started().then_some([member.client_url.as_str()]),
            health: cluster.process_of(member.id).is_some_and(|(_, it)| it.serves())
                && !locked_out(cluster, call, member),
        })
        .collect();
    wire::json_v1(200, &body).delayed(HEALTH_PING * silent as u64)
}

/// The member that is asked has no certificate and this one wants to see one.
fn locked_out(cluster: &Cluster, call: &Call, member: &Member) -> bool {
    let encrypted = |member: &Member| member.client_url.starts_with("https://");
    encrypted(member) && cluster.member(call.member).is_some_and(|asked| asked.started() && !encrypted(asked))
}

/// It accepts the ping and does not answer.
fn is_silent(cluster: &Cluster, member: &Member) -> bool {
    use super::super::Phase;
    let waits = |phase| matches!(phase, Phase::Booting | Phase::WaitsForEtcd);
    cluster.process_of(member.id).is_some_and(|(_, it)| cluster.now >= it.listen_at && (it.paused || waits(it.phase)))
}
