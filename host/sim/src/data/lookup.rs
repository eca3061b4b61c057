//! Asking the discovery service: the part that has to read the TidbCluster from the API server.

use http::StatusCode;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;
use tidepool_api::TidbCluster;
use tidepool_pd::discovery::{self, Candidate, Member, Refusal};

use super::{
    Shared,
    network::Key,
    pd::{Answer, Reply, Request},
    process::{
        launch::{Kind, Launch},
        process_name,
    },
    world::World,
};

/// Port of the discovery service.
const DISCOVERY_PORT: u16 = 10261;

/// What the discovery service tells the PD of `launch`, asked by name as its start script does.
///
/// # Errors
/// When it cannot be reached or refuses; the PD asks again.
pub async fn ask(shared: &Shared, launch: &Launch) -> Result<String, String> {
    let host = format!("{}-discovery.{}.svc:{DISCOVERY_PORT}", launch.cluster, launch.pod.0);
    let server = {
        let world = shared.world();
        let target = world.network.resolve(&host, &launch.pod.0).map_err(|error| error.to_string())?;
        target.pod
    };
    let address = format!("{}:2380\n", launch.host);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, address);
    found(shared, &server, &encoded).await
}

/// `GET /new/{base64}` and `GET /verify/{base64}` at the discovery pod `server`.
pub async fn answer(shared: &Shared, server: &Key, request: &Request) -> Answer {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let result = match parts.as_slice() {
        ["new", encoded] | ["new", encoded, "pd"] => found(shared, server, encoded).await,
        ["verify", encoded] => verified(shared, server, encoded).await,
        _ => return reply(StatusCode::NOT_FOUND, "404: Page Not Found"),
    };
    match result {
        Ok(text) => reply(StatusCode::OK, &text),
        Err(text) => reply(StatusCode::INTERNAL_SERVER_ERROR, &text),
    }
}

async fn found(shared: &Shared, server: &Key, encoded: &str) -> Result<String, String> {
    let text = |refusal: Refusal| refusal.to_string();
    let asker = discovery::asker(encoded).map_err(text)?;
    if asker.namespace != server.0 {
        return Err(text(Refusal::Namespace { asked: asker.namespace, own: server.0.clone() }));
    }
    let cluster = tidb_cluster(shared, &asker.namespace, &asker.cluster).await?;
    let now = shared.clock.now_ms();
    let mut world = shared.world();
    let mut members = Err("no PD is known".to_owned());
    for candidate in discovery::candidates(&cluster) {
        members = list_members(&mut world, &candidate, &asker.namespace, now);
        if members.is_ok() {
            break;
        }
    }
    let process = world.processes.get_mut(server).filter(|process| process.launch.kind == Kind::Discovery);
    let process = process.ok_or_else(|| "connection refused".to_owned())?;
    process.discovery.answer(&asker, &cluster, members, now).map_err(text)
}

async fn verified(shared: &Shared, server: &Key, encoded: &str) -> Result<String, String> {
    let asked = discovery::asked(encoded).map_err(|refusal| refusal.to_string())?;
    let cluster =
        tidb_cluster(shared, &server.0, &asked.cluster).await.map_err(|error| format!("{error}{}", asked.input))?;
    Ok(discovery::verified(&asked, &cluster))
}

async fn tidb_cluster(shared: &Shared, namespace: &str, name: &str) -> Result<TidbCluster, String> {
    let kind = GroupVersionKind::gvk("pingcap.com", "v1alpha1", "TidbCluster");
    let resource = ApiResource::from_gvk_with_plural(&kind, "tidbclusters");
    let api: Api<DynamicObject> = Api::namespaced_with(shared.client.clone(), namespace, &resource);
    let object = api.get(name).await.map_err(|error| error.to_string())?;
    serde_json::to_value(object).and_then(serde_json::from_value).map_err(|error| error.to_string())
}

fn list_members(world: &mut World, pd: &Candidate, namespace: &str, now: u64) -> Result<Vec<Member>, String> {
    let target = world.network.resolve(&pd.authority, namespace).map_err(|error| error.to_string())?;
    let tls = world.processes.get(&target.pod).is_some_and(|process| process.launch.tls);
    if tls != (pd.scheme == "https") {
        return Err("PD closed the connection".to_owned());
    }
    let request = Request::new("GET", "/pd/api/v1/members", "");
    let answer = world.fleet.handle(now, &process_name(&target.pod), &request);
    let Answer::Reply(reply) = answer else { return Err("PD does not answer".to_owned()) };
    let body: Value = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
    let Some(list) = body.get("members").and_then(Value::as_array).filter(|_| reply.status < 400) else {
        return Err(format!("PD answers {}: {}", reply.status, reply.text()));
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let member =
        |value: &Value| Member { name: text(value.get("name")), peer_url: text(value.pointer("/peer_urls/0")) };
    Ok(list.iter().map(member).collect())
}

fn reply(status: StatusCode, body: &str) -> Answer {
    let headers = vec![("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())];
    Answer::Reply(Reply { status: status.as_u16(), headers, body: body.as_bytes().to_vec(), after_ms: 0 })
}
