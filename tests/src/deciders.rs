//! The shipped policies as an operator asks them, native, and with what a test does to their plans.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tidepool_model::{Descriptor, Plan, Snapshot, record::Outcome};
use tidepool_operator::{Policies, Policy};
use tidepool_policy::{Decision, Reads, Swapped};

use crate::render::{Native, natives};

/// What a test does to the plans of one component.
pub type Change = Arc<dyn Fn(&Snapshot, &mut Plan) + Send + Sync>;

/// The shipped policies, without the sandbox.
#[derive(Clone, Default)]
pub struct Natives {
    changes: BTreeMap<&'static str, Change>,
}

impl Natives {
    /// The plans of `component` are changed so before anybody else sees them.
    #[must_use]
    pub fn changing(
        mut self,
        component: &'static str,
        change: impl Fn(&Snapshot, &mut Plan) + Send + Sync + 'static,
    ) -> Self {
        self.changes.insert(component, Arc::new(change));
        self
    }
}

impl Policies for Natives {
    fn current(&self) -> Vec<Arc<dyn Policy>> {
        let one = |native: Native| {
            let change = self.changes.get(native.descriptor.component.as_str()).cloned();
            let digest = format!("native:{}", native.descriptor.component);
            Arc::new(Decider { native, digest, change }) as Arc<dyn Policy>
        };
        natives().into_iter().map(one).collect()
    }

    /// They never change.
    fn on_swap(&self, _: Box<dyn Fn(&Swapped) + Send + Sync>) {}
}

struct Decider {
    native: Native,
    digest: String,
    change: Option<Change>,
}

impl Policy for Decider {
    fn descriptor(&self) -> &Descriptor {
        &self.native.descriptor
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn decide(&self, snapshot: Arc<Snapshot>) -> Decision {
        let mut outcome = (self.native.decide)(snapshot.clone());
        if let (Outcome::Plan(plan), Some(change)) = (&mut outcome, &self.change) {
            change(&snapshot, plan);
        }
        // What a native policy reads is not seen, so it is asked each time anew.
        Decision { outcome, reads: Reads::everything(), fuel: 0, log: Vec::new(), duration: Duration::ZERO }
    }
}
