//! The requests that controllers make: JSON in, JSON out.

use futures::{StreamExt as _, stream::BoxStream};
use kube::core::WatchEvent;
use serde_json::Value;

use super::{cache::Key, watch::Watched};

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ApiFailure {
    /// The server said no.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// `NotFound`, `Conflict`, …
        reason: String,
        /// For people.
        message: String,
    },
    /// No answer came.
    #[error("failed to reach the server")]
    Unreachable(#[source] kube::Error),
    /// The resource is not followed any more.
    #[error("failed to find resource {0}")]
    UnknownResource(String),
}

impl ApiFailure {
    /// Whether the object was not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether something of that name was there already.
    pub fn already_exists(&self) -> bool {
        matches!(self, Self::Refused { code: 409, reason, .. } if reason == "AlreadyExists")
    }
}

impl From<kube::Error> for ApiFailure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                Self::Refused { code: status.code, reason: status.reason.clone(), message: status.message.clone() }
            }
            other => Self::Unreachable(other),
        }
    }
}

/// The server.
#[derive(Clone)]
pub struct Api {
    client: kube::Client,
}

impl Api {
    pub fn new(client: kube::Client) -> Self {
        Self { client }
    }

    pub async fn get(&self, path: &str) -> Result<Value, ApiFailure> {
        self.send("GET", path, None, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiFailure> {
        self.send("POST", path, Some("application/json"), Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, ApiFailure> {
        self.send("PUT", path, Some("application/json"), Some(body)).await
    }

    /// A merge patch.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, ApiFailure> {
        self.send("PATCH", path, Some("application/merge-patch+json"), Some(body)).await
    }

    pub async fn delete(&self, path: &str, options: &Value) -> Result<Value, ApiFailure> {
        self.send("DELETE", path, Some("application/json"), Some(options)).await
    }

    /// The events of a watch.
    pub async fn watch(
        &self,
        path: &str,
    ) -> Result<BoxStream<'static, Result<WatchEvent<Value>, kube::Error>>, ApiFailure> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| unreachable_request(&error))?;
        Ok(self.client.request_events::<Value>(request).await?.boxed())
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, ApiFailure> {
        let mut request = http::Request::builder().method(method).uri(path);
        if let Some(content_type) = content_type {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = request.body(body).map_err(|error| unreachable_request(&error))?;
        Ok(self.client.request::<Value>(request).await?)
    }
}

/// A path that is no URL: names are checked by the server, so this is a name it would not take.
fn unreachable_request(error: &http::Error) -> ApiFailure {
    ApiFailure::Refused {
        code: 400,
        reason: "BadRequest".to_owned(),
        message: format!("failed to make a request: {error}"),
    }
}

impl super::Manager {
    fn resource(&self, id: &str) -> Result<Watched, ApiFailure> {
        self.cache.watched(id).cloned().ok_or_else(|| ApiFailure::UnknownResource(id.to_owned()))
    }

    /// The path of an object.
    pub(super) fn path(&self, key: &Key) -> Result<String, ApiFailure> {
        Ok(self.resource(&key.id)?.path(&key.namespace, &key.name))
    }

    /// Creates an object and takes it into the view.
    pub(super) async fn create(&mut self, id: &str, object: &Value) -> Result<Value, ApiFailure> {
        let path = self.resource(id)?.path(crate::control::path::text(object, "metadata.namespace"), "");
        let made = self.api.post(&path, object).await?;
        self.put(id, made.clone());
        Ok(made)
    }

    /// Replaces an object, or its status with `/status`, and takes the answer into the view.
    pub(super) async fn update(&mut self, key: &Key, subresource: &str, object: &Value) -> Result<Value, ApiFailure> {
        let path = format!("{}{subresource}", self.path(key)?);
        let made = self.api.put(&path, object).await?;
        self.put(&key.id.clone(), made.clone());
        Ok(made)
    }

    /// Merges `patch` into an object and takes the answer into the view.
    pub(super) async fn patch(&mut self, key: &Key, subresource: &str, patch: &Value) -> Result<Value, ApiFailure> {
        let path = format!("{}{subresource}", self.path(key)?);
        let made = self.api.patch(&path, patch).await?;
        self.put(&key.id.clone(), made.clone());
        Ok(made)
    }

    /// Deletes the object with that uid. One that is gone already counts as deleted.
    pub(super) async fn delete(&mut self, key: &Key, uid: &str, policy: &str) -> Result<(), ApiFailure> {
        let options = serde_json::json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy, "preconditions": {"uid": uid}});
        match self.api.delete(&self.path(key)?, &options).await {
            Ok(answer) => {
                self.note_deletion(key, uid, answer);
                Ok(())
            }
            Err(failure) if failure.is_not_found() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// The view takes a deletion at once: as the object that stays for a while, or as a mark on the one it knows.
    fn note_deletion(&mut self, key: &Key, uid: &str, answer: Value) {
        use crate::control::path::{at, set, text};
        if text(&answer, "metadata.uid") == uid && text(&answer, "kind") != "Status" {
            self.put(&key.id.clone(), answer);
        }
        let alive = |known: &std::sync::Arc<Value>| {
            text(known, "metadata.uid") == uid && at(known, "metadata.deletionTimestamp").is_null()
        };
        let Some(known) = self.cache.get(key).filter(alive) else { return };
        let mut marked = (*known).clone();
        set(&mut marked, "metadata.deletionTimestamp", self.clock.now().to_string());
        self.cache.mark(key, marked);
    }
}
