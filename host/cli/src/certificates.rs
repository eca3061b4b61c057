//! Certificates for clusters that want TLS and bring none.

use anyhow::Context;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::Value;
use tidepool_api::{TidbCluster, input::Document};
use tidepool_sim::authority::{self, Authority, Validity};

use crate::documents;

/// Name of the authority.
const AUTHORITY: &str = "Tidepool demo CA";
/// How long its certificates are good for: longer than any demo.
const DAYS: u32 = 3_650;

/// `namespace/name` of each cluster of `documents` that wants TLS and none of whose Secrets is among them or there
/// already, with the Secrets that it needs.
///
/// # Errors
/// When a cluster cannot be read, or the API server does not answer.
pub async fn missing(
    client: &Client,
    documents: &[Document],
    now_ms: u64,
) -> anyhow::Result<Vec<(String, Vec<Value>)>> {
    let validity = Validity::days(now_ms, DAYS);
    // One for all: clusters that join one another must trust the same.
    let authority = Authority::valid(AUTHORITY, validity, validity)?;
    let mut made = Vec::new();
    for mut value in documents::cluster_objects(documents) {
        value["metadata"]["namespace"] = documents::namespace_of(&value).into();
        let cluster: TidbCluster = serde_json::from_value(value).context("failed to read the TidbCluster")?;
        let secrets = authority::secrets(&authority, &cluster)?;
        if !secrets.is_empty() && !brings_some(client, documents, &secrets).await? {
            made.push((format!("{}/{}", cluster.namespace(), cluster.name()), secrets));
        }
    }
    Ok(made)
}

async fn brings_some(client: &Client, documents: &[Document], secrets: &[Value]) -> anyhow::Result<bool> {
    for secret in secrets {
        let (namespace, name) = (documents::namespace_of(secret), &secret["metadata"]["name"]);
        let same = |document: &&Document| {
            let value = &document.value;
            value["kind"] == "Secret"
                && value["metadata"]["name"] == *name
                && documents::namespace_of(value) == namespace
        };
        let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let there = || async { api.get_opt(name.as_str().unwrap_or_default()).await };
        if documents.iter().find(same).is_some() || there().await.context("failed to look for Secrets")?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
