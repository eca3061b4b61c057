//! From a path to what answers it.

use std::sync::Arc;

use http::{Method, header};
use serde_json::{Value, json};

use super::{
    Inner, discovery,
    error::ApiError,
    http::{Answer, Call, Document},
    openapi,
    options::Query,
    rbac::{self, Attributes, User},
    resources::Registry,
    verbs::{self, Request, Txn},
};
use crate::audit::Entry;

/// Answers one request.
pub(super) fn handle(inner: &Arc<Inner>, call: &Call) -> Result<Answer, ApiError> {
    if !call.header(header::AUTHORIZATION).is_empty() {
        return Err(ApiError::new(401, "Unauthorized", "Unauthorized"));
    }
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    if let Some(answer) = plain(&path) {
        return Ok(answer);
    }
    let registry = inner.registry();
    let user = user(call);
    if let Some(place) = Place::of(&registry, &path)? {
        let request = request(inner, call, place, user)?;
        authorize(&request)?;
        if mutates(&request) {
            inner.options.audit.before();
        }
        let answer = verbs::handle(&request);
        audit(inner, &request, &answer);
        return answer;
    }
    let accept = call.header(header::ACCEPT);
    discovery::respond(&registry, &path, accept)
        .or_else(|| openapi::respond(&registry, &path, &call.query, accept))
        .map(Answer::from)
        .ok_or_else(ApiError::page_not_found)
}

/// Health, version and metrics.
fn plain(path: &[&str]) -> Option<Answer> {
    let document = match path {
        ["readyz" | "livez" | "healthz", ..] => Document::text("ok"),
        ["version"] => Document::json(&json!({"major": "1", "minor": "36", "gitVersion": "v1.36.2",
            "gitCommit": "", "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z", "goVersion": "",
            "compiler": "", "platform": "linux/amd64"})),
        ["metrics"] => Document::text(""),
        _ => return None,
    };
    Some(document.into())
}

/// Who asks: the administrator, or whom the administrator acts for.
fn user(call: &Call) -> User {
    let header = |name: &str| call.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let name = header("impersonate-user");
    if name.is_empty() {
        return User::admin();
    }
    let groups: Vec<String> =
        call.headers.get_all("impersonate-group").iter().filter_map(|v| v.to_str().ok().map(str::to_owned)).collect();
    User::impersonated(name, &groups)
}

/// What a path of a resource says.
struct Place<'p> {
    group: &'p str,
    version: &'p str,
    watch: bool,
    namespace: Option<&'p str>,
    plural: &'p str,
    name: &'p str,
    subresource: &'p str,
}

impl<'p> Place<'p> {
    /// `None` for paths that are none of a resource's; an error for resources that do not exist.
    fn of(registry: &Registry, path: &[&'p str]) -> Result<Option<Self>, ApiError> {
        let (group, version, rest) = match path {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => return Ok(None),
        };
        let Some(resources) = registry.in_version(group, version) else { return Err(ApiError::page_not_found()) };
        let (watch, rest) = match rest {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            rest => (false, rest),
        };
        let is_custom = resources.values().any(|r| r.custom.is_some());
        let missing = || if is_custom { ApiError::page_not_found() } else { ApiError::no_resource() };
        let place =
            |namespace, plural, name, subresource| Self { group, version, watch, namespace, plural, name, subresource };
        let place = match rest {
            // The subresources of a namespace look like resources in it.
            ["namespaces", name, sub @ ("status" | "finalize")] => place(None, "namespaces", *name, *sub),
            ["namespaces", namespace, plural] => place(Some(*namespace), *plural, "", ""),
            ["namespaces", namespace, plural, name] => place(Some(*namespace), *plural, *name, ""),
            ["namespaces", namespace, plural, name, sub, ..] => place(Some(*namespace), *plural, *name, *sub),
            [plural] => place(None, *plural, "", ""),
            [plural, name] => place(None, *plural, *name, ""),
            [plural, name, sub, ..] => place(None, *plural, *name, *sub),
            [] => return Ok(None),
        };
        let Some(resource) = resources.get(place.plural) else { return Err(missing()) };
        let scoped = resource.namespaced || place.namespace.is_none();
        let reachable = place.name.is_empty() || resource.namespaced == place.namespace.is_some();
        if !scoped || !reachable || (place.watch && !place.name.is_empty()) {
            return Err(missing());
        }
        if !place.subresource.is_empty() && !resource.has_subresource(place.subresource) {
            return Err(missing());
        }
        Ok(Some(place))
    }
}

fn request<'a>(inner: &'a Arc<Inner>, call: &'a Call, place: Place<'_>, user: User) -> Result<Request<'a>, ApiError> {
    let resource = inner.registry().get(place.group, place.version, place.plural).ok_or_else(ApiError::no_resource)?;
    Ok(Request {
        inner,
        call,
        query: Query::parse(&call.query),
        resource,
        namespace: place.namespace.map(str::to_owned),
        name: place.name.to_owned(),
        subresource: place.subresource.to_owned(),
        user,
        force_watch: place.watch,
    })
}

/// The verb of a request in the words of authorization and audit.
fn verb(request: &Request<'_>) -> &'static str {
    let collection = request.name.is_empty();
    match request.call.method {
        Method::GET if collection && (request.force_watch || request.query.flag("watch")) => "watch",
        Method::GET if collection => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "other",
    }
}

fn mutates(request: &Request<'_>) -> bool {
    !matches!(verb(request), "get" | "list" | "watch" | "other")
}

fn full_resource(request: &Request<'_>) -> String {
    match request.subresource.as_str() {
        "" => request.resource.plural.clone(),
        sub => format!("{}/{sub}", request.resource.plural),
    }
}

fn authorize(request: &Request<'_>) -> Result<(), ApiError> {
    if request.user.is_admin()
        || request.resource.group == "authorization.k8s.io"
        || request.resource.plural == "selfsubjectreviews"
    {
        return Ok(());
    }
    let resource = full_resource(request);
    let asked = Attributes {
        verb: verb(request),
        group: &request.resource.group,
        resource: &resource,
        namespace: request.namespace.as_deref().unwrap_or_default(),
        name: &request.name,
        path: "",
    };
    let txn = Txn::begin(request.inner);
    if rbac::allowed(&txn, &request.user, &asked) { Ok(()) } else { Err(rbac::forbidden(&request.user, &asked)) }
}

/// Notes a request that changed something or tried to.
fn audit(inner: &Inner, request: &Request<'_>, answer: &Result<Answer, ApiError>) {
    if !mutates(request) {
        return;
    }
    let verb = verb(request);
    let mut body = super::body::yaml(&request.call.body).unwrap_or(Value::Null);
    if request.resource.group.is_empty() && request.resource.plural == "secrets" {
        hide(&mut body);
    }
    let given = body["metadata"]["name"].as_str().or_else(|| body["metadata"]["generateName"].as_str());
    let name = if request.name.is_empty() { given.unwrap_or_default().to_owned() } else { request.name.clone() };
    let code = answer.as_ref().map_or_else(|error| error.code, |answer| answer.code);
    inner.options.audit.record(Entry {
        time: inner.options.clock.now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        user_agent: request.call.user_agent.clone(),
        verb: verb.into(),
        resource: full_resource(request),
        namespace: request.namespace.clone().unwrap_or_default(),
        name,
        status: code,
        body,
    });
}

/// Leaves out the values of a Secret: in the object, in a patch of any kind, and where kubectl keeps its last version.
fn hide(body: &mut Value) {
    match body {
        Value::Array(operations) => {
            for operation in operations.iter_mut().filter_map(Value::as_object_mut) {
                if let Some(value) = operation.get_mut("value") {
                    *value = "<hidden>".into();
                }
            }
        }
        Value::Object(map) => {
            for field in ["data", "stringData"] {
                if let Some(values) = map.get_mut(field) {
                    match values {
                        Value::Object(values) => values.values_mut().for_each(|v| *v = "<hidden>".into()),
                        other => *other = "<hidden>".into(),
                    }
                }
            }
            let annotations = map.get_mut("metadata").and_then(|m| m.get_mut("annotations"));
            if let Some(last) = annotations.and_then(|a| a.get_mut("kubectl.kubernetes.io/last-applied-configuration"))
            {
                *last = "<hidden>".into();
            }
        }
        _ => {}
    }
}
