//! Nodes, kubelets, volumes and the TiDB processes.
