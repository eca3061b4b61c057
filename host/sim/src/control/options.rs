//! The query parameters of a request, checked as the real server does.

use super::error::{ApiError, Cause, go_quote};

/// A parsed query string.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let decode = |s: &str| super::http::decode(&s.replace('+', " "));
        let pair = |p: &str| {
            let (key, value) = p.split_once('=').unwrap_or((p, ""));
            (decode(key), decode(value))
        };
        Self(text.split('&').filter(|p| !p.is_empty()).map(pair).collect())
    }

    /// The first value of a parameter, empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// A flag as the real server reads it: present and neither `false` nor `0`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.find(name).is_some_and(|v| !matches!(v, "false" | "0"))
    }

    /// A number, `None` if it is missing or empty.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        let fail = |_| ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
        text.parse::<i64>().map(Some).map_err(fail)
    }
}

/// What unknown and duplicate fields lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Options of a create, update, patch or apply.
#[derive(Clone, Debug)]
pub(super) struct WriteOptions {
    pub(super) dry_run: bool,
    pub(super) field_manager: String,
    pub(super) field_validation: FieldValidation,
    pub(super) force: bool,
}

/// The longest field manager's name.
const MANAGER_BYTES_MAX: usize = 128;

/// The text of an invalid options object.
pub(super) fn invalid_options(kind: &str, causes: &[Cause]) -> ApiError {
    ApiError::invalid("meta.k8s.io", kind, "", causes)
}

pub(super) fn dry_run(query: &Query) -> Result<bool, Cause> {
    let values = query.all("dryRun");
    match values.as_slice() {
        [] => Ok(false),
        all if all.iter().all(|v| *v == "All") => Ok(true),
        all => Err(dry_run_cause(all)),
    }
}

pub(super) fn dry_run_cause(all: &[&str]) -> Cause {
    let list = all.iter().map(|v| go_quote(v)).collect::<Vec<_>>().join(",");
    let message = format!("Unsupported value: [{list}]: supported values: \"All\"");
    Cause { reason: "FieldValueNotSupported", message, field: "dryRun".into() }
}

impl WriteOptions {
    /// Reads the options; `kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`, `apply` for an apply patch.
    pub(super) fn read(query: &Query, kind: &str, user_agent: &str, apply: bool) -> Result<Self, ApiError> {
        let mut causes = Vec::new();
        let manager = query.get("fieldManager");
        if apply && manager.is_empty() {
            causes.push(Cause::required("fieldManager", "is required for apply patch"));
        }
        if manager.len() > MANAGER_BYTES_MAX {
            let message = format!("Too long: may not be more than {MANAGER_BYTES_MAX} bytes");
            causes.push(Cause { reason: "FieldValueTooLong", message, field: "fieldManager".into() });
        }
        let force = query.flag("force");
        if kind == "PatchOptions" && !apply && query.find("force").is_some() {
            causes.push(Cause::forbidden("force", "may not be specified for non-apply patch"));
        }
        let dry = dry_run(query).unwrap_or_else(|cause| {
            causes.push(cause);
            false
        });
        let field_validation = match query.get("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let supported = &["", "Ignore", "Strict", "Warn"];
                causes.push(Cause::not_supported("fieldValidation", &other.into(), supported));
                FieldValidation::Warn
            }
        };
        if !causes.is_empty() {
            return Err(invalid_options(kind, &causes));
        }
        let field_manager = if manager.is_empty() { default_manager(user_agent) } else { manager.to_owned() };
        Ok(Self { dry_run: dry, field_manager, field_validation, force })
    }
}

/// The manager of requests that name none: the first part of the user agent.
fn default_manager(user_agent: &str) -> String {
    let name: String = user_agent.split('/').next().unwrap_or_default().chars().take(MANAGER_BYTES_MAX).collect();
    if name.is_empty() { "unknown".into() } else { name }
}
