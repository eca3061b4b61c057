//! The verbs: what a request does to the store.
//!
//! A verb runs under the store's lock from its first read to its last write, so nothing comes between a check and the
//! change that relies on it. Only watches wait, and they hold nothing while they do.

mod create;
mod delete;
mod patch;
mod pods;
mod read;
mod scale;
mod txn;
mod update;
pub(super) mod watch;

use std::sync::Arc;

use http::{Method, header};
use serde_json::{Value, json};

pub(super) use self::{create::system_namespaces, txn::Txn};
use super::{
    Inner,
    error::ApiError,
    http::{Answer, Call},
    options::Query,
    path::text,
    rbac::User,
    resources::ResourceInfo,
};

/// A request for a resource.
pub(super) struct Request<'a> {
    pub(super) inner: &'a Arc<Inner>,
    pub(super) call: &'a Call,
    pub(super) query: Query,
    pub(super) resource: Arc<ResourceInfo>,
    pub(super) namespace: Option<String>,
    /// Empty for collections.
    pub(super) name: String,
    /// Empty for the resource itself.
    pub(super) subresource: String,
    pub(super) user: User,
    /// The old path for watches.
    pub(super) force_watch: bool,
}

/// Answers a request for a resource.
pub(super) fn handle(request: &Request<'_>) -> Result<Answer, ApiError> {
    let mut answer = dispatch(request)?;
    let resource = &request.resource;
    if resource.group.is_empty() && resource.plural == "endpoints" {
        let text = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
        answer.warnings.push(text.into());
    }
    if let Some(warning) = resource.custom.as_ref().and_then(|c| c.deprecation.as_ref()) {
        answer.warnings.push(warning.clone());
    }
    Ok(answer)
}

fn dispatch(request: &Request<'_>) -> Result<Answer, ApiError> {
    let (method, collection) = (&request.call.method, request.name.is_empty());
    let allowed = |verb: &str| request.resource.verbs.contains(&verb);
    if !request.subresource.is_empty() {
        return subresource(request);
    }
    match *method {
        Method::GET if collection && allowed("list") => {
            if request.force_watch || request.query.flag("watch") {
                watch::watch(request)
            } else {
                read::list(request)
            }
        }
        Method::GET if !collection && allowed("get") => read::get(request),
        Method::POST if collection && request.resource.verbs == super::resources::VERBS_REVIEW => {
            create::review(request)
        }
        // Everything namespaced is created in a namespace.
        Method::POST if collection && allowed("create") && has_scope(request) => create::create(request),
        Method::PUT if !collection && allowed("update") => update::update(request),
        Method::PATCH if !collection && allowed("patch") => patch::patch(request),
        Method::DELETE if !collection && allowed("delete") => delete::delete(request),
        Method::DELETE if collection && allowed("deletecollection") && has_scope(request) => {
            delete::collection(request)
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn has_scope(request: &Request<'_>) -> bool {
    request.resource.namespaced == request.namespace.is_some()
}

fn subresource(request: &Request<'_>) -> Result<Answer, ApiError> {
    let method = &request.call.method;
    match (request.subresource.as_str(), method) {
        ("scale", _) => scale::handle(request),
        ("binding", &Method::POST) => pods::bind(request),
        ("eviction", &Method::POST) => pods::evict(request),
        ("token", &Method::POST) => Ok(Answer::json(201, &token(request))),
        ("finalize", &Method::PUT) => update::update(request),
        ("log", &Method::GET) => pods::log(request),
        ("status" | "resize" | "ephemeralcontainers", &Method::GET) => read::get(request),
        ("status" | "resize" | "ephemeralcontainers", &Method::PUT) => update::update(request),
        ("status" | "resize" | "ephemeralcontainers", &Method::PATCH) => patch::patch(request),
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// A token request's answer. The token opens nothing: requests with one are refused.
fn token(request: &Request<'_>) -> Value {
    const LIFE: std::time::Duration = std::time::Duration::from_secs(3600);
    let expires = request.inner.options.clock.now().checked_add(LIFE).map(|t| t.to_string()).unwrap_or_default();
    let metadata = json!({"name": request.name, "namespace": request.namespace});
    json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": metadata,
        "spec": {"audiences": [], "expirationSeconds": LIFE.as_secs()},
        "status": {"token": Txn::begin(request.inner).uid(), "expirationTimestamp": expires}})
}

/// A Status of success.
pub(super) fn success(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code})
}

impl Request<'_> {
    /// Group and plural of the table that holds the objects.
    pub(super) fn table(&self) -> (&str, &str) {
        self.resource.storage()
    }

    pub(super) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.resource.group, &self.resource.plural, &self.name)
    }

    pub(super) fn key(&self) -> String {
        super::store::object_key(self.namespace.as_deref(), &self.name)
    }

    /// The body as an object: JSON, or YAML where the header says so.
    pub(super) fn object(&self) -> Result<Value, ApiError> {
        let content_type = self.call.header(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        let kind = &self.resource.kind;
        let body = &self.call.body;
        let shown = || match body.is_empty() {
            true => "<empty>".to_owned(),
            false => String::from_utf8_lossy(body).into_owned(),
        };
        let unrecognized = |message: String| {
            let head =
                format!("the object provided is unrecognized (must be of type {kind}): couldn't get version/kind");
            ApiError::bad_request(format!("{head}; json parse error: {message} ({})", shown()))
        };
        let value = match content_type {
            "" | "application/json" => super::body::json(body).map_err(unrecognized)?,
            "application/yaml" => super::body::yaml(body).map_err(unrecognized)?,
            "application/vnd.kubernetes.protobuf" => super::protobuf::decode(body)
                .ok_or_else(|| ApiError::bad_request("the protobuf body of the request could not be read"))?,
            _ => {
                let text = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf";
                return Err(ApiError::new(415, "UnsupportedMediaType", text));
            }
        };
        if !value.is_object() {
            return Err(unrecognized("json: cannot unmarshal array into Go value of type struct".into()));
        }
        self.typed(value)
    }

    /// Checks apiVersion and kind, and sets them where they are missing.
    pub(super) fn typed(&self, mut value: Value) -> Result<Value, ApiError> {
        let resource = &self.resource;
        let (api_version, kind) = (text(&value, "apiVersion").to_owned(), text(&value, "kind").to_owned());
        let wanted = resource.api_version();
        if (api_version.is_empty() || api_version == wanted) && (kind.is_empty() || kind == resource.kind) {
            value["apiVersion"] = wanted.into();
            value["kind"] = resource.kind.as_str().into();
            return Ok(value);
        }
        let version = api_version.rsplit('/').next().unwrap_or_default();
        let (want, want_version) = (&resource.kind, &resource.version);
        let internal = if resource.group.is_empty() { "core" } else { resource.group.split('.').next().unwrap_or("") };
        let message = if kind != *want && api_version == wanted {
            format!(
                "{kind} in version {version:?} cannot be handled as a {want}: converting ({want_version}.{kind}) to ({internal}.{want}): unknown conversion"
            )
        } else {
            format!("the API version in the data ({api_version}) does not match the expected API version ({wanted})")
        };
        Err(ApiError::bad_request(message))
    }

    /// The text before `: …` of what cannot be decoded.
    pub(super) fn cannot_handle(&self, message: &str) -> ApiError {
        let (kind, version) = (&self.resource.kind, &self.resource.version);
        ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {message}"))
    }

    /// Checks the namespace of a body against the path's, and sets it.
    pub(super) fn set_namespace(&self, object: &mut Value) -> Result<(), ApiError> {
        let given = text(object, "metadata.namespace").to_owned();
        let wanted = self.namespace.clone().unwrap_or_default();
        if given.is_empty() && !wanted.is_empty() {
            object["metadata"]["namespace"] = wanted.into();
        } else if given != wanted {
            let text = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(ApiError::bad_request(text));
        }
        Ok(())
    }

    /// Checks the name of a body against the path's.
    pub(super) fn check_name(&self, object: &Value) -> Result<(), ApiError> {
        let given = text(object, "metadata.name");
        if given.is_empty() {
            let name = &self.name;
            let text =
                format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
            return Err(ApiError::bad_request(text));
        }
        if given != self.name {
            let name = &self.name;
            let text = format!("the name of the object ({given}) does not match the name on the URL ({name})");
            return Err(ApiError::bad_request(text));
        }
        Ok(())
    }
}
