//! Host side of the contract, generated from `wit/policy.wit`. WIT types stop in this crate.

wasmtime::component::bindgen!({
    path: "../../wit/policy.wit",
    world: "component-policy",
    imports: { default: trappable },
    with: {
        "tidepool:policy/observed.snapshot": crate::state::SnapshotHandle,
        "tidepool:policy/planned.plan": crate::state::PlanHandle,
    },
});
