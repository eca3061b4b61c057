//! Claims and volumes in use do not go before their users.

use serde_json::Value;

use super::{Manager, api::ApiFailure, cache::Key, owned::is_terminating};
use crate::control::path::{list, text};

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";

impl Manager {
    /// Lets a claim or volume that is being deleted go when nobody uses it.
    pub(super) async fn protection(&mut self, key: &Key) -> Result<(), ApiFailure> {
        let Some(object) = self.cache.get(key).filter(|object| is_terminating(object)) else { return Ok(()) };
        let (finalizer, used) = match &*key.id {
            "persistentvolumeclaims" => (CLAIM, self.claim_in_use(key)),
            _ => (VOLUME, text(&object, "status.phase") == "Bound"),
        };
        if used { Ok(()) } else { self.remove_finalizer(key, &object, finalizer).await }
    }

    fn claim_in_use(&self, key: &Key) -> bool {
        let uses = |pod: &Value| {
            list(pod, "spec.volumes").iter().any(|v| text(v, "persistentVolumeClaim.claimName") == key.name)
        };
        let over = |pod: &Value| matches!(text(pod, "status.phase"), "Succeeded" | "Failed");
        self.cache.in_namespace("pods", &key.namespace).iter().any(|pod| uses(pod) && !over(pod))
    }
}
