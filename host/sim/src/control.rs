//! An API server good enough for `kubectl` and `kube`, with its controllers.
