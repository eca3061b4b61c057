//! Suspension: taking a component's pods away on request, and giving them back. Volumes, Services and configuration stay.

use tidepool_api::{Component, TidbCluster, status::Phase};

use crate::{
    ObjectRef, Plan,
    live::LiveSet,
    wait::{self, Reason},
};

/// The order in which components go: users of data before the data, and PD last.
const ORDER: [Component; 8] = [
    Component::Tidb,
    Component::Tiflash,
    Component::Ticdc,
    Component::Tikv,
    Component::Pump,
    Component::Pd,
    Component::Tso,
    Component::Scheduling,
];

/// What suspension means for a component in this pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    /// Nothing: the component is worked on as usual.
    None,
    /// The phase has changed; nothing else happens in this pass.
    Changed,
    /// The component is or becomes suspended; nothing else happens.
    Suspended,
}

/// Brings the component closer to being suspended, or back, if the spec asks for it. `phase` is that of the status, and
/// `set` the StatefulSet if it exists.
pub fn reconcile(
    cluster: &TidbCluster,
    component: Component,
    phase: &mut String,
    set: Option<&LiveSet>,
    plan: &mut Plan,
) -> Suspension {
    let wanted = cluster.component(component).is_some_and(|view| view.suspend());
    match (wanted, phase == Phase::SUSPEND) {
        (false, false) => Suspension::None,
        (false, true) => {
            Phase::NORMAL.clone_into(phase);
            Suspension::Changed
        }
        (true, false) => begin(cluster, component, phase, plan),
        (true, true) => {
            remove(component, set, plan);
            Suspension::Suspended
        }
    }
}

fn begin(cluster: &TidbCluster, component: Component, phase: &mut String, plan: &mut Plan) -> Suspension {
    if phase != Phase::NORMAL {
        plan.wait(wait::on(
            Reason::Suspended,
            component.name(),
            format!("{component} is suspended once it is no longer in phase {phase:?}"),
        ));
        return Suspension::None;
    }
    if let Some(first) = not_yet_suspended(cluster, component) {
        plan.wait(wait::on(Reason::OtherComponent, first.name(), format!("{first} is suspended before {component}")));
        return Suspension::None;
    }
    Phase::SUSPEND.clone_into(phase);
    Suspension::Changed
}

fn remove(component: Component, set: Option<&LiveSet>, plan: &mut Plan) {
    let Some(set) = set else { return };
    if !set.0.deleting() {
        let name = set.0.name().to_owned();
        let target = ObjectRef { api_version: "apps/v1".to_owned(), kind: "StatefulSet".to_owned(), name };
        plan.delete(target, set.0.unchanged());
    }
    let subject = wait::stateful_set(set.0.name());
    plan.wait(wait::on(Reason::Suspended, subject, format!("the pods of {component} are going")));
}

/// The first component that goes before this one and has not gone.
fn not_yet_suspended(cluster: &TidbCluster, component: Component) -> Option<Component> {
    let before = ORDER.into_iter().take_while(|other| *other != component);
    before
        .into_iter()
        .find(|other| cluster.component(*other).is_some_and(|view| view.suspend()) && !cluster.suspended(*other))
}
