//! Leader election on a Lease: one instance at a time walks its rounds.
//!
//! The lease keeps two instances from getting in each other's way. That no wrong write happens does not rest on it:
//! every write carries a precondition (S19, S20).

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;

use crate::apply::FIELD_MANAGER;

/// A lease that was not renewed for this long may be taken.
const DURATION_SECONDS: i32 = 15;

/// The holder stops when it could not renew for this long, well before another may take over.
const RENEW_SECONDS_MAX: u64 = 10;

/// Time between two tries to take or renew.
const RETRY_SECONDS: u64 = 2;

/// One try takes at most this long.
const TRY_SECONDS_MAX: u64 = 5;

/// Where the lease is and who asks for it.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the lease.
    pub name: String,
    /// This instance.
    pub identity: String,
}

/// A candidate.
pub struct Candidate {
    api: Api<Lease>,
    config: LeaseConfig,
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The holder and its last renewal, and when this instance first saw them. The lease's own times are another
    /// machine's clock, and only that they change says something.
    seen: Option<(String, Option<Timestamp>, Instant)>,
}

impl Candidate {
    /// A candidate for the lease in `config`.
    pub fn new(client: Client, config: LeaseConfig, now_ms: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self { api: Api::namespaced(client, &config.namespace), config, now_ms, seen: None }
    }

    /// Waits until this instance holds the lease.
    pub async fn acquire(&mut self) {
        let mut told = None;
        loop {
            match self.try_in_time().await {
                Ok(true) => return,
                Ok(false) => {
                    let holder = self.seen.as_ref().map(|(holder, ..)| holder.clone());
                    if holder != told {
                        tracing::info!(lease = self.config.name, holder, "another instance leads; this one waits");
                        told = holder;
                    }
                }
                Err(error) => tracing::warn!(%error, lease = self.config.name, "failed to ask for the lease"),
            }
            tokio::time::sleep(Duration::from_secs(RETRY_SECONDS)).await;
        }
    }

    /// Renews the lease until that fails for too long, or another holds it.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(RETRY_SECONDS)).await;
            match self.try_in_time().await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return,
                Err(error) if renewed.elapsed() >= Duration::from_secs(RENEW_SECONDS_MAX) => {
                    tracing::warn!(%error, lease = self.config.name, "failed to renew the lease");
                    return;
                }
                Err(error) => {
                    tracing::info!(%error, lease = self.config.name, "failed to renew the lease, trying again")
                }
            }
        }
    }

    /// Gives the lease back, so that the next instance need not wait for its end.
    pub async fn release(&mut self) {
        let given = async {
            let Some(mut lease) = self.api.get_opt(&self.config.name).await? else { return Ok(()) };
            let Some(spec) = &mut lease.spec else { return Ok(()) };
            if spec.holder_identity.as_deref() != Some(&self.config.identity) {
                return Ok(());
            }
            spec.holder_identity = None;
            self.put(&lease).await
        };
        let given = tokio::time::timeout(Duration::from_secs(TRY_SECONDS_MAX), given).await;
        if let Ok(Err(error)) = given {
            tracing::info!(%error, lease = self.config.name, "failed to give the lease back");
        }
    }

    async fn try_in_time(&mut self) -> kube::Result<bool> {
        let limit = Duration::from_secs(TRY_SECONDS_MAX);
        let timeout = |_| kube::Error::Service("no answer in time".into());
        match tokio::time::timeout(limit, self.try_once()).await.map_err(timeout)? {
            // Another was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            tried => tried,
        }
    }

    async fn try_once(&mut self) -> kube::Result<bool> {
        let Some(mut lease) = self.api.get_opt(&self.config.name).await? else {
            let metadata = ObjectMeta { name: Some(self.config.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.spec(None)) };
            self.api.create(&parameters(), &lease).await?;
            return Ok(true);
        };
        let spec = lease.spec.take().unwrap_or_default();
        if !self.may_take(&spec) {
            return Ok(false);
        }
        lease.spec = Some(self.spec(Some(spec)));
        // With the version that was read: if another took it in between, this fails.
        self.put(&lease).await?;
        Ok(true)
    }

    fn may_take(&mut self, spec: &LeaseSpec) -> bool {
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if holder.is_empty() || holder == self.config.identity {
            return true;
        }
        let renewed = spec.renew_time.as_ref().map(|time| time.0);
        let known = self.seen.as_ref().filter(|(seen, time, _)| *seen == holder && *time == renewed);
        let since = known.map_or_else(Instant::now, |(_, _, since)| *since);
        self.seen = Some((holder, renewed, since));
        let seconds = spec.lease_duration_seconds.unwrap_or(DURATION_SECONDS);
        since.elapsed() > Duration::from_secs(seconds.try_into().unwrap_or(0))
    }

    /// The lease as this instance holds it.
    fn spec(&self, old: Option<LeaseSpec>) -> LeaseSpec {
        let old = old.unwrap_or_default();
        let now = i64::try_from((self.now_ms)()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let now = now.map(MicroTime);
        let mine = old.holder_identity.as_deref() == Some(&self.config.identity);
        LeaseSpec {
            holder_identity: Some(self.config.identity.clone()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            acquire_time: if mine { old.acquire_time.clone() } else { now.clone() },
            lease_transitions: Some(old.lease_transitions.unwrap_or(0).saturating_add(i32::from(!mine))),
            renew_time: now,
            ..old
        }
    }

    async fn put(&self, lease: &Lease) -> kube::Result<()> {
        self.api.replace(&self.config.name, &parameters(), lease).await.map(drop)
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
