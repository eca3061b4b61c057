//! Who decides: the operator's view of the loaded policies.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidepool_model::{Descriptor, Snapshot};
use tidepool_policy::{Decision, LoadedPolicy, Registry, Swapped};

/// Settings of the policies by component: a JSON object each, for example the image of the discovery service.
pub type Settings = BTreeMap<String, serde_json::Value>;

/// A policy that can be asked. In production a [`LoadedPolicy`]; in tests also a native one.
pub trait Policy: Send + Sync {
    /// What it says about itself.
    fn descriptor(&self) -> &Descriptor;

    /// `sha256:…` of its file.
    fn digest(&self) -> &str;

    /// Decides; blocks for as long as that takes.
    fn decide(&self, snapshot: Arc<Snapshot>) -> Decision;
}

/// The policies that decide now.
pub trait Policies: Send + Sync {
    /// All of them, in any order; one for each component.
    fn current(&self) -> Vec<Arc<dyn Policy>>;

    /// Calls `listener` after each swap.
    fn on_swap(&self, listener: Box<dyn Fn(&Swapped) + Send + Sync>);
}

impl Policy for LoadedPolicy {
    fn descriptor(&self) -> &Descriptor {
        self.descriptor()
    }

    fn digest(&self) -> &str {
        self.digest()
    }

    fn decide(&self, snapshot: Arc<Snapshot>) -> Decision {
        self.decide(snapshot)
    }
}

impl Policies for Registry {
    fn current(&self) -> Vec<Arc<dyn Policy>> {
        self.policies().values().map(|policy| policy.clone() as Arc<dyn Policy>).collect()
    }

    fn on_swap(&self, listener: Box<dyn Fn(&Swapped) + Send + Sync>) {
        Registry::on_swap(self, listener);
    }
}

/// The policies in the order of a round: each after those that it names in `after`, by name where that leaves a choice.
///
/// A name without a policy is no constraint. Policies that wait for each other in a circle come last, by name: the
/// circle is their authors' fault, and not to run them at all would hide it.
pub fn in_order(mut policies: Vec<Arc<dyn Policy>>) -> Vec<Arc<dyn Policy>> {
    policies.sort_by(|a, b| a.descriptor().component.cmp(&b.descriptor().component));
    let mut waiting: BTreeSet<String> = policies.iter().map(|policy| policy.descriptor().component.clone()).collect();
    let mut ordered = Vec::with_capacity(policies.len());
    while !policies.is_empty() {
        let free =
            policies.iter().position(|policy| policy.descriptor().after.iter().all(|name| !waiting.contains(name)));
        let next = policies.remove(free.unwrap_or(0));
        waiting.remove(&next.descriptor().component);
        ordered.push(next);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidepool_model::record::Outcome;
    use tidepool_policy::Reads;

    use super::*;

    struct Named(Descriptor);

    impl Policy for Named {
        fn descriptor(&self) -> &Descriptor {
            &self.0
        }

        fn digest(&self) -> &str {
            "sha256:0"
        }

        fn decide(&self, _: Arc<Snapshot>) -> Decision {
            Decision {
                outcome: Outcome::Fault(String::new()),
                reads: Reads::everything(),
                fuel: 0,
                log: Vec::new(),
                duration: Duration::ZERO,
            }
        }
    }

    fn order(policies: &[(&str, &[&str])]) -> Vec<String> {
        let named = |(name, after): &(&str, &[&str])| {
            let after = after.iter().map(ToString::to_string).collect();
            Arc::new(Named(Descriptor { component: (*name).into(), after, ..Descriptor::default() })) as Arc<dyn Policy>
        };
        in_order(policies.iter().map(named).collect()).iter().map(|p| p.descriptor().component.clone()).collect()
    }

    #[test]
    fn each_comes_after_those_it_names_and_names_decide_the_rest() {
        let policies: &[(&str, &[&str])] = &[
            ("tidb", &["tikv", "nobody"]),
            ("tikv", &["pd"]),
            ("pd", &["discovery"]),
            ("discovery", &[]),
            ("a", &["pd"]),
        ];
        assert_eq!(order(policies), ["discovery", "pd", "a", "tikv", "tidb"]);
    }

    #[test]
    fn a_circle_runs_last_and_by_name() {
        assert_eq!(order(&[("b", &["a"]), ("a", &["b"]), ("c", &[])]), ["c", "a", "b"]);
    }
}
