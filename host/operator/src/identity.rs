//! The operator's certificate at a cluster with TLS: read from one Secret by its name, kept until that Secret changes.
//!
//! This is the only code of the operator that reads what is in a Secret (S28). The contents become a TLS client at once and
//! are kept nowhere else; no error repeats them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::Client;
use serde::Deserialize;
use tidepool_api::{certificates, names};
use tidepool_pd::{
    Error as PdError, Http,
    tls::{self, NowMs, Pem, TlsError},
};

use crate::{cluster::ClusterKey, store::Store};

/// The API server has this long to send a Secret: as long as PD has for an answer.
const READ_SECONDS_MAX: u64 = 5;

/// Where Secrets cannot be watched, a client is made anew after this time.
const UNSEEN_MS_MAX: u64 = 30_000;

/// Why there is no client with a certificate.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no such Secret.
    #[error("the Secret {0} with the client's certificate does not exist")]
    Missing(String),
    /// It cannot be read.
    #[error("failed to read the Secret {name}")]
    Read {
        /// Namespace and name.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("failed to read the Secret {0}: no answer within {READ_SECONDS_MAX} s")]
    Timeout(String),
    /// What the API server sent is no Secret.
    #[error("failed to read the Secret {0}: the answer is none")]
    Answer(String),
    /// It is not one with a certificate.
    #[error("the Secret {name} does not serve as a client's certificate")]
    Tls {
        /// Namespace and name.
        name: String,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// Connections cannot be encrypted here.
    #[error("this way to the components has no TLS")]
    NoTls,
}

impl IdentityError {
    /// As the reason why `request` could not be sent.
    pub(crate) fn of(self, request: String) -> PdError {
        PdError::Identity { request, source: self.into() }
    }
}

/// Clients with certificates, by cluster.
pub struct Identities {
    api: Client,
    http: Http,
    now: NowMs,
    kept: Mutex<BTreeMap<ClusterKey, Arc<tokio::sync::Mutex<Option<Kept>>>>>,
}

/// A client, and the version of the Secret that it was made of, as the watch showed it.
struct Kept {
    version: Option<String>,
    read_ms: u64,
    http: Http,
}

impl Kept {
    /// Where the watch shows nothing, because it may not list Secrets, time decides.
    fn serves(&self, seen: Option<&String>, now_ms: u64) -> bool {
        match (&self.version, seen) {
            (Some(made_of), Some(seen)) => made_of == seen,
            (None, None) => now_ms.saturating_sub(self.read_ms) < UNSEEN_MS_MAX,
            _ => false,
        }
    }
}

impl Identities {
    /// Reads Secrets through `api`; the clients connect as `http` does.
    pub fn new(api: Client, http: Http, now: NowMs) -> Self {
        Self { api, http, now, kept: Mutex::default() }
    }

    /// The client for a cluster with TLS.
    ///
    /// # Errors
    /// When the Secret is not there, or not in order.
    pub async fn client(&self, store: &Store, cluster: &ClusterKey) -> Result<Http, IdentityError> {
        let secret = names::client_tls_secret(&cluster.name);
        let seen = store.secret_version(&cluster.namespace, &secret);
        if let Ok(None) = seen {
            return Err(IdentityError::Missing(format!("{}/{secret}", cluster.namespace)));
        }
        // One reader at a time for a cluster; no cluster waits for another one's.
        let place = self.place(store, cluster);
        let mut kept = place.lock().await;
        let (seen, now_ms) = (seen.ok().flatten(), (self.now)());
        if let Some(kept) = kept.as_ref().filter(|kept| kept.serves(seen.as_ref(), now_ms)) {
            return Ok(kept.http.clone());
        }
        let http = self.read(&cluster.namespace, &secret).await?;
        *kept = Some(Kept { version: seen, read_ms: now_ms, http: http.clone() });
        Ok(http)
    }

    /// Where a cluster's client is kept. Those of clusters that are gone are dropped.
    fn place(&self, store: &Store, cluster: &ClusterKey) -> Arc<tokio::sync::Mutex<Option<Kept>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.contains_key(cluster) {
            kept.retain(|key, _| store.cluster(key).is_some());
        }
        kept.entry(cluster.clone()).or_default().clone()
    }

    async fn read(&self, namespace: &str, secret: &str) -> Result<Http, IdentityError> {
        let tls = client_config(&self.api, namespace, secret, self.now.clone()).await?;
        self.http.secured(tls).ok_or(IdentityError::NoTls)
    }
}

/// The TLS client that a Secret makes.
///
/// # Errors
/// When the Secret is not there, or not in order.
pub async fn client_config(
    api: &Client,
    namespace: &str,
    secret: &str,
    now: NowMs,
) -> Result<Arc<rustls::ClientConfig>, IdentityError> {
    /// The part of a Secret that matters. Read here and not by `kube`, which logs an answer that it cannot read.
    #[derive(Deserialize)]
    struct Contents {
        #[serde(default)]
        data: BTreeMap<String, ByteString>,
    }
    let name = format!("{namespace}/{secret}");
    let failed = |error: kube::Error| match error {
        kube::Error::Api(status) if status.code == 404 => IdentityError::Missing(name.clone()),
        source => IdentityError::Read { name: name.clone(), source: Box::new(source) },
    };
    let path = kube::core::request::Request::new(<Secret as kube::Resource>::url_path(&(), Some(namespace)));
    let request = path.get(secret, &kube::api::GetParams::default());
    let request = request.map_err(|error| failed(kube::Error::BuildRequest(error)))?;
    let read = tokio::time::timeout(Duration::from_secs(READ_SECONDS_MAX), api.request_text(request)).await;
    let text = read.map_err(|_| IdentityError::Timeout(name.clone()))?.map_err(failed)?;
    let contents: Contents = serde_json::from_str(&text).map_err(|_| IdentityError::Answer(name.clone()))?;
    let bytes = |key: &str| contents.data.get(key).map(|bytes| bytes.0.as_slice()).unwrap_or_default();
    let pem = Pem {
        ca: bytes(certificates::CA),
        certificate: bytes(certificates::CERTIFICATE),
        key: bytes(certificates::PRIVATE_KEY),
    };
    tls::client(&pem, now).map_err(|source| IdentityError::Tls { name, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_serves_as_long_as_its_secret_stays() {
        let http = Http::network();
        let (one, two) = ("1".to_owned(), "2".to_owned());
        let kept = Kept { version: Some(one.clone()), read_ms: 0, http: http.clone() };
        assert!(kept.serves(Some(&one), UNSEEN_MS_MAX * 2));
        assert!(!kept.serves(Some(&two), 0));
        assert!(!kept.serves(None, 0));
        let unseen = Kept { version: None, read_ms: 0, http };
        assert!(unseen.serves(None, UNSEEN_MS_MAX - 1) && !unseen.serves(None, UNSEEN_MS_MAX));
    }
}
