//! Small helpers around `kube::Client` that every part of the data plane needs.

use std::fmt::Debug;

use jiff::Timestamp;
use kube::{Api, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Creates `object` unless one of that name exists.
///
/// # Errors
/// When the API server refuses for another reason.
pub async fn ensure<K>(api: &Api<K>, object: &Value) -> Result<(), kube::Error>
where
    K: Clone + DeserializeOwned + Debug + Serialize,
{
    let typed: K = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &typed).await {
        Ok(_) => Ok(()),
        Err(error) if is_status(&error, 409) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the object of a request does not exist (any more).
pub fn is_not_found(error: &kube::Error) -> bool {
    is_status(error, 404)
}

/// Whether a precondition failed: somebody else wrote first, or the object is another one by now.
pub fn is_conflict(error: &kube::Error) -> bool {
    is_status(error, 409)
}

fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// `milliseconds` since the Unix epoch as Kubernetes prints times: whole seconds.
pub fn rfc3339(milliseconds: u64) -> String {
    timestamp(milliseconds).map_or_else(String::new, |time| format!("{time:.0}"))
}

fn timestamp(milliseconds: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(milliseconds / 1_000).ok()?;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_whole_seconds() {
        assert_eq!(rfc3339(1_767_225_600_999), "2026-01-01T00:00:00Z");
    }
}
