//! Nodes, kubelets, volumes and the TiDB processes.

pub mod pd;
