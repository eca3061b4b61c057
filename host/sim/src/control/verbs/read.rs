//! Get and list.

use std::sync::Arc;

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header;
use serde_json::{Map, Value, json};

use super::{Request, Txn, txn::view};
use crate::control::{
    error::{ApiError, Cause},
    http::{Answer, Document},
    options::{Query, invalid_options},
    present::{self, Form},
    selectors::Selectors,
    store::{Stored, View},
};

/// The token's encoding; bits that are left over at the end do not matter.
const TOKEN: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Answers one object.
pub(super) fn get(request: &Request<'_>) -> Result<Answer, ApiError> {
    let form = present::negotiate(request.call.header(header::ACCEPT))?;
    let include = present::include(request.query.get("includeObject"))?;
    let txn = Txn::begin(request.inner);
    if let Some(revision) = revision(&request.query).map_err(|message| ApiError::new(500, "", message))?
        && revision > txn.state.revision()
    {
        return Err(too_large(revision, txn.state.revision()));
    }
    let stored = txn.state.get(request.table(), &request.key()).ok_or_else(|| request.not_found())?;
    let shown = view(&request.resource, &stored);
    let now = request.inner.options.clock.now();
    Ok(present::object(&request.resource, &shown, form, include, now).into())
}

/// Answers an object that a write has made.
pub(super) fn present_value(request: &Request<'_>, value: Value, _: &Txn<'_>) -> Result<Answer, ApiError> {
    let form = present::negotiate(request.call.header(header::ACCEPT))?;
    let include = present::include(request.query.get("includeObject"))?;
    let now = request.inner.options.clock.now();
    Ok(present::object(&request.resource, &View::new(Arc::new(value)), form, include, now).into())
}

/// `resourceVersion` as a number, `None` if it is missing, empty or 0.
pub(super) fn revision(query: &Query) -> Result<Option<u64>, String> {
    let text = query.get("resourceVersion");
    if text.is_empty() {
        return Ok(None);
    }
    let parsed: Result<u64, _> = text.parse();
    parsed.map(Some).map_err(|_| {
        format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax")
    })
}

/// The answer to a version that does not exist yet.
fn too_large(wanted: u64, current: u64) -> ApiError {
    let text = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    let details = json!({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1});
    ApiError { details, ..ApiError::new(504, "Timeout", text) }
}

/// Checks the options that lists and watches share.
pub(super) fn check_list_options(query: &Query, watch: bool) -> Result<(), ApiError> {
    let (matching, version) = (query.get("resourceVersionMatch"), query.get("resourceVersion"));
    let initial = query.find("sendInitialEvents");
    let field = "resourceVersionMatch";
    let mut causes = Vec::new();
    if initial.is_some() && !watch {
        causes.push(Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    } else if initial.is_some() && matching != "NotOlderThan" {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        causes.push(Cause::forbidden(field, detail));
    } else if initial.is_none() && watch && !matching.is_empty() {
        let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        causes.push(Cause::forbidden(field, detail));
    }
    if !watch && !matching.is_empty() {
        if version.is_empty() {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            causes.push(Cause::forbidden(field, detail));
        }
        if !query.get("continue").is_empty() {
            causes.push(Cause::forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            causes.push(Cause::not_supported(field, &matching.into(), &["Exact", "NotOlderThan", ""]));
        } else if matching == "Exact" && version == "0" {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            causes.push(Cause::forbidden(field, detail));
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(invalid_options("ListOptions", &causes)) }
}

/// A page's place: the version of the first page and the key after which the next begins.
struct Continue {
    /// `None`: whatever is there now.
    revision: Option<u64>,
    after: String,
}

impl Continue {
    fn read(token: &str) -> Result<Self, ApiError> {
        let fail =
            |what: &str| ApiError::bad_request(format!("invalid continue token: continue key is not valid: {what}"));
        let bytes = TOKEN.decode(token).map_err(|e| fail(&e.to_string()))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| {
            let first = bytes.first().copied().unwrap_or(b' ');
            let shown = match first {
                0x20..0x7f => format!("{:?}", char::from(first)),
                other => format!("'\\u{other:04x}'"),
            };
            fail(&format!("invalid character {shown} looking for beginning of value"))
        })?;
        let after = value["start"].as_str().ok_or_else(|| fail("no start"))?.to_owned();
        let revision = value["rv"].as_i64().and_then(|rv| u64::try_from(rv).ok());
        Ok(Self { revision, after })
    }

    fn write(&self) -> String {
        let revision = self.revision.and_then(|r| i64::try_from(r).ok()).unwrap_or(-1);
        let value = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": self.after});
        TOKEN.encode(value.to_string())
    }
}

/// What a list has found.
struct Page {
    objects: Vec<Arc<View>>,
    revision: u64,
    next: Option<Continue>,
    remaining: Option<usize>,
}

/// Answers a list.
pub(super) fn list(request: &Request<'_>) -> Result<Answer, ApiError> {
    let query = &request.query;
    let form = present::negotiate(request.call.header(header::ACCEPT))?;
    let include = present::include(query.get("includeObject"))?;
    check_list_options(query, false)?;
    let selectors = Selectors::parse(&request.resource, query.get("labelSelector"), query.get("fieldSelector"))?;
    let page = find(request, &selectors)?;
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".into(), page.revision.to_string().into());
    if let Some(next) = &page.next {
        metadata.insert("continue".into(), next.write().into());
    }
    if let Some(remaining) = page.remaining {
        metadata.insert("remainingItemCount".into(), remaining.into());
    }
    Ok(encode(request, form, include, &page.objects, Value::Object(metadata)).into())
}

fn encode(
    request: &Request<'_>,
    form: Form,
    include: present::Include,
    objects: &[Arc<View>],
    metadata: Value,
) -> Document {
    let resource = &request.resource;
    match form {
        Form::Table(version) => {
            let values: Vec<Arc<Value>> = objects.iter().map(|o| o.value.clone()).collect();
            let now = request.inner.options.clock.now();
            Document::json(&present::table(resource, &values, metadata, version, include, now))
        }
        Form::Partial(version) => {
            let items: Vec<Value> = objects.iter().map(|o| present::partial(&o.value, version)).collect();
            Document::json(&json!({"kind": "PartialObjectMetadataList",
                "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata, "items": items}))
        }
        Form::Yaml => {
            let items: Vec<&Value> = objects.iter().map(|o| &*o.value).collect();
            present::yaml_document(&json!({"kind": resource.list_kind, "apiVersion": resource.api_version(),
                "metadata": metadata, "items": items}))
        }
        Form::Json => {
            let body = concatenate(request, objects, &metadata);
            Document { content_type: "application/json".into(), body, etag: None }
        }
    }
}

/// The list's JSON from the encodings that the objects already have.
fn concatenate(request: &Request<'_>, objects: &[Arc<View>], metadata: &Value) -> Bytes {
    let resource = &request.resource;
    let (kind, version) = (Value::from(resource.list_kind.as_str()), Value::from(resource.api_version()));
    let mut out = BytesMut::new();
    out.put_slice(format!("{{\"kind\":{kind},\"apiVersion\":{version},\"metadata\":{metadata},\"items\":[").as_bytes());
    for (i, object) in objects.iter().enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        out.put_slice(if resource.custom.is_some() { object.full() } else { object.item() });
    }
    out.put_slice(b"]}");
    out.freeze()
}

fn find(request: &Request<'_>, selectors: &Selectors) -> Result<Page, ApiError> {
    let query = &request.query;
    let limit = query.number("limit")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    let token = query.get("continue");
    let wanted = revision(query).map_err(|m| ApiError::bad_request(format!("invalid resource version: {m}")))?;
    let mut txn = Txn::begin(request.inner);
    let now = txn.now_ms();
    txn.state.compact(now);
    let current = txn.state.revision();
    if !token.is_empty() {
        if wanted.is_some_and(|r| r != 0) {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        return next_page(request, &txn, selectors, Continue::read(token)?, limit);
    }
    if wanted.is_some_and(|r| r > current) {
        return Err(too_large(wanted.unwrap_or(0), current));
    }
    let exact = query.get("resourceVersionMatch") == "Exact";
    if let (true, Some(revision)) = (exact, wanted) {
        let all = txn
            .state
            .list_at(request.table(), request.namespace.as_deref(), revision)
            .map_err(|_| ApiError::new(410, "Expired", "The resourceVersion for the provided list is too old."))?;
        return Ok(page(request, selectors, all.into_iter(), revision, None, limit));
    }
    // A list from memory at any version is not cut into pages.
    let limit = if wanted == Some(0) && query.get("resourceVersionMatch").is_empty() { None } else { limit };
    let all = txn.state.list(request.table(), request.namespace.as_deref()).map(|(k, o)| (k.clone(), o.clone()));
    Ok(page(request, selectors, all, current, None, limit))
}

fn next_page(
    request: &Request<'_>,
    txn: &Txn<'_>,
    selectors: &Selectors,
    from: Continue,
    limit: Option<usize>,
) -> Result<Page, ApiError> {
    let namespace = request.namespace.as_deref();
    let revision = from.revision.unwrap_or_else(|| txn.state.revision());
    let found = txn.state.list_at(request.table(), namespace, revision);
    let Ok(all) = found else {
        let text = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
        let token = Continue { revision: None, after: from.after }.write();
        return Err(ApiError { continue_token: Some(token), ..ApiError::new(410, "Expired", text) });
    };
    Ok(page(request, selectors, all.into_iter(), revision, Some(from.after), limit))
}

fn page(
    request: &Request<'_>,
    selectors: &Selectors,
    all: impl Iterator<Item = (String, Arc<Stored>)>,
    revision: u64,
    after: Option<String>,
    limit: Option<usize>,
) -> Page {
    let mut out = Page { objects: Vec::new(), revision, next: None, remaining: None };
    let mut last = String::new();
    let mut rest = all.filter(|(key, _)| after.as_ref().is_none_or(|a| key > a));
    for (key, stored) in rest.by_ref() {
        let shown = view(&request.resource, &stored);
        if !selectors.is_empty() && !selectors.matches(&shown.value) {
            continue;
        }
        if limit.is_some_and(|n| out.objects.len() == n) {
            out.next = Some(Continue { revision: Some(revision), after: last });
            out.remaining = selectors.is_empty().then(|| rest.count() + 1);
            return out;
        }
        out.objects.push(shown);
        last = key;
    }
    out
}
