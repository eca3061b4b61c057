//! Apply (cluster): carries out the actions of a checked plan. The only code of the operator that writes for a policy.
//!
//! Every write carries a precondition. What turns out to be stale ends the plan, and the next round decides anew from
//! what is then there: nothing is tried again blindly.

mod error;
mod objects;

use std::sync::Arc;

use futures::future::BoxFuture;
use http::Method;
use kube::Client;
use serde_json::Value;
use tidepool_model::{
    Action, Descriptor,
    plan::{ObjectRef, Precondition},
};
use tidepool_pd::Pd;

pub use error::Error;
use objects::Objects;
pub use objects::{FIELD_MANAGER, owned};

use crate::{check::Checked, cluster::Cluster, events::Events, observe::Network, store::Store};

/// What carries out actions: the cluster, or a pretended one for a preview.
pub trait Hands: Send + Sync {
    /// Carries out one action of a policy's plan.
    fn carry_out<'a>(
        &'a self,
        cluster: &'a Cluster,
        descriptor: &'a Descriptor,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Merges `patch` into the cluster's status; false if there was nothing to write.
    fn write_status<'a>(&'a self, cluster: &'a Cluster, patch: Value) -> BoxFuture<'a, Result<bool, Error>>;
}

/// How far a plan came.
#[derive(Debug, Default)]
pub struct Applied {
    /// Actions that were carried out, from the first.
    pub done: usize,
    /// Why the next one was not.
    pub error: Option<Error>,
}

/// Carries out a checked plan, in its order, up to the first action that fails. The order is the policy's: each prefix
/// of it is safe, so stopping anywhere is.
pub async fn apply(hands: &dyn Hands, cluster: &Cluster, descriptor: &Descriptor, plan: &Checked) -> Applied {
    let mut applied = Applied::default();
    for action in &plan.plan().actions {
        match hands.carry_out(cluster, descriptor, action).await {
            Ok(()) => applied.done += 1,
            Err(error) => {
                applied.error = Some(error);
                break;
            }
        }
    }
    applied
}

/// Carries out actions in the cluster.
pub struct Live {
    objects: Objects,
    network: Network,
    store: Arc<Store>,
    events: Arc<Events>,
}

impl Live {
    /// Writes through `client`, and to PD and components through `network`.
    pub fn new(client: Client, network: Network, store: Arc<Store>, events: Arc<Events>) -> Self {
        Self { objects: Objects::new(client, store.clone()), network, store, events }
    }

    async fn act(&self, cluster: &Cluster, descriptor: &Descriptor, action: &Action) -> Result<(), Error> {
        // Without `..`: a field that is added to an action must not be dropped here unseen.
        match action {
            Action::Create { object } => self.objects.create(cluster, object).await,
            Action::Replace { object, expect } => self.objects.replace(cluster, object, expect).await,
            Action::MergePatch { target, patch, expect } => self.patch(cluster, target, patch, expect).await,
            Action::Delete { target, expect } => self.objects.delete(cluster, target, expect).await,
            Action::TransferPdLeader { to } => Ok(self.pd(cluster).await?.transfer_leader(to).await?),
            Action::DeletePdMember { id } => {
                let id = id.parse().map_err(|_| Error::Invalid(format!("the member id {id} is not a number")))?;
                Ok(self.pd(cluster).await?.delete_member(id).await?)
            }
            Action::DeleteStore { id } => Ok(self.pd(cluster).await?.delete_store(*id).await?),
            Action::SetStoreLabels { id, labels } => Ok(self.pd(cluster).await?.set_store_labels(*id, labels).await?),
            Action::BeginEvictLeader { store } => Ok(self.pd(cluster).await?.begin_evict_leader(*store).await?),
            Action::EndEvictLeader { store } => Ok(self.pd(cluster).await?.end_evict_leader(*store).await?),
            Action::SetPdReplication { config } => Ok(self.pd(cluster).await?.set_replication(config).await?),
            Action::ComponentCall { call, pod, body } => self.call(cluster, descriptor, *call, pod, body).await,
            Action::Event { kind, reason, message } => {
                self.events.publish(cluster, *kind, reason, message).await;
                Ok(())
            }
        }
    }

    async fn patch(
        &self,
        cluster: &Cluster,
        target: &ObjectRef,
        patch: &Value,
        expect: &Precondition,
    ) -> Result<(), Error> {
        self.objects.merge_patch(cluster, target, patch, expect).await
    }

    async fn pd(&self, cluster: &Cluster) -> Result<impl Pd + use<>, Error> {
        let found = self.network.pd_of(cluster).await?;
        found.ok_or_else(|| Error::Invalid("PD's address is not known".to_owned()))
    }

    async fn call(
        &self,
        cluster: &Cluster,
        descriptor: &Descriptor,
        call: u32,
        pod: &str,
        body: &str,
    ) -> Result<(), Error> {
        let invalid = |what: &str| Error::Invalid(format!("there is no {what}"));
        let call = descriptor.calls.get(call as usize).ok_or_else(|| invalid("such component call"))?;
        let component = call.pods.as_deref().or(descriptor.pods.as_deref()).unwrap_or_default();
        let pods = self.store.pod_details(cluster, component).unwrap_or_default();
        let (_, detail) = pods.iter().find(|(name, _)| name == pod).ok_or_else(|| invalid("such pod"))?;
        let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| invalid("such HTTP method"))?;
        let (status, answer) =
            self.network.call(cluster, detail, method, call.port, &call.path, body.to_owned()).await?;
        if status < 300 {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Err(Error::Component { pod: pod.to_owned(), path: call.path.clone(), status, answer })
    }
}

impl Hands for Live {
    fn carry_out<'a>(
        &'a self,
        cluster: &'a Cluster,
        descriptor: &'a Descriptor,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.act(cluster, descriptor, action))
    }

    fn write_status<'a>(&'a self, cluster: &'a Cluster, patch: Value) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(self.objects.write_status(cluster, patch))
    }
}
