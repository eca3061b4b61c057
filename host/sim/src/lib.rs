//! The simulator: an embedded Kubernetes control plane and a TiDB data plane.
//!
//! Two separable halves. [`control`] is an API server that `kubectl` and `kube` believe, with the controllers
//! that a cluster has. [`data`] is what runs below it: nodes, kubelets and the TiDB processes with their HTTP APIs.
//! The data plane reaches the control plane through an ordinary `kube::Client`, so it can attach to a real API
//! server as well. [`simulation`] puts them together. Time and randomness come from [`clock`]; every mutating request is noted in [`audit`].

pub mod audit;
pub mod authority;
pub mod clock;
pub mod control;
pub mod data;
pub mod simulation;
