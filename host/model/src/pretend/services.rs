//! PD's services that run apart from it, in a pretended cluster: every pod is a member, and the first one acts until
//! somebody says otherwise.

use serde_json::{Value, json, value::RawValue};

use super::{World, component, name, raw};
use crate::{
    descriptor::{Descriptor, SERVICES, members_document, primary_document},
    known::Known,
};

/// What PD says that runs its services itself.
const RUNS_THEM_ITSELF: &str = "not support micro service";

impl World {
    /// Lists the pods. `host` tells the host name of a pod of a service.
    pub(super) fn settle_services(&mut self, host: &dyn Fn(&str, &str) -> String) {
        for service in SERVICES {
            if self.cluster["spec"]["pd"]["mode"] != "ms" {
                self.pd.documents.insert(members_document(service), Ok(raw(&json!(RUNS_THEM_ITSELF))));
                self.pd.documents.insert(primary_document(service), Ok(raw(&json!(""))));
                continue;
            }
            let pods = self.of_kind("Pod").filter(|pod| component(pod) == service);
            let members: Vec<Value> = pods
                .map(|pod| {
                    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
                    let version = image.rsplit_once(':').map_or("", |(_, version)| version);
                    let address = format!("http://{}:2379", host(name(pod), service));
                    json!({"name": name(pod), "service-addr": address, "version": version})
                })
                .collect();
            let before = self.document(&primary_document(service));
            let known = |member: &&Value| member["service-addr"] == before;
            let primary = members.iter().find(known).or(members.first()).map(|member| member["service-addr"].clone());
            let members = if members.is_empty() { Value::Null } else { Value::Array(members) };
            self.pd.documents.insert(members_document(service), Ok(raw(&members)));
            self.pd.documents.insert(primary_document(service), Ok(raw(&primary.unwrap_or_else(|| json!("")))));
        }
    }

    /// A member of a service is told who acts from now on.
    pub(super) fn call_service(&mut self, descriptor: &Descriptor, call: u32, body: &str) {
        let Some(call) = descriptor.calls.get(call as usize) else { return };
        let service = call.path.strip_suffix("/api/v1/primary/transfer").and_then(|path| path.strip_prefix('/'));
        let Some(service) = service.filter(|service| SERVICES.contains(service)) else { return };
        let wanted: Value = serde_json::from_str(body).unwrap_or_default();
        let members = self.document(&members_document(service));
        let member = members.as_array().into_iter().flatten().find(|member| member["name"] == wanted["new_primary"]);
        if let Some(member) = member {
            let address = raw(&member["service-addr"]);
            self.pd.documents.insert(primary_document(service), Ok(address));
        }
    }

    fn document(&self, name: &str) -> Value {
        let known = |document: &Known<Box<RawValue>>| serde_json::from_str(document.as_ref().ok()?.get()).ok();
        self.pd.documents.get(name).and_then(known).unwrap_or_default()
    }
}
