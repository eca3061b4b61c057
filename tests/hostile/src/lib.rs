//! A policy that misbehaves as its settings say, to see that the host bears it.

use serde::Deserialize;
use serde_json::{Value, json};
use tidepool_sdk::{
    Descriptor, EventType, Failure, Kind, PdRead, Plan, Policy, Scope, Snapshot, WaitingOn, Watch, export_policy, log,
};

/// The policy.
pub struct Hostile;

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    attack: String,
}

impl Policy for Hostile {
    fn describe() -> Descriptor {
        Descriptor {
            component: "hostile".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            watches: vec![Watch { api_version: "v1".into(), kind: "ConfigMap".into(), of: Scope::Component }],
            pods: Some("hostile".into()),
            pd: vec![PdRead::Stores],
            actions: ["create", "event"].map(String::from).into(),
            writes: vec![Kind { api_version: "v1".into(), kind: "ConfigMap".into() }],
            ..Descriptor::default()
        }
    }

    fn reconcile(snapshot: &Snapshot, plan: &mut Plan) -> Result<(), Failure> {
        let Settings { attack } = snapshot.settings()?;
        match attack.as_str() {
            "loop" => {
                let mut spin = 0_u64;
                while std::hint::black_box(spin) < u64::MAX {
                    spin += 1;
                }
            }
            "allocate" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1; 1 << 20]));
                }
            }
            "actions" => {
                for number in 0..1_000_000 {
                    plan.event(EventType::Normal, "Again", &number.to_string());
                }
            }
            "bytes" => {
                let body = "x".repeat(1 << 20);
                for _ in 0..1_000 {
                    plan.component_call(0, "pod", &body);
                }
            }
            "depth" => {
                // Deeper than the host reads, shallow enough for the guest's own stack.
                plan.create(&(0..300).fold(json!(0), |inner, _| Value::Array(vec![inner])))?;
            }
            "waits" => {
                for number in 0..10_000 {
                    let text = || number.to_string();
                    plan.wait(WaitingOn { reason: text(), subject: text(), message: text(), deadline_ms: None });
                }
            }
            "log" => {
                for _ in 0..10_000 {
                    log::warn(&"x".repeat(10_000));
                }
            }
            "recurse" => {
                recurse(0);
            }
            // No attack: what a policy costs that reads every column and decides nothing.
            "read" => {
                let rows = snapshot.pods()?.len() + snapshot.stores()?.len() + snapshot.objects(0)?.len();
                plan.event(EventType::Normal, "Read", &rows.to_string());
            }
            "panic" => panic!("on purpose"),
            "fail" => return Err(Failure::Internal("on purpose".into())),
            "half" => {
                plan.event(EventType::Normal, "Noted", "dropped with the failure");
                return Err(Failure::InvalidSpec("spec.pd.replicas: on purpose".into()));
            }
            _ => plan.event(EventType::Normal, "Calm", "nothing to do"),
        }
        Ok(())
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(recurse(std::hint::black_box(depth + 1)) + 1)
}

export_policy!(Hostile);
