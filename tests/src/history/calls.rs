//! S30: how PD and the components are called, whatever is asked of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Found,
    state::{State, is_ready, key, text},
};

/// Who was asked was chosen at most so long before: a round reads from PD and components for its time.
const ROUND_MS_MAX: u64 = 10_000;

/// A request of an operator, or a connection that it opens, to a component.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Host and port.
    pub authority: &'a str,
    /// Over TLS.
    pub tls: bool,
}

/// Since when programs have spoken what they speak.
#[derive(Default)]
pub struct Calls {
    /// By pod: whether over TLS, and since when.
    modes: BTreeMap<String, (bool, u64)>,
}

impl Calls {
    /// Notes who speaks what. A pod without a program keeps its mode: nobody can be asked there.
    pub fn look(&mut self, now: &State) {
        for (pod, tls) in &now.modes {
            let mode = self.modes.entry(pod.clone()).or_insert((*tls, now.ms));
            if mode.0 != *tls {
                *mode = (*tls, now.ms);
            }
        }
    }

    /// S30: each member that an address leads to is called in the mode that it runs.
    pub fn call(&self, call: Call<'_>, now: &State, found: &mut Found) {
        for pod in behind(call.authority, now) {
            let Some((tls, since)) = self.modes.get(&pod) else { continue };
            if *tls != call.tls && now.ms > since + ROUND_MS_MAX {
                let mode = |tls: bool| if tls { "over TLS" } else { "in the clear" };
                let what = format!("{pod} is called {} and speaks {}", mode(call.tls), mode(*tls));
                found.broken("S30", call.authority, what);
            }
        }
    }
}

/// The pods that an address leads to: a pod's own, or the ready ones behind a Service.
fn behind(authority: &str, now: &State) -> Vec<String> {
    let host = authority.split(':').next().unwrap_or_default();
    let labels: Vec<&str> = host.split('.').collect();
    match labels[..] {
        [service, namespace] | [service, namespace, "svc", ..] => {
            let Some(service) = now.get("services", namespace, service) else { return Vec::new() };
            let selector = &service["spec"]["selector"];
            let own = |pod: &&Value| text(&pod["metadata"]["namespace"]) == namespace && selects(selector, pod);
            now.all("pods").filter(own).filter(|pod| is_ready(pod)).map(key).collect()
        }
        [pod, _, namespace, ..] => vec![format!("{namespace}/{pod}")],
        _ => Vec::new(),
    }
}

fn selects(selector: &Value, pod: &Value) -> bool {
    let labels = &pod["metadata"]["labels"];
    selector.as_object().is_some_and(|selector| selector.iter().all(|(key, value)| labels[key] == *value))
}
